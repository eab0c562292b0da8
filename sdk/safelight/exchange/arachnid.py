"""Arachnid Shield (Canadian Centre for Child Protection): is this PDQ hash near something that it knows?

``POST v1/pdq/`` with ``{"hashes": [base64 …]}`` and HTTP basic authentication, as ``arachnid-shield-sdk`` 0.2.2 does;
``tests/unit/test_exchange_arachnid.py`` drives both against one loopback server and compares what arrives. Only this
one request of the service is used: the ones that take pictures or addresses have no counterpart here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, NamedTuple

import msgspec

from safelight.errors import ExchangeAnswerError
from safelight.exchange._hashes import checked_pdq
from safelight.exchange._http import Client, Limits, Secret
from safelight.hashing import PdqHash

DEFAULT_URL: Final = "https://shield.projectarachnid.com"
URL_VARIABLE: Final = "ARACHNID_SHIELD_URL"
#: Chosen by us; the service states no limit.
MAX_BATCH: Final = 500
NO_KNOWN_MATCH: Final = "no-known-match"


@dataclass(frozen=True, slots=True)
class ArachnidMatch:
    """What the service knows that is near.

    Attributes:
        classification: in the service's own words; that of its record, and no finding about your user.
        sha1_base32, sha256_hex: of the file that it knows; not shown when printed.
    """

    classification: str
    sha1_base32: str | None = field(default=None, repr=False)
    sha256_hex: str | None = field(default=None, repr=False)


class ArachnidResult(NamedTuple):
    """A hash that was asked about, and the match; ``None`` where the service knows nothing near."""

    hash: PdqHash
    match: ArachnidMatch | None


class _Near(msgspec.Struct, frozen=True):
    sha1_base32: str | None = None
    sha256_hex: str | None = None


class _Found(msgspec.Struct, frozen=True):
    classification: str | None = None
    match_type: str | None = None
    near_match_details: _Near | None = None


class _Answer(msgspec.Struct, frozen=True):
    scanned_hashes: dict[str, _Found | None]


class ArachnidShield:
    """The look-up.

    Args:
        username: as the service gave it.
        password: as the service gave it.
        url: of the service; by default what the environment variable ``ARACHNID_SHIELD_URL`` says, else the public one.
        ca_bundle, proxies, limits, sleep: see :class:`~safelight.exchange._http.Client`.

    Example:
        >>> ArachnidShield("operator", "secret")
        ArachnidShield(Arachnid Shield)
    """

    def __init__(
        self,
        username: str,
        password: Secret | str,
        *,
        url: str | None = None,
        ca_bundle: str | None = None,
        proxies: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        where = url if url is not None else os.environ.get(URL_VARIABLE) or DEFAULT_URL
        self._client = Client(
            "Arachnid Shield",
            where,
            basic=(username, Secret.of(password)),
            ca_bundle=ca_bundle,
            proxies=proxies,
            limits=limits,
            sleep=sleep,
        )

    def __repr__(self) -> str:
        return "ArachnidShield(Arachnid Shield)"

    def __enter__(self) -> ArachnidShield:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def lookup(self, hashes: Iterable[PdqHash]) -> tuple[ArachnidResult, ...]:
        """Ask about each hash once; the same hash twice is one question.

        Args:
            hashes: of the profile ``full`` and of a quality that may be matched.

        Returns:
            One result a distinct hash, in the order given.

        Raises:
            UnsupportedInputError: something else than PDQ hashes.
            UsageError: a hash that may not be matched.
            ExchangeError: see :meth:`~safelight.exchange._http.Client.post`; also an answer that leaves a hash out.
        """
        asked = checked_pdq(hashes)
        results: list[ArachnidResult] = []
        for start in range(0, len(asked), MAX_BATCH):
            batch = asked[start : start + MAX_BATCH]
            answer: _Answer = self._client.post(
                "v1/pdq/", {"hashes": [one.base64() for one in batch]}, answer=_Answer, repeatable=True
            )
            for one in batch:
                text = one.base64()
                if text not in answer.scanned_hashes:
                    raise ExchangeAnswerError(
                        "Arachnid Shield: got an answer without one of the hashes, expected every one of them; "
                        "nothing of it was used: ask again"
                    )
                results.append(ArachnidResult(one, _match(answer.scanned_hashes[text])))
        return tuple(results)


def _match(found: _Found | None) -> ArachnidMatch | None:
    if found is None or found.classification == NO_KNOWN_MATCH:
        return None
    if found.classification is None:
        if found.match_type is None and found.near_match_details is None:
            return None
        # More classifications may come; a match without a word is a match all the same.
        return ArachnidMatch("unnamed", *_files(found.near_match_details))
    return ArachnidMatch(found.classification, *_files(found.near_match_details))


def _files(near: _Near | None) -> tuple[str | None, str | None]:
    return (None, None) if near is None else (near.sha1_base32, near.sha256_hex)
