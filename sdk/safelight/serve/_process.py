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
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = _ENOUGH_FDS if most == resource.RLIM_INFINITY else min(most, _ENOUGH_FDS)
    if now != resource.RLIM_INFINITY and now < enough:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (enough, most))


#: 64 clients with 8 requests each, every one with a descriptor, are 576.
_ENOUGH_FDS: Final = 4096
_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h
