"""Question: does every situation get a notice that fits its action and leads to help?"""

from __future__ import annotations

import itertools

import pytest
from safelight.decision import Action, AgeBand, Event, HelpService, Notice
from safelight.errors import UsageError
from safelight.notices.catalogue import TRIGGERS, Catalogue
from safelight.notices.select import select_notice, trigger_for

SHOWN = (Action.NUDGE, Action.BLUR, Action.HOLD, Action.BLOCK)
PROTECTED = tuple(band for band in AgeBand if band is not AgeBand.ADULT)
OUT = (Event.CAPTURE, Event.UPLOAD, Event.SEND, Event.SAVE, Event.MESSAGE, Event.SEARCH)
IN = (Event.RECEIVE, Event.VIEW)

SAFE_CHOICES = {"stop", "close", "keep_hidden"}
GO_ON = {"continue", "show"}

# What each action offers of the choices that let a person go on.
OFFERED = {Action.NUDGE: {"continue"}, Action.BLUR: {"show"}, Action.HOLD: set(), Action.BLOCK: set()}

# docs: the default rule table; the cells written for it must be used, not the generic fallback.
DEFAULT_TABLE = [
    (band, event, reasons, action, cell)
    for bands, events, reasons, action, cell in [
        ((AgeBand.UNDER_10,), OUT, ("NUDITY_EXPLICIT",), Action.BLOCK, "picture_out_explicit"),
        ((AgeBand.UNDER_10,), OUT, ("NUDITY_SUGGESTIVE",), Action.HOLD, "picture_out_suggestive"),
        ((AgeBand.UNDER_10,), IN, ("NUDITY_EXPLICIT",), Action.HOLD, "picture_in_explicit"),
        ((AgeBand.UNDER_10,), IN, ("NUDITY_SUGGESTIVE",), Action.BLUR, "picture_in_suggestive"),
        ((AgeBand.FROM_10_TO_12,), OUT, ("NUDITY_EXPLICIT",), Action.BLOCK, "picture_out_explicit"),
        ((AgeBand.FROM_10_TO_12,), OUT, ("NUDITY_SUGGESTIVE",), Action.NUDGE, "picture_out_suggestive"),
        ((AgeBand.FROM_10_TO_12,), IN, ("NUDITY_EXPLICIT",), Action.HOLD, "picture_in_explicit"),
        ((AgeBand.FROM_10_TO_12,), IN, ("NUDITY_SUGGESTIVE",), Action.BLUR, "picture_in_suggestive"),
        (
            (AgeBand.FROM_13_TO_15, AgeBand.UNKNOWN, AgeBand.FROM_16_TO_17),
            OUT,
            ("NUDITY_EXPLICIT",),
            Action.BLOCK,
            "picture_out_explicit",
        ),
        ((AgeBand.FROM_16_TO_17,), OUT, ("NUDITY_EXPLICIT",), Action.HOLD, "picture_out_explicit"),
        (
            (AgeBand.FROM_13_TO_15, AgeBand.UNKNOWN),
            OUT,
            ("NUDITY_SUGGESTIVE",),
            Action.NUDGE,
            "picture_out_suggestive",
        ),
        (
            (AgeBand.FROM_13_TO_15, AgeBand.UNKNOWN, AgeBand.FROM_16_TO_17),
            IN,
            ("NUDITY_EXPLICIT",),
            Action.BLUR,
            "picture_in_explicit",
        ),
        (
            (AgeBand.FROM_13_TO_15, AgeBand.UNKNOWN),
            IN,
            ("NUDITY_SUGGESTIVE",),
            Action.NUDGE,
            "picture_in_suggestive",
        ),
        (
            (AgeBand.ADULT,),
            tuple(Event),
            ("SUBJECT_UNSURE", "NUDITY_EXPLICIT"),
            Action.HOLD,
            "adult_subject_unsure",
        ),
        (
            (AgeBand.ADULT,),
            tuple(Event),
            ("SUBJECT_MINOR_STRONG", "NUDITY_EXPLICIT"),
            Action.HOLD,
            "adult_subject_minor_strong",
        ),
        (tuple(AgeBand), tuple(Event), ("KNOWN_MATCH", "NUDITY_EXPLICIT"), Action.HOLD, "known_match"),
        (tuple(AgeBand), tuple(Event), ("DECODE_FAILED",), Action.HOLD, "could_not_tell_file"),
        (tuple(AgeBand), tuple(Event), ("UNVERIFIED",), Action.HOLD, "could_not_tell_check"),
    ]
    for band in bands
    for event in events
]


def countries(directory: tuple[HelpService, ...]) -> list[str | None]:
    return [*sorted({service.country for service in directory}), "ZZ", "gb", "UK", "", None]


def assert_fits(notice: Notice, action: Action) -> None:
    assert all(text.strip() for text in (notice.id, notice.title, notice.body, notice.why, notice.appeal))
    ids = [choice.id for choice in notice.choices]
    labels = [choice.label for choice in notice.choices]
    assert len(set(ids)) == len(ids) and len(set(labels)) == len(labels)
    assert 2 <= len(ids) <= 5
    assert ids[0] in SAFE_CHOICES
    assert GO_ON & set(ids) == OFFERED[action]
    assert "help" in ids
    assert ids[-1] == "appeal"
    assert f"“{labels[-1]}”" in notice.appeal, "the appeal must name the button as it is labelled"


@pytest.mark.parametrize("action", SHOWN, ids=str)
@pytest.mark.parametrize("band", AgeBand, ids=str)
def test_every_situation_has_a_notice_with_help(
    band: AgeBand, action: Action, catalogue: Catalogue, directory: tuple[HelpService, ...]
) -> None:
    seen: set[str] = set()
    for trigger, event in itertools.product(TRIGGERS, Event):
        entry = catalogue.find(trigger=trigger, action=action.name, band=band, event=event)
        # The country changes the services only, and those hang on the entry.
        first = entry is not None and entry.id not in seen
        seen |= {entry.id} if entry is not None else set()
        for country in countries(directory) if first else ["GB"]:
            notice = select_notice(
                catalogue=catalogue,
                directory=directory,
                trigger=trigger,
                action=action,
                band=band,
                event=event,
                country=country,
                languages=("en",),
            )
            assert 1 <= len(notice.help) <= 5, (notice.id, country)
            assert all(service.web_url for service in notice.help)
        assert_fits(notice, action)
        assert not notice.id.startswith("last_resort")


@pytest.mark.parametrize(("band", "event", "reasons", "action", "cell"), DEFAULT_TABLE)
def test_default_table_has_its_own_words(
    band: AgeBand,
    event: Event,
    reasons: tuple[str, ...],
    action: Action,
    cell: str,
    catalogue: Catalogue,
    directory: tuple[HelpService, ...],
) -> None:
    trigger = trigger_for(reasons, event, band)
    assert trigger == cell
    notice = select_notice(
        catalogue=catalogue, directory=directory, trigger=trigger, action=action, band=band, event=event
    )
    assert notice.id.startswith(f"{cell}."), notice.id


def test_every_entry_is_written_for_its_bands_actions_and_cell(catalogue: Catalogue) -> None:
    for entry in catalogue.notices:
        assert entry.id.split(".")[0] == entry.cell
        for name in entry.shape.actions:
            assert {choice.id for choice in entry.choices(name)} & GO_ON == OFFERED[Action[name]], entry.id
        if entry.shape.asked:
            assert not {choice.id for choice in entry.choices("asked")} & GO_ON, entry.id


def test_the_deterrence_notice_is_for_established_adults_only(catalogue: Catalogue) -> None:
    for entry in catalogue.notices:
        if entry.cell.startswith("adult_"):
            assert entry.bands == (AgeBand.ADULT,), entry.id
        if AgeBand.ADULT in entry.bands:
            assert len(entry.bands) == 1, f"{entry.id}: adult words are not for a child"


@pytest.mark.parametrize("band", PROTECTED, ids=str)
@pytest.mark.parametrize("event", Event, ids=str)
@pytest.mark.parametrize("action", SHOWN, ids=str)
def test_no_protected_reader_gets_adult_words(
    band: AgeBand,
    event: Event,
    action: Action,
    catalogue: Catalogue,
    directory: tuple[HelpService, ...],
) -> None:
    trigger = trigger_for(("SUBJECT_MINOR_STRONG", "NUDITY_EXPLICIT"), event, band)
    assert trigger in ("picture_in_explicit", "picture_out_explicit")
    forced = select_notice(
        catalogue=catalogue,
        directory=directory,
        trigger="adult_subject_minor_strong",
        action=action,
        band=band,
        event=event,
    )
    assert forced.id.startswith("generic.")


@pytest.mark.parametrize(
    ("reasons", "event", "band", "expected"),
    [
        ((), Event.UPLOAD, AgeBand.UNKNOWN, "generic"),
        (("RULE",), Event.UPLOAD, AgeBand.UNKNOWN, "generic"),
        (("SOMETHING_NEW",), Event.UPLOAD, AgeBand.UNKNOWN, "generic"),
        (("NUDITY_EXPLICIT", "LOW_QUALITY"), Event.VIEW, AgeBand.UNKNOWN, "picture_in_explicit"),
        (("NO_MODEL", "NUDITY_EXPLICIT"), Event.SEND, AgeBand.UNKNOWN, "picture_out_explicit"),
        (("NO_MODEL", "NUDITY_SUGGESTIVE"), Event.SEND, AgeBand.UNKNOWN, "could_not_tell_check"),
        (("NUDITY_SUGGESTIVE", "NO_MODEL"), Event.SEND, AgeBand.UNKNOWN, "picture_out_suggestive"),
        (("TOO_SMALL", "NO_MODEL"), Event.SEND, AgeBand.UNKNOWN, "could_not_tell_file"),
        (("NUDITY_EXPLICIT", "KNOWN_MATCH"), Event.SEND, AgeBand.UNDER_10, "known_match"),
        (("NUDITY_EXPLICIT", "SUBJECT_ADULT"), Event.SEND, AgeBand.ADULT, "picture_out_explicit"),
        (("NUDITY_EXPLICIT", "SUBJECT_MINOR"), Event.SEND, AgeBand.ADULT, "adult_subject_unsure"),
        (("SUBJECT_MINOR_STRONG",), Event.SEND, AgeBand.ADULT, "adult_subject_unsure"),
        (
            ("NUDITY_SUGGESTIVE", "SUBJECT_MINOR_STRONG"),
            Event.SEND,
            AgeBand.ADULT,
            "picture_out_suggestive",
        ),
        (("NUDITY_EXPLICIT", "SUBJECT_MINOR_STRONG"), Event.SEND, AgeBand.UNKNOWN, "picture_out_explicit"),
    ],
)
def test_trigger_for(reasons: tuple[str, ...], event: Event, band: AgeBand, expected: str) -> None:
    assert trigger_for(reasons, event, band) == expected


def test_every_state_that_could_not_tell_has_a_trigger() -> None:
    from safelight.decision import State
    from safelight.notices import select

    about_no_picture = select._TEXT_STATES | select._LIST_STATES | select._SETTINGS_STATES | select._CLOCK_STATES
    assert select._FILE_STATES | select._CHECK_STATES | about_no_picture == {s.value for s in State} - {"OK"}
    for state in State:
        if state is not State.OK:
            trigger = trigger_for((state.value,), Event.UPLOAD, AgeBand.UNKNOWN)
            assert state.value in about_no_picture or trigger.startswith("could_not_tell_")
            assert trigger in TRIGGERS


def test_an_unknown_trigger_gets_the_generic_notice(catalogue: Catalogue, directory: tuple[HelpService, ...]) -> None:
    notice = select_notice(
        catalogue=catalogue,
        directory=directory,
        trigger="from_a_later_version",
        action=Action.BLOCK,
        band=AgeBand.UNKNOWN,
        event=Event.SEND,
    )
    assert notice.id == "generic.block.13_15/a"


def test_allow_has_no_notice(catalogue: Catalogue) -> None:
    with pytest.raises(UsageError, match="expected NUDGE or higher"):
        select_notice(
            catalogue=catalogue,
            directory=(),
            trigger="generic",
            action=Action.ALLOW,
            band=AgeBand.UNKNOWN,
            event=Event.SEND,
        )
