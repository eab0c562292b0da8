"""The catalogue of notices: its format, and how bytes become a checked value.

Two kinds of file. ``deterrence/structure.json`` says once, for all languages, which situations exist, whom each is
for, which buttons and services belong to it, and how a dialogue goes on. ``deterrence/catalogue/<language>.json``
holds nothing but texts under the same ids, so that a translation cannot change what happens. Both are plain JSON
with a schema (``deterrence/schema/``) that a Kotlin or Swift host can read too.

Loading is strict: an unknown field or id, a missing text, a repeated id or two entries that claim the same situation
are errors, because a notice that is silently never shown is worse than a file that is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Annotated, Final, Literal, get_args

import msgspec

from safelight.decision import AgeBand, Choice, Event
from safelight.errors import DataError

Trigger = Literal[
    "known_match",
    "adult_subject_minor_strong",
    "adult_subject_unsure",
    "adult_search",
    "adult_chat_likely_child",
    "outrage_sharing",
    "unknown_age",
    "conversation_danger",
    "conversation_warn",
    "conversation_watch",
    "forwarding",
    "picture_out_explicit",
    "picture_in_explicit",
    "picture_out_suggestive",
    "picture_in_suggestive",
    "query_match",
    "site_match",
    "consent",
    "time_spent",
    "time_outside_window",
    "clock_unconfirmed",
    "settings_damaged",
    "could_not_tell_file",
    "could_not_tell_check",
    "could_not_tell_text",
    "pressured",
    "own_image_shared",
    "child_own_behaviour",
    "parent_asked",
    "accidental_finder",
    "generic",
]
"""What a notice answers to. ``generic`` is the fallback of every other one."""

ActionName = Literal["NUDGE", "BLUR", "HOLD", "BLOCK"]
"""The rungs that show a notice; ``ALLOW`` shows none."""

ChoiceSet = Literal["NUDGE", "BLUR", "HOLD", "BLOCK", "asked"]
"""What a set of buttons belongs to: a rung, or a notice that somebody asked for."""

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

ASKED: Final = "asked"
"""Name of the buttons of a notice that somebody asked for."""

TRIGGERS: tuple[Trigger, ...] = get_args(Trigger)
ACTION_NAMES: tuple[ActionName, ...] = get_args(ActionName)
AUDIENCES: tuple[Audience, ...] = get_args(Audience)
REVIEWS: tuple[Review, ...] = get_args(Review)

#: At most this many steps lie between the start of a dialogue and its end, both counted.
MAX_DIALOGUE_STEPS: Final = 5

Text = Annotated[str, msgspec.Meta(min_length=1)]
Id = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_.]*$")]
Language = Annotated[str, msgspec.Meta(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
Version = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")]
Bands = Annotated[tuple[AgeBand, ...], msgspec.Meta(min_length=1)]
Audiences = Annotated[tuple[Audience, ...], msgspec.Meta(min_length=1)]


class CatalogueError(DataError):
    """A catalogue is not what its schema says; it is not used, not even in part."""


class _Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every part of the two files has in common."""


class ChoiceShape(_Shape, frozen=True):
    """A button. The host acts on ``id``; ``label`` names its words in the language's ``labels``."""

    id: Id
    label: Id


class EntryShape(_Shape, frozen=True):
    """One situation: a trigger with the bands, events and actions that its texts fit.

    Attributes:
        id: unique in the catalogue and the same in every language; starts with the trigger.
        cell: the trigger.
        severity: 1, 2 or 3; a person's word that it was a false alarm softens 1 and no other.
        asked: the person asked for it (a child in need, a parent): it belongs to no action and no event.
        help: audiences whose services are listed, in this order.
        choices: buttons by action, or under ``asked``; the safest first.
        why: id of the sentence that says what decided and that it can be wrong.
        appeal: id of the sentence that says how to object.
    """

    id: Id
    cell: Trigger
    severity: Literal[1, 2, 3]
    asked: bool
    bands: Bands
    events: tuple[Event, ...]
    actions: tuple[ActionName, ...]
    help: Audiences
    choices: dict[ChoiceSet, Annotated[tuple[ChoiceShape, ...], msgspec.Meta(min_length=1)]]
    why: Id
    appeal: Id


class ButtonShape(_Shape, frozen=True):
    """A button of a dialogue and the step that it leads to."""

    id: Id
    to: Id


class StepShape(_Shape, frozen=True):
    """One step of a dialogue; without buttons it is an end. ``help``: services shown with it."""

    id: Id
    buttons: tuple[ButtonShape, ...]
    help: tuple[Audience, ...] = ()


class DialogueShape(_Shape, frozen=True):
    """A guided dialogue: buttons only, at most five steps, an explicit end."""

    id: Id
    bands: Bands
    start: Id
    steps: Annotated[tuple[StepShape, ...], msgspec.Meta(min_length=1)]


class EducationShape(_Shape, frozen=True):
    """A pack of texts to read: its readers, the services shown with it, its sections in order."""

    id: Id
    bands: Bands
    help: Audiences
    sections: Annotated[tuple[Id, ...], msgspec.Meta(min_length=1)]


class RedressShape(_Shape, frozen=True):
    """Where to turn when a refusal stands, for these readers."""

    id: Id
    bands: Bands


class Structure(_Shape, frozen=True):
    """What is the same in every language. Another number of ``schema`` is refused."""

    schema: Literal[2]
    version: Version
    notices: Annotated[tuple[EntryShape, ...], msgspec.Meta(min_length=1)]
    dialogues: tuple[DialogueShape, ...]
    education: tuple[EducationShape, ...]
    redress: tuple[RedressShape, ...]


class VariantText(_Shape, frozen=True):
    """One wording. ``body``: what happened and what one can do; at most 60 words in English."""

    title: Text
    body: Text
    review: Review = "written"


class EntryText(_Shape, frozen=True):
    """The words of one entry. ``short``: the plain form for showing again; it can stand alone."""

    short: Text
    variants: Annotated[dict[Id, VariantText], msgspec.Meta(min_length=1)]


class StepText(_Shape, frozen=True):
    """The words of one step."""

    text: Text
    buttons: dict[Id, Text] = {}


class SectionText(_Shape, frozen=True):
    """A heading and its paragraphs."""

    heading: Text
    text: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]


class EducationText(_Shape, frozen=True):
    """The words of one pack."""

    title: Text
    sections: dict[Id, SectionText]


class LanguageFile(_Shape, frozen=True):
    """Every text of one language.

    Attributes:
        schema: version of the format; another number is refused.
        lang: BCP 47 tag of all texts.
        direction: ``rtl`` for scripts that run from right to left.
        version: version of the texts.
        variants: how many wordings every notice has at least; 0: unfinished, and what is missing is shown in English.
        review: how far all texts that are not a variant have come.
        labels, why, appeal: texts by the ids that the structure names. ``{appeal}`` becomes the button's label.
        help: words around the services. ``{number}``, ``{date}``, ``{months}``, ``{country}``, ``{total}`` are filled.
        removal, removal_services: words of the image-removal guide.
    """

    schema: Literal[2]
    lang: Language
    direction: Literal["ltr", "rtl"]
    version: Version
    variants: Annotated[int, msgspec.Meta(ge=0)]
    labels: dict[Id, Text]
    why: dict[Id, Text]
    appeal: dict[Id, Text]
    notices: dict[Id, EntryText]
    dialogues: dict[Id, dict[Id, StepText]]
    education: dict[Id, EducationText]
    redress: dict[Id, Text]
    help: dict[Id, Text]
    removal: dict[Id, Text]
    removal_services: dict[Id, Text]
    review: Review = "written"


@dataclass(frozen=True, slots=True)
class Variant:
    """One wording of a notice; the same wording keeps its ``id`` in every language."""

    id: str
    review: Review
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry with the words of one language.

    Attributes:
        shape: what is the same in every language.
        lang: tag of these words: English where an unfinished language has none.
        direction: of these words.
        short: the form for showing again, which can stand alone.
        why: what decided, and that it can be wrong.
        appeal: how to object; quotes the label of the button.
        variants: the wordings, in the order of the file.
        labels: words of the buttons by label id.
    """

    shape: EntryShape
    lang: str
    direction: str
    short: str
    why: str
    appeal: str
    variants: tuple[Variant, ...]
    labels: Mapping[str, str]

    @property
    def id(self) -> str:
        """Id of the entry."""
        return self.shape.id

    @property
    def cell(self) -> str:
        """The trigger."""
        return self.shape.cell

    @property
    def bands(self) -> tuple[AgeBand, ...]:
        """Whom the words are for."""
        return self.shape.bands

    @property
    def help(self) -> tuple[Audience, ...]:
        """Audiences whose services are listed."""
        return self.shape.help

    def choices(self, action: str) -> tuple[Choice, ...]:
        """The buttons for ``action`` (a name of the ladder, or ``asked``).

        Raises:
            KeyError: the entry is not for this action.
        """
        choices: Mapping[str, tuple[ChoiceShape, ...]] = self.shape.choices  # type: ignore[assignment]
        return tuple(Choice(choice.id, self.labels[choice.label]) for choice in choices[action])


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every text of one language with the structure that it fills."""

    structure: Structure
    texts: LanguageFile
    notices: tuple[Entry, ...]

    @property
    def lang(self) -> str:
        """BCP 47 tag of the texts."""
        return self.texts.lang

    @property
    def version(self) -> str:
        """Version of the texts."""
        return self.texts.version

    def find(self, *, trigger: str, action: str, band: AgeBand, event: Event) -> Entry | None:
        """The one entry written for this situation, or ``None``. There is no fallback here."""
        for entry in self.notices:
            shape = entry.shape
            if shape.cell == trigger and action in shape.actions and band in shape.bands and event in shape.events:
                return entry
        return None

    def find_asked(self, *, trigger: str, band: AgeBand) -> Entry | None:
        """The entry for a person of this band who asked for it, or ``None``."""
        for entry in self.notices:
            if entry.shape.asked and entry.shape.cell == trigger and band in entry.shape.bands:
                return entry
        return None


_STRUCTURE_DECODER = msgspec.json.Decoder(Structure)
_LANGUAGE_DECODER = msgspec.json.Decoder(LanguageFile)

#: The words around notices that every language must have; the code that shows them names them.
HELP_TEXTS: Final = (
    "heading",
    "phone",
    "sms",
    "chat",
    "web",
    "report",
    "read_on",
    "old",
    "old_kept",
    "unverified",
    "call_log",
    "country_other",
    "why",
    "wrong",
    "choices",
    "none_here",
    "step",
    "end",
)
REMOVAL_TEXTS: Final = (
    "title",
    "not_your_fault",
    "how",
    "limits",
    "only_yours",
    "under_18",
    "adult",
    "would_send",
    "not_sent",
    "codes",
    "code_pdq",
    "code_sha256",
    "code_md5",
    "own_codes",
    "next",
    "talk",
)
REMOVAL_SERVICES: Final = ("take_it_down", "report_remove", "stop_ncii")

#: What a text must hold, no more and no less. Every other text holds none.
PLACEHOLDERS: Final[Mapping[str, frozenset[str]]] = {
    "help.phone": frozenset({"number"}),
    "help.sms": frozenset({"number"}),
    "help.read_on": frozenset({"date"}),
    "help.old": frozenset({"months"}),
    "help.old_kept": frozenset({"months"}),
    "help.country_other": frozenset({"country"}),
    "help.step": frozenset({"number", "total"}),
}


def load_structure(data: bytes) -> Structure:
    """Checks and returns the structure from its JSON ``data``.

    Raises:
        CatalogueError: not JSON, not of the schema, an id twice, two entries for one situation, buttons that do not
            fit the actions, or a dialogue that is too long, has no end or leads nowhere.
    """
    try:
        structure = _STRUCTURE_DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CatalogueError(
            f"got a structure that does not follow its schema ({error}); expected schema 2; "
            "compare it with deterrence/schema/structure.schema.json"
        ) from error
    _check_unique(structure)
    for dialogue in structure.dialogues:
        _check_dialogue(dialogue)
    return structure


def load_catalogue(structure: Structure, data: bytes, *, fallback: Catalogue | None = None) -> Catalogue:
    """Checks one language's JSON ``data`` against the ``structure`` and returns both as one value.

    Args:
        structure: from :func:`load_structure`.
        data: a file of ``deterrence/catalogue/``.
        fallback: gives the notices that a language with ``variants`` 0 does not have.

    Raises:
        CatalogueError: not JSON, not of the schema, a text is missing or belongs nowhere, or fewer wordings than
            ``variants`` says.
    """
    try:
        texts = _LANGUAGE_DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CatalogueError(
            f"got a catalogue that does not follow its schema ({error}); expected schema 2; "
            "compare it with deterrence/schema/catalogue.schema.json"
        ) from error
    _check_complete(structure, texts)
    _check_placeholders(texts)
    notices = []
    for shape in structure.notices:
        words = texts.notices.get(shape.id)
        if words is not None:
            notices.append(_entry(shape, words, texts))
        elif fallback is not None:
            notices.extend(entry for entry in fallback.notices if entry.id == shape.id)
    return Catalogue(structure, texts, tuple(notices))


def texts_of(texts: LanguageFile) -> list[tuple[str, str]]:
    """Every text of a language with the dotted name of its place, in the order of the file."""
    found: list[tuple[str, str]] = []
    for section in ("labels", "why", "appeal", "redress", "help", "removal", "removal_services"):
        found += [(f"{section}.{name}", text) for name, text in getattr(texts, section).items()]
    for name, entry in texts.notices.items():
        found.append((f"notices.{name}.short", entry.short))
        for variant, words in entry.variants.items():
            found.append((f"notices.{name}.{variant}.title", words.title))
            found.append((f"notices.{name}.{variant}.body", words.body))
    for name, steps in texts.dialogues.items():
        for step, step_text in steps.items():
            found.append((f"dialogues.{name}.{step}", step_text.text))
            found += [(f"dialogues.{name}.{step}.{button}", text) for button, text in step_text.buttons.items()]
    for name, pack in texts.education.items():
        found.append((f"education.{name}.title", pack.title))
        for section, section_text in pack.sections.items():
            found.append((f"education.{name}.{section}.heading", section_text.heading))
            found += [(f"education.{name}.{section}.text", text) for text in section_text.text]
    return found


def _entry(shape: EntryShape, words: EntryText, texts: LanguageFile) -> Entry:
    return Entry(
        shape=shape,
        lang=texts.lang,
        direction=texts.direction,
        short=words.short,
        why=texts.why[shape.why],
        appeal=texts.appeal[shape.appeal].format(appeal=texts.labels["appeal"]),
        variants=tuple(Variant(name, text.review, text.title, text.body) for name, text in words.variants.items()),
        labels=texts.labels,
    )


def _check_unique(structure: Structure) -> None:
    claimed: dict[tuple[str, str, str, str], str] = {}
    for kind, ids in (
        ("entry", [entry.id for entry in structure.notices]),
        ("dialogue", [dialogue.id for dialogue in structure.dialogues]),
        ("education", [pack.id for pack in structure.education]),
        ("redress", [redress.id for redress in structure.redress]),
    ):
        for name in ids:
            if ids.count(name) > 1:
                raise CatalogueError(
                    f"got the {kind} id {name!r} twice; expected each id once; rename or remove one of them"
                )
    for entry in structure.notices:
        expected = {ASKED} if entry.asked else set(entry.actions)
        if not expected or set(entry.choices) != expected or entry.asked == bool(entry.events):
            raise CatalogueError(
                f"got events, actions and choices in {entry.id!r} that do not fit together; expected choices for each "
                "action, or for 'asked' alone where nobody's action led here; correct them"
            )
        events = [event.value for event in entry.events] or [ASKED]
        for band in entry.bands:
            for event in events:
                for action in expected:
                    other = claimed.setdefault((entry.cell, band.value, event, action), entry.id)
                    if other != entry.id:
                        raise CatalogueError(
                            f"got {other!r} and {entry.id!r} for {entry.cell}, {band}, {event}, {action}; "
                            "expected one entry for a situation; take it out of one of the two"
                        )


def _check_dialogue(dialogue: DialogueShape) -> None:
    steps = {step.id: step for step in dialogue.steps}
    if len(steps) != len(dialogue.steps):
        raise CatalogueError(f"got a step id twice in {dialogue.id!r}; expected each id once; rename one of the steps")
    reached: set[str] = set()

    def walk(name: str, depth: int) -> None:
        if name not in steps or depth > MAX_DIALOGUE_STEPS:
            raise CatalogueError(
                f"got the step {name!r} as number {depth} in {dialogue.id!r}; expected a step of the dialogue, and an "
                f"end after at most {MAX_DIALOGUE_STEPS}; correct where the buttons lead"
            )
        reached.add(name)
        for button in steps[name].buttons:
            walk(button.to, depth + 1)

    walk(dialogue.start, 1)
    unreached = set(steps) - reached
    ends = [step for step in dialogue.steps if not step.buttons]
    if unreached or any(not step.help for step in ends):
        raise CatalogueError(
            f"got steps in {dialogue.id!r} that nothing leads to, or an end without help ({sorted(unreached)}); "
            "expected neither; correct where the buttons lead or name the help"
        )


def _check_complete(structure: Structure, texts: LanguageFile) -> None:
    finished = texts.variants > 0
    wanted: list[tuple[str, set[str], set[str], bool]] = [
        ("labels", _label_ids(structure), set(texts.labels), True),
        ("why", {entry.why for entry in structure.notices}, set(texts.why), True),
        ("appeal", {entry.appeal for entry in structure.notices}, set(texts.appeal), True),
        ("help", set(HELP_TEXTS), set(texts.help), True),
        ("notices", {entry.id for entry in structure.notices}, set(texts.notices), finished),
        ("dialogues", {dialogue.id for dialogue in structure.dialogues}, set(texts.dialogues), finished),
        ("education", {pack.id for pack in structure.education}, set(texts.education), finished),
        ("redress", {redress.id for redress in structure.redress}, set(texts.redress), finished),
        ("removal", set(REMOVAL_TEXTS), set(texts.removal), finished),
        ("removal_services", set(REMOVAL_SERVICES), set(texts.removal_services), finished),
    ]
    for dialogue in structure.dialogues:
        if dialogue.id in texts.dialogues:
            for step in dialogue.steps:
                place = f"dialogues.{dialogue.id}.{step.id}"
                words = texts.dialogues[dialogue.id].get(step.id)
                buttons = {button.id for button in step.buttons}
                wanted.append((place, buttons | {"text"}, set(words.buttons) | {"text"} if words else set(), True))
            steps = {step.id for step in dialogue.steps}
            wanted.append((f"dialogues.{dialogue.id}", steps, set(texts.dialogues[dialogue.id]), True))
    for pack in structure.education:
        if pack.id in texts.education:
            sections = set(texts.education[pack.id].sections)
            wanted.append((f"education.{pack.id}", set(pack.sections), sections, True))
    for place, expected, got, needed in wanted:
        missing, extra = expected - got, got - expected
        if extra or (needed and missing):
            raise CatalogueError(
                f"got {place} in {texts.lang!r} without {sorted(missing)} and with the unknown {sorted(extra)}; "
                "expected the ids of structure.json; add or rename them, or declare 'variants': 0 until they are done"
            )
    for name, entry in texts.notices.items():
        if len(entry.variants) < texts.variants:
            raise CatalogueError(
                f"got {len(entry.variants)} wordings of {name!r} in {texts.lang!r}; expected {texts.variants}, as the "
                "file declares; write more or declare fewer"
            )


def _label_ids(structure: Structure) -> set[str]:
    labels = {"appeal"}
    for entry in structure.notices:
        for choices in entry.choices.values():
            labels |= {choice.label for choice in choices}
    return labels


def _check_placeholders(texts: LanguageFile) -> None:
    for place, text in texts_of(texts):
        expected = frozenset({"appeal"}) if place.startswith("appeal.") else PLACEHOLDERS.get(place, frozenset())
        try:
            got = frozenset(name for _, name, _, _ in Formatter().parse(text) if name is not None)
        except ValueError:
            got = frozenset({"?"})
        if got != expected:
            raise CatalogueError(
                f"got the placeholders {sorted(got)} in {place} of {texts.lang!r}; expected {sorted(expected)}; "
                "put them in as they are in en.json"
            )
