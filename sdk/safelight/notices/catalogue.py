"""The catalogue of notices for one language: its format, and how bytes become a checked value.

The format is data that a translator edits and that a Kotlin or Swift host can read too, so it is plain
JSON with a schema (``deterrence/schema/``). Loading is strict: an unknown field, a repeated id or two
entries that claim the same situation are errors, because a notice that is silently never shown is worse
than a file that is refused.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec

from safelight.decision import AgeBand, Event
from safelight.errors import DataError

Trigger = Literal[
    "known_match",
    "adult_subject_minor_strong",
    "adult_subject_unsure",
    "picture_out_explicit",
    "picture_in_explicit",
    "picture_out_suggestive",
    "picture_in_suggestive",
    "could_not_tell_file",
    "could_not_tell_check",
    "generic",
]
"""What a notice answers to. ``generic`` is the fallback of every other one."""

ActionName = Literal["NUDGE", "BLUR", "HOLD", "BLOCK"]
"""The rungs that show a notice; ``ALLOW`` shows none."""

Audience = Literal[
    "child",
    "child_concerned_about_own_behaviour",
    "adult_concerned_about_own_behaviour",
    "parent_or_carer",
    "anyone_reporting",
    "victim_image_removal",
    "victim_image_removal_adult",
    "crisis",
]
"""Whom a help service is for."""

Review = Literal["written", "native-reviewed", "practitioner-reviewed"]
"""How far a text has come. ``written``: nobody but its author has judged it."""

TRIGGERS: tuple[Trigger, ...] = get_args(Trigger)
ACTION_NAMES: tuple[ActionName, ...] = get_args(ActionName)
AUDIENCES: tuple[Audience, ...] = get_args(Audience)

Text = Annotated[str, msgspec.Meta(min_length=1)]
Id = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_.]*$")]
Language = Annotated[str, msgspec.Meta(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
Version = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")]


class CatalogueError(DataError):
    """A catalogue is not what its schema says; it is not used, not even in part."""


class ChoiceText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A button. The host acts on ``id``; only ``label`` is translated."""

    id: Id
    label: Text


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One wording of a notice.

    Attributes:
        id: unique in its entry; the same wording keeps its id in every language.
        review: how far this wording has been judged, never more than what happened.
        body: what happened and what one can do; at most 60 words in English.
        why: one sentence on what decided and that it can be wrong.
        choices: buttons, the safest first.
        appeal: how to say "this is wrong".
        short: the form for showing again soon after; ``None`` while nobody has written one.
    """

    id: Id
    review: Review
    title: Text
    body: Text
    why: Text
    choices: Annotated[tuple[ChoiceText, ...], msgspec.Meta(min_length=1)]
    appeal: Text
    short: Text | None = None


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The wordings for one situation: a trigger with the bands, events and actions that they fit.

    Attributes:
        id: unique in the catalogue and the same in every language; starts with the trigger.
        cell: the trigger.
        help: audiences whose services are listed, in this order.
    """

    id: Id
    cell: Trigger
    bands: Annotated[tuple[AgeBand, ...], msgspec.Meta(min_length=1)]
    events: Annotated[tuple[Event, ...], msgspec.Meta(min_length=1)]
    actions: Annotated[tuple[ActionName, ...], msgspec.Meta(min_length=1)]
    help: Annotated[tuple[Audience, ...], msgspec.Meta(min_length=1)]
    variants: Annotated[tuple[Variant, ...], msgspec.Meta(min_length=1)]


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every notice of one language.

    Attributes:
        schema: version of the format; another number is refused.
        lang: BCP 47 tag of all texts.
        version: version of the texts.
    """

    schema: Literal[1]
    lang: Language
    version: Version
    notices: Annotated[tuple[Entry, ...], msgspec.Meta(min_length=1)]

    def find(self, *, trigger: str, action: str, band: AgeBand, event: Event) -> Entry | None:
        """The one entry written for this situation, or ``None``. There is no fallback here."""
        for entry in self.notices:
            if entry.cell == trigger and action in entry.actions and band in entry.bands and event in entry.events:
                return entry
        return None


_DECODER = msgspec.json.Decoder(Catalogue)


def load_catalogue(data: bytes) -> Catalogue:
    """Checks and returns a catalogue from its JSON ``data``.

    Raises:
        CatalogueError: not JSON, not of the schema, an id twice, or two entries for one situation.
    """
    try:
        catalogue = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CatalogueError(
            f"got a catalogue that does not follow its schema ({error}); expected schema 1; "
            "compare it with deterrence/schema/catalogue.schema.json"
        ) from error
    _check_unique(catalogue)
    return catalogue


def _check_unique(catalogue: Catalogue) -> None:
    ids: set[str] = set()
    claimed: dict[tuple[str, str, str, str], str] = {}
    for entry in catalogue.notices:
        if entry.id in ids:
            raise CatalogueError(
                f"got the entry id {entry.id!r} twice; expected each id once; rename or remove one of them"
            )
        ids.add(entry.id)
        variants = [variant.id for variant in entry.variants]
        if len(set(variants)) != len(variants):
            raise CatalogueError(
                f"got a variant id twice in {entry.id!r}; expected each id once; rename one of the variants"
            )
        for band in entry.bands:
            for event in entry.events:
                for action in entry.actions:
                    other = claimed.setdefault((entry.cell, band.value, event.value, action), entry.id)
                    if other != entry.id:
                        raise CatalogueError(
                            f"got {other!r} and {entry.id!r} for {entry.cell}, {band}, {event}, {action}; "
                            "expected one entry for a situation; take it out of one of the two"
                        )
