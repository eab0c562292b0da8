"""The release rule of live video: which frames may be shown without having been looked at themselves.

A frame is released if it was looked at and allowed, or if it is *near* the last frame that was looked at, and that one
was *clear*. Near is a bound on every tile (:class:`ReleaseRule`); the frame that it is compared with is always one that
a detector saw, never one that was released for being near: so differences cannot add up, whatever the pace of a fade.

With ``L`` the last frame looked at, ``R`` a released one, ``d = |R - L|`` for every sample of every plane, chroma
counted twice:

* in every tile of 8 x 8 samples  ``mean(d) <= max_tile_mean``, and everywhere ``d <= max_sample``;
* so, in every tile, ``mean(d**2) <= max_tile_mean * max_sample``: at least 27 dB of PSNR with the values below, and
  36 dB where the whole tile changes alike, as in a fade;
* so a released frame is one that was allowed with, laid over it, at most a ghost of 4 levels of 255 on average (1.6 %
  contrast) in any 8 x 8 samples, of which no single one is stronger than 32 levels.

The argument, the measurements and what the rule cannot promise are in ``docs/camera.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from safelight import _image
from safelight.decision import Action, FindingKind, Label, State
from safelight.errors import UsageError
from safelight.media.frame import Frame, plane_rows

if TYPE_CHECKING:
    import numpy.typing as npt

    from safelight.decision import Decision

_PARTS: Final = 256  # the native kernel counts in parts of a level
_MAX_LEVEL: Final = 255.0
_MAX_SAMPLE: Final = 510  # chroma counts twice


@dataclass(frozen=True, slots=True)
class ReleaseRule:
    """How near to a frame that was looked at another one must be, to be shown without a look of its own.

    Attributes:
        max_tile_mean: levels of 255: how much a tile of 8 x 8 samples may differ on average. 0 to 255.
        max_sample: levels of 255: how much any single sample may differ. 0 to 510 (chroma counts twice).
        clear_score: a frame stands for its neighbours only if every nudity score was at most this, in [0, 1]. Far
            below what counts as suggestive (0.5): a change within the bound moved such a score by 0.19 in the worst
            case that was found (docs/camera.md). In between, every frame is looked at.

    Raises:
        UsageError: a value is out of its range.

    Example:
        >>> import numpy as np
        >>> rule = ReleaseRule()
        >>> inferred = np.full((480, 640, 3), 90, np.uint8)
        >>> rule.is_near(inferred, inferred + np.uint8(4)), rule.is_near(inferred, inferred + np.uint8(5))
        (True, False)
        >>> spot = inferred.copy()
        >>> spot[100, 100] = 200  # a single pixel
        >>> rule.is_near(inferred, spot)
        False
    """

    max_tile_mean: float = 4.0
    max_sample: int = 32
    clear_score: float = 0.1

    def __post_init__(self) -> None:
        for name, value, most in (
            ("max_tile_mean", self.max_tile_mean, _MAX_LEVEL),
            ("max_sample", self.max_sample, _MAX_SAMPLE),
            ("clear_score", self.clear_score, 1.0),
        ):
            if not 0 <= value <= most:  # false for NaN
                raise UsageError(f"{name}: got {value!r}, expected a number from 0 to {most:g}; leave it out.")

    def is_near(self, inferred: Frame | npt.NDArray[np.uint8], frame: Frame | npt.NDArray[np.uint8]) -> bool:
        """Whether ``frame`` is within the bound of ``inferred``, in every tile.

        Args:
            inferred: the last frame that was looked at: a ``Frame``, or ``uint8[H, W]`` or ``uint8[H, W, 3]`` of any
                colour order.
            frame: another. One of another size, format, colour range or rotation is never near.

        Raises:
            UnsupportedInputError: an array of another dtype or layout.
        """
        difference = tile_difference(inferred, frame)
        return (
            difference is not None
            and difference.tile_mean <= self.max_tile_mean
            and difference.sample <= self.max_sample
        )

    def is_clear(self, decision: Decision) -> bool:
        """Whether the frame that was decided about may stand for its neighbours.

        It was allowed, everything that looked at it could tell, and nothing was in doubt.
        """
        if decision.action is not Action.ALLOW or not decision.findings:
            return False
        return all(
            finding.state is State.OK
            and (
                finding.kind is not FindingKind.NUDITY
                # Written so that NaN and no score fail.
                or (finding.label is Label.NONE and finding.score is not None and finding.score <= self.clear_score)
            )
            for finding in decision.findings
        )


@dataclass(frozen=True, slots=True)
class TileDifference:
    """How far two frames are apart.

    Attributes:
        tile_mean: levels: the greatest mean absolute difference of a tile, rounded up to 1/256.
        sample: levels: the greatest absolute difference of a sample.
    """

    tile_mean: float
    sample: int


def tile_difference(one: Frame | npt.NDArray[np.uint8], other: Frame | npt.NDArray[np.uint8]) -> TileDifference | None:
    """How far two frames are apart, or ``None`` for frames that are not comparable.

    In one native pass over the stored bytes, without conversion. Luma, chroma and alpha have tiles of their own; an
    RGB tile is 8 x 8 pixels of three samples each; chroma counts twice.

    Raises:
        UnsupportedInputError: an array of another dtype or layout.
    """
    if isinstance(one, Frame) and isinstance(other, Frame):
        if _shape(one) != _shape(other):
            return None
        mean_256ths, sample = _image.tile_difference(
            plane_rows(one), plane_rows(other), format=one.format, width=one.width, height=one.height
        )
    elif isinstance(one, Frame) or isinstance(other, Frame):
        return None
    else:
        if one.shape != other.shape:
            return None
        mean_256ths, sample = _image.tile_difference(one, other, format="grey" if one.ndim == 2 else "rgb")
    return TileDifference(mean_256ths / _PARTS, sample)


def _shape(frame: Frame) -> tuple[object, ...]:
    return frame.format, frame.width, frame.height, frame.rotation, frame.color_range
