"""The collector's exceptions. Each message is what was got, what was expected and what to do next; never content."""

from __future__ import annotations


class CollectorError(Exception):
    """Base of every exception that the collector raises on purpose."""


class SetupError(CollectorError):
    """The collector is not set up, or not rightly: a key, a setting or the database's schema. It does not start."""


class StorageError(CollectorError):
    """The database did not do what was asked, or nobody knows whether it did. Nothing may be acknowledged.

    Attributes:
        connection_lost: the connection was found dead; another one may do.
    """

    connection_lost: bool = False


class ClockError(CollectorError):
    """The clock is far from what the database has seen. Nothing is erased by such a clock."""


class RequestError(CollectorError):
    """A request that gets an error for an answer.

    Attributes:
        status: HTTP status.
        code: one word for programs; see :data:`CODES`.
        retry_after_s: when to come back, for 429 and 503.
    """

    def __init__(self, code: str, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = CODES[code]
        self.retry_after_s = retry_after_s


#: Every code that an error's answer may carry, with its HTTP status. The interface description is made from it.
CODES: dict[str, int] = {
    "malformed": 400,
    "not_operator": 401,
    "bad_enrolment": 403,
    "bad_signature": 403,
    "unknown_pseudonym": 403,
    "expired_pseudonym": 403,
    "not_found": 404,
    "wrong_method": 405,
    "too_slow": 408,
    "already_rotated": 409,
    "too_large": 413,
    "not_json": 415,
    "too_many": 429,
    "internal": 500,
    "busy": 503,
    "storage": 503,
}
