"""PNG and APNG: walk the chunks ourselves, then inflate exactly the image data.

Checksums of everything that makes pixels are verified and the end chunk must be there, so a file that was
cut short or changed is known whatever the host did to Pillow's global switches. Texts and the like are skipped
by length and never parsed; EXIF gives its orientation and its thumbnails, a profile a second look. An animation
is composed here, frame by frame on one canvas, each frame decoded as a still picture.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from PIL import Image as PilImage

from safelight.decision import State
from safelight.media import _exif, _icc
from safelight.media._jpeg import Thumbnails
from safelight.media._refuse import Refused, Steps, broken, check_animation, check_size
from safelight.media.limits import Limits
from safelight.media.views import Rendered

# (bit depth, colour type): the decoder's mode and raw mode.
_MODES: Final = {
    (1, 0): ("1", "1"),
    (2, 0): ("L", "L;2"),
    (4, 0): ("L", "L;4"),
    (8, 0): ("L", "L"),
    # 16-bit grey is two bytes a pixel, high byte first, just like grey with alpha: the "grey" channel of that
    # reading is value >> 8. Pillow's own modes for it differ by version, and its conversion clips at 255.
    (16, 0): ("LA", "LA"),
    (8, 2): ("RGB", "RGB"),
    (16, 2): ("RGB", "RGB;16B"),
    (1, 3): ("P", "P;1"),
    (2, 3): ("P", "P;2"),
    (4, 3): ("P", "P;4"),
    (8, 3): ("P", "P"),
    (8, 4): ("LA", "LA"),
    (16, 4): ("RGBA", "LA;16B"),
    (8, 6): ("RGBA", "RGBA"),
    (16, 6): ("RGBA", "RGBA;16B"),
}
_CHECKED: Final = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"acTL", b"fcTL", b"fdAT"})

#: A file gamma of 1/2.2 is what an unmarked file means. Closer than this the two readings look the same.
_GAMMA_TOLERANCE: Final = 0.1


@dataclass(slots=True, eq=False)
class _Frame:
    left: int
    top: int
    width_px: int
    height_px: int
    dispose: int = 0
    blend: int = 0
    duration_ms: int = 0
    parts: list[memoryview] = field(default_factory=list)


class PngFile:
    """A PNG: its default picture and every frame of its animation."""

    format = "PNG"

    def __init__(self, data: bytes, limits: Limits) -> None:
        self.default_apart = False  # whether there is a default picture that is no part of the animation
        self._palette: bytes | None = None
        self._transparency: bytes | None = None
        self._gamma = 0
        self._profile: bytes | None = None
        self._orientation: int | None = None
        self._default: _Frame | None = None  # a default picture that is no part of the animation
        self._frames: list[_Frame] = []
        self._canvas = (0, 0)
        self._walk(data, limits)
        pictures = len(self._frames) + (self._default is not None)
        check_animation(*self._canvas, pictures, limits)
        self.frame_count = pictures
        self.durations_ms = tuple(frame.duration_ms for frame in self._frames)
        self.width_px, self.height_px = _exif.upright_size(*self._canvas, self._orientation or 1)

    def _walk(self, data: bytes, limits: Limits) -> None:
        steps = Steps(limits)
        self._thumbnails = Thumbnails(limits, steps)
        view = memoryview(data)
        at = 8
        claimed_frames: int | None = None
        sequence = 0
        idat: list[memoryview] = []
        idat_state = "before"
        while True:
            steps.take()
            if at + 8 > len(data):
                raise broken("png_truncated")
            length, kind = int.from_bytes(view[at : at + 4], "big"), data[at + 4 : at + 8]
            if not kind.isalpha() or length > 0x7FFFFFFF:
                raise broken("png_structure")
            if (at == 8) != (kind == b"IHDR"):
                raise broken("png_structure")
            body = view[at + 8 : at + 8 + length]
            if kind == b"IHDR" and length == 13 and len(body) == 13:
                # Before anything else, so that a bomb is named one even if it is also damaged.
                check_size(int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big"), limits)
            if at + 12 + length > len(data):
                raise broken("png_truncated")
            if kind in _CHECKED and zlib.crc32(view[at + 4 : at + 8 + length]) != int.from_bytes(
                view[at + 8 + length : at + 12 + length], "big"
            ):
                raise broken("png_checksum")
            at += 12 + length
            if idat_state == "inside" and kind != b"IDAT":
                idat_state = "after"
            if kind == b"IHDR":
                self._header(bytes(body))
            elif kind == b"IDAT":
                if idat_state == "after":
                    raise broken("png_structure")
                if idat_state == "before":
                    whole = _Frame(0, 0, *self._canvas)
                    if not self._frames:
                        self._default = whole
                    elif (self._frames[0].width_px, self._frames[0].height_px) != self._canvas:
                        raise broken("apng_structure")
                idat_state = "inside"
                idat.append(body)
            elif kind == b"IEND":
                break
            elif kind == b"PLTE" and idat_state == "before":
                if self._palette is not None or length % 3 or not 3 <= length <= 768:
                    raise broken("png_structure")
                self._palette = bytes(body)
            elif kind == b"tRNS" and idat_state == "before":
                self._transparency = bytes(body)
            elif kind == b"gAMA" and length == 4:
                self._gamma = int.from_bytes(body, "big")
            elif kind == b"eXIf":
                block = bytes(body)
                self._orientation = self._orientation or _exif.orientation(block)
                self._thumbnails.search(block, "exif_thumbnail")
            elif kind == b"iCCP" and self._profile is None:
                self._profile = _icc.inflate(body)
            elif kind == b"acTL":
                if claimed_frames is not None or length != 8 or idat_state != "before":
                    raise broken("apng_structure")
                claimed_frames = int.from_bytes(body[:4], "big")
            elif kind in (b"fcTL", b"fdAT"):
                if length < 4 or int.from_bytes(body[:4], "big") != sequence:
                    raise broken("apng_structure")
                sequence += 1
                if kind == b"fcTL":
                    self._open_frame(body, first=idat_state == "before", limits=limits)
                elif idat_state == "before" or not self._frames:
                    raise broken("apng_structure")
                else:
                    self._frames[-1].parts.append(body[4:])
            elif not kind[0] & 0x20 and kind not in _CHECKED:
                # A critical chunk that we do not know; some makers' own variants of PNG are like this.
                raise Refused(State.NO_DECODER, "png_variant")
        if not idat:
            raise broken("png_structure")
        if self._default is None:
            self._frames[0].parts[:0] = idat
        else:
            self._default.parts = idat
            self.default_apart = bool(self._frames)
        # What a viewer shows of a count that is wrong differs by viewer.
        if (claimed_frames or 0) != len(self._frames) or (claimed_frames is not None and not claimed_frames):
            raise broken("apng_structure")
        if any(not frame.parts for frame in self._frames):
            raise broken("apng_structure")

    def _header(self, body: bytes) -> None:
        if len(body) != 13:
            raise broken("png_structure")
        width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", body)
        if (depth, colour) not in _MODES or compression or filtering or interlace > 1:
            raise broken("png_structure")
        self._canvas = (width, height)
        self._depth, self._colour, self._interlace = depth, colour, interlace

    def _open_frame(self, body: memoryview, *, first: bool, limits: Limits) -> None:
        if len(body) != 26:
            raise broken("apng_structure")
        width, height, left, top, number, parts, dispose, blend = struct.unpack(">IIIIHHBB", body[4:])
        inside = left + width <= self._canvas[0] and top + height <= self._canvas[1]
        if not (width and height and inside) or dispose > 2 or blend > 1 or (first and self._frames):
            raise broken("apng_structure")
        if len(self._frames) >= limits.max_frames:
            raise Refused(State.TOO_LARGE, "frames")
        duration_ms = 1000 * number // (parts or 100)
        self._frames.append(_Frame(left, top, width, height, dispose, blend, duration_ms))

    def frames(self) -> Iterator[Rendered]:
        """Decode and compose one by one, at full scale: PNG has no other."""
        readings: list[tuple[str, list[int] | None]] = [("", None)]
        table = _gamma_table(self._gamma)
        if table is not None:
            readings.append(("gamma", table))
        for index, picture in enumerate(self._pictures()):
            for reading, lut in readings:
                shown = picture if lut is None else _apply(picture, lut)
                turned = _exif.upright(shown, self._orientation or 1)
                # A profile counts instead of the gamma.
                profile = b"" if reading else self._profile or b""
                yield Rendered(turned, index, self.width_px, self.height_px, reading, profile=profile)
        yield from self._thumbnails.frames(0, self._orientation or 1)
        self._thumbnails.check()

    def _pictures(self) -> Iterator[PilImage.Image]:
        if self._default is not None:
            yield self._decode(self._default)
        if not self._frames:
            return
        canvas = PilImage.new("RGBA", self._canvas)
        for frame in self._frames:
            box = (frame.left, frame.top, frame.left + frame.width_px, frame.top + frame.height_px)
            before = canvas.copy() if frame.dispose == 2 else None
            piece = self._decode(frame).convert("RGBA")
            if frame.blend == 0:
                canvas.paste(piece, box)
            else:
                canvas.alpha_composite(piece, box[:2])
            yield canvas.copy()
            if frame.dispose == 1:
                canvas.paste((0, 0, 0, 0), box)
            elif before is not None:
                canvas = before

    def _decode(self, frame: _Frame) -> PilImage.Image:
        mode, raw_mode = _MODES[self._depth, self._colour]
        picture = PilImage.frombytes(
            mode,
            (frame.width_px, frame.height_px),
            b"".join(frame.parts),
            "zip",
            raw_mode,
            self._interlace,
        )
        if self._colour == 3:
            return _with_palette(picture, self._palette, self._transparency)
        if (self._depth, self._colour) == (16, 0):
            picture = picture.getchannel(0)
        if picture.mode in ("LA", "RGBA"):
            return picture if picture.mode == "RGBA" else picture.convert("RGBA")
        if self._transparency is None or self._colour not in (0, 2):
            return picture if picture.mode == "RGB" else picture.convert("RGB")
        return self._with_colour_key(picture, self._transparency)

    def _with_colour_key(self, picture: PilImage.Image, key: bytes) -> PilImage.Image:
        if self._depth == 16:
            # The key is one 16-bit colour of many that share their high byte; at 8 bits it cannot be told.
            raise Refused(State.NO_DECODER, "png_16bit_colour_key")
        channels = 1 if self._colour == 0 else 3
        if len(key) < 2 * channels:
            raise broken("png_structure")
        top = (1 << self._depth) - 1
        values = [(v & top) * 255 // top for v in struct.unpack(f">{channels}H", key[: 2 * channels])]
        shown = picture.convert("RGB")
        shown.info["transparency"] = (values[0],) * 3 if channels == 1 else tuple(values)
        return shown.convert("RGBA")


def _with_palette(picture: PilImage.Image, palette: bytes | None, alpha: bytes | None) -> PilImage.Image:
    if palette is None:
        raise broken("png_structure")
    # Indices behind the end of the palette are black, as in libpng.
    picture.putpalette(palette.ljust(768, b"\0"), "RGB")
    colours = picture.convert("RGB")
    if alpha is None:
        return colours
    lut = list(alpha[:256].ljust(256, b"\xff"))
    mask = PilImage.frombytes("L", picture.size, picture.tobytes()).point(lut)
    colours.putalpha(mask)
    return colours


def _gamma_table(gamma: int) -> list[int] | None:
    """Code values as a viewer shows them that applies ``gAMA`` (in 1/100,000) on a 2.2 display."""
    if gamma == 0:
        return None
    exponent = 100_000 / (2.2 * gamma)
    if abs(exponent - 1) < _GAMMA_TOLERANCE:
        return None
    return [round(255 * (v / 255) ** exponent) for v in range(256)]


def _apply(picture: PilImage.Image, table: list[int]) -> PilImage.Image:
    return picture.point(table * 3 + (list(range(256)) if picture.mode == "RGBA" else []))
