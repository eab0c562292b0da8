"""The one exception tree. Every message says what was got, what was expected and what to do next.

Exceptions are for programmers' errors and missing files. Content that cannot be judged is never an
exception: it is a :class:`~safelight.decision.Decision` with a state (see ``safelight.decision.State``).
No message carries a path, a pixel or a text: a host may log exceptions.
"""

from __future__ import annotations


class SafelightError(Exception):
    """Base of every exception that Safelight raises on purpose."""


class UsageError(SafelightError, ValueError):
    """An argument is of the right type and the wrong value; the message lists the right ones."""


class UnsupportedInputError(SafelightError, TypeError):
    """An argument is of a type, shape or dtype that this call does not take."""


class MediaNotFoundError(SafelightError, FileNotFoundError):
    """The named file does not exist or cannot be opened. The path is left out on purpose."""


class ClosedError(SafelightError, RuntimeError):
    """A guard or model was used after ``close()``."""


class DataError(SafelightError):
    """Data that ships with Safelight is missing or is not what was built.

    Inside a check this never reaches the caller: it becomes the state ``NO_MODEL`` or ``UNVERIFIED``.
    """


class DataMissingError(DataError):
    """A built-in data file is not there."""


class DataTamperedError(DataError):
    """A built-in data file differs from the digest compiled into the native module."""


class IndexDamagedError(DataError):
    """Bytes are no hash index of this version, or a damaged one. There is no answer, which is not "no match"."""


class ModelError(SafelightError):
    """A model could not be made ready. ``state`` says which named state it stands for."""

    def __init__(self, message: str, *, state: str) -> None:
        super().__init__(message)
        self.state = state


class NativeError(SafelightError, RuntimeError):
    """The native core returned a status that has no more specific exception."""


# Every native status in one place. The bindings hand over numbers only; a test walks all of them.
STATUS_EXCEPTIONS: dict[int, type[SafelightError]] = {
    1: NativeError,  # null argument: a fault of the binding
    2: UsageError,  # unknown word
    3: UsageError,  # bad rules table
    4: NativeError,  # buffer too small
    5: NativeError,  # struct size mismatch
    6: UsageError,  # bad picture
    7: UsageError,  # out of range
    8: UsageError,  # kernel unavailable
    9: IndexDamagedError,
    # safelight.hashing refuses these two before, with classes of their own.
    10: UsageError,  # unusable hash
    11: UsageError,  # profile mismatch
}


def raise_for_status(status: int) -> None:
    """Turn a native status into its exception; 0 passes."""
    if status:
        # Not at the top: the build itself imports this module, before there is a native one.
        from safelight import _native

        raise STATUS_EXCEPTIONS.get(status, NativeError)(_native.status_message(status))
