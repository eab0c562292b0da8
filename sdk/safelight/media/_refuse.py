"""How the readers of this layer say no, and what they share."""

from __future__ import annotations

from safelight.decision import State
from safelight.media.limits import Limits


class Refused(Exception):  # noqa: N818 - it is an answer, not an error
    """Internal: becomes a ``NotJudged`` before it reaches a caller. Carries two words and no content."""

    def __init__(self, state: State, detail_id: str) -> None:
        super().__init__(detail_id)
        self.state = state
        self.detail_id = detail_id


def broken(detail_id: str) -> Refused:
    """Media, but damaged or cut short."""
    return Refused(State.DECODE_FAILED, detail_id)


def check_size(width_px: int, height_px: int, limits: Limits, max_pixels: int | None = None) -> None:
    """Refuse a picture by its claimed size, before anything is decoded.

    Args:
        width_px: as claimed.
        height_px: as claimed.
        limits: of this call.
        max_pixels: in place of ``limits.max_pixels``, for a format with a bound of its own.

    Raises:
        Refused: ``TOO_LARGE``, ``TOO_SMALL``, or ``DECODE_FAILED`` for an empty one.
    """
    if width_px < 1 or height_px < 1:
        raise broken("size_zero")
    if width_px > limits.max_side_px or height_px > limits.max_side_px:
        raise Refused(State.TOO_LARGE, "side")
    if width_px * height_px > (limits.max_pixels if max_pixels is None else max_pixels):
        raise Refused(State.TOO_LARGE, "pixels")
    if width_px < limits.min_side_px or height_px < limits.min_side_px:
        raise Refused(State.TOO_SMALL, "side")


def check_animation(width_px: int, height_px: int, frames: int, limits: Limits) -> None:
    """Refuse a file of several frames by what all of them together would cost.

    Raises:
        Refused: ``TOO_LARGE``.
    """
    if frames > limits.max_frames:
        raise Refused(State.TOO_LARGE, "frames")
    if frames > 1 and width_px * height_px > limits.max_animation_pixels:
        raise Refused(State.TOO_LARGE, "animation_pixels")
    if width_px * height_px * frames > limits.max_total_decoded_pixels:
        raise Refused(State.TOO_LARGE, "total_pixels")


class Steps:
    """Counts the pieces of a container, so that a file of a million empty ones cannot hold us up."""

    def __init__(self, limits: Limits) -> None:
        self._left = limits.max_blocks

    def take(self) -> None:
        """Account for one piece.

        Raises:
            Refused: ``TOO_LARGE`` when there are more than ``Limits.max_blocks``.
        """
        self._left -= 1
        if self._left < 0:
            raise Refused(State.TOO_LARGE, "blocks")
