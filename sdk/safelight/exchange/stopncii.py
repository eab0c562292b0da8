"""StopNCII-shaped exchange: fetch cases, submit hashes, give feedback. For adults' pictures shared without consent.

StopNCII publishes no description of this interface. The shape is the one that ``threatexchange`` 1.2.17's client uses
(``FetchHashes``, ``SubmitHashes``, ``SubmitFeedback``, two keys a request); it was tried against our loopback server,
never against the service. One difference on purpose: that client writes ``StopNCIISignalType.ImagePDQ`` into what it
submits, we write ``ImagePDQ``, which is what the service itself answers with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Final

import msgspec

from safelight.errors import ExchangeAnswerError, UsageError
from safelight.exchange._hashes import checked_pdq
from safelight.exchange._http import Client, Limits, Secret
from safelight.hashing import PdqHash

DEFAULT_URL: Final = "https://api.stopncii.org/v1"
#: The first checkpoint; the client named above starts there too.
FIRST_TIMESTAMP: Final = 10
MAX_PAGE: Final = 800
#: A page that names itself as the next one would never end.
MAX_PAGES: Final = 100_000


class Feedback(str, Enum):
    """What somebody of the platform, having looked, says about a hash. Nothing automatic may say it."""

    NONE = "None"
    PENDING_REVIEW = "PendingReview"
    BLOCKED = "Blocked"
    NOT_BLOCKED = "NotBlocked"

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class StopNciiRecord:
    """The latest word about one hash.

    Attributes:
        hash: it.
        withdrawn: whether it must be deleted.
        modified: seconds since 1970.
    """

    hash: PdqHash
    withdrawn: bool
    modified: int


@dataclass(frozen=True, slots=True)
class StopNciiPage:
    """One answer of ``FetchHashes``.

    Attributes:
        records: PDQ hashes; a later word about one replaces an earlier one.
        skipped: records of other kinds, and damaged ones.
        next_timestamp: what to start from next time, once the last page was read; store it after the records.
        last: whether this is the last page.
    """

    records: tuple[StopNciiRecord, ...] = field(repr=False)
    skipped: int
    next_timestamp: int
    last: bool


class _Record(msgspec.Struct, frozen=True):
    signalType: str  # noqa: N815 - their names
    hashValue: str  # noqa: N815
    hashStatus: str  # noqa: N815
    lastModtimestamp: int = 0  # noqa: N815


class _Answer(msgspec.Struct, frozen=True):
    nextSetTimestamp: int  # noqa: N815
    hasMoreRecords: bool  # noqa: N815
    hashRecords: list[_Record]  # noqa: N815
    nextPageToken: str | None = None  # noqa: N815


_GONE: Final = frozenset({"Withdrawn", "Deleted"})


class StopNcii:
    """The service.

    Args:
        subscription_key: of the platform.
        fetch_key, submit_key, feedback_key: one a function; a function without its key cannot be used.
        url: of the service.
        ca_bundle, proxies, limits, sleep: see :class:`~safelight.exchange._http.Client`.
        clock: seconds since 1970, for the time that a submission states.
    """

    def __init__(
        self,
        subscription_key: Secret | str,
        *,
        fetch_key: Secret | str | None = None,
        submit_key: Secret | str | None = None,
        feedback_key: Secret | str | None = None,
        url: str = DEFAULT_URL,
        ca_bundle: str | None = None,
        proxies: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        keys = {"FetchHashes": fetch_key, "SubmitHashes": submit_key, "SubmitFeedback": feedback_key}
        self._clients: dict[str, Client] = {}
        self._clock = clock
        for function, key in keys.items():
            if key is not None:
                self._clients[function] = Client(
                    "StopNCII",
                    url,
                    headers={
                        "x-functions-key": Secret.of(key),
                        "Ocp-Apim-Subscription-Key": Secret.of(subscription_key),
                    },
                    ca_bundle=ca_bundle,
                    proxies=proxies,
                    limits=limits,
                    sleep=sleep,
                )

    def __repr__(self) -> str:
        return f"StopNcii({', '.join(self._clients)})"

    def __enter__(self) -> StopNcii:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        for client in self._clients.values():
            client.close()

    def fetch(self, start_timestamp: int = FIRST_TIMESTAMP) -> Iterator[StopNciiPage]:
        """Every page since ``start_timestamp``.

        Raises:
            UsageError: no key for this, or a timestamp below 0.
            ExchangeError: see :meth:`~safelight.exchange._http.Client.post`; also pages that never end.
        """
        if start_timestamp < 0:
            raise UsageError("start_timestamp: expected seconds since 1970, 0 or more; use what the last page said")
        client = self._client("FetchHashes")
        token = ""
        for _ in range(MAX_PAGES):
            parameters: dict[str, str | int] = {"startTimestamp": start_timestamp, "pageSize": MAX_PAGE}
            if token:
                parameters["nextPageToken"] = token
            answer: _Answer = client.get("FetchHashes", parameters, answer=_Answer)
            previous, token = token, answer.nextPageToken or ""
            if answer.hasMoreRecords and (not token or token == previous):
                break
            yield _page(answer)
            if not answer.hasMoreRecords:
                return
        raise ExchangeAnswerError(
            "StopNCII: got pages that lead nowhere, expected an end; start again from the last stored timestamp"
        )

    def submit(self, hashes: Iterable[PdqHash], *, feedback: Feedback = Feedback.BLOCKED) -> int:
        """Submit hashes that somebody of the platform looked at; returns how many distinct ones were sent.

        Raises:
            UnsupportedInputError: something else than PDQ hashes.
            UsageError: a hash that may not be matched, or no key for this.
            ExchangeUnsureError: nobody knows whether they arrived; submitting a hash again replaces the earlier word.
            ExchangeError: see :meth:`~safelight.exchange._http.Client.post`.
        """
        client, sent = self._client("SubmitHashes"), checked_pdq(hashes)
        now = int(self._clock())
        records = [
            {
                "lastModtimestamp": now,
                "signalType": "ImagePDQ",
                "hashValue": one.hex(),
                "CSPFeedbacks": [{"tags": [], "feedbackValue": Feedback(feedback).value}],
            }
            for one in sent
        ]
        if records:
            client.post("SubmitHashes", {"count": len(records), "hashRecords": records}, answer=bytes, repeatable=False)
        return len(records)

    def give_feedback(self, feedback: Mapping[PdqHash, Feedback]) -> int:
        """Say what became of hashes of theirs; returns how many were sent. Raises as :meth:`submit` does."""
        client, sent = self._client("SubmitFeedback"), checked_pdq(feedback)
        values = [{"tags": list[str](), "feedbackValue": feedback[one].value, "hashValue": one.hex()} for one in sent]
        if values:
            body = {"count": len(values), "hashFeedbacks": values}
            client.post("SubmitFeedback", body, answer=bytes, repeatable=False)
        return len(values)

    def _client(self, function: str) -> Client:
        if function not in self._clients:
            raise UsageError(f"StopNCII: got no key for {function}, expected one; ask the service for it")
        return self._clients[function]


def _page(answer: _Answer) -> StopNciiPage:
    records = []
    skipped = 0
    for record in answer.hashRecords:
        made: PdqHash | None = None
        if record.signalType == "ImagePDQ" and len(record.hashValue) == 64:
            try:
                made = PdqHash.parse(record.hashValue.lower())
            except UsageError:
                made = None
        if made is None:
            skipped += 1
        else:
            records.append(StopNciiRecord(made, record.hashStatus in _GONE, record.lastModtimestamp))
    return StopNciiPage(tuple(records), skipped, answer.nextSetTimestamp, not answer.hasMoreRecords)
