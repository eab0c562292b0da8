"""The tables, once. Migrations make them; ``tests/collector`` checks that both say the same."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

#: The migration that makes these tables.
REVISION = "0002"

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

# SQLite counts rows by itself only in a column that says INTEGER.
_Count = BigInteger().with_variant(Integer(), "sqlite")
_Content = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

#: Enrolment tokens, as digests. Nothing says which key came by which token.
tokens = Table(
    "tokens",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("max_uses", Integer, nullable=False),
    Column("uses", Integer, nullable=False, server_default="0"),
    Column("created_on", Date, nullable=False),
    Column("expires_on", Date, nullable=False),
    Column("revoked", Boolean, nullable=False, server_default=false()),
)

#: Devices' keys by epoch. Nothing says which key came after which. Never deleted: an old key must stay refused.
keys = Table(
    "keys",
    metadata,
    Column("id", _Count, primary_key=True),
    Column("pseudonym", LargeBinary(16), nullable=False, unique=True),
    Column("public_key", LargeBinary(32), nullable=False),
    Column("enrolled_on", Date, nullable=False),
    Column("expires_on", Date, nullable=False),
    Column("accepted_until", Date, nullable=False),
    Column("rotated", Boolean, nullable=False, server_default=false()),
)

#: The public halves that devices may be sealing to, newest last. A collector without one's secret does not start.
sealing_keys = Table(
    "sealing_keys",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("public_key", LargeBinary(32), nullable=False, unique=True),
    Column("created_on", Date, nullable=False),
    Column("retired_on", Date, nullable=True),
)

#: One row a record, for as long as its key may send: (key_id, record_id) is what makes a replay a duplicate.
#: ``content`` is the opened record without id and pseudonym; retention erases it and leaves the row.
records = Table(
    "records",
    metadata,
    Column("key_id", _Count, ForeignKey("keys.id"), primary_key=True, autoincrement=False),
    Column("record_id", LargeBinary(16), primary_key=True),
    Column("received_on", Date, nullable=False),
    Column("content", _Content, nullable=True),
    sqlite_with_rowid=False,
)
Index(
    "ix_records_kept",
    records.c.received_on,
    sqlite_where=text("content IS NOT NULL"),
    postgresql_where=text("content IS NOT NULL"),
)

#: What was stored, by day of receipt. A process adds to its own shard, so that processes do not wait for each other.
daily_counts = Table(
    "daily_counts",
    metadata,
    Column("day", Date, primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("count", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

#: One row: when retention last ran, so that a clock that jumped erases nothing.
housekeeping = Table(
    "housekeeping",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("retention_on", Date, nullable=True),
)
