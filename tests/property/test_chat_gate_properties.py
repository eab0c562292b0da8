"""For every band and any sequence of messages, both ways, with pictures that take any time: order, and nothing beyond
what was decided about the message and about the conversation."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from gate_world import COLOURS, ColourDetector, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from safelight import Action, AgeBand, Event, Finding, FindingKind, Guard, Label, Profile, State
from safelight.gates import ChatGate, Delivery
from safelight.policy import Rules, decide
from stage_scorer import WORDS, WordScorer

LONG = "and words about nothing in particular, long enough not to be taken for a piece"

messages = st.lists(
    st.tuples(
        st.sampled_from(["incoming", "outgoing"]),
        st.one_of(
            st.sampled_from(
                [f"{word} {LONG}" for word in WORDS.values()] + [f"strong{WORDS[Label.THREAT]} {LONG}", LONG]
            ),
            st.sampled_from(list(COLOURS)),
        ),
    ),
    min_size=1,
    max_size=14,
)


def _least(band: AgeBand, direction: str, content: str) -> Action:
    """What the message alone comes to."""
    found = {
        "suggestive": Finding(FindingKind.NUDITY, State.OK, Label.SUGGESTIVE, 0.6, "m"),
        "explicit": Finding(FindingKind.NUDITY, State.OK, Label.EXPLICIT, 0.97, "m"),
        "match": Finding(FindingKind.KNOWN, State.OK, Label.MATCH, 1.0, "m"),
        "fails": Finding(FindingKind.NUDITY, State.DETECTOR_FAILED, model="m"),
    }.get(content, Finding(FindingKind.NUDITY, State.OK, Label.NONE, 0.9, "m"))
    event = Event.RECEIVE if direction == "incoming" else Event.SEND
    return decide([found], band=band, event=event, rules=Rules.default()).action


def _floor(band: AgeBand, level: str) -> Action:
    found = Finding(FindingKind.CONVERSATION, State.OK, Label(level), 0.9, "m")
    return decide([found], band=band, event=Event.MESSAGE, rules=Rules.default()).action


@pytest.mark.parametrize("band", list(AgeBand))
@settings(max_examples=max(5, settings().max_examples // 5))
@given(messages, st.floats(0, 0.02))
def test_order_and_nothing_beyond_the_decisions(band: AgeBand, said: list[tuple[str, str]], wait_s: float) -> None:
    detector = ColourDetector()
    left: dict[str, list[int]] = {"incoming": [], "outgoing": []}
    with Guard(Profile(band), detectors=[detector], concurrency=3) as guard, ChatGate(guard) as gate:
        chat = gate.conversation(scorer=WordScorer())
        futures = []
        for number, (direction, content) in enumerate(said):
            message: dict[str, Any] = (
                {"picture": picture(content, detail=number)} if content in COLOURS else {"text": content}
            )
            submit = chat.submit_incoming if direction == "incoming" else chat.submit_outgoing
            future = submit(**message)
            future.add_done_callback(lambda _, number=number, direction=direction: left[direction].append(number))
            futures.append(future)
        timer = threading.Timer(wait_s, detector.go.set)
        timer.start()
        deliveries: list[Delivery] = [future.result(30) for future in futures]
        timer.join()
        chat.close()
    for direction, numbers in left.items():
        assert numbers == [number for number, (way, _) in enumerate(said) if way == direction]
    for number, ((direction, content), one) in enumerate(zip(said, deliveries, strict=True)):
        level = "calm"
        if one.conversation is not None:
            level = next(f.label for f in one.conversation.findings if f.kind is FindingKind.CONVERSATION)
            assert one.action >= _floor(band, level)
        if content in COLOURS:
            assert one.action >= _least(band, direction, content)
            assert (one.picture == picture(content, detail=number)) is (one.action <= Action.NUDGE)
            assert one.text is None
        else:
            assert (one.text == content) is (one.action <= Action.NUDGE)
            assert one.picture is None
        if one.action is Action.BLOCK:
            assert one.stand_in is None
        assert (one.notice is None) is (one.action is Action.ALLOW)
        assert one.may_look <= (one.action is Action.BLUR)
        if level == "danger" or (f"strong{WORDS[Label.THREAT]}" in content and direction == "incoming"):
            assert one.help
