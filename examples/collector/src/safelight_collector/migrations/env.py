"""What Alembic runs. The caller hands over a connection; a lock keeps two processes from migrating at once."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from safelight_collector.tables import metadata

_LOCK = 0x5AFE_0009

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    if connection.dialect.name == "postgresql":
        # A step over a large table takes what it takes; uploads keep their limit.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    context.run_migrations()
