"""What do several messages mean together?"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from safelight import _text
from safelight.decision import FindingKind, Label, State
from safelight.detect.conversation import SERIOUS, STAGES, ConversationRules, ConversationTracker, StageScores
from safelight.errors import ClosedError, ModelError, UsageError
from stage_scorer import WORDS, WordScorer

MEETING, SECRECY, PHOTO = WORDS[Label.MEETING], WORDS[Label.SECRECY], WORDS[Label.PHOTO_REQUEST]
AGE, GIFT, PRAISE = WORDS[Label.AGE_PROBE], WORDS[Label.GIFT], WORDS[Label.FLATTERY_BOND]
THREAT = WORDS[Label.THREAT]
BENIGN = "words about nothing in particular, long enough not to be taken for a piece"


def _tracker(**options: object) -> ConversationTracker:
    return ConversationTracker(WordScorer(), **options)  # type: ignore[arg-type]


def _levels(tracker: ConversationTracker, *texts: str, sender: str = "other") -> list[str]:
    levels = []
    for text in texts:
        tracker.add(sender=sender, text=text)
        levels.append(tracker.level.value)
    return levels


@pytest.mark.parametrize("stage", STAGES)
def test_one_stage_alone_is_calm_however_often(stage: Label) -> None:
    assert set(_levels(_tracker(), *[f"{WORDS[stage]} {BENIGN}"] * 50)) == {"calm"}


@pytest.mark.parametrize("stages", [(AGE, GIFT, PRAISE), (AGE, PRAISE), (WORDS[Label.ALONE_CHECK], GIFT, AGE, PRAISE)])
def test_stages_that_are_not_serious_do_not_warn(stages: tuple[str, ...]) -> None:
    assert set(_levels(_tracker(), *[f"{stage} {BENIGN}" for stage in stages] * 5)) == {"calm"}


def test_two_stages_one_serious_warn_and_more_are_danger() -> None:
    texts = [f"{word} {BENIGN}" for word in (AGE, SECRECY, PRAISE, MEETING)]
    assert _levels(_tracker(), *texts) == ["calm", "warn", "warn", "danger"]


def test_weak_evidence_is_only_watched() -> None:
    tracker = ConversationTracker(WordScorer(score=0.55))
    assert _levels(tracker, f"{AGE} {BENIGN}", f"{SECRECY} {BENIGN}") == ["calm", "watch"]


def test_the_models_risk_can_hold_a_warning_back_but_not_a_threat() -> None:
    rules = ConversationRules(warn_risk=0.5)
    tracker = ConversationTracker(WordScorer(risk=0.1), rules=rules)
    assert _levels(tracker, f"{AGE} {BENIGN}", f"{SECRECY} {BENIGN}", f"strong{THREAT} {BENIGN}")[1:] == [
        "watch",
        "danger",
    ]


@pytest.mark.parametrize("trust", _text.TRUSTS)
def test_one_strong_threat_warns_whoever_it_comes_from(trust: str) -> None:
    assert _levels(_tracker(trust=trust), f"strong{THREAT} {BENIGN}") == ["warn"]


def test_what_the_protected_person_writes_is_no_sign() -> None:
    texts = [f"{WORDS[stage]} {BENIGN}" for stage in STAGES]
    tracker = _tracker()
    assert set(_levels(tracker, *texts, sender="self")) == {"calm"}
    assert tracker.messages == len(texts)


def test_trust_is_context_and_no_absolution() -> None:
    texts = [f"{word} {BENIGN}" for word in (AGE, SECRECY, GIFT, MEETING)]
    assert _levels(_tracker(trust="guardian"), *texts) == ["calm", "calm", "warn", "danger"]


def test_fine_quiets_nudges_but_nothing_serious() -> None:
    tracker = ConversationTracker(WordScorer(score=0.55))
    assert _levels(tracker, f"{AGE} {BENIGN}", f"{SECRECY} {BENIGN}")[-1] == "watch"
    tracker.fine()
    assert tracker.level is Label.CALM
    assert _levels(tracker, f"{GIFT} {BENIGN}")[-1] != "watch"
    assert _levels(tracker, f"{MEETING} {BENIGN}")[-1] in ("watch", "warn", "danger")
    strong = _tracker()
    strong.fine()
    assert _levels(strong, *[f"{word} {BENIGN}" for word in (AGE, SECRECY, PRAISE, MEETING)])[-1] == "danger"


def test_a_pause_resets_nothing() -> None:
    tracker, at = _tracker(), datetime(2026, 1, 1, tzinfo=timezone.utc)
    for week, word in enumerate((AGE, SECRECY, PRAISE, MEETING)):
        tracker.add(sender="other", text=f"{word} {BENIGN}", at=at + timedelta(weeks=week))
    assert tracker.level is Label.DANGER


def test_signs_fade_with_many_messages_or_half_a_year_one_step_at_a_time() -> None:
    tracker = _tracker(rules=ConversationRules(window_messages=30, hold_messages=10))
    _levels(tracker, *[f"{word} {BENIGN}" for word in (AGE, SECRECY, PRAISE, MEETING)])
    seen = _levels(tracker, *[BENIGN] * 80)
    assert list(dict.fromkeys(seen)) == ["danger", "warn", "watch", "calm"]
    assert seen.index("calm") >= 30
    old = _tracker()
    old.add(sender="other", text=f"{SECRECY} {BENIGN}", at=0.0)
    old.add(sender="other", text=f"{MEETING} {BENIGN}", at=200 * 86400.0)
    assert old.level is Label.CALM


def test_a_sentence_in_pieces_is_read_as_a_whole() -> None:
    tracker = _tracker()
    tracker.add(sender="other", text="open", at=0.0)
    findings = tracker.add(sender="other", text="sesame", at=5.0)
    assert [(f.label, f.message_indices) for f in findings[1:]] == [(Label.PHOTO_REQUEST, (0, 1))]
    late = _tracker()
    late.add(sender="other", text="open", at=0.0)
    assert late.add(sender="other", text="sesame", at=500.0)[1].label is Label.NONE
    other = _tracker()
    other.add(sender="self", text="open")
    assert other.add(sender="other", text="sesame")[1].label is Label.NONE


def test_findings_name_stages_and_messages() -> None:
    tracker = _tracker()
    tracker.add(sender="self", text=BENIGN)
    tracker.add(sender="other", text=f"{AGE} {BENIGN}")
    conversation, *stages = tracker.add(sender="other", text=f"{SECRECY} {PHOTO} {BENIGN}")
    assert conversation.kind is FindingKind.CONVERSATION
    assert conversation.label is Label.WARN
    assert conversation.score == pytest.approx(0.9)
    assert conversation.message_indices == (1, 2)
    assert {finding.label for finding in stages} == {Label.SECRECY, Label.PHOTO_REQUEST}
    assert all(finding.message_indices == (2,) and finding.score == pytest.approx(0.8) for finding in stages)


def test_a_long_message_is_read_sentence_by_sentence() -> None:
    tracker = _tracker()
    text = f"{BENIGN}. " * 20 + f"{SECRECY} {BENIGN}. " + f"{BENIGN}. " * 20 + f"{MEETING}."
    findings = tracker.add(sender="other", text=text)
    assert {finding.label for finding in findings[1:]} == {Label.SECRECY, Label.MEETING}
    assert tracker.level is Label.WARN


def test_too_long_is_a_state_and_the_rest_is_judged() -> None:
    findings = _tracker().add(sender="other", text=f"{SECRECY} " + "word " * 250_000)
    assert {finding.state for finding in findings} == {State.OK, State.TOO_LONG}
    assert Label.SECRECY in {finding.label for finding in findings}


def test_a_language_that_nobody_knows_is_said_and_not_at_every_message() -> None:
    tracker = _tracker()
    states = [
        any(f.state is State.UNKNOWN_LANGUAGE for f in tracker.add(sender="other", text="Қалың орман ішінде жол"))
        for _ in range(100)
    ]
    assert states.index(True) == 4
    assert sum(states) == 1


def test_a_scorer_that_fails_is_a_state_and_the_next_message_goes_on() -> None:
    class Failing(WordScorer):
        def score(self, ids, dense, state, *, language):  # type: ignore[no-untyped-def]
            if self.calls == 0:
                self.calls += 1
                raise ModelError("failed", state=State.DETECTOR_FAILED)
            return super().score(ids, dense, state, language=language)

    tracker = ConversationTracker(Failing())
    assert {f.state for f in tracker.add(sender="other", text="a b c")} == {State.DETECTOR_FAILED}
    assert tracker.add(sender="other", text="a b c")[0].state is State.OK


@pytest.mark.parametrize(
    "answer",
    [
        StageScores(np.full(11, np.nan, np.float32), 0.5, np.zeros((1, 64), np.float32)),
        StageScores(np.zeros(10, np.float32), 0.5, np.zeros((1, 64), np.float32)),
        StageScores(np.zeros(11, np.float32), float("inf"), np.zeros((1, 64), np.float32)),
        StageScores(np.zeros(11, np.float32), 0.5, np.zeros((1, 63), np.float32)),
    ],
)
def test_scores_that_are_no_scores_are_a_state(answer: StageScores) -> None:
    class Broken(WordScorer):
        def score(self, ids, dense, state, *, language):  # type: ignore[no-untyped-def]
            return answer

    assert {f.state for f in ConversationTracker(Broken()).add(sender="other", text="a b c")} == {State.SCORE_INVALID}


def test_bounded_over_a_hundred_thousand_messages() -> None:
    tracker, scorer = _tracker(), WordScorer()
    tracker = ConversationTracker(scorer)
    texts = [f"{WORDS[stage]} {BENIGN}" for stage in STAGES]
    for number in range(100_000 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 5_000):
        tracker.add(sender="other", text=texts[number % len(texts)], at=float(number))
    assert sum(len(signs) for signs in tracker._signs.values()) <= 4 * len(STAGES)
    assert len(tracker._pieces) <= 4
    findings = tracker.add(sender="other", text=texts[0])
    assert len(findings[0].message_indices or ()) <= 4 * 4 * len(STAGES)


def test_nothing_but_numbers_is_kept() -> None:
    tracker = _tracker()
    for number in range(10):
        tracker.add(sender="other", text=f"sentinel{number} {BENIGN}")
    assert not tracker._pieces
    assert "sentinel" not in repr(tracker) + repr({name: getattr(tracker, name) for name in vars(tracker)})


def test_misuse_raises() -> None:
    tracker = _tracker()
    with pytest.raises(UsageError, match="sender"):
        tracker.add(sender="me", text="a")
    with pytest.raises(UsageError, match="text"):
        tracker.add(sender="other", text=5)  # type: ignore[arg-type]
    for at in ("now", float("nan"), True):
        with pytest.raises(UsageError, match="at"):
            tracker.add(sender="other", text="a", at=at)  # type: ignore[arg-type]
    assert tracker.messages == 0
    with pytest.raises(UsageError, match="trust"):
        _tracker(trust="known")
    with pytest.raises(UsageError, match="warn_risk"):
        ConversationRules(warn_risk=2.0)
    with pytest.raises(UsageError, match="stage_thresholds"):
        ConversationRules(stage_thresholds={Label.MATCH: 0.5})
    tracker.close()
    tracker.close()
    with pytest.raises(ClosedError):
        tracker.add(sender="other", text="a")
    with pytest.raises(ClosedError):
        tracker.fine()


def test_every_serious_stage_is_a_stage() -> None:
    assert set(STAGES) > SERIOUS
    assert Label.SEXUALISED not in SERIOUS
