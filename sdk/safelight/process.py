"""What a process of ours does about itself before it looks at anything: it leaves no core dump.

A dump holds whatever was in memory: pictures, hashes, keys. The command line, ``safelight serve`` and the children of
an isolated guard dump nothing. A library must not decide that for its host: a host calls :func:`no_core_dumps` itself.
In a host that does not, lists still lie in memory that dumps leave out (``MADV_DONTDUMP``), and with
``isolation="process"`` pixels are looked at in a child; the host's own copy of a picture is the host's.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h


def no_core_dumps() -> bool:
    """Have the system write no core dump of this process, and of none that it starts.

    On Linux other processes of this user can then not read its memory either (``PR_SET_DUMPABLE``): a debugger cannot
    attach.

    Returns:
        Whether the system knows such a limit; Windows does not.
    """
    try:
        import resource
    except ImportError:
        return False
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        # A core_pattern that pipes to a program does not look at RLIMIT_CORE; it does at this.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    return True
