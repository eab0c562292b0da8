"""HEIC and AVIF: walk the boxes ourselves, then decode each picture from a file that holds it alone.

Such a file is a cupboard: a primary picture, others beside it, thumbnails, an image sequence, depth maps, masks.
Which of them a viewer opens differs. So every one that a viewer may show is copied, with the tiles and the alpha
it needs, into a minimal file of its own, and that is what the decoder gets: libheif (pillow-heif, the extra
``[heic]``) or libavif (Pillow's AVIF plugin). The decoder never sees metadata, names or the other items, cannot
choose another picture than the one that was measured, and is not told of turning, mirroring and cropping: those
are done here, alike for both.

Looked at: the primary item; every other item that is not hidden; thumbnails; gain maps (an HDR screen multiplies
the picture by one, so it can carry a picture); AVIF sequences, frame by frame; a JPEG thumbnail in EXIF. Not looked
at: depth maps and masks, which viewers do not show. A HEIC sequence and the clip of a motion photo are a state.
Layered AVIF is not decoded. EXIF orientation is ignored: in these containers only ``irot`` and ``imir`` count.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image as PilImage

from safelight.decision import State
from safelight.media import _bmff, _codec_size, _icc
from safelight.media._bmff import Item, Meta, Track
from safelight.media._jpeg import CLIP, Thumbnails
from safelight.media._options import Options
from safelight.media._refuse import Refused, Steps, broken, check_animation, check_size
from safelight.media.limits import Limits
from safelight.media.views import Rendered

_CODED: Final = frozenset({b"hvc1", b"av01"})
_DERIVED: Final = frozenset({b"grid", b"iovl", b"iden"})
_ALPHA: Final = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
_GAIN_MAP: Final = b"hdrgainmap"
#: What the decoder is given of an item's properties: what makes its pixels.
_KEPT: Final = frozenset({b"ispe", b"pixi", b"hvcC", b"av1C", b"colr", b"auxC"})
_TURNS: Final = frozenset({b"irot", b"imir", b"clap"})
_HARMLESS: Final = frozenset({b"pasp", b"clli", b"mdcv", b"cclv", b"amve", b"ndwt", b"rref", b"udes", b"altt"})
_LAYERED: Final = frozenset({b"a1op", b"a1lx", b"lsel"})
_METADATA: Final = frozenset({b"Exif", b"mime", b"uri "})
_MAX_DEPTH: Final = 3  # a turned copy of a grid of tiles


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """An item to look at, with everything that it is made of; itself first."""

    items: list[Item]
    width_px: int
    height_px: int
    reading: str
    bound_px: tuple[int, int]
    transform: list[tuple[bytes, bytes]]
    profile: bytes


class HeifFile:
    """Every picture of a HEIC or AVIF file that a viewer may show."""

    format: str

    def __init__(self, data: bytes, options: Options) -> None:
        self._data, self._limits = data, options.limits
        self._steps = Steps(options.limits)
        self._meta = Meta()
        self._tracks: list[Track] = []
        self._failures: list[Refused] = []
        self._bytes = 0
        self._sizes: dict[int, tuple[tuple[int, int], tuple[int, int]]] = {}
        end = self._walk()
        if options.motion_photo == "hold" and CLIP.search(data, end):
            self._failures.append(Refused(State.NO_DECODER, "motion_photo_clip"))
        self._alphas = self._find_alphas()
        self._shown = self._choose() if self._meta.items else []
        self._thumbnails = self._find_thumbnails()
        self._sequence = self._find_sequence()
        if not self._shown and not self._sequence:
            raise self._failures[0] if self._failures else Refused(State.NO_DECODER, "heif_no_picture")
        self.frame_count = len(self._shown) + sum(len(track.samples) for track in self._sequence[:1])
        cost_px = sum(shown.width_px * shown.height_px for shown in self._shown)
        cost_px += sum(track.width_px * track.height_px * len(track.samples) for track in self._sequence[:1])
        if self.frame_count > options.limits.max_frames:
            raise Refused(State.TOO_LARGE, "frames")
        if cost_px > options.limits.max_total_decoded_pixels:
            raise Refused(State.TOO_LARGE, "total_pixels")
        codecs = {item.kind for shown in self._shown for item in shown.items}
        self.format = "HEIF" if b"hvc1" in codecs else "AVIF"
        _require_decoders(codecs | {track.codec for track in self._sequence})
        if self._shown:
            self.width_px, self.height_px = _turned_size(self._shown[0])
        else:
            self.width_px, self.height_px = self._sequence[0].width_px, self._sequence[0].height_px

    def _walk(self) -> int:
        """Read ``meta`` and ``moov``; the end of the first box."""
        found: list[tuple[bytes, int, int]] = []
        try:
            found.extend(_bmff.boxes(self._data, 0, len(self._data), self._steps))
        except Refused as refused:
            # Some phones append data that is no box. A picture that is cut short is found by where its items lie.
            if refused.state is not State.DECODE_FAILED or not any(kind in (b"meta", b"moov") for kind, _, _ in found):
                raise
        if not any(kind in (b"meta", b"moov") for kind, _, _ in found):
            raise broken("heif_structure")
        for kind, start, end in found:
            if kind == b"meta":
                if self._meta.items:
                    raise broken("heif_structure")
                self._meta = _bmff.read_meta(self._data, start, end, self._steps)
            elif kind == b"moov":
                if self._tracks:
                    raise broken("heif_structure")
                self._tracks = _bmff.read_tracks(self._data, start, end, self._limits.max_frames, self._steps)
        return found[0][2]

    # --- which pictures -------------------------------------------------------------------------------------

    def _find_alphas(self) -> dict[int, Item]:
        """The alpha item of each item."""
        found: dict[int, Item] = {}
        for item in self._meta.items.values():
            if any(urn[4:].startswith(_ALPHA) for urn in self._meta.of(item, b"auxC")):
                for target in item.references.get(b"auxl", ()):
                    if target in found:
                        raise broken("heif_structure")  # of two, every decoder takes another one
                    found[target] = item
        return found

    def _choose(self) -> list[_Shown]:
        meta = self._meta
        pictures = [item for item in meta.items.values() if item.kind in _CODED | _DERIVED]
        parts = {target for item in pictures for target in item.references.get(b"dimg", ())}
        chosen: dict[int, _Shown] = {}
        covered: set[int] = set()

        def choose(item: Item, reading: str) -> None:
            if item.id in chosen:
                return
            try:
                shown = self._assemble(item, reading)
            except Refused as refused:
                if refused.state is not State.TOO_SMALL or item.id == meta.primary:
                    self._failures.append(refused)
                return
            chosen[item.id] = shown
            if len(chosen) > self._limits.max_frames:
                raise Refused(State.TOO_LARGE, "frames")
            covered.update(part.id for part in shown.items)

        for item in meta.items.values():
            # A ``tmap`` joins a picture and a gain map, which are both looked at.
            known = item.kind in _CODED | _DERIVED | {b"tmap"} or (item.kind in _METADATA and item.id != meta.primary)
            if not known and not item.hidden and b"auxl" not in item.references:
                self._failures.append(Refused(State.NO_DECODER, "heif_item"))
        primary = meta.items[meta.primary]
        if primary in pictures:
            choose(primary, "")
        seen = [item for item in pictures if not item.hidden and b"auxl" not in item.references]
        for item in seen:
            if item.id not in parts:
                choose(item, "thumbnail" if b"thmb" in item.references else "")
        for item in seen:
            # A part of something that is itself not looked at.
            if item.id not in covered:
                choose(item, "")
        for item in pictures:
            if b"thmb" in item.references:
                choose(item, "thumbnail")
            elif any(_GAIN_MAP in urn for urn in meta.of(item, b"auxC")):
                choose(item, "gain_map")
        return list(chosen.values())

    def _assemble(self, root: Item, reading: str) -> _Shown:
        parts: dict[int, Item] = {}
        self._add(root, parts, 0)
        cost_px = self._cost_px(root)
        for part in list(parts):
            alpha = self._alphas.get(part)
            if alpha is not None and alpha.id not in parts:
                self._add(alpha, parts, 0)
                cost_px = max(cost_px, self._cost_px(alpha))
        if cost_px > self._limits.max_heif_pixels:
            raise Refused(State.TOO_LARGE, "heif_pixels")
        items = list(parts.values())
        self._bytes += sum(end - start for item in items for start, end in item.extents)
        if self._bytes > _bmff.MAX_SHARING * self._limits.max_bytes:
            raise Refused(State.TOO_LARGE, "heif_bytes")
        (width, height), bound_px = self._size(root)
        transform = [
            (kind, body)
            for index, _ in root.properties
            for kind, body in [self._meta.properties[index - 1]]
            if kind in _TURNS
        ]
        profiles = [body[4:] for body in self._meta.of(root, b"colr") if body[:4] in (b"prof", b"rICC")]
        shown = _Shown(
            items, width, height, reading, bound_px, transform, _icc.check_profile(profiles[0] if profiles else b"")
        )
        check_size(*_turned_size(shown), self._limits)
        return shown

    def _add(self, item: Item, parts: dict[int, Item], depth: int) -> None:
        """Add ``item`` and what it is made of, checked."""
        if item.id in parts:
            return
        if depth > _MAX_DEPTH or item.kind not in _CODED | _DERIVED:
            raise Refused(State.NO_DECODER, "heif_item")
        if item.protected:
            raise Refused(State.NO_DECODER, "heif_protected")
        for index, essential in item.properties:
            kind = self._meta.properties[index - 1][0]
            if kind in _LAYERED or (essential and kind not in _KEPT | _TURNS | _HARMLESS):
                raise Refused(State.NO_DECODER, "heif_variant")
        parts[item.id] = item
        _, bound_px = self._size(item)
        check_size(*bound_px, self._limits_of_parts, self._limits.max_heif_pixels)
        targets = item.references.get(b"dimg", []) if item.kind in _DERIVED else []
        if item.kind in _DERIVED and not targets:
            raise broken("heif_structure")
        for target in targets:
            self._steps.take()
            self._add(self._meta.items[target], parts, depth + 1)

    @property
    def _limits_of_parts(self) -> Limits:
        """A tile may be smaller than a picture that is worth looking at."""
        return Limits(max_side_px=self._limits.max_side_px, min_side_px=1)

    def _cost_px(self, item: Item, depth: int = 0) -> int:
        """Pixels that have to be decoded, repeated parts repeatedly."""
        if item.kind in _CODED:
            _, (width, height) = self._size(item)
            return width * height
        total = 0
        for part in item.references.get(b"dimg", ()) if depth <= _MAX_DEPTH else ():
            self._steps.take()
            total += self._cost_px(self._meta.items[part], depth + 1)
        return total

    def _size(self, item: Item) -> tuple[tuple[int, int], tuple[int, int]]:
        """What the container states, and the most that container and bitstream allow."""
        if item.id not in self._sizes:
            self._sizes[item.id] = self._measure(item)
        return self._sizes[item.id]

    def _measure(self, item: Item) -> tuple[tuple[int, int], tuple[int, int]]:
        extents = self._meta.of(item, b"ispe")
        if len(extents) != 1 or len(extents[0]) < 12:
            raise broken("heif_structure")
        width, height = struct.unpack_from(">II", extents[0], 4)
        stated = (int(width), int(height))
        content = b"" if item.kind == b"iden" else self._content(item)
        sizes: list[tuple[int, int]] = []
        if item.kind == b"hvc1":
            configurations = self._meta.of(item, b"hvcC")
            if len(configurations) != 1:
                raise broken("heif_structure")
            length_bytes, units = _codec_size.hevc_configuration(configurations[0])
            units += _codec_size.hevc_units(content, length_bytes, self._steps)
            sizes += [size for size in map(_codec_size.hevc_size, units) if size is not None]
        elif item.kind == b"av01":
            sizes += _codec_size.av1_sizes(content, self._steps)
        elif item.kind == b"grid":
            sizes.append(_canvas(content, 4))
            if len(item.references.get(b"dimg", ())) != (content[2] + 1) * (content[3] + 1):
                raise broken("heif_structure")
        elif item.kind == b"iovl":
            sizes.append(_canvas(content, 10))
        if item.kind in _CODED and not sizes:
            raise broken("heif_codec")  # no sequence header anywhere
        return stated, (max(w for w, _ in [stated, *sizes]), max(h for _, h in [stated, *sizes]))

    def _content(self, item: Item) -> bytes:
        return b"".join(self._data[start:end] for start, end in item.extents)

    def _find_thumbnails(self) -> Thumbnails:
        thumbnails = Thumbnails(self._limits, self._steps)
        for item in self._meta.items.values():
            if item.kind == b"Exif":
                thumbnails.search(self._content(item), "exif_thumbnail")
        return thumbnails

    def _find_sequence(self) -> list[Track]:
        """The tracks of an AVIF sequence, the visible one first; anything else that moves is a failure."""
        if not self._tracks:
            return []
        tracks = sorted(self._tracks, key=lambda track: track.handler != b"pict")
        handlers = [track.handler for track in tracks]
        if handlers not in ([b"pict"], [b"pict", b"auxv"]) or any(track.codec != b"av01" for track in tracks):
            self._failures.append(Refused(State.NO_DECODER, "heif_sequence"))
            return []
        for track in tracks:
            if not track.samples or len(track.samples) != len(tracks[0].samples):
                raise broken("heif_structure")
            check_size(track.width_px, track.height_px, self._limits)
            check_animation(track.width_px, track.height_px, len(track.samples), self._limits)
            for start, end in track.samples:
                for size in _codec_size.av1_sizes(self._data[start:end], self._steps):
                    check_size(*size, self._limits, self._limits.max_heif_pixels)
        return tracks

    # --- pixels ---------------------------------------------------------------------------------------------

    def frames(self) -> Iterator[Rendered]:
        """Decode one by one.

        Raises:
            Refused: at the end, for what is in the file and could not be looked at.
        """
        for index, shown in enumerate(self._shown):
            picture = self._decode(shown)
            for reading, turned in _transformed(picture, shown.transform, self._limits):
                name = "/".join(part for part in (shown.reading, reading) if part)
                yield Rendered(turned, index, turned.width, turned.height, name, profile=shown.profile)
        yield from self._thumbnails.frames(0, 1)
        if self._sequence:
            yield from self._decode_sequence()
        self._thumbnails.check()
        if self._failures:
            raise self._failures[0]

    def _decode(self, shown: _Shown) -> PilImage.Image:
        root = shown.items[0]
        chosen = []
        for item in shown.items:
            # What is done to the whole is done here, to the parts by the decoder.
            kept = _KEPT if item is root or b"auxl" in item.references else _KEPT | _TURNS
            chosen.append(
                [
                    (index, essential)
                    for index, essential in item.properties
                    for kind, body in [self._meta.properties[index - 1]]
                    if kind in kept and (kind != b"colr" or body[:4] == b"nclx")
                ]
            )
        contents = [self._content(item) for item in shown.items]
        file = _bmff.write(self._meta, shown.items, contents, chosen)
        avif = any(item.kind == b"av01" for item in shown.items)
        picture = _decode_avif(file) if avif else _decode_heic(file)
        if picture.width > shown.bound_px[0] or picture.height > shown.bound_px[1]:
            raise broken("heif_codec")
        return picture

    def _decode_sequence(self) -> Iterator[Rendered]:
        from PIL import AvifImagePlugin

        # A decoder opens the sequence of a file, and not its primary picture, by this brand.
        file = io.BytesIO(b"".join((self._data[:8], b"avis", memoryview(self._data)[12:])))
        with AvifImagePlugin.AvifImageFile(file) as sequence:
            count = len(self._sequence[0].samples)
            if getattr(sequence, "n_frames", 1) != count:
                raise broken("heif_structure")
            for number in range(count):
                sequence.seek(number)
                sequence.load()
                picture = _colours(sequence.copy())
                index = len(self._shown) + number
                yield Rendered(picture, index, picture.width, picture.height, "sequence" if self._shown else "")


def _canvas(content: bytes, start: int) -> tuple[int, int]:
    """Width and height behind the head of a grid or an overlay."""
    code = ">II" if len(content) > 1 and content[1] & 1 else ">HH"
    if len(content) < start + struct.calcsize(code):
        raise broken("heif_structure")
    width, height = struct.unpack_from(code, content, start)
    return width, height


def _require_decoders(codecs: set[bytes]) -> None:
    """Check that what decodes these is installed.

    Raises:
        Refused: ``NO_DECODER``.
    """
    missing = ""
    if b"av01" in codecs:
        try:
            from PIL import AvifImagePlugin

            missing = "" if AvifImagePlugin.SUPPORTED else "avif_not_built"
        except ImportError:  # Pillow before 11.3
            missing = "avif_not_built"
    if b"hvc1" in codecs:
        try:
            import pillow_heif  # noqa: F401
        except ImportError:
            missing = "heic_not_installed"
    if missing:
        raise Refused(State.NO_DECODER, missing)


def _decode_avif(file: bytes) -> PilImage.Image:
    from PIL import AvifImagePlugin

    # The class itself rather than ``PIL.Image.open``: its bomb check warns by a threshold that the host may have
    # lowered, and the size has been checked.
    with AvifImagePlugin.AvifImageFile(io.BytesIO(file)) as opened:
        opened.load()
        return _colours(opened.copy())


def _decode_heic(file: bytes) -> PilImage.Image:
    import pillow_heif

    # Typed loosely: the attributes used are those that 0.18 and 1.x share.
    opened: Any = pillow_heif.open_heif(io.BytesIO(file), convert_hdr_to_8bit=True)
    one = opened[0]
    data = one.data  # decodes; the size is known only then
    return _colours(PilImage.frombytes(one.mode, one.size, data, "raw", one.mode, one.stride))


def _colours(picture: PilImage.Image) -> PilImage.Image:
    """RGB or RGBA."""
    if picture.mode in ("RGB", "RGBA"):
        return picture
    if picture.mode == "L":
        return picture.convert("RGB")
    if picture.mode in ("LA", "La", "RGBa"):
        return picture.convert("LA").convert("RGBA") if picture.mode == "La" else picture.convert("RGBA")
    raise Refused(State.NO_DECODER, "heif_variant")


# --- turning, mirroring, cropping ---------------------------------------------------------------------------


def _transformed(
    picture: PilImage.Image, transform: list[tuple[bytes, bytes]], limits: Limits
) -> Iterator[tuple[str, PilImage.Image]]:
    """The picture as it is shown, and with what its clean aperture cuts off if that is large enough to see."""
    yield "", _apply(picture, transform)
    for kind, body in transform:
        if kind == b"clap":
            left, top, right, bottom = _aperture(body, picture.size)
            if max(left, top, picture.width - right, picture.height - bottom) >= limits.min_side_px:
                yield "whole", _apply(picture, [step for step in transform if step[0] != b"clap"])
            return


def _apply(picture: PilImage.Image, transform: list[tuple[bytes, bytes]]) -> PilImage.Image:
    for kind, body in transform:
        if kind == b"clap":
            box = _aperture(body, picture.size)
            picture = picture if box == (0, 0, *picture.size) else picture.crop(box)
        elif body:
            how = _turn(kind, body)
            picture = picture if how is None else picture.transpose(how)
    return picture


def _turn(kind: bytes, body: bytes) -> PilImage.Transpose | None:
    if kind == b"imir":
        return PilImage.Transpose.FLIP_LEFT_RIGHT if body[0] & 1 else PilImage.Transpose.FLIP_TOP_BOTTOM
    # Anticlockwise, as Pillow counts too.
    turns = (None, PilImage.Transpose.ROTATE_90, PilImage.Transpose.ROTATE_180, PilImage.Transpose.ROTATE_270)
    return turns[body[0] & 3]


def _turned_size(shown: _Shown) -> tuple[int, int]:
    size = (shown.width_px, shown.height_px)
    for kind, body in shown.transform:
        if kind == b"clap":
            left, top, right, bottom = _aperture(body, size)
            size = (right - left, bottom - top)
        elif kind == b"irot" and body and body[0] & 1:
            size = size[::-1]
    return size


def _aperture(body: bytes, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a clean aperture; all of the picture when it is none (as viewers do)."""
    everything = (0, 0, *size)
    if len(body) < 32:
        return everything
    w, wd, h, hd = struct.unpack_from(">4I", body)
    x, xd, y, yd = struct.unpack_from(">4i", body, 16)
    if not (wd and hd and xd > 0 and yd > 0):
        return everything
    width, height = w // wd, h // hd
    left = round((size[0] - 1) / 2 + x / xd - (width - 1) / 2)
    top = round((size[1] - 1) / 2 + y / yd - (height - 1) / 2)
    if width < 1 or height < 1 or left < 0 or top < 0 or left + width > size[0] or top + height > size[1]:
        return everything
    return left, top, left + width, top + height
