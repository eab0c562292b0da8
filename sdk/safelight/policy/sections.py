"""The sections that rules are written in, shared by a whole rules document, by its floors and by a layer.

The types are the source of the published schemas (``docs/schema``). Words are checked when a document is flattened
(:mod:`safelight.policy.table`), whose messages say which situation a fault is about.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from safelight.decision import Action, AgeBand, Event
from safelight.policy.table import KINDS, SUBJECTS


def _one_of(words: tuple[str, ...]) -> msgspec.Meta:
    return msgspec.Meta(extra_json_schema={"enum": list(words)})


ActionName = Annotated[str, _one_of(tuple(action.name for action in Action))]
BandName = Annotated[str, _one_of(tuple(band.value for band in AgeBand))]
EventName = Annotated[str, _one_of(tuple(event.value for event in Event))]
KindName = Annotated[str, _one_of(KINDS)]
SubjectName = Annotated[str, _one_of(SUBJECTS)]
Bands = Annotated[tuple[BandName, ...], msgspec.Meta(min_length=1)]


class _Row(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True, kw_only=True):
    bands: Bands


class PictureRow(_Row, frozen=True):
    """What a picture means: an action for each level of nudity, for these events (all) and subjects (both)."""

    events: tuple[EventName, ...] = ()
    subjects: tuple[SubjectName, ...] = ()
    explicit: ActionName | None = None
    suggestive: ActionName | None = None
    none: ActionName | None = None


class CouldNotTellRow(_Row, frozen=True):
    """What is done when findings of these kinds (all) could not tell."""

    action: ActionName
    kinds: tuple[KindName, ...] = ()


class GroomingRow(_Row, frozen=True):
    """What one stage in one message means by itself; what several mean together is ``conversation``."""

    age_probe: ActionName | None = None
    alone_check: ActionName | None = None
    flattery_bond: ActionName | None = None
    isolation: ActionName | None = None
    secrecy: ActionName | None = None
    gift: ActionName | None = None
    platform_move: ActionName | None = None
    photo_request: ActionName | None = None
    meeting: ActionName | None = None
    threat: ActionName | None = None
    sexualised: ActionName | None = None


class ConversationRow(_Row, frozen=True):
    """What the messages of a conversation mean together."""

    watch: ActionName | None = None
    warn: ActionName | None = None
    danger: ActionName | None = None


class MatchRow(_Row, frozen=True):
    """What a match with a list of words or sites means."""

    match: ActionName | None = None


class ConsentRow(_Row, frozen=True):
    """What a consent that is not there means."""

    missing: ActionName | None = None
    expired: ActionName | None = None
    withdrawn: ActionName | None = None


class TimeRow(_Row, frozen=True):
    """What it means that time is spent, or that it is not the time of day for this."""

    spent: ActionName | None = None
    outside_window: ActionName | None = None


class Sections(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True, kw_only=True):
    """Actions for situations. Whatever is left out is not said here: a whole document must say everything."""

    picture: tuple[PictureRow, ...] = ()
    could_not_tell: tuple[CouldNotTellRow, ...] = ()
    known_match: ActionName | None = None
    grooming: tuple[GroomingRow, ...] = ()
    conversation: tuple[ConversationRow, ...] = ()
    query: tuple[MatchRow, ...] = ()
    site: tuple[MatchRow, ...] = ()
    consent: tuple[ConsentRow, ...] = ()
    time: tuple[TimeRow, ...] = ()


class DocumentRow(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is done with files that hold pictures: documents and archives, and photos with a clip behind them.

    Attributes:
        bands: age bands of the row.
        containers: ``not_media`` holds every document; ``look_inside`` looks at the pictures in it.
        motion_photo: ``hold`` holds a photo whose clip cannot be looked at; ``still_only`` looks at the still.
    """

    bands: tuple[BandName, ...]
    containers: Literal["not_media", "look_inside"]
    motion_photo: Literal["hold", "still_only"]


class StrongEvidence(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """From which two scores on the words for strong evidence are used. Selects words only, never an action."""

    explicit_score: Annotated[float, msgspec.Meta(ge=0, le=1)]
    minor_score: Annotated[float, msgspec.Meta(ge=0, le=1)]


class RulesDocument(Sections, frozen=True, kw_only=True):
    """A whole rules document: an action for every situation. ``floors``: what no layer may go below."""

    schema: Literal[2]
    id: Annotated[str, msgspec.Meta(min_length=1)]
    version: Annotated[int, msgspec.Meta(ge=1)]
    strong_evidence: StrongEvidence
    documents: tuple[DocumentRow, ...]
    floors: Sections = Sections()
