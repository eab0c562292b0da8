"""What an ASGI server loads: ``uvicorn --factory safelight_collector.asgi:create``. Settings are in the environment."""

from __future__ import annotations

import contextlib

from starlette.applications import Starlette

from safelight_collector.app import create_app
from safelight_collector.settings import read_settings


def create() -> Starlette:
    """The application of this process.

    Raises:
        SetupError: it is not set up; the message says what to do.
        StorageError: the database does not answer.
    """
    no_core_dump()
    return create_app(read_settings())


def no_core_dump() -> None:
    """Keep the sealing key and opened records out of a dump of this process."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
