"""What a picture detector is, and how the answers for many frames become one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from safelight.decision import Finding, FindingKind, Label, State
from safelight.media import Image


class PictureDetector(Protocol):
    """Looks at one picture.

    ``detect`` never raises for what is in the picture or for its own failure: a failure is a finding with a
    state. It may be called from several threads at once.
    """

    @property
    def id(self) -> str:
        """Stable id of the detector, usually its model's."""
        ...

    @property
    def kinds(self) -> tuple[FindingKind, ...]:
        """What its findings are about. When it fails, each of these counts as not judged."""
        ...

    def prepare(self) -> State:
        """Load what is needed now; ``OK``, or the state that every picture will get."""
        ...

    def detect(self, image: Image) -> Sequence[Finding]:
        """Look at ``image.pixels`` (``uint8[H,W,3]`` RGB) and answer: one finding or more, never none."""
        ...

    def close(self) -> None:
        """Give memory back; later calls raise ``ClosedError``."""
        ...


_SEVERITY = {label: number for number, label in enumerate(Label)}


def worst_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Reduce the findings of many frames, keeping what a decision needs.

    Per kind and model: the most severe answer (highest label, then highest score) and, beside it, the first
    of each state other than ``OK``: a frame that could not be judged is never outvoted by frames that could.
    """
    kept: dict[tuple[FindingKind, str | None, State], Finding] = {}
    for finding in findings:
        key = (finding.kind, finding.model, finding.state)
        other = kept.get(key)
        if other is None or (finding.state is State.OK and _rank(finding) > _rank(other)):
            kept[key] = finding
    return tuple(kept.values())


def _rank(finding: Finding) -> tuple[int, float, int]:
    return (
        _SEVERITY[finding.label] if finding.label is not None else -1,
        finding.score if finding.score is not None else -1.0,
        -finding.distance if finding.distance is not None else 0,  # of several matches the nearest
    )
