"""For every band, event and finding: nothing is handed out beyond what the action allows."""

from __future__ import annotations

import pytest
from gate_world import ColourDetector, picture
from hypothesis import given
from hypothesis import strategies as st
from safelight import Action, AgeBand, Event, Finding, FindingKind, Guard, Label, Profile, State
from safelight.errors import UsageError
from safelight.gates import Received, ReceiveGate
from safelight.media.stand_in import PLAIN
from safelight.policy import Rules, decide

EVENTS = (Event.RECEIVE, Event.VIEW, Event.SAVE, Event.SEND)
_OK = {
    FindingKind.NUDITY: (Label.NONE, Label.SUGGESTIVE, Label.EXPLICIT),
    FindingKind.AGE: (Label.NO_FACE, Label.ADULT, Label.UNSURE, Label.MINOR),
    FindingKind.KNOWN: (Label.NO_MATCH, Label.MATCH),
}
_STATES = [word for word in State if word is not State.OK]
findings = st.lists(
    st.one_of(
        st.sampled_from([(kind, label) for kind, labels in _OK.items() for label in labels]).flatmap(
            lambda one: st.floats(0, 1).map(lambda score: Finding(one[0], State.OK, one[1], score, "m"))
        ),
        st.builds(Finding, st.sampled_from([*_OK, FindingKind.MEDIA]), st.sampled_from(_STATES), model=st.just("m")),
    ),
    min_size=1,
    max_size=4,
)
DATA = picture("explicit")


def _passed(gate: ReceiveGate, event: Event) -> Received:
    call = {Event.RECEIVE: gate.receive, Event.VIEW: gate.view, Event.SAVE: gate.save, Event.SEND: gate.forward}
    return call[event](DATA)


@pytest.mark.parametrize("band", list(AgeBand))
@given(st.sampled_from(EVENTS), findings)
def test_nothing_goes_beyond_the_action(band: AgeBand, event: Event, found: list[Finding]) -> None:
    detector = ColourDetector()
    detector.forced = lambda _: found
    with Guard(Profile(band), detectors=[detector]) as guard:
        received = _passed(ReceiveGate(guard), event)
        assert received.action >= decide(found, band=band, event=event, rules=Rules.default()).action
        assert received.decision.event is event
        if received.action <= Action.NUDGE:
            assert (received.picture, received.stand_in) == (DATA, None)
        else:
            assert received.picture is None
        if received.action is Action.BLOCK:
            assert received.stand_in is None
        if received.action >= Action.BLUR:
            assert received.notice is not None
        if "KNOWN_MATCH" in received.decision.reasons:
            assert received.stand_in in (None, PLAIN)
        assert received.may_look is (received.action is Action.BLUR and event in (Event.RECEIVE, Event.VIEW))
        if received.may_look:
            # The look is an act of its own, decided by the rules of viewing.
            seen = received.ask_to_look().look()
            view = decide(found, band=band, event=Event.VIEW, rules=Rules.default()).action
            assert (seen == DATA) is (view <= Action.BLUR)
        else:
            with pytest.raises(UsageError):
                received.ask_to_look()
        assert received.picture in (None, DATA)
