"""For tests of gates: pictures whose colour says what the detector answers, and a detector that may be slow or fail."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable

from PIL import Image as PilImage
from safelight import Finding, FindingKind, Label, State
from safelight.media import Image

#: Colour of the picture to what the detector says of it.
COLOURS: dict[str, tuple[int, int, int]] = {
    "none": (20, 200, 20),
    "suggestive": (20, 20, 200),
    "explicit": (200, 20, 20),
    "match": (200, 20, 200),
    "fails": (200, 200, 20),
    "slow": (20, 200, 200),
}
_EXPLICIT_SCORE = 0.97
_LABELS = {"suggestive": (Label.SUGGESTIVE, 0.6), "explicit": (Label.EXPLICIT, _EXPLICIT_SCORE)}


def picture(name: str, *, side_px: int = 48, detail: int = 0) -> bytes:
    """A picture of one colour; ``detail`` makes other bytes of it."""
    made = PilImage.new("RGB", (side_px, side_px), COLOURS[name])
    for number in range(detail):
        made.putpixel((number % side_px, number // side_px), (0, 0, 0))
    buffer = io.BytesIO()
    made.save(buffer, "PNG")
    return buffer.getvalue()


class ColourDetector:
    """Says what the colour says. ``slow`` pictures wait for :attr:`go`; ``fails`` raises."""

    id = "colours"
    kinds = (FindingKind.NUDITY, FindingKind.KNOWN)

    def __init__(self) -> None:
        self.go = threading.Event()
        self.looked = 0
        self.forced: Callable[[str], list[Finding]] | None = None
        self._lock = threading.Lock()

    def prepare(self) -> State:
        return State.OK

    def detect(self, image: Image) -> list[Finding]:
        with self._lock:
            self.looked += 1
        found = tuple(int(value) for value in image.pixels[-1, -1])
        name = min(COLOURS, key=lambda one: sum(abs(a - b) for a, b in zip(COLOURS[one], found, strict=True)))
        if self.forced is not None:
            return self.forced(name)
        if name == "fails":
            raise RuntimeError("a detector of somebody else")
        if name == "slow":
            assert self.go.wait(30)
        if name == "match":
            return [Finding(FindingKind.KNOWN, State.OK, Label.MATCH, 1.0, self.id)]
        label, score = _LABELS.get(name, (Label.NONE, 0.9))
        return [Finding(FindingKind.NUDITY, State.OK, label, score, self.id)]

    def close(self) -> None:
        pass
