"""The contract of a picture detector, as a check that its author runs: ours pass the same one.

from safelight.testing.contract import check_detector

def test_contract():
    check_detector(lambda: MyDetector())
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np

from safelight.decision import Finding, FindingKind, Label, State
from safelight.detect import PictureDetector
from safelight.errors import ClosedError
from safelight.media import Image

# Sizes that break naive code: tiny, odd, extreme aspect, larger than any input.
_SIZES = [(1, 1), (3, 7), (16, 16), (64, 48), (33, 1000), (1000, 33), (480, 640)]

_LABELS: dict[FindingKind, frozenset[Label]] = {
    FindingKind.MEDIA: frozenset(),
    FindingKind.NUDITY: frozenset({Label.NONE, Label.SUGGESTIVE, Label.EXPLICIT}),
    FindingKind.AGE: frozenset({Label.NO_FACE, Label.ADULT, Label.UNSURE, Label.MINOR}),
    FindingKind.KNOWN: frozenset({Label.NO_MATCH, Label.MATCH}),
}


class ContractError(AssertionError):
    """The detector breaks the contract; the message says which part."""


def check_detector(make: Callable[[], PictureDetector]) -> None:
    """Check a detector against the whole contract.

    Args:
        make: makes a fresh detector.

    Raises:
        ContractError: naming the first thing that is not as it must be.
    """
    detector = make()
    try:
        _check_identity(detector)
        _require(isinstance(detector.prepare(), State), "prepare() returns a State")
        for image in synthetic_images():
            before = image.pixels.copy()
            check_findings(detector, detector.detect(image))
            _require(bool(np.array_equal(before, image.pixels)), "detect() leaves the picture as it was")
        _check_repeatable(detector)
        _check_threads(detector)
    finally:
        detector.close()
    detector.close()
    try:
        detector.detect(next(synthetic_images()))
    except ClosedError:
        return
    raise ContractError("a closed detector raises ClosedError, it does not answer")


def check_findings(detector: PictureDetector, findings: object) -> None:
    """Check what one call of ``detect`` returned.

    Raises:
        ContractError: naming what is wrong.
    """
    _require(isinstance(findings, (list, tuple)) and len(findings) > 0, "detect() returns one finding or more")
    assert isinstance(findings, (list, tuple))
    for finding in findings:
        _require(isinstance(finding, Finding), "detect() returns findings and nothing else")
        _require(finding.kind in detector.kinds, "every finding is of one of the detector's kinds")
        _require(isinstance(finding.model, str) and bool(finding.model), "every finding names its model")
        if finding.state is State.OK:
            _require(finding.label in _LABELS[finding.kind], "an OK finding has a label of its kind")
            _require(isinstance(finding.score, float) and 0.0 <= finding.score <= 1.0, "an OK finding scores in [0, 1]")
        else:
            _require(finding.score is None and finding.label is None, "a finding that is not OK has no score or label")


def synthetic_images() -> Iterator[Image]:
    """Benign synthetic pictures: flat, noise, gradients and stripes in awkward sizes."""
    random = np.random.default_rng(20261121)
    for height, width in _SIZES:
        row = np.linspace(0, 255, width).astype(np.uint8)
        for pixels in (
            np.zeros((height, width, 3), np.uint8),
            np.full((height, width, 3), 255, np.uint8),
            random.integers(0, 256, (height, width, 3), dtype=np.uint8),
            np.broadcast_to(row[None, :, None], (height, width, 3)).copy(),
            np.where((np.arange(width) // 2 % 2)[None, :, None] > 0, 230, 20).astype(np.uint8).repeat(height, 0)
            * np.ones((1, 1, 3), np.uint8),
        ):
            pixels.setflags(write=False)
            yield Image(pixels, width, height, (0.0, 0.0, float(width), float(height)))


def _check_identity(detector: PictureDetector) -> None:
    _require(isinstance(detector.id, str) and bool(detector.id), "id is a text that is not empty")
    _require(bool(detector.kinds), "kinds names at least one kind")
    _require(all(isinstance(kind, FindingKind) for kind in detector.kinds), "kinds holds FindingKind words")


def _check_repeatable(detector: PictureDetector) -> None:
    image = next(synthetic_images())
    _require(tuple(detector.detect(image)) == tuple(detector.detect(image)), "the same picture gets the same findings")


def _check_threads(detector: PictureDetector) -> None:
    images = list(synthetic_images())[-4:]
    expected = [tuple(detector.detect(image)) for image in images]
    problems: list[str] = []

    def work() -> None:
        for image, want in zip(images, expected, strict=True):
            try:
                if tuple(detector.detect(image)) != want:
                    problems.append("another answer in another thread")
            except Exception as error:
                problems.append(f"{type(error).__name__} in another thread")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _require(not problems, f"detect() works from several threads: {', '.join(sorted(set(problems)))}")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ContractError(f"detector contract: {what}")
