"""Face chips: the small upright square that an age model looks at. Short and readable, to compare other code with.

Positions are in pixels of the picture, x to the right and y down, with (0, 0) at the outer corner of the first
pixel; the middle of pixel i lies at i + 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from blazeface.reference_decode import Face, Run, find_faces, look_again
from PIL import Image

Points = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

#: How faces are looked for: as in the card of the face detector, which says what these keep and drop.
TILES_PER_SIDE: Final = 3
AGAIN_WINDOW: Final = 3.0
AGAIN_SCORE: Final = 0.7

#: What :func:`varied` changes, at most: a detector's own errors, and the light of other rooms.
_TURN_DEGREES: Final = 12.0
_SCALE: Final = 0.12
_SHIFT: Final = 0.06
_GAIN: Final = (0.55, 1.35)
_CAST: Final = 0.15


@dataclass(frozen=True, slots=True)
class Similarity:
    """Chip to picture: ``picture = matrix @ chip + offset``; the matrix turns and scales, nothing else."""

    matrix: Points
    offset: Points

    @property
    def shrink(self) -> float:
        """Picture pixels per chip pixel."""
        return float(np.hypot(self.matrix[0, 0], self.matrix[1, 0]))


def align(keypoints: Points, names: list[str], chip: dict[str, Any]) -> Similarity:
    """Fit the similarity that carries a chip's landmarks to a face's keypoints, by least squares.

    All four landmarks weigh the same. No mirroring: with x and y as a complex number, the fit is linear.

    Args:
        keypoints: ``float64[6, 2]`` in picture pixels.
        names: The detector's ``keypoints``: the name of each.
        chip: ``chip`` of ``config.json``: ``size_px``, and ``landmarks`` as fractions of the chip's side.

    Returns:
        From chip pixels to picture pixels.
    """
    wanted = chip["landmarks"]
    target = np.array([keypoints[names.index(name)] for name in wanted]) @ (1, 1j)
    source = np.array(list(wanted.values())) @ (1, 1j) * chip["size_px"]
    middle, centred = source.mean(), source - source.mean()
    turn = (np.conj(centred) @ target) / (np.conj(centred) @ centred)  # scale · e^(i·angle)
    offset = target.mean() - turn * middle
    return Similarity(np.array([[turn.real, -turn.imag], [turn.imag, turn.real]]), np.array([offset.real, offset.imag]))


def cut(picture: Image.Image, similarity: Similarity, *, size_px: int) -> Pixels:
    """Cut the chip: first shrink by a whole number (a mean over squares), then sample bilinearly.

    Without the first step a large face would be sampled with gaps. What lies outside the picture is black.

    Args:
        picture: RGB, upright.
        similarity: From :func:`align`.
        size_px: Side of the chip.

    Returns:
        ``uint8[1, size, size, 3]`` RGB.
    """
    factor = max(1, math.floor(similarity.shrink))
    small = picture.reduce(factor) if factor > 1 else picture
    matrix, offset = similarity.matrix / factor, similarity.offset / factor
    coefficients = (*matrix[0], offset[0], *matrix[1], offset[1])
    size = (size_px, size_px)
    return np.asarray(small.transform(size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR))[None]


def varied(similarity: Similarity, *, size_px: int, generator: np.random.Generator) -> tuple[Similarity, Points, bool]:
    """Draw a random change of a chip: turned, scaled and shifted a little, in other light, perhaps mirrored.

    Returns:
        The changed similarity, the gain of each channel, and whether to mirror.
    """
    angle = math.radians(generator.uniform(-_TURN_DEGREES, _TURN_DEGREES))
    scale = math.exp(generator.uniform(-_SCALE, _SCALE))
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    middle = np.full(2, size_px / 2)
    centre = similarity.matrix @ middle + similarity.offset
    matrix = similarity.matrix @ turn
    shift = similarity.matrix @ generator.uniform(-_SHIFT * size_px, _SHIFT * size_px, 2)
    gain = generator.uniform(*_GAIN) * generator.uniform(1.0 - _CAST, 1.0 + _CAST, 3)
    return Similarity(matrix, centre + shift - matrix @ middle), gain, bool(generator.integers(2))


def cut_varied(picture: Image.Image, similarity: Similarity, *, size_px: int, generator: np.random.Generator) -> Pixels:
    """Cut a chip changed as :func:`varied` draws it; other arguments and result as in :func:`cut`."""
    changed, gain, mirrored = varied(similarity, size_px=size_px, generator=generator)
    chip = np.clip(np.rint(cut(picture, changed, size_px=size_px) * gain), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(chip[:, :, ::-1]) if mirrored else chip


def faces_of(picture: Image.Image, run: Run, detector: dict[str, Any]) -> Iterator[Face]:
    """Find the faces of a picture that a second look confirms, with the second look's sharper keypoints."""
    for face in find_faces(picture, run, detector, tiles_per_side=TILES_PER_SIDE):
        again = look_again(picture, face, run, detector, window=AGAIN_WINDOW)
        if again is not None and again.score >= AGAIN_SCORE:
            yield again
