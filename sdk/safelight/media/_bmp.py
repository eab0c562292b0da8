"""BMP: a header and plain rows. Checked here, then unpacked by Pillow's raw decoder.

Run-length coded bitmaps, and those that wrap a JPEG or PNG, are not decoded: nothing writes them any more.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from PIL import Image as PilImage

from safelight.decision import State
from safelight.media._refuse import Refused, broken, check_size
from safelight.media.limits import Limits
from safelight.media.views import Rendered

#: Sizes of the information header that are read; ``sniff`` knows more of them.
_CORE_HEADER: Final = 12
_HEADERS: Final = (_CORE_HEADER, 40, 52, 56, 108, 124)

_RGB, _BITFIELDS, _ALPHABITFIELDS = 0, 3, 6
_PALETTE_MODES: Final = {1: "P;1", 4: "P;4", 8: "P"}
_MASKS: Final[dict[tuple[int, ...], tuple[str, str]]] = {
    (16, 0x7C00, 0x03E0, 0x001F): ("RGB", "BGR;15"),
    (16, 0xF800, 0x07E0, 0x001F): ("RGB", "BGR;16"),
    (32, 0x00FF0000, 0x0000FF00, 0x000000FF): ("RGBA", "BGRA"),
    (32, 0x000000FF, 0x0000FF00, 0x00FF0000): ("RGBA", "RGBA"),
}


class BmpFile:
    """The one picture of a BMP."""

    format = "BMP"
    frame_count = 1

    def __init__(self, data: bytes, limits: Limits) -> None:
        if len(data) < 26:
            raise broken("bmp_truncated")
        (header,) = struct.unpack_from("<I", data, 14)
        if header not in _HEADERS:
            raise Refused(State.NO_DECODER, "bmp_variant")
        if len(data) < 14 + header:
            raise broken("bmp_truncated")
        compression = colours = 0
        if header == _CORE_HEADER:
            width, height, planes, depth = struct.unpack_from("<HHHH", data, 18)
        else:
            width, height, planes, depth, compression = struct.unpack_from("<iiHHI", data, 18)
            (colours,) = struct.unpack_from("<I", data, 46)
        self._bottom_up = height >= 0
        self.width_px, self.height_px = width, abs(height)
        check_size(self.width_px, self.height_px, limits)
        if planes != 1:
            raise broken("bmp_structure")
        self._palette = b""
        table = 14 + header
        if compression == _RGB and depth in _PALETTE_MODES:
            self._mode, self._raw_mode = "P", _PALETTE_MODES[depth]
            self._palette = _palette(data, table, min(colours or 1 << depth, 1 << depth), header)
        elif compression == _RGB and depth in (16, 24, 32):
            self._mode, self._raw_mode = {16: ("RGB", "BGR;15"), 24: ("RGB", "BGR"), 32: ("RGBA", "BGRA")}[depth]
        elif compression in (_BITFIELDS, _ALPHABITFIELDS) and len(data) >= 66:
            # The masks are in the header, or right behind the smallest one.
            modes = _MASKS.get((depth, *struct.unpack_from("<III", data, 54)))
            if modes is None:
                raise Refused(State.NO_DECODER, "bmp_variant")
            self._mode, self._raw_mode = modes
        else:
            raise Refused(State.NO_DECODER, "bmp_variant")
        self._stride = (self.width_px * depth + 31) // 32 * 4
        (self._start,) = struct.unpack_from("<I", data, 10)
        end = self._start + self._stride * self.height_px
        if self._start < table or end > len(data):
            raise broken("bmp_truncated")
        self._rows = memoryview(data)[self._start : end]

    def frames(self) -> Iterator[Rendered]:
        """Unpack it."""
        size = (self.width_px, self.height_px)
        arguments = ("raw", self._raw_mode, self._stride, -1 if self._bottom_up else 1)
        picture = PilImage.frombytes(self._mode, size, self._rows, *arguments)
        if self._mode == "P":
            picture.putpalette(self._palette.ljust(768, b"\0"), "RGB")
            picture = picture.convert("RGB")
        elif self._mode == "RGBA" and picture.getchannel("A").getextrema() == (0, 0):
            # The fourth byte is officially unused. Where it is used, every viewer decides for itself: then it
            # is looked at both ways. All zero is the usual "unused".
            picture = picture.convert("RGB")
        yield Rendered(picture, 0, self.width_px, self.height_px)


def _palette(data: bytes, start: int, colours: int, header: int) -> bytes:
    """RGB triples from BGR (or BGR0) entries; missing ones are black."""
    step = 3 if header == _CORE_HEADER else 4
    entries = data[start : start + step * colours]
    out = bytearray(3 * (len(entries) // step))
    for channel in range(3):
        out[channel::3] = entries[2 - channel :: step][: len(out) // 3]
    return bytes(out)
