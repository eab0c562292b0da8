"""Does a context choose only words: whatever is found, for whomever, the action and its reasons stay?"""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PilImage
from safelight import AgeBand, Event, Finding, FindingKind, Guard, Label, Profile, State, UsageError
from safelight.decision import Action
from safelight.media import Image
from safelight.notices.select import CONTEXTS
from safelight.testing import TestMode, known_match

bands = st.sampled_from(list(AgeBand))
events = st.sampled_from(list(Event))

EXPLICIT = Finding(FindingKind.NUDITY, State.OK, Label.EXPLICIT, 0.95, "opinion")
SUGGESTIVE = Finding(FindingKind.NUDITY, State.OK, Label.SUGGESTIVE, 0.8, "opinion")
NOTHING = Finding(FindingKind.NUDITY, State.OK, Label.NONE, 0.01, "opinion")
UNSEEN = Finding(FindingKind.NUDITY, State.DETECTOR_FAILED, model="opinion")
looks = st.sampled_from([EXPLICIT, SUGGESTIVE, NOTHING, UNSEEN])


class Opinion:
    """A detector that always says the same."""

    id = "opinion"
    kinds = (FindingKind.NUDITY,)

    def __init__(self, finding: Finding) -> None:
        self.finding = finding

    def prepare(self) -> State:
        return State.OK

    def detect(self, image: Image) -> list[Finding]:
        return [self.finding]

    def close(self) -> None:
        pass


def png() -> bytes:
    buffer = io.BytesIO()
    PilImage.new("RGB", (64, 48), (90, 120, 150)).save(buffer, "PNG")
    return buffer.getvalue()


PICTURE = png()


@given(look=looks, band=bands, event=events, known=st.booleans())
def test_a_context_never_changes_the_action(look: Finding, band: AgeBand, event: Event, known: bool) -> None:
    kit = TestMode(known_match()) if known else None
    with Guard(Profile(band), detectors=[Opinion(look)], test_mode=kit, concurrency=1) as guard:
        plain = guard.check_image(PICTURE, event=event)
        for context in CONTEXTS:
            told = guard.check_image(PICTURE, event=event, context=context)
            assert (told.action, told.reasons, told.findings) == (plain.action, plain.reasons, plain.findings)
            assert (told.notice is None) is (plain.notice is None)
            assert told.notice is None or told.notice.help


@pytest.mark.parametrize(
    ("look", "band", "event", "context", "known", "cell"),
    [
        (EXPLICIT, "13_15", "send", None, False, "picture_out_explicit."),
        (EXPLICIT, "13_15", "send", "forwarding", False, "forwarding."),
        (SUGGESTIVE, "10_12", "send", "forwarding", False, "forwarding."),
        (EXPLICIT, "unknown", "upload", "forwarding", False, "forwarding."),
        (EXPLICIT, "13_15", "receive", "forwarding", False, "picture_in_explicit."),
        (EXPLICIT, "adult", "send", "outrage", True, "outrage_sharing."),
        (EXPLICIT, "adult", "send", None, True, "known_match."),
        (EXPLICIT, "13_15", "send", "outrage", True, "known_match."),
    ],
)
def test_a_context_chooses_the_words(
    look: Finding, band: str, event: str, context: str | None, known: bool, cell: str
) -> None:
    kit = TestMode(known_match()) if known else None
    with Guard(Profile(band), detectors=[Opinion(look)], test_mode=kit, concurrency=1) as guard:
        decision = guard.check_image(PICTURE, event=event, context=context)
        (listed,) = guard.check_images([PICTURE], event=event, context=context)
    assert decision.action > Action.ALLOW
    assert decision.notice is not None
    assert decision.notice.id.startswith(cell)
    assert listed.notice == decision.notice


async def _awaited(guard: Guard) -> str:
    decision = await guard.acheck_image(PICTURE, event="send", context="forwarding")
    assert decision.notice is not None
    return decision.notice.id


def test_asyncio_takes_a_context_too() -> None:
    import asyncio

    with Guard(Profile("13_15"), detectors=[Opinion(EXPLICIT)], concurrency=1) as guard:
        assert asyncio.run(_awaited(guard)).startswith("forwarding.")


def test_an_unknown_context_names_the_known_ones() -> None:
    with Guard(detectors=[]) as guard, pytest.raises(UsageError) as wrong:
        guard.check_image(PICTURE, context="revenge")
    for word in CONTEXTS:
        assert word in str(wrong.value)
