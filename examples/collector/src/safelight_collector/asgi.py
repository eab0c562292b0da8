"""What an ASGI server loads: ``uvicorn --factory safelight_collector.asgi:create``. Settings are in the environment."""

from __future__ import annotations

from starlette.applications import Starlette

from safelight_collector.app import create_app
from safelight_collector.settings import read_settings


def create() -> Starlette:
    """The application of this process.

    Raises:
        SetupError: it is not set up; the message says what to do.
        StorageError: the database does not answer.
    """
    return create_app(read_settings())
