"""A scorer of numbers for tests of the conversation: words stand for stages, and no wording is needed.

``alpha`` counts as the first stage, ``bravo`` as the second, and so on in the order of ``STAGES``; ``strongalpha`` is
the same with a higher score. ``open sesame``, only when read together, is a request for a photo.
"""

from __future__ import annotations

import numpy as np
from reference.text import bucket
from safelight import _text
from safelight.decision import Label
from safelight.detect.conversation import STAGES, Floats, Ids, StageScores

NAMES = "alpha bravo charly delta echo foxtrot golf hotel india juliet kilo"
WORDS = dict(
    zip(
        STAGES,
        ["alpha", "bravo", "charly", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "kilo"],
        strict=True,
    )
)


class WordScorer:
    """Deterministic; its state counts the messages, its risk is given."""

    id = "words"
    state_shape = (1, 64)

    def __init__(self, score: float = 0.8, risk: float = 0.9) -> None:
        self.score_of_a_word = score
        self.risk = risk
        self.calls = 0

    def score(self, ids: Ids, dense: Floats, state: Floats, *, language: str) -> StageScores:
        assert ids.dtype == np.int32
        assert ids.shape == (1, _text.MAX_IDS)
        assert dense.shape == (1, 16)
        assert state.shape == self.state_shape
        self.calls += 1
        present = set(ids[0].tolist())
        stages = np.zeros(len(STAGES), np.float32)
        for number, word in enumerate(WORDS.values()):
            if bucket(f"w:{word}") in present:
                stages[number] = self.score_of_a_word
            if bucket(f"w:strong{word}") in present:
                stages[number] = 0.99
        if {bucket("w:open"), bucket("w:sesame")} <= present:
            stages[STAGES.index(Label.PHOTO_REQUEST)] = self.score_of_a_word
        return StageScores(stages, self.risk, state + np.float32(1))
