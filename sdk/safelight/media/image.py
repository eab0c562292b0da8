"""The values of the media layer: a picture to look at, a sequence of them, and "could not look"."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from safelight.decision import State
from safelight.errors import ClosedError


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Image:
    """One picture as somebody may see it.

    Attributes:
        pixels: ``uint8[H, W, 3]``, RGB, 0-255, upright, C-contiguous, read-only, shared with nobody.
        full_width_px: width of the whole picture, upright; larger than W when decoded at reduced scale.
        full_height_px: height of the whole picture, upright.
        area_px: left, top, right, bottom of the part of ``pixels`` that the picture covers, in fractions of
            a pixel. All of it, except after decoding at reduced scale: a side that the scale does not divide
            ends within the last pixel. Resize from this area: stretching to the whole array instead is most
            of the difference between a reduced and a full decode.
        frame: index in the file, from 0; pictures of one frame follow each other.
        view: how this picture came about, e.g. ``plain``, ``over_white``; see ``safelight.media.views``.
    """

    pixels: npt.NDArray[np.uint8]
    full_width_px: int
    full_height_px: int
    area_px: tuple[float, float, float, float]
    frame: int = 0
    view: str = "plain"

    @property
    def width_px(self) -> int:
        """Width of ``pixels``."""
        return int(self.pixels.shape[1])

    @property
    def height_px(self) -> int:
        """Height of ``pixels``."""
        return int(self.pixels.shape[0])

    def __repr__(self) -> str:
        return f"<Image {self.width_px}x{self.height_px}>"


@dataclass(frozen=True, slots=True)
class NotJudged:
    """Nothing that could be looked at, and why.

    Attributes:
        state: ``DECODE_FAILED``, ``NOT_MEDIA``, ``NO_DECODER``, ``TOO_LARGE`` or ``TOO_SMALL``.
        detail_id: a fixed word for logs and tests, e.g. ``jpeg_truncated``; never content.
    """

    state: State
    detail_id: str


@dataclass(eq=False, repr=False)
class Pictures:
    """Every picture of one input, decoded one by one as they are asked for.

    Iterating yields an :class:`Image` for every frame and view, and, if one of them cannot be decoded,
    one :class:`NotJudged` **as the last item**: the frames before it do not vouch for the whole. It yields
    at least one item. It can be iterated again (and decodes again). Use it as a context manager, or call
    :meth:`close`: until then the encoded bytes are held.

    A ``Pictures`` belongs to one thread at a time.

    Attributes:
        format: one of ``DECODED_FORMATS``, ``ZIP``, ``GZIP``, ``FRAME``, ``PIL`` or ``ARRAY``.
        width_px: of the whole (first) picture, upright; 0 for a container, which has none of its own.
        height_px: as above.
        frame_count: pictures in the input, repeated ones included, thumbnails not; 0 for a container: unknown
            before it is unpacked.
    """

    format: str
    width_px: int
    height_px: int
    frame_count: int
    _decode: Callable[[], Iterator[Image | NotJudged]] | None = field(default=None)

    def __iter__(self) -> Iterator[Image | NotJudged]:
        """Decode from the start.

        Raises:
            ClosedError: after :meth:`close`, also in the middle of an iteration.
        """
        decode = self._decode
        if decode is None:
            raise ClosedError(_CLOSED)
        return self._guarded(decode())

    def _guarded(self, items: Iterator[Image | NotJudged]) -> Iterator[Image | NotJudged]:
        for item in items:
            yield item
            if self._decode is None:
                raise ClosedError(_CLOSED)

    def close(self) -> None:
        """Let go of the encoded bytes. May be called twice."""
        self._decode = None

    def __enter__(self) -> Pictures:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Pictures {self.format} {self.width_px}x{self.height_px}, {self.frame_count} frames>"


_CLOSED = "got pictures that are closed, expected open ones; load the input again"

#: What ``load_image`` returns.
Loaded: TypeAlias = "Pictures | NotJudged"
