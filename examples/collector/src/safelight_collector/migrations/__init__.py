"""Alembic's steps from an empty database to ``tables``; each goes down again."""
