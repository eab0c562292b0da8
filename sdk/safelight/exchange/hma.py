"""Hasher-Matcher-Actioner (Meta): put hashes into one of its banks.

``POST /c/bank/<bank>/signal`` with ``{"pdq": hex}``, one hash a request. HMA is not idempotent: the same hash three
times makes three contents. So what was sent is remembered in a file, before it is sent; what broke on the way stays
*unsure* and is not sent again until somebody looked. HMA's own look-up is not asked first: the hash would stand in an
address and so in logs on the way, it finds near ones too, and its index runs behind what was just added.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

import msgspec

from safelight.errors import (
    ExchangeError,
    ExchangeRefusedError,
    ExchangeUnavailableError,
    ExchangeUnsureError,
    UsageError,
)
from safelight.exchange._hashes import AnyHash, checked
from safelight.exchange._http import Client, Limits, Secret
from safelight.hashing import PdqHash

State = Literal["sending", "sent"]
_BANK: Final = re.compile(r"[A-Z0-9_]{1,255}\Z")
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sent (
    digest BLOB PRIMARY KEY CHECK (length(digest) = 16),
    state TEXT NOT NULL CHECK (state IN ('sending', 'sent')),
    content_id INTEGER
) WITHOUT ROWID
"""


class SentMemory:
    """What was sent to which bank: digests in one SQLite file, from which no hash can be read back.

    Every change waits for the disk. A program that was killed between writing and sending finds the hash *unsure*.

    Args:
        path: of the file; made if it is not there.

    Raises:
        ExchangeError: it cannot be opened, or is no such file.
    """

    def __init__(self, path: str | Path) -> None:
        self._database: sqlite3.Connection | None = None
        database: sqlite3.Connection | None = None
        try:
            database = sqlite3.connect(path, isolation_level=None, timeout=30.0)
            database.execute("PRAGMA synchronous = FULL")
            database.execute(_SCHEMA)
            database.execute("SELECT digest, state, content_id FROM sent LIMIT 1").fetchone()
        except sqlite3.Error:
            if database is not None:
                database.close()
            database = None
        if database is None:
            raise ExchangeError(
                "memory of what was sent: got a file that cannot be used, expected one of this program or none; "
                "nothing is sent without it, or the bank would fill with repeats: free the disk, or restore the file"
            )
        self._database = database

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()

    def __enter__(self) -> SentMemory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def state(self, digest: bytes) -> State | None:
        """Of a hash: ``sent``; ``sending``: nobody knows; ``None``: never tried."""
        row = self._run("SELECT state FROM sent WHERE digest = ?", digest)
        return row[0] if row is not None else None

    def begin(self, digest: bytes) -> bool:
        """Take a hash for sending; ``False`` if it was taken before, by whichever program uses the file."""
        row = self._run("INSERT INTO sent VALUES (?, 'sending', NULL) ON CONFLICT DO NOTHING RETURNING 1", digest)
        return row is not None

    def finish(self, digest: bytes, content_id: int) -> None:
        """It arrived, as this content."""
        self._run("UPDATE sent SET state = 'sent', content_id = ? WHERE digest = ?", content_id, digest)

    def forget(self, digest: bytes) -> None:
        """It certainly did not arrive."""
        self._run("DELETE FROM sent WHERE digest = ? AND state = 'sending'", digest)

    def _run(self, statement: str, *values: object) -> tuple[State] | None:
        if self._database is None:
            raise ExchangeError("memory of what was sent: got one that is closed, expected an open one; open it again")
        row: tuple[State] | None = None
        failed = False
        try:
            with closing(self._database.execute(statement, values)) as cursor:
                row = cursor.fetchone()
        except sqlite3.Error:
            failed = True
        if failed:
            raise ExchangeError(
                "memory of what was sent: got a disk that does not take it, expected one that does; nothing is sent "
                "unremembered: free the disk"
            )
        return row


@dataclass(frozen=True, slots=True)
class BankReport:
    """What became of the hashes of one call.

    Attributes:
        added: new in the bank.
        known: sent before, and left out.
        unsure: sent in a way that nobody knows whether it arrived, now or before; left out until ``resend_unsure``.
    """

    added: int
    known: int
    unsure: int


class _Answer(msgspec.Struct, frozen=True):
    id: int


class HmaBank:
    """One bank.

    Args:
        url: of HMA, e.g. ``https://hma.example/``.
        bank: its name, upper-case letters, digits and ``_``.
        memory: what was sent before; one file for all programs that fill this bank.
        token: where HMA stands behind something that wants a bearer token.
        ca_bundle, proxies, limits, sleep: see :class:`~safelight.exchange._http.Client`.
    """

    def __init__(
        self,
        url: str,
        bank: str,
        *,
        memory: SentMemory,
        token: Secret | str | None = None,
        ca_bundle: str | None = None,
        proxies: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not isinstance(bank, str) or not _BANK.match(bank):
            raise UsageError("bank: expected upper-case letters, digits and _, as HMA wants them; check the name")
        self._bank = bank
        self._memory = memory
        self._salt = f"{url.rstrip('/')}\0{bank}\0".encode()
        headers = {} if token is None else {"Authorization": Secret("Bearer " + Secret.of(token).reveal())}
        self._client = Client(
            "HMA", url, headers=headers, ca_bundle=ca_bundle, proxies=proxies, limits=limits, sleep=sleep
        )

    def __repr__(self) -> str:
        return f"HmaBank({self._bank})"

    def close(self) -> None:
        """Close its connections; the memory is the caller's."""
        self._client.close()

    def add(
        self,
        hashes: Iterable[AnyHash],
        *,
        resend_unsure: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> BankReport:
        """Put hashes into the bank, each at most once ever.

        Args:
            hashes: PDQ (profile ``full``, of a quality that may be matched) or SHA-256; those of one call are put in
                in their order.
            resend_unsure: also those of which nobody knows whether they arrived. Look into the bank first.
            progress: called with how many are done.

        Raises:
            UnsupportedInputError: something else than hashes.
            UsageError: a hash that may not be matched.
            ExchangeRefusedError: HMA refused one, e.g. a bank that is not there or a kind of hash it does not know;
                those before it are in.
            ExchangeUnavailableError: HMA cannot be reached; those before it are in, and calling again goes on there.
            ExchangeError: the memory cannot be written to, or the answer was another one.
        """
        added = known = unsure = 0
        for number, one in enumerate(checked(hashes), start=1):
            digest = self._digest(one)
            state = self._memory.state(digest)
            if state == "sending" and resend_unsure:
                self._memory.forget(digest)
                state = None
            if state is None and not self._memory.begin(digest):
                # Another program took it this moment.
                state = self._memory.state(digest) or "sending"
            if state == "sent":
                known += 1
            elif state == "sending":
                unsure += 1
            elif self._send(one, digest):
                added += 1
            else:
                unsure += 1
            if progress is not None:
                progress(number)
        return BankReport(added, known, unsure)

    def _send(self, one: AnyHash, digest: bytes) -> bool:
        kind = "pdq" if isinstance(one, PdqHash) else "sha256"
        try:
            answer: _Answer = self._client.post(
                f"c/bank/{self._bank}/signal", {kind: one.hex()}, answer=_Answer, repeatable=False
            )
        except ExchangeUnsureError:
            return False
        except ExchangeError as error:
            if isinstance(error, (ExchangeRefusedError, ExchangeUnavailableError)):
                self._memory.forget(digest)
            raise
        self._memory.finish(digest, answer.id)
        return True

    def _digest(self, one: AnyHash) -> bytes:
        kind = b"pdq\0" if isinstance(one, PdqHash) else b"sha256\0"
        return hashlib.blake2b(self._salt + kind + one.bits, digest_size=16).digest()
