"""What a person reads who reports something: before, at the second yes, and after. English so far."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Final, Literal

import msgspec

from safelight.builtin_data import read_builtin
from safelight.errors import DataTamperedError
from safelight.reporting.record import PERSON_CATEGORIES

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=400)]
_FILE: Final = "deterrence/reporting/en.json"
_STATES: Final = frozenset({"queued", "sent", "acked", "refused", "dropped", "purged"})


class ReportWords(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The texts of one language. ``{collector}``, ``{host}`` and ``{id}`` are filled in.

    Attributes:
        review: ``written``: no practitioner has judged them.
        lines: before the help services.
        file: before a file is hashed.
        would_send, to, ask: the second yes.
        not_kept, off, kept: what became of it.
        receipt: how to look it up.
        next: what happens next, in order.
        states: what a receipt says.
    """

    schema: Literal[1]
    lang: str
    review: Literal["written", "reviewed"]
    title: Text
    intro: Text
    ask_category: Text
    categories: dict[str, Text]
    lines: Text
    file: Text
    would_send: Text
    to: Text
    ask: Text
    not_kept: Text
    off: Text
    kept: Text
    receipt: Text
    next: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]
    states: dict[str, Text]

    def what_next(self, collector: str) -> tuple[str, ...]:
        """What happens after a report, in order."""
        return tuple(line.format(collector=collector) for line in self.next)


@lru_cache(maxsize=1)
def load_report_words() -> ReportWords:
    """The texts that ship.

    Raises:
        DataMissingError, DataTamperedError: they cannot be read, or are not what was built.
    """
    words: ReportWords | None = None
    content = read_builtin(_FILE)
    try:
        words = msgspec.json.decode(content, type=ReportWords)
    except msgspec.DecodeError:
        words = None
    if (
        words is None
        or set(words.categories) != {one.value for one in PERSON_CATEGORIES}
        or set(words.states) != _STATES
    ):
        raise DataTamperedError("reporting words: got another form than this version reads; install Safelight again.")
    return words
