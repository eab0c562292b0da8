"""What is counted, and what of it may be published: names to counts, small cells withheld."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

TOTAL: Final = "records.stored"
#: Fields of a record that are counted; each is one of a few declared words.
DIMENSIONS: Final = ("made_by", "category", "action")


def names_of(content: Mapping[str, Any] | None) -> list[str]:
    """The counters that one stored record adds to. ``None`` is a record whose content retention has erased.

    A record without a word counts as ``none``: every dimension adds up to the total, so that what is withheld of it
    cannot be told from what is left.
    """
    names = [TOTAL]
    for dimension in DIMENSIONS:
        word = (content or {}).get(dimension)
        names.append(f"records.{dimension}.{word.lower() if isinstance(word, str) and word else 'none'}"[:64])
    return names


def publishable(counts: Mapping[str, int], *, min_cell: int) -> tuple[dict[str, int], list[str]]:
    """Counts that name nobody, and the names of those withheld.

    A count below ``min_cell`` is withheld. So is the next smallest of its dimension until what is hidden there adds up
    to at least ``min_cell`` in at least two cells: else the total minus the others would tell it.

    Args:
        counts: by name, as :func:`names_of` names them.
        min_cell: the least count that is published, at least 1.
    """
    hidden: set[str] = {name for name, count in counts.items() if name == TOTAL and count < min_cell}
    for dimension in DIMENSIONS:
        cells = sorted((count, name) for name, count in counts.items() if name.startswith(f"records.{dimension}."))
        taken = sum(count < min_cell for count, _ in cells)
        while 0 < taken < len(cells) and (taken < 2 or _sum(cells[:taken]) < min_cell):
            taken += 1
        hidden.update(name for _, name in cells[:taken])
    return {name: count for name, count in sorted(counts.items()) if name not in hidden}, sorted(hidden)


def _sum(cells: Iterable[tuple[int, str]]) -> int:
    return sum(count for count, _ in cells)
