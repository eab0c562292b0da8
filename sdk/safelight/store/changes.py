"""Two keys to loosen, none to tighten. Pure: documents and times in, documents out.

A change is a *patch*: keys such as ``allowance.games`` and their new values. What of it loosens nothing is in force
at once, whoever asks. The rest waits: it needs the guardian's PIN, then a delay in which the child sees it and
anybody can cancel it. A tightening of the same key in the meantime ends the wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from safelight.errors import UsageError
from safelight.policy.layers import Layer
from safelight.store.schedule import WEEKDAYS
from safelight.store.settings import Relation, Settings, compare, difference, validated

#: Set to this, a key goes back to its default, which is the strictest.
UNSET: Final = None

#: Settings that are one value.
PLAIN: Final = (
    "age_band",
    "country",
    "languages",
    "preset",
    "guardian",
    "child",
    "known_contacts",
    "trusted_adults",
    "zone",
    "counters",
    "reporting",
    "loosening_delay_h",
)
_NESTED: Final = ("rules", "allowance", "consent", "bedtime")

NO_LIMIT: Final = "none"


class Pending(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A loosening that waits.

    Attributes:
        id: to cancel it by.
        patch: what it will change.
        loosens: names of what becomes looser, for the child to read.
        asked_s: confirmed wall time of the request, in seconds since 1970.
        effective_s: elapsed time at which it comes into force.
    """

    id: str
    patch: dict[str, Any]
    loosens: tuple[str, ...]
    asked_s: float
    effective_s: float


def patched(settings: Settings, patch: Mapping[str, Any]) -> Settings:
    """The document with a patch applied.

    Raises:
        UsageError: an unknown key, or a value outside its vocabulary.
    """
    values = settings.to_dict()
    for key, value in patch.items():
        head, _, rest = key.partition(".")
        if head in PLAIN and not rest:
            if value is UNSET:
                values.pop(head, None)
            else:
                values[head] = value
        elif head == "bedtime" and not rest:
            values[head] = {} if value is UNSET else dict.fromkeys(WEEKDAYS, value)
        elif head in _NESTED and rest:
            _set(values[head], rest, value)
        elif head == "windows" and rest:
            purpose, _, day = rest.rpartition(".")
            if purpose and day in WEEKDAYS:
                _set(values[head].setdefault(purpose, {}), day, _spans(value))
            elif isinstance(value, Mapping):
                values[head][rest] = dict(value)
            else:
                _set(values[head], rest, value if value is UNSET else dict.fromkeys(WEEKDAYS, _spans(value)))
        else:
            raise UsageError(
                f"setting: got {key!r}, expected one of {', '.join(PLAIN)}, rules.EVENT.LEVEL, rules.SECTION.ANSWER, "
                "allowance.PURPOSE, windows.PURPOSE, windows.PURPOSE.WEEKDAY, bedtime[.WEEKDAY], consent.PURPOSE."
            )
    return validated(values)


def _spans(value: Any) -> Any:
    """Open times as a list; written by hand they are one text with commas, and none at all is an empty one."""
    return [span.strip() for span in value.split(",") if span.strip()] if isinstance(value, str) else value


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    if value is UNSET:
        values.pop(key, None)
    else:
        # A limit of minutes has a word for "no limit", because nothing at all means no minutes.
        values[key] = None if value == NO_LIMIT else value


def overlap(one: str, other: str) -> bool:
    """Whether two keys set the same, or one of them a part of the other."""
    return one == other or one.startswith(other + ".") or other.startswith(one + ".")


def without(pending: Iterable[Pending], keys: Iterable[str]) -> list[Pending]:
    """What still waits when these keys were set anew."""
    keys = tuple(keys)
    kept = []
    for change in pending:
        patch = {key: value for key, value in change.patch.items() if not any(overlap(key, k) for k in keys)}
        if patch:
            kept.append(msgspec.structs.replace(change, patch=patch))
    return kept


def split(
    settings: Settings, patch: Mapping[str, Any], *, operator: Layer | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A patch as (what loosens nothing and may be in force at once, what must wait).

    Key by key, because a guardian who tightens one thing and loosens another should not wait for the first.

    Raises:
        UsageError: the patch as a whole, or a key of it, is not valid.
    """
    if not compare(settings, patched(settings, patch), operator=operator).loosens:
        return dict(patch), {}
    at_once: dict[str, Any] = {}
    so_far = settings
    for key, value in patch.items():
        following = patched(so_far, {key: value})
        if not compare(so_far, following, operator=operator).loosens:
            at_once[key] = value
            so_far = following
    return at_once, {key: value for key, value in patch.items() if key not in at_once}


def loosened(settings: Settings, patch: Mapping[str, Any], *, operator: Layer | None = None) -> tuple[str, ...]:
    """Names of what a patch makes looser (or moves both ways)."""
    steps = difference(settings, patched(settings, patch), operator=operator)
    return tuple(sorted(name for name, step in steps.items() if step in (-1, None)))


def matured(settings: Settings, pending: Iterable[Pending], *, elapsed_s: float) -> tuple[Settings, list[Pending]]:
    """The document with everything in force whose wait is over, and what still waits.

    A patch that no longer fits what was set meanwhile is dropped: what is in force stays.
    """
    waiting = []
    for change in sorted(pending, key=lambda change: change.effective_s):
        if change.effective_s > elapsed_s:
            waiting.append(change)
            continue
        try:
            settings = patched(settings, change.patch)
        except UsageError:
            continue
    return settings, waiting


__all__ = ["NO_LIMIT", "UNSET", "Pending", "Relation", "loosened", "matured", "patched", "split", "without"]
