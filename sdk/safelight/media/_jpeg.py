"""JPEG: walk the markers ourselves, then let libjpeg decode exactly what we walked.

Only the segments that make pixels are handed on, re-joined without gaps, with one frame header. That has
three reasons: EXIF, comments and profiles never reach another parser; the size that was checked is the size
that is decoded (the decoder trusts its caller for it); and the end marker has been seen, so a file that was
cut short is known without Pillow's process-wide ``LOAD_TRUNCATED_IMAGES``, which a host may have set.

One file can show more than one picture, and every one of them is looked at: complete pictures behind the first
(multi-picture files; the gain map of an HDR photo too, since anybody can call a picture a gain map), thumbnails
inside the metadata, and, as a state, the clip of a motion photo. Thumbnails are searched for by their start
marker and not by the directories that point at them: a directory can lie. Not found are pictures that a segment
holds as base64 (XMP) or cut into several segments; no gallery shows those.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from PIL import Image as PilImage

from safelight.decision import State
from safelight.media import _exif, _icc
from safelight.media._options import Options
from safelight.media._refuse import Refused, Steps, broken, check_size
from safelight.media.limits import Limits
from safelight.media.views import Rendered

# A marker: 0xFF, then neither a stuffed zero nor a fill byte; inside a scan also no restart marker.
_MARKER: Final = re.compile(rb"\xff[^\x00\xff]")
_MARKER_AFTER_SCAN: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")

_SOI, _EOI, _SOS, _TEM = 0xD8, 0xD9, 0xDA, 0x01
_DHT, _DQT, _DRI, _DAC, _APP0, _APP1, _APP2, _ADOBE, _APP15 = 0xC4, 0xDB, 0xDD, 0xCC, 0xE0, 0xE1, 0xE2, 0xEE, 0xEF
_SOF: Final = frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, _DAC}
_SOF_SEQUENTIAL: Final = frozenset({0xC0, 0xC1})
_SOF_DECODED: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})  # Huffman and arithmetic, not lossless
_KEPT: Final = frozenset({_DHT, _DQT, _DRI, _DAC}) | _SOF
_MODES: Final = {1: ("L", "L"), 3: ("RGB", "RGB"), 4: ("CMYK", "CMYK;I")}

#: Start markers behind the first picture that begin none, or one too small to see. Three bytes of noise look
#: like one every 16 MB, so a long clip behind a photo has a few. Each may cost a search through the whole
#: file, so a file made of them is stopped here.
_MAX_FALSE_STARTS: Final = 16

# The first box of a clip: a length, "ftyp", and a brand of four printable characters.
CLIP: Final = re.compile(rb"\0\0[\0-\x0f].ftyp[ -~]{4}", re.DOTALL)


@dataclass(frozen=True, slots=True, eq=False)
class Jpeg:
    """One picture, walked."""

    stream: bytes
    width_px: int
    height_px: int
    components: int
    scans: int
    sequential: bool
    adobe: bool
    orientation: int
    profile: bytes
    end: int
    metadata: list[tuple[str, bytes]] = field(default_factory=list)
    """Segments that may hold a thumbnail, each with the name of that reading."""

    @property
    def cost_px(self) -> int:
        """Pixels times scans."""
        return self.width_px * self.height_px * self.scans


class JpegFile:
    """The pictures of a JPEG file: the first, and any complete ones behind it (multi-picture files)."""

    format = "JPEG"

    def __init__(self, data: bytes, options: Options) -> None:
        limits = options.limits
        steps = Steps(limits)
        self._short_side_px = options.short_side_px
        self._pictures = [_walk(data, 0, limits, steps)]
        at, false_starts = self._pictures[0].end, 0
        while (start := data.find(b"\xff\xd8\xff", at)) >= 0:
            adjoining = not data[at:start].strip(b"\0")
            try:
                picture = _walk(data, start, limits, steps)
            except Refused as refused:
                too_small = refused.state is State.TOO_SMALL  # nothing can be seen in it
                # Right behind the first it is meant as a picture; further on it may be noise in a clip.
                if refused.state is State.TOO_LARGE or (adjoining and not too_small):
                    raise
                false_starts += 1
                if false_starts > _MAX_FALSE_STARTS:
                    raise Refused(State.TOO_LARGE, "jpeg_false_starts") from None
                at = start + 3
            else:
                self._pictures.append(picture)
                at = picture.end
                if len(self._pictures) > limits.max_frames:
                    raise Refused(State.TOO_LARGE, "frames")
        self._thumbnails: list[Thumbnails] = []
        for picture in self._pictures:
            self._check_memory(picture, limits)
            thumbnails = Thumbnails(limits, steps)
            for reading, block in picture.metadata:
                thumbnails.search(block, reading)
            picture.metadata.clear()  # not held until the pictures are decoded
            self._thumbnails.append(thumbnails)
        cost_px = sum(p.cost_px for p in self._pictures) + sum(t.cost_px for t in self._thumbnails)
        if cost_px > limits.max_scan_pixels:
            raise Refused(State.TOO_LARGE, "scan_pixels")
        self._clip = options.motion_photo == "hold" and CLIP.search(data, self._pictures[0].end) is not None
        first = self._pictures[0]
        self.width_px, self.height_px = _exif.upright_size(first.width_px, first.height_px, first.orientation)
        self.frame_count = len(self._pictures)

    def _check_memory(self, jpeg: Jpeg, limits: Limits) -> None:
        pixels = jpeg.width_px * jpeg.height_px
        if pixels <= limits.max_pixels:
            return
        # libjpeg then keeps a few rows; of several scans it keeps every coefficient of the full size.
        scale = _scale(jpeg, self._short_side_px)
        reduced = -(-jpeg.width_px // scale) * -(-jpeg.height_px // scale)
        if not jpeg.sequential or jpeg.scans > 1 or reduced > limits.max_pixels:
            raise Refused(State.TOO_LARGE, "pixels")

    def frames(self) -> Iterator[Rendered]:
        """Decode one by one, at reduced scale where the caller's short side allows.

        Raises:
            Refused: at the end, for what is in the file and could not be looked at.
        """
        for index, jpeg in enumerate(self._pictures):
            yield from render(jpeg, index, jpeg.orientation, _scale(jpeg, self._short_side_px))
            yield from self._thumbnails[index].frames(index, jpeg.orientation)
        for thumbnails in self._thumbnails:
            thumbnails.check()
        if self._clip:
            raise Refused(State.NO_DECODER, "motion_photo_clip")


class Thumbnails:
    """The small pictures inside blocks of metadata, of a JPEG or of any other format."""

    def __init__(self, limits: Limits, steps: Steps) -> None:
        self._limits, self._steps = limits, steps
        self._jpegs: list[tuple[str, Jpeg]] = []
        self._raw: list[tuple[str, PilImage.Image]] = []
        self._failure: Refused | None = None
        self._false_starts = 0

    @property
    def cost_px(self) -> int:
        """Pixels times scans of all."""
        return sum(jpeg.cost_px for _, jpeg in self._jpegs)

    def search(self, block: bytes, reading: str) -> None:
        """Find every JPEG in ``block``. One that cannot be looked at is remembered for :meth:`check`."""
        at = 0
        while (start := block.find(b"\xff\xd8\xff", at)) >= 0:
            at = start + 3
            try:
                jpeg = self._walk(block, start)
            except Refused as refused:
                # Noise in a maker's own notes, and starts without a picture, end as "broken": no viewer shows them.
                if refused.state in (State.TOO_LARGE, State.NO_DECODER):
                    self._failure = refused
                self._false_starts += 1
                if self._false_starts > _MAX_FALSE_STARTS:
                    self._failure = Refused(State.TOO_LARGE, "jpeg_false_starts")
                    return
            else:
                self._jpegs.append((reading, jpeg))
                at = jpeg.end
                if len(self._jpegs) > self._limits.max_frames:
                    raise Refused(State.TOO_LARGE, "frames")
        if reading == "exif_thumbnail" and _exif.has_raw_thumbnail(block):
            self._failure = Refused(State.NO_DECODER, "exif_thumbnail")
        raw = _jfif_thumbnail(block)
        if raw is not None and min(raw.size) >= self._limits.min_side_px:
            self._raw.append((reading, raw))

    def _walk(self, block: bytes, start: int) -> Jpeg:
        try:
            jpeg = _walk(block, start, self._limits, self._steps)
        except Refused as refused:
            if refused.detail_id != "jpeg_truncated":
                raise
            # Editors cut thumbnails short, and galleries show what is left.
            jpeg = _walk(block + b"\xff\xd9", start, self._limits, self._steps)
        check_size(jpeg.width_px, jpeg.height_px, self._limits)
        return jpeg

    def frames(self, index: int, orientation: int) -> Iterator[Rendered]:
        """Decode them; ``orientation`` is that of the picture they belong to."""
        for reading, jpeg in self._jpegs:
            yield from render(jpeg, index, orientation, 1, reading)
        for reading, raw in self._raw:
            turned = _exif.upright(raw, orientation)
            yield Rendered(turned, index, turned.width, turned.height, reading)

    def check(self) -> None:
        """Say so if one of them could not be looked at.

        Raises:
            Refused: ``NO_DECODER`` or ``TOO_LARGE``.
        """
        if self._failure is not None:
            raise self._failure


def render(jpeg: Jpeg, index: int, orientation: int, scale: int, within: str = "") -> Iterator[Rendered]:
    """Every reading of one picture, upright; ``within`` names where in the file it was."""
    width, height = _exif.upright_size(jpeg.width_px, jpeg.height_px, orientation)
    for reading, picture in _decode(jpeg, scale):
        area = _exif.upright_area(jpeg.width_px / scale, jpeg.height_px / scale, *picture.size, orientation)
        name = "/".join(part for part in (within, reading) if part)
        profile = b"" if jpeg.components == 4 else jpeg.profile
        yield Rendered(_exif.upright(picture, orientation), index, width, height, name, area, profile)


def _walk(data: bytes, start: int, limits: Limits, steps: Steps) -> Jpeg:
    """One picture from its start marker to its end marker.

    Raises:
        Refused: it does not end, it is not built as a JPEG is, or it is of a kind that is not decoded.
    """
    kept = [b"\xff\xd8"]
    frame = b""
    adobe = sequential = False
    orientation: int | None = None
    metadata: list[tuple[str, bytes]] = []
    profile: dict[int, bytes] = {}
    first_scan, scans = -1, 0
    at = start + 2
    pattern = _MARKER
    while True:
        steps.take()
        found = pattern.search(data, at)
        if found is None:
            raise broken("jpeg_truncated")
        pattern = _MARKER
        marker, at = data[found.start() + 1], found.end()
        if marker == _EOI:
            break
        if marker == _TEM or 0xD0 <= marker <= 0xD7:
            continue
        if marker == _SOI or marker < 0xC0:
            raise broken("jpeg_structure")
        length = int.from_bytes(data[at : at + 2], "big")
        if at + max(length, 2) > len(data):
            raise broken("jpeg_truncated")
        if length < 2:
            raise broken("jpeg_structure")
        body = data[at + 2 : at + length]
        if marker in _SOF:
            if frame or scans:
                raise broken("jpeg_structure")
            if marker not in _SOF_DECODED:
                raise Refused(State.NO_DECODER, "jpeg_variant")
            frame, sequential = body, marker in _SOF_SEQUENTIAL
        elif marker == _APP2 and body[:12] == b"ICC_PROFILE\0" and len(body) > 14:
            profile.setdefault(body[12], body[14:])
        elif _APP0 <= marker <= _APP15:
            if marker == _APP1 and body[:6] == b"Exif\0\0":
                # The first one counts, as in viewers.
                orientation = _exif.orientation(body) if orientation is None else orientation
                metadata.append(("exif_thumbnail", body))
            elif marker == _ADOBE and body[:5] == b"Adobe" and len(body) >= 12:
                adobe = True
            else:
                metadata.append(("thumbnail", body))
        elif marker == _SOS:
            if not frame:
                raise broken("jpeg_structure")
            scans += 1
            first_scan = found.start() if first_scan < 0 else first_scan
            pattern = _MARKER_AFTER_SCAN
        if not scans and (marker in _KEPT or marker == _ADOBE or (marker == _APP0 and body[:4] == b"JFIF")):
            kept += (b"\xff", data[at - 1 : at + length])
        at += length
    if not scans:
        raise broken("jpeg_structure")
    if len(frame) < 6 or len(frame) != 6 + 3 * frame[5]:
        raise broken("jpeg_structure")
    components = frame[5]
    width_px, height_px = int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big")
    if frame[0] != 8 or components not in _MODES or height_px == 0:  # height 0: given later, by a DNL segment
        raise Refused(State.NO_DECODER, "jpeg_variant")
    check_size(width_px, height_px, limits, max(limits.max_pixels, limits.max_scaled_jpeg_pixels))
    kept.append(data[first_scan:at])
    return Jpeg(
        b"".join(kept),
        width_px,
        height_px,
        components,
        scans,
        sequential,
        adobe,
        orientation or 1,
        _icc.check_profile(b"".join(profile[n] for n in sorted(profile))),
        at,
        metadata,
    )


def _jfif_thumbnail(block: bytes) -> PilImage.Image | None:
    """The uncompressed thumbnail of a JFIF segment or of its extension."""
    if block[:5] == b"JFIF\0":
        at, palette = 12, b""
    elif block[:6] in (b"JFXX\0\x11", b"JFXX\0\x13"):
        at, palette = 6, block[8:776] if block[5] == 0x11 else b""
    else:
        return None
    size = (block[at], block[at + 1]) if len(block) > at + 1 else (0, 0)
    pixels = size[0] * size[1]
    values = block[at + 2 + len(palette) :][: pixels if palette else 3 * pixels]
    if not pixels or len(values) < (pixels if palette else 3 * pixels) or len(palette) not in (0, 768):
        return None
    if not palette:
        return PilImage.frombytes("RGB", size, values)
    picture = PilImage.frombytes("P", size, values)
    picture.putpalette(palette, "RGB")
    return picture.convert("RGB")


def _scale(jpeg: Jpeg, short_side_px: int | None) -> int:
    """How much libjpeg may reduce inside the inverse DCT: 1, 2, 4 or 8.

    The short side stays at least twice what is asked for, so that the antialiasing resize which follows still
    has pixels to average. Measured on 400 photographs at exactly twice, ``fit`` of the reduced against ``fit``
    of the full decode, in code values of 255: the mean difference of a picture is 0.57, 0.67 and 0.81 at
    scale 2, 4 and 8 (99th percentile 1.2, 1.9, 2.1; worst 2.1, 2.2, 2.8), with Pillow 13 and libjpeg-turbo.
    """
    if short_side_px is None:
        return 1
    room = min(jpeg.width_px, jpeg.height_px) // (2 * short_side_px)
    return next((s for s in (8, 4, 2) if room >= s), 1)


def _decode(jpeg: Jpeg, scale: int) -> Iterator[tuple[str, PilImage.Image]]:
    mode, raw_mode = _MODES[jpeg.components]
    size = (-(-jpeg.width_px // scale), -(-jpeg.height_px // scale))
    picture = PilImage.frombytes(mode, size, jpeg.stream, "jpeg", raw_mode, "", scale, 0)
    yield "", picture if mode == "RGB" else picture.convert("RGB")
    if mode == "CMYK" and not jpeg.adobe:
        yield "inverse", picture.point([255 - v for v in range(256)] * 4).convert("RGB")
    if mode == "CMYK":
        shown = _icc.cmyk_through(jpeg.profile, picture)
        if shown is not None:
            yield "icc", shown
