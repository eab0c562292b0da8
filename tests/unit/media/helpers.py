"""Synthetic pictures and containers for the media tests: everything is drawn or built in code."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage
from safelight.media import Image, Limits, NotJudged, _bmff, available_formats, load_image
from safelight.media._refuse import Steps


def pattern(width: int = 40, height: int = 28, seed: int = 0) -> np.ndarray:
    """``uint8[height, width, 3]`` that is different under every turn and mirroring, and smooth for JPEG."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    red = 255 * x / (width - 1)
    green = 255 * (y / (height - 1)) ** 2
    blue = 127 + 120 * np.sin(x / width * 3 + seed) * np.cos(y / height * 2)
    return np.stack([red, green, blue], axis=-1).round().astype(np.uint8)


def blocks(seed: int, width: int = 40, height: int = 28) -> np.ndarray:
    """A picture of eight flat colours from a palette that GIF holds exactly."""
    rng = np.random.default_rng(seed)
    colours = rng.choice([0, 51, 102, 153, 204, 255], size=(4, 4, 3)).astype(np.uint8)
    return np.kron(colours, np.ones((height // 4, width // 4, 1), np.uint8))


def encode(picture: np.ndarray | PilImage.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image = picture if isinstance(picture, PilImage.Image) else PilImage.fromarray(picture)
    if kind == "WEBP" and "quality" not in options:
        options.setdefault("lossless", True)
        options.setdefault("exact", True)
    image.save(out, kind, **options)
    return out.getvalue()


def encode_frames(pictures: Sequence[np.ndarray], kind: str, **options: Any) -> bytes:
    first, *rest = [PilImage.fromarray(p) for p in pictures]
    return encode(first, kind, save_all=True, append_images=rest, duration=100, **options)


def look(source: Any, **options: Any) -> tuple[list[Image], NotJudged | None]:
    """Everything that can be seen, and the failure if there was one (always last)."""
    loaded = load_image(source, **options)
    if isinstance(loaded, NotJudged):
        return [], loaded
    with loaded as pictures:
        items = list(pictures)
    assert items, "an empty answer would read as nothing to see"
    for item in items[:-1]:
        assert isinstance(item, Image)
    for item in items:
        if isinstance(item, Image):
            check_invariants(item)
    if isinstance(items[-1], NotJudged):
        return items[:-1], items[-1]  # type: ignore[return-value]
    return items, None  # type: ignore[return-value]


def check_invariants(image: Image) -> None:
    pixels = image.pixels
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert pixels.flags.c_contiguous
    assert not pixels.flags.writeable
    left, top, right, bottom = image.area_px
    assert 0 <= left < right <= image.width_px
    assert 0 <= top < bottom <= image.height_px


def only(source: Any, **options: Any) -> Image:
    images, failure = look(source, **options)
    assert failure is None
    assert len(images) == 1
    return images[0]


def distance(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


# --- containers, built by hand -----------------------------------------------------------------------------

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(width: int, height: int, depth: int = 8, colour: int = 2, interlace: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


def rows(data: np.ndarray) -> bytes:
    """Scanlines of ``uint8[H, bytes]`` with filter 0, compressed."""
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in data))


def png(*chunks: bytes) -> bytes:
    return PNG_SIGNATURE + b"".join(chunks) + chunk(b"IEND")


def rgb_png(picture: np.ndarray, *before: bytes, after: bytes = b"") -> bytes:
    height, width = picture.shape[:2]
    return png(header(width, height), *before, chunk(b"IDAT", rows(picture.reshape(height, -1))), after)


def insert_after_header(data: bytes, *chunks: bytes) -> bytes:
    """A PNG with chunks put right behind its header chunk."""
    at = len(PNG_SIGNATURE) + 25
    return data[:at] + b"".join(chunks) + data[at:]


def repair_checksums(data: bytes) -> bytes:
    """A PNG that was changed, with checksums that are right again, up to where its lengths make sense."""
    out, at = data[:8], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            break
        body = data[at + 4 : at + 8 + length]
        out += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return out + data[at:]


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """A JPEG with segments put right behind its start marker."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def exif(orientation: int, text: bytes = b"") -> bytes:
    """A big-endian TIFF block that states an orientation (and a description)."""
    entries = [struct.pack(">HHI", 0x0112, 3, 1) + struct.pack(">HH", orientation, 0)]
    if text:
        entries.insert(0, struct.pack(">HHII", 0x010E, 2, len(text), 8 + 2 + 24 + 4))
    return b"MM\0*" + struct.pack(">IH", 8, len(entries)) + b"".join(entries) + b"\0\0\0\0" + text


def gif_frame(
    indices: np.ndarray,
    *,
    at: tuple[int, int] = (0, 0),
    transparent: int | None = None,
    dispose: int = 0,
) -> bytes:
    """One image block, 8-bit codes, never compressed: a clear code before every 100 pixels."""
    height, width = indices.shape
    codes: list[int] = []
    flat = indices.ravel().tolist()
    for start in range(0, len(flat), 100):
        codes += [256, *flat[start : start + 100]]
    codes.append(257)
    bits = sum(code << (9 * n) for n, code in enumerate(codes))
    data = bits.to_bytes((9 * len(codes) + 7) // 8, "little")
    sub_blocks = b"".join(bytes((len(data[n : n + 255]),)) + data[n : n + 255] for n in range(0, len(data), 255))
    control = b"!\xf9\4" + bytes(((dispose << 2) | (transparent is not None), 10, 0, transparent or 0)) + b"\0"
    place = struct.pack("<HHHHB", *at, width, height, 0)
    return control + b"," + place + b"\x08" + sub_blocks + b"\0"


def gif(*frames: bytes, screen: tuple[int, int] = (40, 28), palette: Sequence[tuple[int, int, int]] = ()) -> bytes:
    table = b"".join(bytes(colour) for colour in palette).ljust(768, b"\0")
    return b"GIF89a" + struct.pack("<HHBBB", *screen, 0xF7, 0, 0) + table + b"".join(frames) + b";"


# --- HEIC and AVIF ------------------------------------------------------------------------------------------


def needs(kind: str) -> None:
    """Skip a test whose decoder is not installed here."""
    if kind not in available_formats():
        pytest.skip(f"no decoder for {kind} in this installation")


def heic(*pictures: np.ndarray, **options: Any) -> bytes:
    """Near-lossless HEIC of one or several pictures, the first one primary."""
    pillow_heif = pytest.importorskip("pillow_heif")
    out = io.BytesIO()
    file = pillow_heif.from_pillow(PilImage.fromarray(pictures[0]))
    for picture in pictures[1:]:
        file.add_from_pillow(PilImage.fromarray(picture))
    file.save(out, quality=95, chroma=444, **options)
    return out.getvalue()


def avif(*pictures: np.ndarray, **options: Any) -> bytes:
    needs("AVIF")
    options = {"quality": 95, "subsampling": "4:4:4", "speed": 10, **options}
    if len(pictures) > 1:
        return encode_frames(pictures, "AVIF", **options)
    return encode(pictures[0], "AVIF", **options)


@dataclass
class HeifItem:
    """An item for :func:`heif_file`; properties are kind, body, essential."""

    kind: bytes
    content: bytes
    properties: list[tuple[bytes, bytes, bool]]
    references: dict[bytes, list[int]] = field(default_factory=dict)
    hidden: bool = False
    protected: bool = False

    def add(self, kind: bytes, body: bytes, essential: bool = False) -> HeifItem:
        return replace(self, properties=[*self.properties, (kind, body, essential)])


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def full_box(kind: bytes, version: int, flags: int, body: bytes) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags) + body)


def heif_items(data: bytes) -> list[HeifItem]:
    """The items of a file made by an encoder, to build other files from."""
    steps = Steps(Limits())
    for kind, start, end in _bmff.boxes(data, 0, len(data), steps):
        if kind == b"meta":
            meta = _bmff.read_meta(data, start, end, steps)
            return [
                HeifItem(
                    item.kind,
                    b"".join(data[a:b] for a, b in item.extents),
                    [(*meta.properties[index - 1], essential) for index, essential in item.properties],
                    dict(item.references),
                    item.hidden,
                )
                for item in meta.items.values()
            ]
    raise AssertionError("no meta box")


def heif_file(items: Sequence[HeifItem], *, primary: int = 1, brand: bytes = b"heic", after: bytes = b"") -> bytes:
    """A file of these items, numbered from 1."""
    properties = [p for item in items for p in item.properties]
    infe = b"".join(
        full_box(b"infe", 2, int(item.hidden), struct.pack(">HH4sB", n, item.protected, item.kind, 0))
        for n, item in enumerate(items, 1)
    )
    ipma, at = b"", 0
    for n, item in enumerate(items, 1):
        ipma += struct.pack(">HB", n, len(item.properties))
        for _, _, essential in item.properties:
            at += 1
            ipma += struct.pack(">H", essential << 15 | at)
    iref = b"".join(
        box(kind, struct.pack(f">HH{len(to)}H", n, len(to), *to))
        for n, item in enumerate(items, 1)
        for kind, to in item.references.items()
    )

    def meta(at: int) -> bytes:
        iloc = b""
        for n, item in enumerate(items, 1):
            iloc += struct.pack(">HHHII", n, 0, 1, at, len(item.content))
            at += len(item.content)
        return full_box(
            b"meta",
            0,
            0,
            full_box(b"hdlr", 0, 0, bytes(4) + b"pict" + bytes(13))
            + full_box(b"pitm", 0, 0, struct.pack(">H", primary))
            + full_box(b"iloc", 0, 0, struct.pack(">HH", 0x4400, len(items)) + iloc)
            + full_box(b"iinf", 0, 0, struct.pack(">H", len(items)) + infe)
            + (full_box(b"iref", 0, 0, iref) if iref else b"")
            + box(
                b"iprp",
                box(b"ipco", b"".join(box(kind, body) for kind, body, _ in properties))
                + full_box(b"ipma", 0, 1, struct.pack(">I", len(items)) + ipma),
            ),
        )

    head = box(b"ftyp", brand + bytes(4) + b"mif1" + brand)
    start = len(head) + len(meta(0)) + 8
    return head + meta(start) + box(b"mdat", b"".join(item.content for item in items)) + after


# --- colour profiles ----------------------------------------------------------------------------------------

SRGB_COLUMNS = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))


def curve(values: Sequence[float]) -> bytes:
    """A tone curve as a table of linear light."""
    table = np.clip(np.round(np.array(values) * 65_535), 0, 65_535).astype(">u2").tobytes()
    return b"curv" + bytes(4) + struct.pack(">I", len(values)) + table


def gamma_curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(256 * gamma))


def srgb_curve() -> bytes:
    x = np.linspace(0, 1, 1_024)
    return curve(list(np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)))


def icc(
    *curves: bytes, columns: Sequence[Sequence[float]] = SRGB_COLUMNS, space: bytes = b"RGB ", **extra: bytes
) -> bytes:
    """A display profile of one (grey) or three curves and a matrix."""
    tags: dict[bytes, bytes] = {}
    if space == b"GRAY":
        tags[b"kTRC"] = curves[0]
    else:
        for name, value, column in zip((b"r", b"g", b"b"), (*curves, *curves, *curves)[:3], columns, strict=True):
            tags[name + b"TRC"] = value
            tags[name + b"XYZ"] = b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65_536) for v in column))
    tags[b"wtpt"] = b"XYZ " + bytes(4) + struct.pack(">3i", 63_190, 65_536, 54_061)
    tags.update({name.encode(): body for name, body in extra.items()})
    table, bodies = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, body in tags.items():
        table += struct.pack(">4sII", name, start + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    head = struct.pack(">I4sI4s4s4s", 132 + len(table) - 4 + len(bodies), b"lcms", 0x02400000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(4 + 4 + 4 + 4 + 8 + 4)
    head += struct.pack(">3i", 63_190, 65_536, 54_061)
    return head.ljust(128, b"\0") + table + bodies


def inverting_profile() -> bytes:
    """Shows a picture as its negative."""
    x = np.linspace(0, 1, 1_024)
    linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    return icc(curve(list(linear[::-1])))


# --- containers of files ------------------------------------------------------------------------------------


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return out.getvalue()
