"""Pictures → evidence. Every detector answers with a :class:`~safelight.decision.Finding` and a state."""

from __future__ import annotations

from safelight.detect.base import PictureDetector, worst_findings
from safelight.detect.vision import TIERS, VisionDetector

__all__ = ["TIERS", "PictureDetector", "VisionDetector", "worst_findings"]
