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


class BusyError(SafelightError, RuntimeError):
    """More waits for a verdict than a gate takes at once. Nothing was passed; hand it in again."""


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


class KeyUnavailableError(SafelightError):
    """A device key cannot be had: the keystore did not answer, is locked or is full.

    Inside a check this never reaches the caller: it becomes the state ``UNVERIFIED``.
    """


class KeyMissingError(KeyUnavailableError):
    """There is no device key of this name, so nothing that it sealed can be read."""


class KeyDamagedError(KeyUnavailableError):
    """A device key is there and is not what was stored."""


class MissingExtraError(SafelightError, RuntimeError):
    """A part of Safelight was used whose optional libraries are not installed; the message names the extra."""


class ListError(SafelightError):
    """A hash list or an update of one was refused. What was installed before stays in use."""


class ListMissingError(ListError):
    """There is no list here: nothing was installed yet, or it was taken away."""


class ListDamagedError(ListError):
    """A list, delta or state file is cut short, changed or of another form."""


class ListUntrustedError(ListError):
    """Nobody whom this device trusts signed it, or not enough of them did."""


class ListRollbackError(ListError):
    """It is older than what this device has seen."""


class ListExpiredError(ListError):
    """Its signatures ran out: it may be an old copy that somebody keeps showing."""


class ListSourceError(ListError):
    """A source of hashes has a line that it should not have.

    Attributes:
        source: number of the source, from 1.
        line: number of the line or record, from 1.
    """

    def __init__(self, message: str, *, source: int, line: int) -> None:
        super().__init__(message)
        self.source, self.line = source, line


class ListFullError(ListError):
    """It could not be stored: the disk is full or cannot be written."""


class StoreError(SafelightError):
    """The store could not do what was asked. ``state`` says which named state it is in; nothing was changed.

    Answers that a child waits for never raise it: they carry the state and are protective.
    """

    def __init__(self, message: str, *, state: str) -> None:
        super().__init__(message)
        self.state = state


class PinError(SafelightError):
    """A guardian's PIN was missing or wrong, or it is too early to try again.

    ``wait_s`` is how long the device must run before the next try counts; 0 when it may be now.
    """

    def __init__(self, message: str, *, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class ScanError(SafelightError):
    """A scan cannot start or go on: no consent, no cluster, a journal that cannot be written."""


class ReportError(SafelightError):
    """Something about reporting could not be done. ``state`` says which named state stands for it.

    Inside a check this never reaches the caller: the decision stands, and its reasons say ``RECORD_NOT_KEPT``.
    """

    def __init__(self, message: str, *, state: str) -> None:
        super().__init__(message)
        self.state = state


class ExchangeError(SafelightError):
    """Another organisation's service did not do what it was asked. No message carries a hash, a token or an address."""


class ExchangeRefusedError(ExchangeError):
    """The service understood and refused: asking again in the same way is no use.

    Attributes:
        status: its HTTP status.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class ExchangeUnavailableError(ExchangeError):
    """The service cannot be reached, is busy, or asks to wait; nothing was done there as far as is known.

    Attributes:
        retry_after_s: how long it asked to wait; ``None`` where it did not say.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ExchangeUnsureError(ExchangeError):
    """The line broke after something was sent that must not be sent twice: nobody here knows whether it arrived."""


class ExchangeAnswerError(ExchangeError):
    """The service answered something else than it should; the answer was not used, not even in part."""


class UploadError(SafelightError):
    """A request's body was not sent or handed on. ``reason`` is the id that an answer carries; no byte went further."""

    reason = "UPLOAD_FAILED"


class UploadMalformedError(UploadError):
    """A body is not what it says it is: cut short, two readings are possible, or it does not follow its format."""

    reason = "UPLOAD_MALFORMED"


class UploadTooLargeError(UploadError):
    """A body, or what it unfolds into, is larger than the limit."""

    reason = "UPLOAD_TOO_LARGE"


class UploadEncodingError(UploadError):
    """A body is packed in a way that nobody here unpacks."""

    reason = "UPLOAD_ENCODING"


class UploadTimeoutError(UploadError):
    """A body came too slowly, or a check took too long."""

    reason = "UPLOAD_TIMED_OUT"


class UploadBusyError(UploadError):
    """There is no room for a body now: other bodies wait, or the disk is full. Try again later."""

    reason = "UPLOAD_BUSY"


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
