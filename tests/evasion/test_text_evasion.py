"""Does a disguised message keep its features, and does the conversation still see its stages?"""

from __future__ import annotations

import random

import pytest
from evasion.text_evasion import FAMILIES, split
from safelight import _text
from safelight.decision import Label
from safelight.detect.conversation import ConversationTracker
from stage_scorer import WORDS, WordScorer

MESSAGES = (
    "can you help me with the homework for monday",
    "we are going to the cinema on saturday with my family",
    "please send me the picture of the class trip",
    "my phone is broken, write me on the computer",
    "ich komme morgen nach der schule mit dem bus",
    "mañana vamos al parque con los abuelos",
    "on se retrouve devant la bibliothèque après les cours",
    "domani andiamo in piscina con mio fratello",
    "amanhã tem prova de matemática na escola",
)
# Share of a message's features that the disguise must leave: measured, less about five points.
KEPT = {"leet": 0.85, "dotted": 0.92, "spaced": 0.92, "unpunctuated": 0.92}


@pytest.mark.parametrize("family", FAMILIES)
def test_features_survive(family: str) -> None:
    rng = random.Random(1)
    kept = []
    for message in MESSAGES * 20:
        plain, disguised = _text.features(message), _text.features(FAMILIES[family](message, rng))
        ids = set(plain.ids[: plain.count].tolist())
        kept.append(len(ids & set(disguised.ids[: disguised.count].tolist())) / len(ids))
    assert sum(kept) / len(kept) >= KEPT.get(family, 0.95)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_disguises_change_the_text_and_are_seeded(family: str) -> None:
    disguise = FAMILIES[family]
    changed = [disguise(message, random.Random(7)) for message in MESSAGES]
    assert changed == [disguise(message, random.Random(7)) for message in MESSAGES]
    assert sum(a != b for a, b in zip(changed, MESSAGES, strict=True)) >= (1 if family == "unpunctuated" else 8)


def test_split_messages_are_the_message() -> None:
    for seed in range(50):
        parts = split(MESSAGES[seed % len(MESSAGES)], random.Random(seed))
        assert len(parts) >= 2
        assert " ".join(parts) == MESSAGES[seed % len(MESSAGES)]


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"leet"}))
def test_stages_are_still_seen(family: str) -> None:
    rng = random.Random(3)
    tracker = ConversationTracker(WordScorer())
    for stage in (Label.AGE_PROBE, Label.SECRECY, Label.FLATTERY_BOND, Label.MEETING):
        text = f"{WORDS[stage]} and some more words after it, enough of them"
        tracker.add(sender="other", text=FAMILIES[family](text, rng))
    assert tracker.level is Label.DANGER
