"""Does whatever is sent give an answer, within bounds, the same each time, and no safer for a stricter view?"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from safelight import _text
from safelight.decision import Finding, FindingKind, Label, State
from safelight.detect.conversation import LEVELS, STAGES, ConversationRules, ConversationTracker
from stage_scorer import WORDS, WordScorer

SIGNS = st.sampled_from([*WORDS.values(), f"strong{WORDS[Label.THREAT]}", "open", "sesame", "plain"])
ANYTHING = st.one_of(
    st.text(st.characters(codec=None), max_size=80),
    st.binary(max_size=80),
    st.lists(SIGNS, max_size=6).map(" ".join),
)
TIMES = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**9), 10**9))
MESSAGES = st.lists(st.tuples(st.sampled_from(_text.SENDERS), ANYTHING, TIMES), max_size=30)
Message = tuple[str, "str | bytes", "float | None"]


def _judge(messages: list[Message], *, fine_after: int | None = None, **options: object) -> list[tuple[Finding, ...]]:
    tracker = ConversationTracker(WordScorer(), **options)  # type: ignore[arg-type]
    found = []
    for number, (sender, text, at) in enumerate(messages):
        found.append(tracker.add(sender=sender, text=text, at=at))
        if number == fine_after:
            tracker.fine()
    return found


def _levels(found: list[tuple[Finding, ...]]) -> list[int]:
    return [LEVELS.index(findings[0].label) for findings in found if findings[0].label is not None]


@given(messages=MESSAGES, trust=st.sampled_from(_text.TRUSTS), fine_after=st.one_of(st.none(), st.integers(0, 29)))
def test_every_message_has_an_answer(messages: list[Message], trust: str, fine_after: int | None) -> None:
    found = _judge(messages, trust=trust, fine_after=fine_after)
    assert found == _judge(messages, trust=trust, fine_after=fine_after)
    for index, findings in enumerate(found):
        conversation, *rest = findings
        assert conversation.kind is FindingKind.CONVERSATION
        assert conversation.state is State.OK
        assert rest
        for finding in findings:
            assert finding.score is None or 0.0 <= finding.score <= 1.0
            assert all(0 <= at <= index for at in finding.message_indices or ())
            assert len(finding.message_indices or ()) <= 16 * len(STAGES)


@given(messages=MESSAGES)
def test_a_known_contact_is_never_judged_more_strictly_nor_absolved(messages: list[Message]) -> None:
    unknown, guardian = (_levels(_judge(messages, trust=trust)) for trust in ("unknown", "guardian"))
    assert all(theirs <= ours for ours, theirs in zip(unknown, guardian, strict=True))
    danger = len(LEVELS) - 1
    if danger in unknown:
        assert danger in guardian


@given(messages=MESSAGES, fine_after=st.integers(0, 29))
def test_fine_only_takes_nudges_away(messages: list[Message], fine_after: int) -> None:
    rules = ConversationRules(hold_messages=1000)
    plain = _levels(_judge(messages, rules=rules))
    fine = _levels(_judge(messages, rules=rules, fine_after=fine_after))
    for before, after in zip(plain, fine, strict=True):
        assert after == before or (LEVELS[before], LEVELS[after]) == (Label.WATCH, Label.CALM)


@given(messages=MESSAGES, sender=st.just("self"))
def test_the_protected_person_raises_nothing(messages: list[Message], sender: str) -> None:
    found = _judge([(sender, text, at) for _, text, at in messages])
    assert set(_levels(found)) <= {0}
    assert all(finding.label in (Label.CALM, Label.NONE, None) for findings in found for finding in findings)
