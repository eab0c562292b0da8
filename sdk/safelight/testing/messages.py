"""Marked messages: a conversation that reads the trigger kit's tokens as well as the text."""

from __future__ import annotations

from safelight.detect.conversation import STAGES, ConversationRules, ConversationTracker, StageScorer, _Scored
from safelight.testing.marker import MarkerKey, read_message


class MarkedTracker(ConversationTracker):
    """A tracker that takes a marked message for the marked stage; the scorer still scores, and the higher one counts.

    Args:
        scorer, trust, rules: as for :class:`ConversationTracker`.
        key: whose tokens count; this process's own when left out.
    """

    def __init__(
        self,
        scorer: StageScorer,
        *,
        trust: str = "unknown",
        rules: ConversationRules | None = None,
        key: MarkerKey | None = None,
    ) -> None:
        super().__init__(scorer, trust=trust, rules=rules)
        self._key = key

    def _score(self, index: int, sender: str, text: str, gap_s: float | None) -> _Scored:
        scored = super()._score(index, sender, text, gap_s)
        for stage, score in read_message(text, key=self._key).items():
            at = STAGES.index(stage)
            scored.stages[at] = max(scored.stages[at], score)
            self._risk = max(self._risk, score)
        return scored
