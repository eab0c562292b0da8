"""Tokens, keys, sealing keys and records."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_CONTENT = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "tokens",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("max_uses", sa.Integer, nullable=False),
        sa.Column("uses", sa.Integer, nullable=False, server_default="0"),
        sa.Column("created_on", sa.Date, nullable=False),
        sa.Column("expires_on", sa.Date, nullable=False),
        sa.Column("revoked", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
    )
    op.create_table(
        "keys",
        sa.Column("id", _COUNT, nullable=False),
        sa.Column("pseudonym", sa.LargeBinary(16), nullable=False),
        sa.Column("public_key", sa.LargeBinary(32), nullable=False),
        sa.Column("enrolled_on", sa.Date, nullable=False),
        sa.Column("expires_on", sa.Date, nullable=False),
        sa.Column("accepted_until", sa.Date, nullable=False),
        sa.Column("rotated", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.UniqueConstraint("pseudonym", name="uq_keys_pseudonym"),
    )
    op.create_table(
        "sealing_keys",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("public_key", sa.LargeBinary(32), nullable=False),
        sa.Column("created_on", sa.Date, nullable=False),
        sa.Column("retired_on", sa.Date, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_sealing_keys"),
        sa.UniqueConstraint("public_key", name="uq_sealing_keys_public_key"),
    )
    op.create_table(
        "records",
        sa.Column("key_id", _COUNT, nullable=False, autoincrement=False),
        sa.Column("record_id", sa.LargeBinary(16), nullable=False),
        sa.Column("received_on", sa.Date, nullable=False),
        sa.Column("content", _CONTENT, nullable=True),
        sa.PrimaryKeyConstraint("key_id", "record_id", name="pk_records"),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name="fk_records_key_id"),
        sqlite_with_rowid=False,
    )
    kept = sa.text("content IS NOT NULL")
    op.create_index("ix_records_kept", "records", ["received_on"], sqlite_where=kept, postgresql_where=kept)


def downgrade() -> None:
    """Take them away, with everything in them."""
    for table in ("records", "sealing_keys", "keys", "tokens"):
        op.drop_table(table)
