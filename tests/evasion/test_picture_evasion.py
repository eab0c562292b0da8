"""Every place in a file where a picture can hide: a marker put there reaches the detector, or the file is held.

The detector is a stand-in that knows one coarse pattern of light and dark and finds it at any size; what is tested
is that the pixels arrive, upright and as a viewer would show them. Covers are checked to hold no marker themselves.
"""

from __future__ import annotations

import base64
import gzip
import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage
from PIL import ImageChops
from safelight._image import prepare
from safelight.decision import State
from safelight.media import Frame, Image, load_image
from unit.media.helpers import (
    HeifItem,
    avif,
    box,
    chunk,
    encode,
    encode_frames,
    exif,
    gif,
    gif_frame,
    header,
    heic,
    heif_file,
    heif_items,
    inverting_profile,
    look,
    needs,
    pattern,
    png,
    rgb_png,
    rows,
    segment,
    with_segments,
    zipped,
)
from unit.media.test_animation import apng
from unit.media.test_bmp import bmp, rows_of
from unit.media.test_containers import flagged
from unit.media.test_orientation import stored
from unit.media.test_thumbnails import exif_with

# Different from itself under every turn, mirroring and inversion.
CODE = np.array(
    [
        [1, 1, 0, 1, 0, 0],
        [0, 1, 1, 0, 0, 1],
        [0, 0, 1, 0, 1, 1],
        [1, 0, 0, 0, 1, 0],
        [1, 1, 1, 0, 0, 1],
        [0, 1, 0, 1, 1, 0],
    ]
)
_SIGNS = 2.0 * CODE - 1


def marker(width: int = 96, height: int = 72) -> np.ndarray:
    """The pattern in light and dark grey that fills a picture, as ``uint8[height, width, 3]``."""
    y = np.arange(height) * 6 // height
    x = np.arange(width) * 6 // width
    return np.where(CODE[y][:, x, None], 210, 40).astype(np.uint8).repeat(3, axis=2)


def detect(image: Image) -> bool:
    small = prepare(image.pixels, resize_px=(48, 48), crop=image.area_px).mean(axis=2)
    cells = small.reshape(6, 8, 6, 8).mean(axis=(1, 3))
    if cells.std() < 2:
        return False
    return float(((cells - cells.mean()) / cells.std() * _SIGNS).mean()) > 0.85


def outcome(source: Any, **options: Any) -> str:
    images, failure = look(source, **options)
    if any(detect(image) for image in images):
        return "seen"
    return "clean" if failure is None else "held"


COVER = pattern(96, 72)
MARKER = marker()
SMALL = marker(48, 36)
JPEG = encode(COVER, "JPEG", quality=95)
THUMBNAIL = encode(SMALL, "JPEG", quality=90)
CLIP = box(b"ftyp", b"mp42" + bytes(4) + b"isommp42") + box(b"mdat", bytes(2_000))


def grey(picture: np.ndarray) -> PilImage.Image:
    return PilImage.fromarray(picture).convert("L")


def rgba(colours: np.ndarray, alpha: np.ndarray | int) -> np.ndarray:
    return np.dstack([colours, np.broadcast_to(np.uint8(alpha), colours.shape[:2])])


def wide_png(colour: int) -> bytes:
    channels = 1 if colour == 0 else 3
    values = (MARKER[..., :channels].astype(">u2") * 257).tobytes()
    return png(header(96, 72, 16, colour), chunk(b"IDAT", rows(np.frombuffer(values, np.uint8).reshape(72, -1))))


def unmarked_cmyk(picture: np.ndarray, invert: bool = False) -> bytes:
    inks = PilImage.fromarray(picture).convert("CMYK")
    data = encode(ImageChops.invert(inks) if invert else inks, "JPEG", quality=95)
    at = data.index(b"\xff\xee")
    return data[:at] + data[at + 16 :]


FORMATS: dict[str, Callable[[np.ndarray], bytes]] = {
    "PNG": lambda p: encode(p, "PNG"),
    "PNG, 1 bit": lambda p: encode(PilImage.fromarray(p).convert("1", dither=PilImage.Dither.NONE), "PNG"),
    "PNG, grey": lambda p: encode(grey(p), "PNG"),
    "PNG, palette": lambda p: encode(PilImage.fromarray(p).convert("P"), "PNG"),
    "JPEG": lambda p: encode(p, "JPEG"),
    "JPEG, progressive": lambda p: encode(p, "JPEG", progressive=True),
    "JPEG, grey": lambda p: encode(grey(p), "JPEG"),
    "JPEG, CMYK": lambda p: encode(PilImage.fromarray(p).convert("CMYK"), "JPEG"),
    "JPEG, CMYK unmarked": unmarked_cmyk,
    "JPEG, CMYK unmarked and inverted": lambda p: unmarked_cmyk(p, invert=True),
    "JPEG, quality 5": lambda p: encode(p, "JPEG", quality=5),
    "WEBP": lambda p: encode(p, "WEBP", quality=40),
    "WEBP, lossless": lambda p: encode(p, "WEBP"),
    "GIF": lambda p: encode(p, "GIF"),
    "BMP": lambda p: encode(p, "BMP"),
    "BMP, palette": lambda p: encode(PilImage.fromarray(p).convert("P"), "BMP"),
    "AVIF": lambda p: avif(p, quality=50),
    "HEIC": lambda p: heic(p),
    "HEIC, tiles": lambda p: heic(np.kron(p, np.ones((2, 2, 1), np.uint8)), tile_size=128),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format(name: str) -> None:
    needs("HEIF" if "HEIC" in name else "PNG")
    assert outcome(FORMATS[name](MARKER)) == "seen"
    assert outcome(FORMATS[name](COVER)) == "clean"


def test_16_bits() -> None:
    assert outcome(wide_png(0)) == outcome(wide_png(2)) == "seen"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_orientation(kind: str, orientation: int) -> None:
    turned = stored(MARKER, orientation)
    block = exif(orientation)
    data = {
        "JPEG": lambda: with_segments(encode(turned, "JPEG"), segment(0xE1, b"Exif\0\0" + block)),
        "PNG": lambda: rgb_png(turned, chunk(b"eXIf", block)),
        "WEBP": lambda: encode(turned, "WEBP", exif=block),
    }[kind]()
    assert outcome(data) == "seen"
    if orientation > 1:
        assert outcome(turned) == "clean"


def heif(item: HeifItem, *more: HeifItem) -> bytes:
    return heif_file([item, *more], brand=b"heic" if item.kind == b"hvc1" else b"avif")


def items(codec: str, *pictures: np.ndarray) -> list[HeifItem]:
    needs(codec)
    return [heif_items(heic(p) if codec == "HEIF" else avif(p))[0] for p in pictures]


HEIF_PLACES: dict[str, Callable[[str], bytes]] = {
    "second picture": lambda c: heif(*items(c, COVER, MARKER)),
    "turned": lambda c: heif(items(c, np.rot90(MARKER, -1).copy())[0].add(b"irot", b"\1", True)),
    "mirrored": lambda c: heif(items(c, MARKER[:, ::-1].copy())[0].add(b"imir", b"\1", True)),
    "cut out": lambda c: heif(items(c, beside())[0].add(b"clap", aperture(96, 72, 48, 0), True)),
    "cut off": lambda c: heif(items(c, beside())[0].add(b"clap", aperture(32, 72, -80, 0), True)),
    "thumbnail": lambda c: heif(*related(c, b"thmb")),
    "hidden thumbnail": lambda c: heif(*related(c, b"thmb", hidden=True)),
    "gain map": lambda c: heif(*related(c, b"auxl", b"urn:com:apple:photo:2020:aux:hdrgainmap\0")),
    "part of a grid that is not shown": lambda c: heif(*part_of_hidden_grid(c)),
    "EXIF thumbnail": lambda c: heif(*items(c, COVER), HeifItem(b"Exif", bytes(4) + exif_with(THUMBNAIL), [])),
    "alpha alone": lambda c: alpha_alone(c),
    "profile": lambda c: heif(items(c, 255 - MARKER)[0].add(b"colr", b"prof" + inverting_profile())),
}


def beside() -> np.ndarray:
    """The cover, and the marker to its right, with the marker's part in the middle of nothing at full view."""
    return np.hstack([COVER, MARKER])


def aperture(width: int, height: int, x: int, y: int) -> bytes:
    return struct.pack(">4I4i", width, 1, height, 1, x, 1, y, 1)


def related(codec: str, how: bytes, urn: bytes = b"", hidden: bool = False) -> list[HeifItem]:
    main, other = items(codec, COVER, MARKER)
    other.references, other.hidden = {how: [1]}, hidden
    return [main, other.add(b"auxC", bytes(4) + urn) if urn else other]


def part_of_hidden_grid(codec: str) -> list[HeifItem]:
    main, other = items(codec, COVER, MARKER)
    content = struct.pack(">4B2H", 0, 0, 0, 0, 96, 72)
    return [main, HeifItem(b"grid", content, main.properties[:], {b"dimg": [3]}, True), other]


def alpha_alone(codec: str) -> bytes:
    needs(codec)
    picture = rgba(np.full_like(COVER, 255), MARKER[..., 0])
    return heic(picture) if codec == "HEIF" else avif(picture)


@pytest.mark.parametrize("codec", ["HEIF", "AVIF"])
@pytest.mark.parametrize("name", [n for n in HEIF_PLACES if n != "cut off"])
def test_every_place_in_heic_and_avif(name: str, codec: str) -> None:
    assert outcome(HEIF_PLACES[name](codec)) == "seen"


def test_what_an_aperture_cuts_off_is_in_the_whole_view() -> None:
    data = HEIF_PLACES["cut off"]("AVIF")
    views = {image.view: image for image in look(data)[0]}
    assert views["whole/plain"].pixels.shape == (72, 192, 3)


# --- frames -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
@pytest.mark.parametrize("place", [0, 1, 9])
def test_one_frame_of_ten(kind: str, place: int) -> None:
    needs("AVIF" if kind == "AVIF" else "PNG")
    frames = [pattern(96, 72, seed=n) for n in range(10)]
    assert outcome(avif(*frames) if kind == "AVIF" else encode_frames(frames, kind)) == "clean"
    frames[place] = MARKER
    assert outcome(avif(*frames) if kind == "AVIF" else encode_frames(frames, kind)) == "seen"


def dark_and_light(picture: np.ndarray) -> np.ndarray:
    return (picture[..., 0] > 128).astype(np.uint8)


GREYS = [(40, 40, 40), (210, 210, 210), (120, 120, 120)]


def drawn_line_by_line() -> bytes:
    """No frame holds more than a stripe; together they make the picture."""
    lines = dark_and_light(MARKER)
    frames = [gif_frame(lines[y : y + 12], at=(0, y)) for y in range(0, 72, 12)]
    return gif(gif_frame(np.full((72, 96), 2, np.uint8)), *frames, screen=(96, 72), palette=GREYS)


PLACES_IN_ANIMATIONS: dict[str, Callable[[], bytes]] = {
    "drawn line by line": drawn_line_by_line,
    "default picture of an APNG": lambda: apng((rgba(COVER, 255), (0, 0), 0, 0), default=rgba(MARKER, 255)),
    "second frame of an APNG": lambda: apng(
        (rgba(COVER, 255), (0, 0), 0, 0), (rgba(MARKER, 255), (0, 0), 2, 0), (rgba(COVER, 255), (0, 0), 0, 0)
    ),
    "outside the screen of a GIF": lambda: gif(gif_frame(dark_and_light(MARKER)), screen=(20, 20), palette=GREYS),
    "cut out by the screen of a GIF": lambda: gif(
        gif_frame(np.pad(dark_and_light(MARKER), ((0, 100), (0, 120)), constant_values=2)),
        screen=(96, 72),
        palette=GREYS,
    ),
    "shown through holes": lambda: gif(
        gif_frame(np.full((72, 96), 1, np.uint8)),
        gif_frame(dark_and_light(MARKER) * 2, transparent=2),
        screen=(96, 72),
        palette=GREYS,
    ),
}


@pytest.mark.parametrize("name", PLACES_IN_ANIMATIONS)
def test_every_trick_of_animation(name: str) -> None:
    assert outcome(PLACES_IN_ANIMATIONS[name]()) == "seen"


# --- behind, beside and inside ------------------------------------------------------------------------------

INSIDE_A_JPEG: dict[str, bytes] = {
    "second picture": JPEG + encode(MARKER, "JPEG"),
    "second picture far behind": JPEG + bytes(5_000) + b"words" + encode(MARKER, "JPEG"),
    "MPO": encode(PilImage.fromarray(COVER), "MPO", save_all=True, append_images=[PilImage.fromarray(MARKER)]),
    "called a gain map": JPEG
    + with_segments(encode(MARKER, "JPEG"), segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<hdrgm:Version>1.0")),
    "EXIF thumbnail": with_segments(JPEG, segment(0xE1, b"Exif\0\0" + exif_with(THUMBNAIL))),
    "EXIF thumbnail without an end": with_segments(JPEG, segment(0xE1, b"Exif\0\0" + exif_with(THUMBNAIL[:-2]))),
    "thumbnail in EXIF that nothing points at": with_segments(JPEG, segment(0xE1, b"Exif\0\0" + exif(1) + THUMBNAIL)),
    "thumbnail of the second picture": JPEG
    + with_segments(encode(pattern(96, 72, seed=2), "JPEG"), segment(0xE1, b"Exif\0\0" + exif_with(THUMBNAIL))),
    "Photoshop's thumbnail": with_segments(JPEG, segment(0xED, b"Photoshop 3.0\x008BIM\4\x0c" + bytes(34) + THUMBNAIL)),
    "JFIF thumbnail": with_segments(JPEG, segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\x30\x24" + SMALL.tobytes())),
    "JFXX thumbnail": with_segments(JPEG, segment(0xE0, b"JFXX\0\x10" + THUMBNAIL)),
}


@pytest.mark.parametrize("name", INSIDE_A_JPEG)
def test_every_place_in_a_jpeg(name: str) -> None:
    assert outcome(INSIDE_A_JPEG[name]) == "seen"
    for short_side_px in (10, 36):
        assert outcome(INSIDE_A_JPEG[name], short_side_px=short_side_px) == "seen"


def test_thumbnails_in_png_and_webp() -> None:
    block = exif_with(THUMBNAIL)
    assert outcome(rgb_png(COVER, chunk(b"eXIf", block))) == "seen"
    assert outcome(encode(COVER, "WEBP", exif=block)) == "seen"


# --- transparency and colour --------------------------------------------------------------------------------

LIGHT = MARKER[..., 0] > 128
TRANSPARENT: dict[str, np.ndarray] = {
    "under alpha 0": rgba(MARKER, 0),
    "faint": rgba(MARKER, 2),
    "white on nothing": rgba(np.full_like(COVER, 255), np.where(LIGHT, 255, 0)),
    "black on nothing": rgba(np.zeros_like(COVER), np.where(LIGHT, 0, 255)),
    "in the alpha of one colour": rgba(np.full_like(COVER, 128), MARKER[..., 0] // 2),
}


@pytest.mark.parametrize("name", TRANSPARENT)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "PIL", "ARRAY", "FRAME", "AVIF"])
def test_every_trick_of_transparency(name: str, kind: str) -> None:
    picture = TRANSPARENT[name]
    bgra = picture[..., (2, 1, 0, 3)]
    source: Any = {
        "PNG": lambda: encode(picture, "PNG"),
        "WEBP": lambda: encode(picture, "WEBP"),
        "BMP": lambda: bmp(96, 72, 32, rows_of(bgra), compression=3, masks=(0xFF0000, 0xFF00, 0xFF)),
        "PIL": lambda: PilImage.fromarray(picture),
        "ARRAY": lambda: picture,
        "FRAME": lambda: Frame(picture, "rgba", width=96, height=72),
        "AVIF": lambda: avif(picture, quality=100),
    }[kind]()
    assert outcome(source) == "seen"


def test_colour_keys() -> None:
    indices = dark_and_light(MARKER)
    assert outcome(gif(gif_frame(indices, transparent=0), screen=(96, 72), palette=[(255,) * 3, (255,) * 3])) == "seen"
    key = chunk(b"tRNS", struct.pack(">3H", 40, 40, 40))
    nearly_black = np.where(LIGHT[..., None], 40, 0).repeat(3, axis=2).astype(np.uint8)
    assert outcome(rgb_png(nearly_black, key)) == "seen"


def double_vision() -> bytes:
    """Nearly white without its gamma, the marker with it."""
    exponent = 100_000 / (2.2 * 2_000)
    light = np.round(255 * (MARKER / 255.0) ** (1 / exponent)).astype(np.uint8)
    return rgb_png(light, chunk(b"gAMA", struct.pack(">I", 2_000)))


def test_colour_that_only_some_viewers_manage() -> None:
    assert outcome(double_vision()) == "seen"
    pytest.importorskip("PIL.ImageCms")
    for kind in ("PNG", "JPEG", "WEBP"):
        assert outcome(encode(255 - MARKER, kind, icc_profile=inverting_profile())) == "seen"
        assert outcome(encode(255 - MARKER, kind)) == "clean"


# --- held ---------------------------------------------------------------------------------------------------

PNG = encode(MARKER, "PNG")


def uncompressed(kind: str) -> bytes:
    out = io.BytesIO()
    PilImage.fromarray(MARKER).save(out, kind)
    return out.getvalue()


HELD: dict[str, Callable[[], bytes]] = {
    "clip of a motion photo": lambda: JPEG + CLIP,
    "clip behind a trailer": lambda: JPEG + b"MotionPhoto_Data" + CLIP,
    "video": lambda: CLIP,
    "WebM": lambda: b"\x1a\x45\xdf\xa3" + bytes(200),
    "AVI": lambda: b"RIFF\0\1\0\0AVI " + bytes(200),
    "TIFF": lambda: uncompressed("TIFF"),
    "ICO": lambda: b"\0\0\1\0\1\0" + PNG,
    "ICNS": lambda: b"icns" + PNG,
    "PPM": lambda: uncompressed("PPM"),
    "SVG with a picture in it": lambda: (
        b"<svg><image href='data:image/png;base64," + base64.b64encode(PNG) + b"'/></svg>"
    ),
    "JPEG XL": lambda: b"\xff\x0a" + bytes(90),
    "JPEG 2000": lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(90),
    "camera raw": lambda: b"II*\0\x10\0\0\0CR\2\0" + bytes(90),
    "Photoshop": lambda: b"8BPS\0\1" + bytes(90),
    "uncompressed EXIF thumbnail": lambda: with_segments(
        JPEG,
        segment(
            0xE1,
            b"Exif\0\0"
            + exif_with(b"")
            .replace(struct.pack(">HHIHH", 0x0103, 3, 1, 6, 0), struct.pack(">HHIHH", 0x0103, 3, 1, 1, 0))
            .replace(struct.pack(">HHI", 0x0201, 4, 1), struct.pack(">HHI", 0x0111, 4, 1)),
        ),
    ),
    "lossless JPEG": lambda: encode(MARKER, "JPEG").replace(b"\xff\xc0", b"\xff\xc3", 1),
    "PNG of Apple's own": lambda: png(chunk(b"CgBI", bytes(4)), header(96, 72), chunk(b"IDAT", zlib.compress(b"x"))),
    "cut short": lambda: PNG[:-20],
    "PDF": lambda: b"%PDF-1.7\n" + encode(MARKER, "JPEG"),
    "RAR": lambda: b"Rar!\x1a\7\0" + PNG,
    "Word of before 2007": lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + PNG,
    "text": lambda: base64.b64encode(PNG),
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("name", HELD)
@pytest.mark.parametrize("containers", ["not_media", "look_inside"])
def test_what_cannot_be_looked_at_is_held(name: str, containers: Any) -> None:
    assert outcome(HELD[name](), containers=containers) == "held"


# --- containers ---------------------------------------------------------------------------------------------

PACKED: dict[str, Callable[[], bytes]] = {
    "ZIP": lambda: zipped({"a": PNG}),
    "the last of many": lambda: zipped({**{str(n): encode(pattern(40, 28, n), "PNG") for n in range(30)}, "z": PNG}),
    "document": lambda: zipped({"[Content_Types].xml": b"<x/>", "word/media/image1.emz.txt": PNG}),
    "book": lambda: zipped({"mimetype": b"application/epub+zip", "OEBPS/cover": encode(MARKER, "JPEG")}),
    "gzip": lambda: gzip.compress(PNG),
    "ZIP in a ZIP": lambda: zipped({"a": zipped({"b": PNG})}),
    "gzip in a ZIP": lambda: zipped({"a": gzip.compress(PNG)}),
    "thumbnail of a photo in a ZIP": lambda: zipped({"a": INSIDE_A_JPEG["EXIF thumbnail"]}),
    "last frame of an animation in a ZIP": lambda: zipped({"a": encode_frames([COVER, MARKER], "GIF")}),
    "beside one that cannot be looked at": lambda: zipped({"a": b"8BPS" + bytes(90), "b": PNG}),
    "beside an encrypted one": lambda: flagged(zipped({"a": b"x" * 90, "b": PNG})),
}
PACKED_HELD: dict[str, Callable[[], bytes]] = {
    "two levels deep": lambda: zipped({"a": zipped({"b": zipped({"c": PNG})})}),
    "encrypted": lambda: flagged(zipped({"a": PNG})),
    "packed by another method": lambda: flagged(zipped({"a": PNG}, 0), 0, 14),
    "cut short": lambda: zipped({"a": PNG})[:-10],
    "text around it": lambda: zipped({"a.html": b"<img src='data:image/png;base64," + base64.b64encode(PNG)}),
    "object of an older office program": lambda: zipped({"a": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + PNG}),
    "PDF": lambda: zipped({"a.pdf": HELD["PDF"]()}),
    "RAR": lambda: zipped({"a.rar": HELD["RAR"]()}),
    "drawing": lambda: zipped({"a.svg": HELD["SVG with a picture in it"]()}),
}


@pytest.mark.parametrize("name", PACKED)
def test_every_container(name: str) -> None:
    assert outcome(PACKED[name](), containers="look_inside") == "seen"
    assert outcome(PACKED[name]()) == "held"


@pytest.mark.parametrize("name", PACKED_HELD)
def test_containers_that_cannot_be_looked_into_are_held(name: str) -> None:
    assert outcome(PACKED_HELD[name](), containers="look_inside") == "held"
    assert outcome(PACKED_HELD[name]()) == "held"


# --- cameras ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["rgb", "bgr", "grey", "nv21", "nv12", "i420", "yuyv"])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_every_camera(format: Any, rotation: Any) -> None:
    picture = np.rot90(MARKER, rotation // 90)  # as a camera stores it that must be turned clockwise
    height, width = picture.shape[:2]
    y = picture[..., 0]
    neutral = np.full((height // 2, width), 128, np.uint8)
    pairs = np.stack([y, np.full_like(y, 128)], axis=-1)
    data = {
        "rgb": lambda: picture.tobytes(),
        "bgr": lambda: picture.tobytes(),
        "grey": lambda: y.tobytes(),
        "nv21": lambda: y.tobytes() + neutral.tobytes(),
        "nv12": lambda: y.tobytes() + neutral.tobytes(),
        "i420": lambda: y.tobytes() + neutral.tobytes(),
        "yuyv": lambda: pairs.tobytes(),
    }[format]()
    assert outcome(Frame(data, format, width=width, height=height, rotation=rotation)) == "seen"
    if rotation:
        assert outcome(Frame(data, format, width=width, height=height)) == "clean"


def test_the_stand_in_itself() -> None:
    """It finds the marker at any size, and not in a cover, a turned or an inverted marker."""
    for size in ((16, 16), (96, 72), (700, 300)):
        assert outcome(marker(*size)) == "seen"
    turned = [np.rot90(MARKER, n) for n in (1, 2, 3)]
    for other in (COVER, 255 - MARKER, MARKER[:, ::-1], MARKER[::-1], np.zeros_like(COVER), *turned):
        assert outcome(other) == "clean"
    loaded = load_image(b"")
    assert getattr(loaded, "state", None) is State.NOT_MEDIA
