"""Question: who comes first, which wording is shown when, and what softens?"""

from __future__ import annotations

import dataclasses
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safelight.decision import Action, AgeBand, Event, HelpService, Notice
from safelight.notices.catalogue import TRIGGERS, Catalogue, load_catalogue
from safelight.notices.select import SHORT, History, last_resort, select_asked, select_notice, trigger_for

ASKED = ("pressured", "own_image_shared", "child_own_behaviour", "parent_asked", "accidental_finder", "unknown_age")
ADULT_ONLY = ("adult_", "outrage_", "parent_")


def notice(
    catalogue: Catalogue,
    history: History | None = None,
    *,
    trigger: str = "picture_in_explicit",
    action: Action = Action.BLUR,
    band: AgeBand = AgeBand.FROM_13_TO_15,
    unreviewed: tuple[str, ...] = (),
) -> Notice:
    return select_notice(
        catalogue=catalogue,
        directory=(),
        trigger=trigger,
        action=action,
        band=band,
        event=Event.VIEW,
        history=history,
        unreviewed_languages=unreviewed,
    )


def in_language(catalogue: Catalogue, lang: str, review: str = "written") -> Catalogue:
    """The same texts as if they were a translation."""
    import msgspec

    raw = json.loads(msgspec.json.encode(catalogue.texts))
    raw["lang"] = lang
    for entry in raw["notices"].values():
        for variant in entry["variants"].values():
            variant["review"] = review
    return load_catalogue(catalogue.structure, json.dumps(raw).encode())


def test_first_full_then_another_then_short(catalogue: Catalogue) -> None:
    history = History()
    forms = []
    for _ in range(5):
        shown = notice(catalogue, history)
        forms.append(shown.id.partition("/")[2])
        history = history.with_shown(shown)
    assert forms == ["a", "b", SHORT, SHORT, SHORT]


def test_a_new_session_starts_with_another_wording(catalogue: Catalogue) -> None:
    history = History().with_shown(notice(catalogue)).next_session()
    assert history.shown == ()
    assert notice(catalogue, history).id.endswith("/b")


def test_the_short_form_still_has_all_buttons_and_the_way_to_object(catalogue: Catalogue) -> None:
    full = notice(catalogue)
    history = History().with_shown(full).with_shown(notice(catalogue, History().with_shown(full)))
    short = notice(catalogue, history)
    assert short.id.endswith(f"/{SHORT}")
    assert (short.choices, short.appeal, short.why) == (full.choices, full.appeal, full.why)
    assert short.help


@given(st.lists(st.tuples(st.sampled_from(["show", "false_alarm", "session"]), st.integers(0, 3)), max_size=30))
def test_never_the_same_full_wording_twice_running(catalogue: Catalogue, steps: list[tuple[str, int]]) -> None:
    situations = [
        ("picture_in_explicit", Action.BLUR, AgeBand.FROM_13_TO_15),
        ("conversation_watch", Action.NUDGE, AgeBand.FROM_10_TO_12),
        ("known_match", Action.HOLD, AgeBand.ADULT),
        ("generic", Action.BLOCK, AgeBand.UNDER_10),
    ]
    history = History()
    last: dict[str, str] = {}
    for what, number in steps:
        trigger, action, band = situations[number]
        shown = notice(catalogue, history, trigger=trigger, action=action, band=band)
        if what == "session":
            history = history.next_session()
        elif what == "false_alarm":
            history = history.with_false_alarm(shown)
        else:
            entry, _, variant = shown.id.partition("/")
            if variant != SHORT:
                assert last.get(entry) != variant
                last[entry] = variant
            history = history.with_shown(shown)


def test_a_false_alarm_softens_tips_and_nothing_else(catalogue: Catalogue) -> None:
    for entry in catalogue.notices:
        for name, event in itertools.product(entry.shape.actions, entry.shape.events[:1]):
            arguments = {
                "catalogue": catalogue,
                "directory": (),
                "trigger": entry.cell,
                "action": Action[name],
                "band": entry.bands[0],
                "event": event,
            }
            before = select_notice(**arguments)
            after = select_notice(**arguments, history=History().with_false_alarm(before))
            softened = after.id.endswith(f"/{SHORT}")
            assert softened == (entry.shape.severity == 1), entry.id
            assert after.choices == before.choices, "what may be done does not change"


def test_selection_keeps_nothing(catalogue: Catalogue) -> None:
    history = History()
    assert notice(catalogue, history) == notice(catalogue, history)
    assert history == History()


@pytest.mark.parametrize(
    ("reasons", "event", "band", "context", "expected"),
    [
        # Crisis before all else.
        (("CONVERSATION_DANGER", "KNOWN_MATCH", "NUDITY_EXPLICIT"), "send", "13_15", None, "conversation_danger"),
        (("KNOWN_MATCH", "CONVERSATION_DANGER"), "send", "adult", None, "conversation_danger"),
        # Somebody who may be shown before whoever passes it on.
        (("KNOWN_MATCH", "NUDITY_EXPLICIT"), "send", "13_15", "forwarding", "known_match"),
        # Whoever passes on before whoever made it.
        (("NUDITY_EXPLICIT",), "send", "13_15", "forwarding", "forwarding"),
        (("NUDITY_SUGGESTIVE",), "upload", "10_12", "forwarding", "forwarding"),
        (("NUDITY_EXPLICIT",), "view", "13_15", "forwarding", "picture_in_explicit"),
        (("SUBJECT_MINOR_STRONG", "NUDITY_EXPLICIT"), "send", "adult", "outrage", "outrage_sharing"),
        (("KNOWN_MATCH",), "send", "adult", "outrage", "outrage_sharing"),
        (("KNOWN_MATCH",), "view", "adult", "outrage", "known_match"),
        (("SUBJECT_MINOR_STRONG", "NUDITY_EXPLICIT"), "send", "unknown", "outrage", "picture_out_explicit"),
        (("CONVERSATION_WARN",), "message", "adult", "chat_with_child", "adult_chat_likely_child"),
        (("CONVERSATION_WARN",), "message", "13_15", "chat_with_child", "conversation_warn"),
        (("CONVERSATION_WATCH",), "message", "10_12", None, "conversation_watch"),
        (("QUERY_MATCH",), "search", "adult", None, "adult_search"),
        (("QUERY_MATCH",), "search", "unknown", None, "unknown_age"),
        (("QUERY_MATCH",), "search", "16_17", None, "query_match"),
        (("SITE_MATCH",), "view", "unknown", None, "site_match"),
        (("CONSENT_EXPIRED",), "use", "10_12", None, "consent"),
        (("TIME_SPENT",), "use", "10_12", None, "time_spent"),
        (("TIME_OUTSIDE_WINDOW",), "use", "adult", None, "time_outside_window"),
        (("CLOCK_UNCONFIRMED",), "use", "adult", None, "clock_unconfirmed"),
        (("STORE_DAMAGED",), "use", "unknown", None, "settings_damaged"),
        (("UNKNOWN_LANGUAGE",), "message", "unknown", None, "could_not_tell_text"),
        (("NO_LIST",), "view", "unknown", None, "generic"),
    ],
)
def test_who_comes_first(reasons: tuple[str, ...], event: str, band: str, context: str | None, expected: str) -> None:
    assert trigger_for(reasons, Event(event), AgeBand(band), context=context) == expected  # type: ignore[arg-type]


def test_a_state_is_worded_for_what_was_looked_at() -> None:
    assert trigger_for(("NO_MODEL",), Event.MESSAGE, AgeBand.UNKNOWN) == "could_not_tell_check"
    assert trigger_for(("NO_MODEL",), Event.MESSAGE, AgeBand.UNKNOWN, about="text") == "could_not_tell_text"


@pytest.mark.parametrize("band", [band for band in AgeBand if band is not AgeBand.ADULT], ids=str)
def test_no_possible_child_reads_of_consequences(catalogue: Catalogue, band: AgeBand) -> None:
    for trigger, action, event in itertools.product(TRIGGERS, Action, Event):
        if action is Action.ALLOW:
            continue
        history = History()
        for _ in range(3):
            shown = select_notice(
                catalogue=catalogue,
                directory=(),
                trigger=trigger,
                action=action,
                band=band,
                event=event,
                history=history,
            )
            assert not shown.id.startswith(ADULT_ONLY), shown.id
            assert "consequence" not in shown.body and "crime" not in shown.body, shown.id
            history = history.with_shown(shown)
    for trigger in TRIGGERS:
        shown = select_asked(catalogue=catalogue, directory=(), trigger=trigger, band=band)
        assert not shown.id.startswith(ADULT_ONLY), shown.id
        assert "consequence" not in shown.body, shown.id


@pytest.mark.parametrize("band", AgeBand, ids=str)
@pytest.mark.parametrize("trigger", ASKED)
@pytest.mark.parametrize("country", ["GB", "DE", "ZZ", None])
def test_who_asks_gets_words_and_help(
    catalogue: Catalogue, directory: tuple[HelpService, ...], trigger: str, band: AgeBand, country: str | None
) -> None:
    for services in (directory, ()):
        shown = select_asked(catalogue=catalogue, directory=services, trigger=trigger, band=band, country=country)
        assert shown.help, "never without help, also where nothing could be read"
        ids = [choice.id for choice in shown.choices]
        assert ids[0] == "close" and "help" in ids and ids[-1] == "appeal"
        assert not shown.id.startswith("last_resort")


def test_who_asks_without_a_catalogue_gets_the_last_resort() -> None:
    shown = select_asked(catalogue=None, directory=(), trigger="pressured", band=AgeBand.UNKNOWN)
    assert shown.body == last_resort(action=Action.NUDGE, band=AgeBand.UNKNOWN).body


@pytest.mark.parametrize("trigger", ["unknown_age", "known_match"])
def test_an_unknown_reader_gets_law_youth_route_stop_it_now_and_a_crisis_line(
    catalogue: Catalogue, directory: tuple[HelpService, ...], trigger: str
) -> None:
    shown = select_notice(
        catalogue=catalogue,
        directory=directory,
        trigger=trigger,
        action=Action.HOLD,
        band=AgeBand.UNKNOWN,
        event=Event.VIEW,
        country="US",
    )
    assert "law" in shown.body and "not your fault" in shown.body
    names = " | ".join(service.service for service in shown.help)
    assert "WhatsOK" in names and "Stop It Now" in names
    assert any("crisis" in service.audience for service in shown.help)
    assert any("child" in service.audience for service in shown.help)


def test_a_language_that_nobody_reviewed_shows_its_short_form_with_local_help(
    catalogue: Catalogue, directory: tuple[HelpService, ...]
) -> None:
    german = in_language(catalogue, "de")
    shown = select_notice(
        catalogue=german,
        directory=directory,
        trigger="picture_in_explicit",
        action=Action.BLUR,
        band=AgeBand.FROM_13_TO_15,
        event=Event.VIEW,
        country="DE",
        languages=("de",),
    )
    assert shown.id.endswith(f"/{SHORT}")
    assert shown.help[0].country == "DE" and "de" in shown.help[0].languages
    assert len(shown.help) <= 2
    assert notice(german, unreviewed=("de",)).id.endswith("/a")
    assert notice(german, unreviewed=("fr",)).id.endswith(f"/{SHORT}")


def test_a_reviewed_language_shows_its_full_form(catalogue: Catalogue) -> None:
    assert notice(in_language(catalogue, "de", "native-reviewed")).id.endswith("/a")


def test_one_reviewed_wording_is_not_shown_twice_in_a_session(catalogue: Catalogue) -> None:
    entry = next(entry for entry in catalogue.notices if entry.id == "picture_in_explicit.view.13_15")
    alone = dataclasses.replace(catalogue, notices=(dataclasses.replace(entry, variants=entry.variants[:1]),))
    first = notice(alone)
    assert first.id.endswith("/a")
    assert notice(alone, History().with_shown(first)).id.endswith(f"/{SHORT}")
    assert notice(alone, History().with_shown(first).next_session()).id.endswith("/a")
