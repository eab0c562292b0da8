"""Which of two rules protects more? Over the flat tables, so that no wording of a document can hide a loosening.

Two-key loosening (:mod:`safelight.store`) asks here: what is tighter is in force at once, by anybody; anything else
needs the guardian's key and a delay that the child sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from safelight.decision import AgeBand, _Word
from safelight.policy.rules import Rules
from safelight.policy.table import (
    ANSWERS,
    EVENTS,
    KINDS,
    KNOWN_MATCH_CELL,
    LEVELS,
    SUBJECTS,
    answer_cell,
    could_not_tell_cell,
    picture_cell,
)

_CONTAINERS = {"look_inside": 0, "not_media": 1}
_MOTION_PHOTO = {"still_only": 0, "hold": 1}


class Change(_Word):
    """What the second of two settings is, seen from the first."""

    EQUAL = "equal"
    TIGHTER = "tighter"
    LOOSER = "looser"
    INCOMPARABLE = "incomparable"


def strictness(rules: Rules, band: AgeBand) -> tuple[int, ...]:
    """How strict ``rules`` are for one age band: a number for every situation, higher is more protective.

    Every tuple has the same length and order, so that those of two bands or two rules compare place by place.
    """
    actions = rules.table.effective
    row = rules.document(band)
    return (
        *(actions[cell] for cell in _cells_of(band.value)),
        _CONTAINERS[row.containers],
        _MOTION_PHOTO[row.motion_photo],
    )


@lru_cache
def _cells_of(band: str) -> tuple[int, ...]:
    return (
        *(picture_cell(band, event, level, subject) for event in EVENTS for level in LEVELS for subject in SUBJECTS),
        *(could_not_tell_cell(band, kind) for kind in KINDS),
        *(answer_cell(band, *answer) for answer in ANSWERS),
        KNOWN_MATCH_CELL,
    )


def compare(before: Rules, after: Rules, *, bands: Iterable[AgeBand] = AgeBand) -> Change:
    """What ``after`` is, seen from ``before``, for these age bands together.

    Scores for strong evidence are left out: they select words and never an action.

    Example:
        >>> from safelight.policy import Rules
        >>> compare(Rules.default(), Rules.default()).value
        'equal'
    """
    bands = tuple(bands)
    return compare_strictness(
        [number for band in bands for number in strictness(before, band)],
        [number for band in bands for number in strictness(after, band)],
    )


def compare_strictness(before: Sequence[int], after: Sequence[int]) -> Change:
    """What ``after`` is, seen from ``before``: two tuples of the same length, higher is more protective.

    Raises:
        ValueError: the lengths differ: the two do not describe the same situations.
    """
    looser = tighter = False
    for was, becomes in zip(before, after, strict=True):
        looser = looser or becomes < was
        tighter = tighter or becomes > was
    if looser:
        return Change.INCOMPARABLE if tighter else Change.LOOSER
    return Change.TIGHTER if tighter else Change.EQUAL
