"""The outbox: records wait here, sealed, until a collector says for each of them that it has it.

    decision or report ─enqueue→ new ─next_batch→ sent ─acknowledge(stored | duplicate | refused)→ erased

A record gets its id in the transaction that keeps it, and is erased by an ack that names this id, by a cap that counts
what it drops, or by whoever opts out. On the wire it travels at least once; with the id it counts exactly once.

Opens no socket: a host asks for a batch, sends it any way it likes and says what became of it, or lets
:class:`safelight.reporting.send.Uploader` do that.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Annotated, Final, Literal

import msgspec
from nacl.signing import SigningKey

from safelight.decision import Action, Finding
from safelight.errors import ReportError, UsageError
from safelight.keys import FileKeyProvider, KeyProvider
from safelight.reporting._database import Connect, Database, OutboxState, Transaction, report_error
from safelight.reporting.ledger import Ledger, LedgerEntry
from safelight.reporting.record import (
    ID_BYTES,
    Category,
    HashRecord,
    PictureHash,
    match_record,
    nearest_match,
    person_record,
    same_content,
)
from safelight.reporting.wire import (
    KEY_BYTES,
    MAX_BATCH,
    SEALED_BYTES,
    Ack,
    KeyRequest,
    RecordsRequest,
    RotateRequest,
    SealedRecord,
    pseudonym_of,
    seal_record,
    sign_record,
    sign_rotation,
)
from safelight.store.clock import Clock, Reading, SystemClock, TimeMark, first_mark, look

MadeBy = Literal["list_match", "person"]

_COLLECTOR: Final = "collector"
_EPOCHS: Final = "epochs"
_SCHEDULE: Final = "schedule"
_TIME: Final = "time"
_WAITING: Final = "waiting"
_ADDRESS: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]*)?\Z"
)
_THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_DAY_S: Final = 86_400.0
# How much running time a power cut may cost the schedule.
_TOUCH_EVERY_S: Final = 300.0
_LEDGER_DAYS: Final = 365
# What one record takes in the file: sealed, signature, row and index, ledger entry.
_ROW_BYTES: Final = SEALED_BYTES + 256
_MAX_RETRY_AFTER_S: Final = _DAY_S


class Collector(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where records may go, as the maker of the app or device says.

    Attributes:
        url: ``https://…``; ``http://`` only for this very machine.
        sealing_key: the collector's X25519 public key, 32 bytes. Without it nobody could read a record.
        name: whom the ledger names.
        enrolment: the fleet's enrolment token, the same on every device; ``None`` where devices cannot enrol.
        ca_file: the only certificate authorities that count (PEM), instead of the system's; pins who may vouch.
        certificate_sha256: 64 hexadecimal digits: the only certificate that counts. It must be changed on every
            device when the collector's certificate is.
    """

    url: Annotated[str, msgspec.Meta(max_length=500)]
    sealing_key: Annotated[bytes, msgspec.Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] = "collector"
    enrolment: Annotated[str, msgspec.Meta(min_length=1, max_length=512)] | None = None
    ca_file: str | None = None
    certificate_sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")] | None = None

    def __repr__(self) -> str:
        return f"<Collector {self.name!r}>"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """Bounds and times. Times are seconds that the device runs, so no clock that is set changes them.

    Attributes:
        max_bytes: of waiting records; 4 MiB are about 3,200. The oldest go first, list matches before a person's own.
        max_age_s: what waits longer is dropped and counted.
        send_every_s: sends happen at such steps, whatever happened in between and of which category.
        epoch_s: a new key and pseudonym begin after this long.
        back_off_base_s, back_off_cap_s: a failed send is tried again after a random time up to
            ``min(cap, base · 2^failures)`` (full jitter).
    """

    max_bytes: int = 4 << 20
    max_age_s: float = 90 * _DAY_S
    send_every_s: float = 3600.0
    epoch_s: float = 30 * _DAY_S
    back_off_base_s: float = 30.0
    back_off_cap_s: float = 6 * 3600.0

    def __post_init__(self) -> None:
        if self.max_bytes < _ROW_BYTES or min(self.max_age_s, self.epoch_s, self.back_off_base_s) <= 0:
            raise UsageError(f"limits: expected room for a record ({_ROW_BYTES} bytes) and times above 0.")
        if self.send_every_s < 0 or self.back_off_cap_s < self.back_off_base_s:
            raise UsageError("limits: expected send_every_s of 0 or more, and a back-off cap not below its base.")

    @property
    def max_records(self) -> int:
        """How many records may wait."""
        return self.max_bytes // _ROW_BYTES


class Epoch(msgspec.Struct, frozen=True):
    """One key and pseudonym; ``expires_s`` is wall time, as the collector said."""

    seed: bytes
    pseudonym: str
    began_s: float
    enrolled: bool = False
    expires_s: float | None = None

    def __repr__(self) -> str:
        return f"<Epoch enrolled={self.enrolled}>"

    @property
    def key(self) -> SigningKey:
        """Signs records of this epoch."""
        return _signing_key(self.seed)


class _Schedule(msgspec.Struct, frozen=True):
    next_s: float
    offset_s: float
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one pseudonym that may be sent now.

    Attributes:
        pseudonym: of all of them.
        records: sealed and signed, in random order.
    """

    pseudonym: str
    records: tuple[SealedRecord, ...]

    @property
    def body(self) -> bytes:
        """The JSON to send with ``POST /v1/records``."""
        return msgspec.json.encode(RecordsRequest(pseudonym=self.pseudonym, records=self.records))


@dataclass(frozen=True, slots=True)
class Registration:
    """A key that the collector should know before records of its epoch come.

    Attributes:
        path: where to send it, below the collector's address: ``/v1/keys`` or ``/v1/keys/rotate``.
        body: the JSON to send.
        pseudonym: of the new key.
    """

    path: str
    body: bytes = field(repr=False)
    pseudonym: str


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """How the outbox is now.

    Attributes:
        state: see :class:`OutboxState`.
        collector: its name, or ``None``.
        waiting, waiting_bytes: records on this device.
        next_send_in_s: running time until the next send; ``None`` when nothing waits.
        failures: sends that failed in a row.
        counts: ``queued``, ``acked``, ``refused``, ``dropped.capacity``, ``dropped.age``, ``purged``, and
            ``not_kept.<state>`` for records that could not be kept.
    """

    state: OutboxState
    collector: str | None = None
    waiting: int = 0
    waiting_bytes: int = 0
    next_send_in_s: float | None = None
    failures: int = 0
    counts: dict[str, int] = field(default_factory=dict)


class Outbox:
    """Records that wait. May be used from several threads and processes.

    Opening makes nothing. Until :meth:`connect`, no record is made and :attr:`state` is ``OFF``.

    Args:
        path: of the file; in the user's state folder when left out.
        keys: gives the key that seals what the file says of keys and collector; files of this user when left out.
        clock: the machine's when left out.
        limits: bounds and times.

    Example:
        >>> import tempfile
        >>> from nacl.public import PrivateKey
        >>> from safelight.keys import FileKeyProvider
        >>> from safelight.reporting import Collector, Outbox
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with Outbox(f"{folder}/outbox.sqlite", keys=FileKeyProvider(folder)) as outbox:
        ...         before = outbox.state.value
        ...         key = bytes(PrivateKey.generate().public_key)
        ...         outbox.connect(Collector(url="https://collector.example", sealing_key=key, enrolment="token"))
        ...         receipt = outbox.report("not_sure")
        ...         (before, outbox.state.value, outbox.status().waiting, outbox.receipt(receipt.id).state)
        ('OFF', 'OK', 1, 'queued')
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        keys: KeyProvider | None = None,
        clock: Clock | None = None,
        limits: OutboxLimits | None = None,
        _connect: Connect | None = None,
    ) -> None:
        self._database = Database(
            Path(path) if path is not None else default_path(),
            keys=keys if keys is not None else FileKeyProvider(),
            connect=_connect,
        )
        self._clock = clock if clock is not None else SystemClock()
        self.limits = limits if limits is not None else OutboxLimits()
        self._random = random.SystemRandom()
        self._not_kept: Counter[str] = Counter()
        self._not_kept_lock = threading.Lock()

    # -- on and off --------------------------------------------------------------------------------------------------

    @property
    def state(self) -> OutboxState:
        """Whether records are made and kept. Never raises for what is on the disk."""
        return self.status().state

    @property
    def collector(self) -> Collector | None:
        """Where records go; ``None`` when it is off or cannot be told.

        Raises:
            ReportError: the file cannot be read.
        """
        with self._database.transaction(write=False) as work:
            return work.get(_COLLECTOR, Collector) if work is not None else None

    def connect(self, collector: Collector) -> None:
        """Turn reporting on: records may be made for this collector from now on.

        Raises:
            UsageError: a field is not what it should be, or records for another collector still wait.
            ReportError: the outbox cannot be written to.
        """
        _check_collector(collector)
        with self._work(create=True) as work:
            before = work.get(_COLLECTOR, Collector)
            if before is not None and before.sealing_key != collector.sealing_key:
                if work.rows("SELECT 1 FROM record LIMIT 1"):
                    raise UsageError(
                        "collector: got another one while records wait that only the old one can read; send them, "
                        "or erase them with `safelight outbox purge`."
                    )
                work.drop(_EPOCHS)
            work.put(_COLLECTOR, collector)

    def disconnect(self) -> int:
        """Turn reporting off and erase everything that has not left; returns how many records that were.

        Raises:
            ReportError: the outbox cannot be written to.
        """
        return self._erase(None, also_collector=True)

    def purge(self, made_by: MadeBy | None = None) -> int:
        """Erase what has not left this device; anybody may. Returns how many records that were.

        Args:
            made_by: only records made by a list match, or only a person's own; all of them when left out. All of them
                takes the pseudonym along: what comes later cannot be linked with what was.

        Raises:
            ReportError: the outbox cannot be written to.
        """
        return self._erase(made_by, also_collector=False)

    def withdraw(self, record_id: str) -> bool:
        """Take one record back before it has left for good; whether it was still here. Anybody with its id may.

        Raises:
            ReportError: the outbox cannot be written to.
        """
        with self._database.transaction() as work:
            found = work is not None and _is_id(record_id) and list(_ledger(work, record_id))
            if work is None or not found or found[0].state not in ("queued", "sent"):
                return False
            self._drop(work, self._look(work), [bytes.fromhex(record_id)], "purged", "purged")
        self._database.truncate_log()
        return True

    def replace(self) -> int:
        """Put a damaged outbox aside (renamed, never deleted) and begin a new one, which is off.

        Returns:
            The number it was put aside under.

        Raises:
            ReportError: the folder cannot be written to.
        """
        return self._database.replace()

    # -- in ----------------------------------------------------------------------------------------------------------

    def enqueue(self, findings: Iterable[Finding], *, action: Action, policy: str = "custom") -> HashRecord | None:
        """Keep a record of a list match. The same entry again in the same epoch is the same record.

        Args:
            findings: of a decision. Only a match that names a list's entry makes a record.
            action: that was decided.
            policy: id of the rules, or ``custom``.

        Returns:
            The record, once it is safe on the disk; ``None`` when there was no such match or reporting is off.

        Raises:
            ReportError: it could not be kept; that is counted.
        """
        finding = nearest_match(findings)
        if finding is None:
            return None
        with self._kept() as work:
            if work is None or (collector := work.get(_COLLECTOR, Collector)) is None:
                return None
            return self._keep(
                work,
                collector,
                lambda record_id, pseudonym, day: match_record(
                    finding, record_id=record_id, pseudonym=pseudonym, day=day, action=action, policy=policy
                ),
            )

    def report(self, category: Category | str, *, picture: PictureHash | None = None) -> LedgerEntry:
        """Keep a person's own report: their act, never something that happens by itself.

        Args:
            category: one of :data:`~safelight.reporting.record.PERSON_CATEGORIES`.
            picture: hash of a file that the person named (:func:`~safelight.reporting.record.hash_picture`), if any.

        Returns:
            The receipt: :attr:`LedgerEntry.id` finds it again with :meth:`receipt`. The same report on the same day is
            the same one.

        Raises:
            UsageError: no category that a person can report.
            ReportError: reporting is off, or it could not be kept.
        """
        with self._kept() as work:
            if work is None or (collector := work.get(_COLLECTOR, Collector)) is None:
                raise report_error(OutboxState.OFF)
            record = self._keep(
                work,
                collector,
                lambda record_id, pseudonym, day: person_record(
                    category, record_id=record_id, pseudonym=pseudonym, day=day, picture=picture
                ),
            )
            (entry,) = _ledger(work, record.id)
            return entry

    # -- out ---------------------------------------------------------------------------------------------------------

    def due(self) -> bool:
        """Whether something waits and it is time to send. Never raises for what is on the disk."""
        wait_s = self.status().next_send_in_s
        return wait_s is not None and wait_s <= 0

    def next_registration(self, *, enrol: bool = True) -> Registration | None:
        """A key that the collector does not know yet and that records wait for; ``None`` when there is none.

        Send :attr:`Registration.body` and tell :meth:`registered`. With the fleet's enrolment token every epoch is
        enrolled anew, so that nothing ties it to the one before; without it, the old key vouches for the new one.

        Args:
            enrol: whether the token may be used; ``False`` after the collector refused it.

        Raises:
            ReportError: the outbox cannot be read.
        """
        with self._database.transaction(write=False) as work:
            if work is None or (collector := work.get(_COLLECTOR, Collector)) is None:
                return None
            epochs = work.get(_EPOCHS, list[Epoch]) or []
            waiting = {row[0] for row in work.rows("SELECT DISTINCT pseudonym FROM record")}
            for place, epoch in enumerate(epochs):
                if epoch.enrolled or epoch.pseudonym not in waiting:
                    continue
                public_key = bytes(epoch.key.verify_key)
                if enrol and collector.enrolment is not None:
                    body = msgspec.json.encode(KeyRequest(enrolment=collector.enrolment, public_key=public_key))
                    return Registration("/v1/keys", body, epoch.pseudonym)
                old = next((one for one in epochs[:place] if one.enrolled), None)
                if old is not None:
                    signature = sign_rotation(old.key, public_key)
                    request = RotateRequest(pseudonym=old.pseudonym, public_key=public_key, signature=signature)
                    return Registration("/v1/keys/rotate", msgspec.json.encode(request), epoch.pseudonym)
        return None

    def registered(self, pseudonym: str, *, expires_at: datetime | None = None) -> None:
        """The collector knows this key now.

        Args:
            pseudonym: as in :class:`Registration`.
            expires_at: when it runs out; a new epoch begins then, if not before.

        Raises:
            UsageError: no such key, or a time without zone.
            ReportError: the outbox cannot be written to.
        """
        if expires_at is not None and expires_at.tzinfo is None:
            raise UsageError("expires_at: got a time without zone, expected one in UTC.")
        with self._work() as work:
            epochs = work.get(_EPOCHS, list[Epoch]) or []
            if pseudonym not in {epoch.pseudonym for epoch in epochs}:
                raise UsageError(
                    "pseudonym: got one that this outbox does not have; it may have been purged meanwhile."
                )
            expires_s = expires_at.timestamp() if expires_at is not None else None
            epochs = [
                msgspec.structs.replace(one, enrolled=True, expires_s=expires_s) if one.pseudonym == pseudonym else one
                for one in epochs
            ]
            work.put(_EPOCHS, _still_needed(work, epochs))

    def unregistered(self, pseudonym: str) -> None:
        """The collector does not know this key (any more): it is registered again before anything else is sent.

        Raises:
            ReportError: the outbox cannot be written to.
        """
        with self._work() as work:
            epochs = work.get(_EPOCHS, list[Epoch]) or []
            work.put(
                _EPOCHS,
                [msgspec.structs.replace(o, enrolled=o.enrolled and o.pseudonym != pseudonym) for o in epochs],
            )

    def next_batch(
        self, *, max_records: int = MAX_BATCH, pseudonym: str | None = None, made_by: MadeBy | None = None
    ) -> Batch | None:
        """Records to send, all of one pseudonym; ``None`` when nothing waits that may be sent.

        They stay until :meth:`acknowledge` names them. Whether it is time is :meth:`due`'s to say.

        Args:
            max_records: 1 to 100.
            pseudonym: only of this one; of the oldest waiting record when left out.
            made_by: only records made by a list match, or only a person's own; both when left out.

        Raises:
            UsageError: ``max_records`` is out of range.
            ReportError: the outbox cannot be written to.
        """
        if not 1 <= max_records <= MAX_BATCH:
            raise UsageError(f"max_records: got {max_records}, expected 1 to {MAX_BATCH}.")
        with self._database.transaction() as work:
            if work is None or work.get(_COLLECTOR, Collector) is None:
                return None
            reading = self._look(work)
            self._drop_old(work, reading)
            known = [one.pseudonym for one in work.get(_EPOCHS, list[Epoch]) or [] if one.enrolled]
            wanted = [one for one in known if pseudonym in (None, one)]
            marks = ",".join("?" * len(wanted))
            waiting = [
                (name, row_id)
                for name, row_id, kind in work.rows(
                    f"SELECT pseudonym, id, kind FROM record WHERE pseudonym IN ({marks}) ORDER BY queued_s",
                    tuple(wanted),
                )
                if made_by in (None, self._made_by(row_id, kind))
            ]
            if not waiting:
                return None
            chosen = waiting[0][0]
            found = [
                work.rows("SELECT id, sealed, signature FROM record WHERE id = ?", (row_id,))[0]
                for row_id in [row_id for name, row_id in waiting if name == chosen][:max_records]
            ]
            day = _day(reading).isoformat()
            for row in found:
                work.execute("UPDATE record SET state = 'sent', attempts = attempts + 1 WHERE id = ?", (row[0],))
                work.execute(
                    "UPDATE ledger SET state = 'sent', last_day = ?, last_s = ?, attempts = attempts + 1 WHERE id = ?",
                    (day, reading.elapsed_s, row[0]),
                )
        # By id, which is random: their order would say which came first.
        records = sorted(
            (SealedRecord(id=i.hex(), sealed=sealed, signature=signature) for i, sealed, signature in found),
            key=lambda one: one.id,
        )
        return Batch(chosen, tuple(records))

    def acknowledge(self, batch: Batch, acks: Iterable[Ack]) -> dict[str, int]:
        """What the collector said of a batch: erases what it names, and nothing else.

        Args:
            batch: that was sent.
            acks: of its answer. Ids that were not in the batch are passed over.

        Returns:
            How many are ``acked``, ``refused``, and ``unanswered`` (they are sent again).

        Raises:
            ReportError: the outbox cannot be written to: then all of it is sent again, and counts once.
        """
        states = {ack.id: ack.state for ack in acks}
        found = {"acked": 0, "refused": 0, "unanswered": 0}
        with self._work() as work:
            reading = self._look(work)
            for record in batch.records:
                state = states.get(record.id)
                if state is None:
                    found["unanswered"] += 1
                    continue
                word = "refused" if state == "refused" else "acked"
                found[word] += 1
                row_id = bytes.fromhex(record.id)
                gone = work.rows("DELETE FROM record WHERE id = ? AND state = 'sent' RETURNING id", (row_id,))
                if gone:
                    work.count(_WAITING, -1)
                    work.count(word, 1)
                    _set_ledger(work, row_id, word, reading)
            epochs = work.get(_EPOCHS, list[Epoch]) or []
            kept = _still_needed(work, epochs)
            if kept != epochs:
                work.put(_EPOCHS, kept)
            if not found["unanswered"]:
                self._plan(work, reading, failures=0)
        return found

    def postpone(self, *, retry_after_s: float | None = None) -> float:
        """A send failed: the next one waits, with full jitter, and at least as long as the collector asked.

        Args:
            retry_after_s: the answer's Retry-After; a day at most is obeyed.

        Returns:
            Running time until then.

        Raises:
            ReportError: the outbox cannot be written to.
        """
        with self._work() as work:
            reading = self._look(work)
            schedule = work.get(_SCHEDULE, _Schedule) or self._first_schedule(reading)
            longest_s = min(self.limits.back_off_cap_s, self.limits.back_off_base_s * 2.0 ** min(schedule.failures, 60))
            wait_s = self._random.uniform(0.0, longest_s)
            if retry_after_s is not None:
                wait_s = max(wait_s, min(max(retry_after_s, 0.0), _MAX_RETRY_AFTER_S))
            work.put(
                _SCHEDULE,
                msgspec.structs.replace(schedule, next_s=reading.elapsed_s + wait_s, failures=schedule.failures + 1),
            )
            return wait_s

    def rotate(self) -> None:
        """Begin a new epoch now: another key and pseudonym for what comes.

        Raises:
            ReportError: the outbox cannot be written to.
        """
        with self._work() as work:
            self._begin_epoch(work, self._look(work))

    # -- what everybody can see --------------------------------------------------------------------------------------

    def status(self) -> OutboxStatus:
        """How it is now. Never raises for what is on the disk."""
        try:
            with self._database.transaction(write=False) as work:
                if work is None:
                    return OutboxStatus(OutboxState.OFF, counts=self._with_not_kept({}))
                collector = work.get(_COLLECTOR, Collector)
                reading = self._reading(work)
                schedule = work.get(_SCHEDULE, _Schedule)
                counts = work.counts()
        except ReportError as error:
            return OutboxStatus(OutboxState(error.state), counts=self._with_not_kept({}))
        waiting = counts.pop(_WAITING, 0)
        next_s = schedule.next_s if schedule is not None else reading.elapsed_s
        return OutboxStatus(
            state=OutboxState.OK if collector is not None else OutboxState.OFF,
            collector=collector.name if collector is not None else None,
            waiting=waiting,
            waiting_bytes=waiting * SEALED_BYTES,
            next_send_in_s=max(0.0, next_s - reading.elapsed_s) if waiting else None,
            failures=schedule.failures if schedule is not None else 0,
            counts=self._with_not_kept(counts),
        )

    def ledger(self) -> Ledger:
        """What left and what waits, newest day first; a year of running time.

        Raises:
            ReportError: the outbox cannot be read.
        """
        with self._database.transaction(write=False) as work:
            if work is None:
                return Ledger()
            counts = work.counts()
            counts.pop(_WAITING, None)
            return Ledger(tuple(_ledger(work)), self._with_not_kept(counts))

    def receipt(self, receipt_id: str) -> LedgerEntry:
        """What became of a report.

        Raises:
            UsageError: no record has this id; or it is older than a year.
            ReportError: the outbox cannot be read.
        """
        with self._database.transaction(write=False) as work:
            entries = list(_ledger(work, receipt_id)) if work is not None and _is_id(receipt_id) else []
        if not entries:
            raise UsageError(
                "receipt: got one that this outbox does not know, expected 32 hexadecimal digits as shown."
            )
        return entries[0]

    def close(self) -> None:
        """Let go of the file. Safe to call twice; a later call opens it again."""
        self._database.close()

    def __enter__(self) -> Outbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return "<Outbox>"

    # -- inside ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _work(self, *, create: bool = False) -> Iterator[Transaction]:
        with self._database.transaction(create=create) as work:
            if work is None:
                raise report_error(OutboxState.OFF)
            yield work

    @contextmanager
    def _kept(self) -> Iterator[Transaction | None]:
        """A transaction that keeps a record; one that could not be kept is counted, at the latest with the next."""
        with self._not_kept_lock:
            lost = Counter(self._not_kept)
        try:
            with self._database.transaction() as work:
                if work is not None:
                    for state, times in lost.items():
                        work.count(f"not_kept.{state}", times)
                yield work
        except ReportError as error:
            if error.state != OutboxState.OFF.value:
                with self._not_kept_lock:
                    self._not_kept[error.state] += 1
            raise
        if work is not None:
            with self._not_kept_lock:
                self._not_kept -= lost

    def _with_not_kept(self, counts: dict[str, int]) -> dict[str, int]:
        with self._not_kept_lock:
            for state, times in self._not_kept.items():
                counts[f"not_kept.{state}"] = counts.get(f"not_kept.{state}", 0) + times
        return counts

    def _keep(self, work: Transaction, collector: Collector, make: _Maker) -> HashRecord:
        reading = self._look(work)
        epoch = self._epoch(work, reading)
        key = _subkey(self._database.key(), epoch.pseudonym)
        day = _day(reading)
        draft = make("0" * 2 * ID_BYTES, epoch.pseudonym, day)
        # A person who reports the same on another day reports something new; a list's entry stays the same entry.
        record_id = hashlib.blake2b(
            same_content(key, draft) + (draft.day.encode() if draft.made_by == "person" else b""),
            digest_size=ID_BYTES,
            key=key,
            person=b"sl-record-id",
        ).digest()
        known = work.rows("SELECT state, queued_day FROM ledger WHERE id = ?", (record_id,))
        if known and known[0][0] in ("queued", "sent", "acked", "refused"):
            return msgspec.structs.replace(draft, id=record_id.hex(), day=known[0][1])
        record = msgspec.structs.replace(draft, id=record_id.hex())
        sealed = seal_record(record, collector.sealing_key)
        self._make_room(work, reading)
        work.execute(
            "INSERT INTO record (id, pseudonym, sealed, signature, kind, state, queued_s, attempts) "
            "VALUES (?, ?, ?, ?, ?, 'new', ?, 0)",
            (
                record_id,
                epoch.pseudonym,
                sealed,
                sign_record(epoch.key, record.id, sealed),
                self._kind(record_id, record.made_by),
                reading.elapsed_s,
            ),
        )
        work.execute(
            "INSERT OR REPLACE INTO ledger (id, state, queued_day, last_day, last_s, attempts, collector) "
            "VALUES (?, 'queued', ?, ?, ?, 0, ?)",
            (record_id, record.day, record.day, reading.elapsed_s, collector.name),
        )
        schedule = work.get(_SCHEDULE, _Schedule)
        if schedule is None or (schedule.next_s <= reading.elapsed_s and not self._waiting(work)):
            # A step that passed while nothing waited must not become "now": that would tell when this happened.
            self._plan(work, reading, failures=0)
        work.count(_WAITING, 1)
        work.count("queued", 1)
        return record

    def _kind(self, record_id: bytes, made_by: str) -> bytes:
        """Tells a list match from a person's own report to whoever has the device's key, and to nobody else."""
        return hashlib.blake2b(
            record_id + made_by.encode(), digest_size=8, key=self._database.key(), person=b"sl-made-by"
        ).digest()

    def _waiting(self, work: Transaction) -> int:
        rows = work.rows("SELECT value FROM count WHERE name = ?", (_WAITING,))
        return int(rows[0][0]) if rows else 0

    def _made_by(self, record_id: bytes, kind: bytes) -> MadeBy:
        return "person" if kind == self._kind(record_id, "person") else "list_match"

    # Time and epochs.

    def _reading(self, work: Transaction) -> Reading:
        mark = work.get(_TIME, TimeMark)
        return look(mark if mark is not None else first_mark(self._clock), self._clock)[0]

    def _look(self, work: Transaction) -> Reading:
        stored = work.get(_TIME, TimeMark)
        mark = stored if stored is not None else first_mark(self._clock)
        reading, after = look(mark, self._clock)
        if stored is None or after.boot_id != mark.boot_id or reading.elapsed_s - mark.elapsed_s >= _TOUCH_EVERY_S:
            work.put(_TIME, after)
        return reading

    def _epoch(self, work: Transaction, reading: Reading) -> Epoch:
        epochs = work.get(_EPOCHS, list[Epoch]) or []
        if epochs:
            current = epochs[-1]
            expired = current.expires_s is not None and reading.wall_s >= current.expires_s
            if reading.elapsed_s - current.began_s < self.limits.epoch_s and not expired:
                return current
        return self._begin_epoch(work, reading)

    def _begin_epoch(self, work: Transaction, reading: Reading) -> Epoch:
        key = SigningKey.generate()
        epoch = Epoch(bytes(key), pseudonym_of(bytes(key.verify_key)), reading.elapsed_s)
        epochs = [*(work.get(_EPOCHS, list[Epoch]) or []), epoch]
        work.put(_EPOCHS, _still_needed(work, epochs))
        # By running time: a clock that is set forward must not make the ledger forget.
        oldest_s = reading.elapsed_s - _LEDGER_DAYS * _DAY_S
        work.execute("DELETE FROM ledger WHERE last_s < ? AND state NOT IN ('queued', 'sent')", (oldest_s,))
        return epoch

    def _first_schedule(self, reading: Reading) -> _Schedule:
        offset_s = self._random.uniform(0.0, self.limits.send_every_s)
        return _Schedule(self._slot_after(reading.elapsed_s, offset_s), offset_s)

    def _slot_after(self, elapsed_s: float, offset_s: float) -> float:
        every_s = self.limits.send_every_s
        if every_s == 0:
            return elapsed_s
        return ((elapsed_s - offset_s) // every_s + 1) * every_s + offset_s

    def _plan(self, work: Transaction, reading: Reading, *, failures: int) -> None:
        before = work.get(_SCHEDULE, _Schedule)
        offset_s = before.offset_s if before is not None else self._first_schedule(reading).offset_s
        work.put(_SCHEDULE, _Schedule(self._slot_after(reading.elapsed_s, offset_s), offset_s, failures))

    # What goes without an ack, and is counted.

    def _drop_old(self, work: Transaction, reading: Reading) -> None:
        limit_s = reading.elapsed_s - self.limits.max_age_s
        if limit_s > 0:
            self._drop(work, reading, [row[0] for row in work.rows(
                "SELECT id FROM record WHERE queued_s < ?", (limit_s,)
            )], "dropped", "dropped.age")  # fmt: skip

    def _make_room(self, work: Transaction, reading: Reading) -> None:
        too_many = self._waiting(work) + 1 - self.limits.max_records
        if too_many <= 0:
            return
        self._drop_old(work, reading)
        too_many = max(0, self._waiting(work) + 1 - self.limits.max_records)
        found = [
            (self._made_by(row_id, kind) == "person", queued_s, row_id)
            for row_id, kind, queued_s in work.rows("SELECT id, kind, queued_s FROM record")
        ]
        self._drop(work, reading, [one[-1] for one in sorted(found)[:too_many]], "dropped", "dropped.capacity")

    def _drop(self, work: Transaction, reading: Reading, ids: list[bytes], state: str, counter: str) -> None:
        for row_id in ids:
            work.execute("DELETE FROM record WHERE id = ?", (row_id,))
            _set_ledger(work, row_id, state, reading)
        work.count(counter, len(ids))
        work.count(_WAITING, -len(ids))

    def _erase(self, made_by: MadeBy | None, *, also_collector: bool) -> int:
        with self._database.transaction() as work:
            if work is None:
                return 0
            reading = self._look(work)
            ids = [
                row_id
                for row_id, kind in work.rows("SELECT id, kind FROM record")
                if made_by in (None, self._made_by(row_id, kind))
            ]
            self._drop(work, reading, ids, "purged", "purged")
            if made_by is None:
                work.drop(_EPOCHS)
            if also_collector:
                work.drop(_COLLECTOR)
        self._database.truncate_log()
        return len(ids)


_Maker = Callable[[str, str, date], HashRecord]
"""Makes a record from an id, a pseudonym and a day."""


def default_path() -> Path:
    """This user's outbox."""
    from platformdirs import user_state_path

    return user_state_path("safelight", appauthor=False) / "outbox.sqlite"


def _check_collector(collector: Collector) -> None:
    message = ""
    try:
        msgspec.convert(msgspec.to_builtins(collector), Collector)
    except msgspec.ValidationError as error:
        message = str(error)
    if message:
        raise UsageError(f"collector: {message}; see docs/reporting.md.")
    if not any(collector.sealing_key):
        raise UsageError("sealing_key: got zeros, expected the collector's public key.")
    address = _ADDRESS.match(collector.url)
    if address is None or (address["scheme"] == "http" and address["host"] not in _THIS_MACHINE):
        raise UsageError("url: expected https://HOST[:PORT][/PATH]; http:// only for this very machine.")


def _still_needed(work: Transaction, epochs: list[Epoch]) -> list[Epoch]:
    """The current epoch, those that records wait in, and the last one that can vouch for a new key."""
    waiting = {row[0] for row in work.rows("SELECT DISTINCT pseudonym FROM record")}
    enrolled = [place for place, epoch in enumerate(epochs) if epoch.enrolled]
    return [
        epoch
        for place, epoch in enumerate(epochs)
        if place == len(epochs) - 1 or epoch.pseudonym in waiting or (enrolled and place == enrolled[-1])
    ]


def _ledger(work: Transaction, record_id: str | None = None) -> Iterator[LedgerEntry]:
    where, values = ("WHERE id = ?", (bytes.fromhex(record_id),)) if record_id is not None else ("", ())
    for row_id, *rest in work.rows(
        f"SELECT id, state, queued_day, last_day, attempts, collector FROM ledger {where} ORDER BY last_day DESC, id",
        values,
    ):
        yield LedgerEntry(row_id.hex(), *rest)


def _set_ledger(work: Transaction, row_id: bytes, state: str, reading: Reading) -> None:
    work.execute(
        "UPDATE ledger SET state = ?, last_day = ?, last_s = ? WHERE id = ?",
        (state, _day(reading).isoformat(), reading.elapsed_s, row_id),
    )


def _is_id(text: str) -> bool:
    return len(text) == 2 * ID_BYTES and all(letter in "0123456789abcdef" for letter in text)


@lru_cache(maxsize=4)
def _signing_key(seed: bytes) -> SigningKey:
    return SigningKey(seed)


def _subkey(key: bytes, pseudonym: str) -> bytes:
    return hashlib.blake2b(pseudonym.encode(), digest_size=32, key=key, person=b"sl-epoch-key").digest()


def _day(reading: Reading) -> date:
    return datetime.fromtimestamp(reading.wall_s, timezone.utc).date()
