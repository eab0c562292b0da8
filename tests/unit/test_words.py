"""Are the words and statuses of Python and of the native core the same?"""

from __future__ import annotations

import pytest
from safelight import _native
from safelight.decision import Action, AgeBand, Event, FindingKind, Label, State
from safelight.errors import SafelightError, raise_for_status


@pytest.mark.parametrize(
    ("vocabulary", "words"),
    [
        ("action", [word.name for word in Action]),
        ("age_band", [word.value for word in AgeBand]),
        ("event", [word.value for word in Event]),
        ("finding_kind", [word.value for word in FindingKind]),
        ("state", [word.value for word in State]),
        ("label", [word.value for word in Label]),
    ],
)
def test_python_and_native_words_agree_in_order(vocabulary: str, words: list[str]) -> None:
    assert _native.words()[vocabulary] == words


def test_reasons_start_with_the_states() -> None:
    reasons = _native.words()["reason"]
    assert reasons[: len(State)] == [state.value for state in State]
    named = [reason for reason in reasons if reason]
    assert len(set(named)) == len(named) == len(State) + 19
    assert reasons[64] == "HELP", "the numbers of reasons are part of the C face: append only"


def test_every_status_becomes_an_exception_with_the_native_message() -> None:
    raise_for_status(0)
    for status in range(1, _native.STATUS_COUNT):
        with pytest.raises(SafelightError) as raised:
            raise_for_status(status)
        assert str(raised.value) == _native.status_message(status)


def test_a_status_of_another_build_is_still_an_exception() -> None:
    with pytest.raises(SafelightError, match="different versions"):
        raise_for_status(4711)


def test_actions_are_a_ladder() -> None:
    assert Action.ALLOW < Action.NUDGE < Action.BLUR < Action.HOLD < Action.BLOCK
