"""What was decided about a request: one decision a part, and the most protective of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from safelight.decision import Action, Decision
from safelight.errors import UploadError
from safelight.media.content import ContentKind


@dataclass(frozen=True, slots=True)
class UploadedPart:
    """One part of a request: a file, a field, or the whole body.

    Attributes:
        index: in the order of the request, from 0.
        kind: what its content is.
        size_bytes: of its content.
        decision: about it.
    """

    index: int
    kind: ContentKind
    size_bytes: int
    decision: Decision


@dataclass(frozen=True, slots=True)
class UploadVerdict:
    """What was decided about all parts of a request together.

    Attributes:
        parts: every part, in order, each with its own decision.
        refuse_at: from this action on nothing of the request goes through.
    """

    parts: tuple[UploadedPart, ...]
    refuse_at: Action = Action.BLUR

    @property
    def action(self) -> Action:
        """The highest action of all parts; ``ALLOW`` for a request without any."""
        return max((part.decision.action for part in self.parts), default=Action.ALLOW)

    @property
    def refused(self) -> bool:
        """Whether nothing of the request goes through."""
        return self.action >= self.refuse_at

    @property
    def decision(self) -> Decision | None:
        """The most protective decision, the first of several; its notice is the one to show."""
        return max((part.decision for part in self.parts), key=lambda one: one.action, default=None)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values: the decision to show, and for each part its action and reasons. No name, no content."""
        decision = self.decision
        return {
            "action": self.action.name,
            "refused": self.refused,
            "decision": decision.to_dict() if decision is not None else None,
            "parts": [
                {
                    "index": part.index,
                    "kind": part.kind.value,
                    "size_bytes": part.size_bytes,
                    "action": part.decision.action.name,
                    "reasons": list(part.decision.reasons),
                }
                for part in self.parts
            ],
        }


class UploadRefusedError(UploadError):
    """A request was not sent: something in it must not go out. Show ``verdict.decision.notice``.

    It is no ``requests.RequestException`` on purpose: code that tries again after one would only ask again.

    Attributes:
        verdict: what was decided, part by part.
    """

    reason = "UPLOAD_REFUSED"

    def __init__(self, verdict: UploadVerdict) -> None:
        count = sum(part.decision.action >= verdict.refuse_at for part in verdict.parts)
        super().__init__(
            f"request: got {count} of {len(verdict.parts)} parts that may not go out ({verdict.action.name}), expected "
            "none; show the notice of verdict.decision, leave them out and send the rest."
        )
        self.verdict = verdict
