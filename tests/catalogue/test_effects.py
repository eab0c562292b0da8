"""Question: is only what was meant counted, only where somebody said so, and exported with noise or not at all?"""

from __future__ import annotations

from collections import Counter

import pytest
from safelight import Guard, Profile
from safelight.decision import Action, AgeBand, Event, Notice
from safelight.errors import UsageError
from safelight.notices import History, effects
from safelight.notices.catalogue import Catalogue
from safelight.notices.effects import Effects, export_counts
from safelight.notices.select import select_notice
from safelight.store.counters import NAMES


class Sink:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, name: str) -> None:
        assert name in NAMES, "the store must know the name"
        self.counts[name] += 1


@pytest.fixture
def notice(catalogue: Catalogue) -> Notice:
    return select_notice(
        catalogue=catalogue,
        directory=(),
        trigger="picture_in_suggestive",
        action=Action.BLUR,
        band=AgeBand.UNDER_10,
        event=Event.VIEW,
    )


def test_what_is_counted(notice: Notice) -> None:
    sink = Sink()
    counted = Effects(sink)
    history = counted.shown(notice, History())
    history = counted.shown(notice, history)
    for choice in ("keep_hidden", "show", "help", "appeal"):
        counted.chosen(notice, choice)
    history = counted.false_alarm(notice, history)
    assert sink.counts == {
        "notice.shown": 2,
        "notice.repeated": 1,
        "choice.stop": 2,
        "choice.continue": 1,
        "help.opened": 1,
        "notice.false_alarm": 1,
    }
    assert len(history.shown) == 2 and len(history.false_alarms) == 1


def test_without_a_sink_nothing_is_counted_and_the_history_goes_on(notice: Notice) -> None:
    assert Effects().shown(notice, History()).times(notice.id.partition("/")[0]) == 1
    with pytest.raises(UsageError, match="expected one of"):
        Effects().chosen(notice, "shout")


def test_every_choice_of_the_catalogue_counts_as_one_thing_or_none(catalogue: Catalogue) -> None:
    ids = {c.id for entry in catalogue.notices for cs in entry.shape.choices.values() for c in cs}
    assert ids - effects.SAFE_CHOICES - effects.GO_ON_CHOICES == {"appeal"}
    assert not effects.SAFE_CHOICES & effects.GO_ON_CHOICES


def test_nothing_leaves_without_consent() -> None:
    with pytest.raises(UsageError, match="ask them first"):
        export_counts({"notice.shown": 100}, opted_in=False)
    for wrong in ({"threshold": 0}, {"epsilon": 0.0}, {"epsilon": float("inf")}, {"epsilon": float("nan")}):
        with pytest.raises(UsageError):
            export_counts({"notice.shown": 100}, opted_in=True, **wrong)  # type: ignore[arg-type]


def test_small_counts_stay_and_large_ones_are_noisy() -> None:
    exported = [export_counts({"large": 1000, "none": 0}, opted_in=True) for _ in range(200)]
    # P(noise of epsilon 0.5 reaches 20) is 3e-5 a draw.
    assert sum("none" in one for one in exported) <= 2
    values = [one["large"] for one in exported]
    assert len(set(values)) > 3
    assert abs(sum(values) / len(values) - 1000) < 3
    assert all(abs(value - 1000) < 80 for value in values)


def test_a_guard_shows_another_wording_once_the_host_has_shown_one() -> None:
    with Guard(Profile("10_12"), detectors=()) as guard:
        first = guard.check_image(b"not a picture").notice
        again = guard.check_image(b"not a picture").notice
        assert first is not None and again == first, "a decision is not a showing"
        guard.shown(first)
        second = guard.check_image(b"not a picture").notice
        assert second is not None and second.id != first.id and second.title != first.title
        guard.shown(second)
        third = guard.check_image(b"not a picture").notice
        assert third is not None and third.id.endswith("/short")
        guard.chosen(third, "help")
        history = guard.history
    with Guard(Profile("10_12"), detectors=(), history=history.next_session()) as guard:
        fourth = guard.check_image(b"not a picture").notice
        assert fourth is not None and fourth.id.rsplit("/", 1)[1] not in ("short", "b")


def test_a_false_alarm_in_a_guard_keeps_the_action() -> None:
    with Guard(Profile("10_12"), detectors=()) as guard:
        before = guard.check_url("not an address \x00")
        decision = guard.check_image(b"not a picture")
        assert decision.notice is not None
        guard.false_alarm(decision.notice)
        after = guard.check_image(b"not a picture")
        assert after.action is decision.action is Action.HOLD
        assert before.action <= Action.HOLD


def test_a_guard_answers_who_asks_even_when_closed() -> None:
    guard = Guard(Profile("13_15", country="GB"), detectors=())
    guard.close()
    asked = guard.notice("pressured")
    assert asked.help and asked.severity == 3
    assert guard.notice("parent_asked").id.startswith("pressured."), "not made for this reader: support instead"


def test_unreviewed_languages_are_named_one_by_one() -> None:
    with pytest.raises(UsageError, match="several in a tuple"):
        Guard(detectors=(), unreviewed_languages="de")
