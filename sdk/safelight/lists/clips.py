"""vPDQ: a clip is the bag of the PDQ hashes of its frames, by default one a second.

The order of the frames and how often one comes do not count, so that cutting, joining and another frame rate leave
most of it. How alike two clips are has two directions, and implementations differ in which of them a threshold is
for: here both are named.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from safelight.decision import State
from safelight.errors import UsageError
from safelight.hashing import MATCH_DISTANCE, PdqHash, ProfileMismatchError, pdq
from safelight.media import NotJudged
from safelight.media.clip import ClipLimits, ClipPicture, ClipSource, load_clip

_ROWS = 256


@dataclass(frozen=True, slots=True)
class FrameHash:
    """One frame's hash.

    Attributes:
        timestamp_ms: from the beginning of the clip.
        hash: PDQ, profile ``full``.
    """

    timestamp_ms: int
    hash: PdqHash


@dataclass(frozen=True, slots=True)
class ClipHash:
    """The hashes of a clip, or as many as there were before it could not be decoded further.

    Attributes:
        state: ``OK``; ``LOW_QUALITY``: no frame has features enough; or why the clip could not be looked at, or not
            to its end (``NO_DECODER`` without the extra ``[video]``, ``DECODE_FAILED``, ``TOO_LARGE`` …). Frames before
            that do not vouch for the whole.
        frames: all hashes; those that may not be matched say so themselves.
        interval_ms: from one frame to the next.
    """

    state: State
    frames: tuple[FrameHash, ...] = field(repr=False)
    interval_ms: int

    @property
    def hashes(self) -> tuple[PdqHash, ...]:
        """Distinct hashes that may be matched (quality 50 or more), in order of their first frame."""
        return tuple({one.hash.bits: one.hash for one in self.frames if one.hash.usable}.values())


@dataclass(frozen=True, slots=True)
class ClipComparison:
    """How much of one clip is in the other.

    Attributes:
        query_matched_percent: 0-100, of the query's distinct frames, those near a frame of the listed clip.
        list_matched_percent: 0-100, of the listed clip's distinct frames, those near a frame of the query.
    """

    query_matched_percent: float
    list_matched_percent: float


def hash_clip(source: ClipSource, *, interval_ms: int = 1_000, limits: ClipLimits | None = None) -> ClipHash:
    """Hash a clip's frames.

    Args:
        source: a path, encoded bytes, or a seekable binary file object.
        interval_ms: one hash every so often; 1 for every frame.
        limits: what the clip may cost.

    Returns:
        The hashes and a state. What cannot be decoded is a state, never an error.

    Raises:
        UnsupportedInputError, UsageError, MediaNotFoundError: as :func:`safelight.media.clip.load_clip`.
    """
    frames: list[FrameHash] = []
    state = State.OK
    for item in load_clip(source, interval_ms=interval_ms, limits=limits):
        if isinstance(item, NotJudged):
            state = item.state
        elif isinstance(item, ClipPicture):
            frames.append(FrameHash(item.timestamp_ms, pdq(item.luma)))
    if state is State.OK and not any(one.hash.usable for one in frames):
        state = State.LOW_QUALITY
    return ClipHash(state, tuple(frames), interval_ms)


def compare_clips(query: ClipHash, listed: ClipHash, *, max_distance: int = MATCH_DISTANCE) -> ClipComparison:
    """Compare two clips frame by frame, each with each.

    Args:
        query: the clip that is looked at.
        listed: the clip that is known.
        max_distance: bits that two frames may differ.

    Returns:
        Both percentages; 0 and 0 when one of them has no frame that may be matched.

    Raises:
        ProfileMismatchError: frames of different profiles.
        UsageError: ``max_distance`` is not 0 to 256.
    """
    if isinstance(max_distance, bool) or not isinstance(max_distance, int) or not 0 <= max_distance <= 256:
        raise UsageError("max_distance: expected 0 to 256 bits; 31 is usual")
    ours, theirs = query.hashes, listed.hashes
    if len({one.profile for one in (*ours, *theirs)}) > 1:
        raise ProfileMismatchError("clips: got frames of different profiles, expected one; hash both alike")
    if not ours or not theirs:
        return ClipComparison(0.0, 0.0)
    left, right = _words(ours), _words(theirs)
    left_near = np.zeros(len(left), np.bool_)
    right_near = np.zeros(len(right), np.bool_)
    for start in range(0, len(left), _ROWS):
        bits = np.unpackbits((left[start : start + _ROWS, None] ^ right[None]), axis=2)
        near = bits.sum(axis=2) <= max_distance
        left_near[start : start + _ROWS] = near.any(axis=1)
        right_near |= near.any(axis=0)
    return ClipComparison(100.0 * float(left_near.mean()), 100.0 * float(right_near.mean()))


def _words(hashes: Iterable[PdqHash]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.frombuffer(b"".join(one.bits for one in hashes), np.uint8).reshape(-1, 32)
