"""Counts by day, filled from the records that are there, and when retention ran."""

from __future__ import annotations

from collections import Counter

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_CHUNK = 10_000
# As they were counted when this step was written; a step does not change with the code around it.
_DIMENSIONS = ("made_by", "category", "action")


def upgrade() -> None:
    """Make both tables and count what was stored before."""
    counts = op.create_table(
        "daily_counts",
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("shard", sa.SmallInteger, nullable=False, autoincrement=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("day", "name", "shard", name="pk_daily_counts"),
        sqlite_with_rowid=False,
    )
    house = op.create_table(
        "housekeeping",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("retention_on", sa.Date, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_housekeeping"),
    )
    op.bulk_insert(house, [{"id": 1, "retention_on": None}])
    connection = op.get_bind()
    records = sa.table(
        "records",
        sa.column("received_on", sa.Date),
        sa.column("content", sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")),
    )
    found: Counter[tuple[object, str]] = Counter()
    everything = sa.select(records.c.received_on, records.c.content).execution_options(yield_per=_CHUNK)
    for received_on, content in connection.execute(everything):
        found[received_on, "records.stored"] += 1
        for dimension in _DIMENSIONS:
            word = (content or {}).get(dimension)
            word = word.lower() if isinstance(word, str) and word else "none"
            found[received_on, f"records.{dimension}.{word}"[:64]] += 1
    if found:
        op.bulk_insert(
            counts, [{"day": day, "name": name, "shard": 0, "count": count} for (day, name), count in found.items()]
        )


def downgrade() -> None:
    """Take both away; the records stay."""
    op.drop_table("housekeeping")
    op.drop_table("daily_counts")
