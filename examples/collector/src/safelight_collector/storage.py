"""The database: SQLite by itself, PostgreSQL for a fleet, the same statements for both.

What is said to be stored was committed, and waited for the disk: SQLite in WAL with ``synchronous=FULL``, PostgreSQL
with ``synchronous_commit=on``. Whatever the database answers instead is :class:`StorageError`, and then nothing is
acknowledged: the device sends again and learns that it is a duplicate.
"""

from __future__ import annotations

import functools
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final, TypeVar, cast

import msgspec
from sqlalchemy import (
    Connection,
    Engine,
    bindparam,
    create_engine,
    delete,
    event,
    func,
    insert,
    inspect,
    make_url,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from safelight_collector.counting import names_of
from safelight_collector.errors import ClockError, RequestError, SetupError, StorageError
from safelight_collector.protocol import pseudonym_of
from safelight_collector.settings import Settings
from safelight_collector.tables import REVISION, daily_counts, housekeeping, keys, records, sealing_keys, tokens

F = TypeVar("F", bound=Callable[..., Any])

_SHARDS: Final = 64
_BUSY_TIMEOUT_MS: Final = 5000
#: Ids of a key are forgotten only so long after the last day on which it could send.
_FORGET_AFTER: Final = timedelta(days=90)
#: A clock that is further than this ahead of everything the database saw is not believed when it asks to erase.
_BELIEVED_GAP: Final = timedelta(days=62)
_ERASE_CHUNK: Final = 5000


def today() -> date:
    """The day in UTC: the finest time that is ever written down."""
    return datetime.now(timezone.utc).date()


@dataclass(frozen=True, slots=True)
class Key:
    """A device's key of one epoch."""

    id: int
    pseudonym: str
    public_key: bytes
    enrolled_on: date
    expires_on: date
    accepted_until: date
    rotated: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """A record that passed every check: its id and what it says, without id and pseudonym."""

    record_id: bytes
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Erased:
    """What a run of retention did."""

    contents: int
    ids: int
    days: int


def _once_more(call: F) -> F:
    """Do it again, once, where the connection was found dead: after a restart of the server every waiting one is.

    Asking each connection first would be a round trip for every request. What is decorated may be repeated even when
    nobody knows whether its commit arrived.
    """

    @functools.wraps(call)
    def twice(*arguments: Any, **options: Any) -> Any:
        try:
            return call(*arguments, **options)
        except StorageError as error:
            if not error.connection_lost:
                raise
        return call(*arguments, **options)

    return cast(F, twice)


class Storage:
    """One database, as one process sees it. Thread-safe. Close it with :meth:`close`.

    Args:
        settings: for the address, the number of connections and the epochs.
        clock: the day in UTC.

    Raises:
        SetupError: an address that SQLAlchemy does not take, or a driver that is not installed.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], date] = today) -> None:
        self._settings = settings
        self._clock = clock
        self._shard = secrets.randbelow(_SHARDS)
        self._engine = _engine(settings)
        self._insert: Any = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        # Made once: for a request of one record, making statements would be most of the work.
        self._select_key = select(keys).where(keys.c.pseudonym == bindparam("wanted"))
        self._insert_records = (
            self._insert(records)
            .on_conflict_do_nothing(index_elements=["key_id", "record_id"])
            .returning(records.c.record_id)
        )
        counted = self._insert(daily_counts)
        self._insert_counts = counted.on_conflict_do_update(
            index_elements=["day", "name", "shard"],
            set_={"count": daily_counts.c.count + counted.excluded.count},
        )

    def close(self) -> None:
        """Let every connection go."""
        self._engine.dispose()

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    # -- the schema ------------------------------------------------------------------------------------------------

    def migrate(self, revision: str = "head", *, down: bool = False) -> tuple[str | None, str | None]:
        """Bring the schema to ``revision``; the revision before and after.

        Raises:
            StorageError: the database could not.
        """
        # Only here: a process that serves starts twice as fast without it.
        import alembic.command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", "safelight_collector:migrations")
        config.set_main_option("path_separator", "os")
        before = self.revision()
        with self._write() as connection:
            config.attributes["connection"] = connection
            step = alembic.command.downgrade if down else alembic.command.upgrade
            step(config, revision)
        return before, self.revision()

    @_once_more
    def revision(self) -> str | None:
        """The revision that the database is at; ``None`` when it is empty."""
        with self._read() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()

    @_once_more
    def check_ready(self) -> None:
        """Whether records could be stored now.

        Raises:
            SetupError: the schema is another one, or the server may lose what it committed.
            StorageError: the database does not answer, or cannot be written to.
        """
        found = self.revision()
        if found != REVISION:
            raise SetupError(f"database: got schema {found}, expected {REVISION}; run 'safelight-collector migrate'")
        with self._write() as connection:
            if self.dialect == "postgresql":
                if connection.execute(text("SHOW fsync")).scalar() != "on":
                    raise SetupError("database: got fsync = off, expected on: it could lose acknowledged records")
                if connection.execute(text("SELECT pg_is_in_recovery()")).scalar():
                    raise StorageError("database: got a standby, expected the primary; wait, or correct the address")
            # Writes the row as it is: a full or read-only disk says so here, not first to a device.
            connection.execute(update(housekeeping).values(id=housekeeping.c.id))

    # -- sealing keys ----------------------------------------------------------------------------------------------

    def add_sealing_key(self, public_key: bytes) -> bool:
        """Make ``public_key`` the one that devices are told; whether it was new."""
        with self._write() as connection:
            row = connection.execute(
                self._insert(sealing_keys)
                .values(public_key=public_key, created_on=self._clock())
                .on_conflict_do_nothing(index_elements=["public_key"])
                .returning(sealing_keys.c.id)
            ).first()
        return row is not None

    def retire_sealing_key(self, public_key: bytes) -> bool:
        """Devices have nothing left that is sealed to it; whether it was in use. The newest cannot be retired.

        Raises:
            SetupError: it is the one that devices are told.
        """
        current = self.sealing_keys()
        if current and current[-1] == public_key:
            raise SetupError("sealing key: got the one devices are told, expected an older one; add a new one first")
        with self._write() as connection:
            done = connection.execute(
                update(sealing_keys)
                .where(sealing_keys.c.public_key == public_key, sealing_keys.c.retired_on.is_(None))
                .values(retired_on=self._clock())
            )
            return done.rowcount > 0

    @_once_more
    def sealing_keys(self) -> list[bytes]:
        """Public halves that devices may be sealing to; the last is the one that they are told."""
        with self._read() as connection:
            rows = connection.execute(
                select(sealing_keys.c.public_key).where(sealing_keys.c.retired_on.is_(None)).order_by(sealing_keys.c.id)
            )
            return [bytes(row[0]) for row in rows]

    # -- tokens and devices' keys ----------------------------------------------------------------------------------

    def add_token(self, digest: bytes, *, max_uses: int, days: int) -> int:
        """Let ``max_uses`` devices enrol with a token in the next ``days``; the token's number."""
        with self._write() as connection:
            return int(
                connection.execute(
                    insert(tokens)
                    .values(
                        digest=digest,
                        max_uses=max_uses,
                        created_on=self._clock(),
                        expires_on=self._clock() + timedelta(days=days),
                    )
                    .returning(tokens.c.id)
                ).scalar_one()
            )

    def revoke_token(self, number: int) -> bool:
        """Nobody may enrol with it any more; whether there was such a token in force."""
        with self._write() as connection:
            done = connection.execute(
                update(tokens).where(tokens.c.id == number, tokens.c.revoked.is_(False)).values(revoked=True)
            )
            return done.rowcount > 0

    def tokens(self) -> list[dict[str, Any]]:
        """Every token, without what it is."""
        columns = [column for column in tokens.c if column.name != "digest"]
        with self._read() as connection:
            return [dict(row) for row in connection.execute(select(*columns).order_by(tokens.c.id)).mappings()]

    @_once_more
    def enrol(self, token_digest: bytes, public_key: bytes) -> tuple[Key, bool]:
        """The key of a device that shows a token, and whether it is new. The same key again costs no use of the token.

        Raises:
            RequestError: ``bad_enrolment`` when the token is unknown, revoked, used up or past its day;
                ``expired_pseudonym`` for a key that had its time.
            StorageError: nobody knows whether it was stored.
        """
        day = self._clock()
        with self._write() as connection:
            token = connection.execute(select(tokens.c.id).where(tokens.c.digest == token_digest)).first()
            if token is None:
                raise _bad_enrolment()
            known = self._key(connection, pseudonym_of(public_key))
            if known is not None:
                _check_accepted(known, day)
                return known, False
            used = connection.execute(
                update(tokens)
                .where(
                    tokens.c.id == token[0],
                    tokens.c.revoked.is_(False),
                    tokens.c.expires_on >= day,
                    tokens.c.uses < tokens.c.max_uses,
                )
                .values(uses=tokens.c.uses + 1)
            )
            if used.rowcount != 1:
                raise _bad_enrolment()
            return self._add_key(connection, public_key, day)

    @_once_more
    def rotate(self, old: Key, public_key: bytes) -> tuple[Key, bool]:
        """The successor of a key, and whether it is new. A key has one; asking again for it is answered again.

        Nothing is written that says which key came after which.

        Raises:
            RequestError: ``already_rotated`` when the old key has vouched for another one.
            StorageError: nobody knows whether it was stored.
        """
        day = self._clock()
        with self._write() as connection:
            known = self._key(connection, pseudonym_of(public_key))
            if known is not None:
                _check_accepted(known, day)
                return known, False
            first = connection.execute(
                update(keys).where(keys.c.id == old.id, keys.c.rotated.is_(False)).values(rotated=True)
            )
            if first.rowcount != 1:
                raise RequestError(
                    "already_rotated", "key: it has vouched for another one already; enrol again with a token"
                )
            return self._add_key(connection, public_key, day)

    @_once_more
    def key(self, pseudonym: str) -> Key:
        """The key behind a pseudonym that may send today.

        Raises:
            RequestError: ``unknown_pseudonym`` or ``expired_pseudonym``.
            StorageError: the database does not answer.
        """
        with self._read() as connection:
            found = self._key(connection, pseudonym)
        if found is None:
            raise RequestError("unknown_pseudonym", "pseudonym: nobody enrolled its key here; enrol with a token")
        _check_accepted(found, self._clock())
        return found

    def _key(self, connection: Connection, pseudonym: str) -> Key | None:
        row = connection.execute(self._select_key, {"wanted": bytes.fromhex(pseudonym)}).first()
        if row is None:
            return None
        return Key(
            row.id,
            bytes(row.pseudonym).hex(),
            bytes(row.public_key),
            row.enrolled_on,
            row.expires_on,
            row.accepted_until,
            row.rotated,
        )

    def _add_key(self, connection: Connection, public_key: bytes, day: date) -> tuple[Key, bool]:
        expires = day + timedelta(days=self._settings.epoch_days)
        new = connection.execute(
            self._insert(keys)
            .values(
                pseudonym=bytes.fromhex(pseudonym_of(public_key)),
                public_key=public_key,
                enrolled_on=day,
                expires_on=expires,
                accepted_until=expires + timedelta(days=self._settings.grace_days),
            )
            .on_conflict_do_nothing(index_elements=["pseudonym"])
            .returning(keys.c.id)
        ).first()
        found = self._key(connection, pseudonym_of(public_key))
        if found is None:
            raise StorageError("database: a key that was just written is not there; look at the server")
        # Another process was faster with the same key: what this one took from the token goes back with it.
        if new is None:
            connection.rollback()
            return found, False
        return found, True

    # -- records ---------------------------------------------------------------------------------------------------

    @_once_more
    def add(self, key: Key, opened: Sequence[Opened]) -> set[bytes]:
        """Store records of one key, all or none; the ids that were not there before.

        When this returns, every one of them is committed, by this call or by an earlier one.

        Raises:
            StorageError: nobody knows whether it was stored.
        """
        if not opened:
            return set()
        # A clock set back must not make a record look older than its key, or retention would erase it at once.
        day = max(self._clock(), key.enrolled_on)
        # In one order everywhere, so that two processes with the same batch wait for each other and never in a circle.
        rows: list[dict[str, Any]] = [
            {"key_id": key.id, "record_id": one.record_id, "received_on": day, "content": one.content}
            for one in sorted({one.record_id: one for one in reversed(opened)}.values(), key=lambda one: one.record_id)
        ]
        with self._write() as connection:
            fresh = {bytes(row[0]) for row in connection.execute(self._insert_records, rows)}
            counts = Counter(name for row in rows if row["record_id"] in fresh for name in names_of(row["content"]))
            if counts:
                connection.execute(
                    self._insert_counts,
                    [
                        {"day": day, "name": name, "shard": self._shard, "count": count}
                        for name, count in sorted(counts.items())
                    ],
                )
        return fresh

    def export(self, since: date, until: date) -> Iterator[dict[str, Any]]:
        """What was stored in these days and not erased: the day of receipt and the content, without any pseudonym."""
        statement = (
            select(records.c.received_on, records.c.content)
            .where(records.c.received_on.between(since, until), records.c.content.is_not(None))
            .order_by(records.c.received_on)
            .execution_options(yield_per=1000)
        )
        with self._read(snapshot=True) as connection:
            for row in connection.execute(statement):
                yield {"received_on": row.received_on.isoformat(), **row.content}

    # -- counts ----------------------------------------------------------------------------------------------------

    @_once_more
    def counts(self, since: date, until: date) -> dict[str, int]:
        """How many were stored in these days, both included, by name."""
        statement = (
            select(daily_counts.c.name, func.sum(daily_counts.c.count))
            .where(daily_counts.c.day.between(since, until))
            .group_by(daily_counts.c.name)
        )
        with self._read() as connection:
            return {str(name): int(count) for name, count in connection.execute(statement)}

    @_once_more
    def by_day(self, name: str, since: date, until: date) -> dict[date, int]:
        """How many of one name were stored on each of these days."""
        statement = (
            select(daily_counts.c.day, func.sum(daily_counts.c.count))
            .where(daily_counts.c.day.between(since, until), daily_counts.c.name == name)
            .group_by(daily_counts.c.day)
        )
        with self._read() as connection:
            return {row[0]: int(row[1]) for row in connection.execute(statement)}

    @_once_more
    def overview(self) -> dict[str, Any]:
        """What the operations page shows besides counts."""
        day = self._clock()
        with self._read() as connection:
            one = connection.execute
            size = (
                one(text("SELECT pg_database_size(current_database())")).scalar()
                if self.dialect == "postgresql"
                else one(text("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")).scalar()
            )
            return {
                "keys_current": one(select(func.count()).where(keys.c.expires_on >= day)).scalar(),
                "keys_accepted": one(select(func.count()).where(keys.c.accepted_until >= day)).scalar(),
                "oldest_content": one(
                    select(func.min(records.c.received_on)).where(records.c.content.is_not(None))
                ).scalar(),
                "retention_on": one(select(housekeeping.c.retention_on)).scalar(),
                "database_bytes": int(size or 0),
            }

    # -- retention -------------------------------------------------------------------------------------------------

    def erase(
        self, *, days: int, count_days: int, believe_clock: bool = False, progress: Callable[[int], None] | None = None
    ) -> Erased:
        """Erase contents older than ``days`` and counts older than ``count_days``, and the ids of keys long past.

        The row of a record stays as long as its key might still send it: it is what makes a replay a duplicate.

        Raises:
            ClockError: the clock is far ahead of all that the database saw, and ``believe_clock`` is not set.
            StorageError: the database did not; what was erased before stays erased.
        """
        day = self._clock()
        with self._read() as connection:
            seen = [
                found
                for found in (
                    connection.execute(select(housekeeping.c.retention_on)).scalar(),
                    connection.execute(select(func.max(daily_counts.c.day))).scalar(),
                    connection.execute(select(func.max(keys.c.enrolled_on))).scalar(),
                )
                if found is not None
            ]
        if seen and day - max(seen) > _BELIEVED_GAP and not believe_clock:
            raise ClockError(
                f"clock: got {day}, {(day - max(seen)).days} days after the last thing that happened here; if that is "
                "right, run it again with --believe-clock"
            )
        old = select(records.c.key_id, records.c.record_id).where(
            records.c.received_on < day - timedelta(days=days), records.c.content.is_not(None)
        )
        contents = self._in_chunks(
            lambda connection: (
                connection.execute(
                    update(records)
                    .where(tuple_(records.c.key_id, records.c.record_id).in_(old.limit(_ERASE_CHUNK)))
                    .values(content=None)
                ).rowcount
            ),
            progress,
        )
        past = (
            select(records.c.key_id, records.c.record_id)
            .join(keys, keys.c.id == records.c.key_id)
            .where(keys.c.accepted_until < day - _FORGET_AFTER, records.c.content.is_(None))
        )
        ids = self._in_chunks(
            lambda connection: (
                connection.execute(
                    delete(records).where(tuple_(records.c.key_id, records.c.record_id).in_(past.limit(_ERASE_CHUNK)))
                ).rowcount
            ),
            progress,
        )
        with self._write() as connection:
            gone = connection.execute(delete(daily_counts).where(daily_counts.c.day < day - timedelta(days=count_days)))
            connection.execute(update(housekeeping).values(retention_on=day))
        return Erased(contents, ids, gone.rowcount)

    def _in_chunks(self, step: Callable[[Connection], int], progress: Callable[[int], None] | None) -> int:
        # Small transactions: devices' uploads take their turns between them.
        total = 0
        while True:
            with self._write() as connection:
                done = step(connection)
            total += done
            if progress is not None:
                progress(total)
            if done < _ERASE_CHUNK:
                return total

    # -- connections -----------------------------------------------------------------------------------------------

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with _typed(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _read(self, *, snapshot: bool = False) -> Iterator[Connection]:
        # PostgreSQL is spared two round trips where one statement is all; SQLite's BEGIN costs nothing.
        options: dict[str, Any] = {"reads_only": True}
        if self.dialect == "postgresql" and not snapshot:
            options["isolation_level"] = "AUTOCOMMIT"
        with _typed(), self._engine.connect() as connection:
            yield connection.execution_options(**options)


@contextmanager
def _typed() -> Iterator[None]:
    # The message of a driver holds values, and one of SQLAlchemy the statement: only the name of the class goes on.
    failure: StorageError | None = None
    try:
        yield
    except SQLAlchemyError as error:
        found = getattr(error, "orig", None) or error
        cause = " ".join(filter(None, (type(found).__name__, getattr(found, "sqlstate", None))))
        failure = StorageError(f"database: it did not do what was asked ({cause}); look at the server and its disk")
        failure.connection_lost = bool(getattr(error, "connection_invalidated", False))
    if failure is not None:
        raise failure


def _check_accepted(key: Key, day: date) -> None:
    if day > key.accepted_until:
        raise RequestError("expired_pseudonym", "pseudonym: its time is over; enrol a new key with a token")


def _bad_enrolment() -> RequestError:
    return RequestError("bad_enrolment", "enrolment: the token is not in force here; ask the operator for one")


def _engine(settings: Settings) -> Engine:
    failure = ""
    try:
        url = make_url(settings.database_url)
        if url.drivername in ("postgres", "postgresql"):
            url = url.set(drivername="postgresql+psycopg")
        if url.get_backend_name() not in ("sqlite", "postgresql"):
            failure = f"got {url.get_backend_name()}, expected sqlite or postgresql"
        else:
            postgres = url.get_backend_name() == "postgresql"
            engine = create_engine(
                url,
                hide_parameters=True,
                pool_size=settings.threads,
                max_overflow=2,
                pool_timeout=10,
                json_serializer=lambda value: msgspec.json.encode(value).decode(),
                json_deserializer=msgspec.json.decode,
                connect_args=(
                    {"connect_timeout": 5, "options": "-c synchronous_commit=on -c statement_timeout=30000"}
                    if postgres
                    else {"check_same_thread": False}
                ),
            )
    except (ArgumentError, NoSuchModuleError):
        failure = "got an address of another form, expected one of SQLAlchemy"
    except ModuleNotFoundError:
        failure = "psycopg is not installed; pip install 'safelight-collector[postgresql]'"
    if failure:
        raise SetupError(f"database: {failure}; correct database_url")
    if not postgres:
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # The driver begins no transaction by itself: _begin_sqlite says which kind.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {_BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "secure_delete = ON",
        "trusted_schema = OFF",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    reads_only = connection.get_execution_options().get("reads_only")
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")
