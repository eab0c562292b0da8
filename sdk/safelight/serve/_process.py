"""What the command does to its own process before it sees a picture. A library must not do this to its host."""

from __future__ import annotations

import contextlib
import ctypes
import resource
from typing import Final


def harden() -> None:
    """No core dumps, which would hold pixels, and no debugger of this user; room for file descriptors."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):
        # A core_pattern that pipes to a program does not look at RLIMIT_CORE; it does at this.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h
