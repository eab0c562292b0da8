"""The boxes of an ISO base media file (HEIC, AVIF): walked within bounds, nothing decoded.

Only what says which pictures there are is read: items, their types, properties, places and references, and the
samples of an image sequence. What is there twice, points outside or contradicts itself is refused, so that no
two readers can see two different files in it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from safelight.decision import State
from safelight.media._refuse import Refused, Steps, broken

#: A 48-megapixel phone picture has some 200 tiles, and libheif stops at 1,000 items by itself.
MAX_ITEMS: Final = 4_096
_MAX_PROPERTIES: Final = 4_096
#: Items may share bytes, which is how a small file costs much work: all together may have this many times its size.
MAX_SHARING: Final = 2


@dataclass(slots=True, eq=False)
class Item:
    """One item of the ``meta`` box."""

    id: int
    kind: bytes
    hidden: bool
    protected: bool
    properties: list[tuple[int, bool]] = field(default_factory=list)
    """Index into :attr:`Meta.properties`, and whether a reader must understand it."""
    extents: list[tuple[int, int]] = field(default_factory=list)
    """Start and end in the file, in order."""
    references: dict[bytes, list[int]] = field(default_factory=dict)
    """Ids by the kind of reference, e.g. ``dimg``."""


@dataclass(slots=True, eq=False)
class Meta:
    """What the ``meta`` box says."""

    primary: int = 0
    items: dict[int, Item] = field(default_factory=dict)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Kind and body; the first has index 1."""

    def of(self, item: Item, kind: bytes) -> list[bytes]:
        """Bodies of the properties of one kind that an item has, in order."""
        return [body for index, _ in item.properties for k, body in [self.properties[index - 1]] if k == kind]


@dataclass(slots=True, eq=False)
class Track:
    """A track of the ``moov`` box."""

    handler: bytes = b""
    codec: bytes = b""
    width_px: int = 0
    height_px: int = 0
    samples: list[tuple[int, int]] = field(default_factory=list)
    """Start and end in the file."""


def boxes(data: bytes, start: int, end: int, steps: Steps) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the body of every box in a range.

    Raises:
        Refused: a box does not end where its parent does.
    """
    at = start
    while at < end:
        steps.take()
        if at + 8 > end:
            raise broken("heif_truncated")
        length, kind = struct.unpack_from(">I4s", data, at)
        body = at + 8
        if length == 1:
            if at + 16 > end:
                raise broken("heif_truncated")
            (length,) = struct.unpack_from(">Q", data, body)
            body += 8
        elif length == 0:
            length = end - at
        if at + length < body:
            raise broken("heif_structure")
        if at + length > end:
            raise broken("heif_truncated")
        yield kind, body, at + length
        at += length


class _Reader:
    """Numbers from a box's body, never beyond its end."""

    def __init__(self, data: bytes, start: int, end: int) -> None:
        self._data, self._at, self._end = data, start, end

    def number(self, size: int) -> int:
        if self._at + size > self._end:
            raise broken("heif_structure")
        self._at += size
        return int.from_bytes(self._data[self._at - size : self._at], "big")

    def word(self) -> bytes:
        return self.number(4).to_bytes(4, "big")

    @property
    def at(self) -> int:
        return self._at

    def version(self) -> tuple[int, int]:
        """Version and flags of a full box."""
        return self.number(1), self.number(3)


# --- meta ---------------------------------------------------------------------------------------------------


def read_meta(data: bytes, start: int, end: int, steps: Steps) -> Meta:
    """The body of a ``meta`` box.

    Raises:
        Refused: it is damaged, or places items in a way that is not read here.
    """
    parts: dict[bytes, tuple[int, int]] = {}
    for kind, body, stop in boxes(data, start + 4, end, steps):
        if kind in parts and kind in (b"pitm", b"iinf", b"iloc", b"iprp", b"iref", b"idat"):
            raise broken("heif_structure")
        parts[kind] = (body, stop)
    meta = Meta()
    if b"iinf" not in parts or b"iloc" not in parts or b"pitm" not in parts:
        return meta
    _read_items(data, *parts[b"iinf"], meta, steps)
    _read_places(data, *parts[b"iloc"], meta, parts.get(b"idat"), steps)
    if b"iprp" in parts:
        _read_properties(data, *parts[b"iprp"], meta, steps)
    if b"iref" in parts:
        _read_references(data, *parts[b"iref"], meta, steps)
    reader = _Reader(data, *parts[b"pitm"])
    version, _ = reader.version()
    meta.primary = reader.number(4 if version else 2)
    if meta.primary not in meta.items:
        raise broken("heif_structure")
    return meta


def _read_items(data: bytes, start: int, end: int, meta: Meta, steps: Steps) -> None:
    reader = _Reader(data, start, end)
    version, _ = reader.version()
    reader.number(4 if version else 2)
    for kind, body, stop in boxes(data, reader.at, end, steps):
        if kind != b"infe":
            continue
        entry = _Reader(data, body, stop)
        version, flags = entry.version()
        if version not in (2, 3):
            raise Refused(State.NO_DECODER, "heif_variant")
        number = entry.number(2 if version == 2 else 4)
        protected = entry.number(2) != 0
        if number in meta.items:
            raise broken("heif_structure")
        if len(meta.items) >= MAX_ITEMS:
            raise Refused(State.TOO_LARGE, "heif_items")
        meta.items[number] = Item(number, entry.word(), bool(flags & 1), protected)


def _read_places(data: bytes, start: int, end: int, meta: Meta, idat: tuple[int, int] | None, steps: Steps) -> None:
    reader = _Reader(data, start, end)
    version, _ = reader.version()
    if version > 2:
        raise Refused(State.NO_DECODER, "heif_variant")
    sizes = reader.number(2)
    offset_size, length_size, base_size, index_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15
    seen = set()
    total = 0
    for _ in range(reader.number(4 if version == 2 else 2)):
        number = reader.number(4 if version == 2 else 2)
        method = reader.number(2) & 15 if version else 0
        elsewhere = reader.number(2)
        base = reader.number(base_size)
        item = meta.items.get(number)
        if number in seen:
            raise broken("heif_structure")
        seen.add(number)
        for _ in range(reader.number(2)):
            steps.take()
            if version:
                reader.number(index_size)
            offset, length = reader.number(offset_size), reader.number(length_size)
            if elsewhere or method > 1 or (method == 1 and idat is None):
                raise Refused(State.NO_DECODER, "heif_variant")
            low, high = idat if method == 1 and idat is not None else (0, len(data))
            first = low + base + offset
            last = first + length if length else high
            if not low <= first <= last <= high:
                raise broken("heif_truncated")
            total += last - first
            if total > MAX_SHARING * len(data):
                raise Refused(State.TOO_LARGE, "heif_bytes")
            if item is not None:
                item.extents.append((first, last))


def _read_properties(data: bytes, start: int, end: int, meta: Meta, steps: Steps) -> None:
    known = False
    for kind, body, stop in boxes(data, start, end, steps):
        if kind == b"ipco":
            if known:
                raise broken("heif_structure")
            known = True
            for name, first, last in boxes(data, body, stop, steps):
                if len(meta.properties) >= _MAX_PROPERTIES:
                    raise Refused(State.TOO_LARGE, "heif_items")
                meta.properties.append((name, data[first:last]))
    associated = set()
    for kind, body, stop in boxes(data, start, end, steps):
        if kind != b"ipma":
            continue
        reader = _Reader(data, body, stop)
        version, flags = reader.version()
        for _ in range(reader.number(4)):
            steps.take()
            number = reader.number(4 if version else 2)
            if number in associated:
                raise broken("heif_structure")
            associated.add(number)
            for _ in range(reader.number(1)):
                value = reader.number(2 if flags & 1 else 1)
                essential, index = (value >> 15, value & 0x7FFF) if flags & 1 else (value >> 7, value & 0x7F)
                if index > len(meta.properties):
                    raise broken("heif_structure")
                if index and number in meta.items:
                    meta.items[number].properties.append((index, bool(essential)))


def _read_references(data: bytes, start: int, end: int, meta: Meta, steps: Steps) -> None:
    reader = _Reader(data, start, end)
    version, _ = reader.version()
    size = 4 if version else 2
    for kind, body, stop in boxes(data, reader.at, end, steps):
        entry = _Reader(data, body, stop)
        source = entry.number(size)
        targets = []
        for _ in range(entry.number(2)):
            steps.take()
            targets.append(entry.number(size))
        if any(target not in meta.items for target in targets) or source not in meta.items:
            raise broken("heif_structure")
        if kind in meta.items[source].references:
            raise broken("heif_structure")
        meta.items[source].references[kind] = targets


# --- moov ---------------------------------------------------------------------------------------------------

_NESTED: Final = frozenset({b"mdia", b"minf", b"stbl"})


def read_tracks(data: bytes, start: int, end: int, max_samples: int, steps: Steps) -> list[Track]:
    """The tracks of the body of a ``moov`` box, with the place of every sample.

    Raises:
        Refused: it is damaged, or has more than ``max_samples`` samples a track.
    """
    tracks = []
    for kind, body, stop in boxes(data, start, end, steps):
        if kind == b"trak":
            parts: dict[bytes, tuple[int, int]] = {}
            _collect(data, body, stop, parts, steps)
            tracks.append(_read_track(data, parts, max_samples, steps))
    return tracks


def _collect(data: bytes, start: int, end: int, parts: dict[bytes, tuple[int, int]], steps: Steps) -> None:
    for kind, body, stop in boxes(data, start, end, steps):
        if kind in parts:
            raise broken("heif_structure")
        parts[kind] = (body, stop)
        if kind in _NESTED:
            _collect(data, body, stop, parts, steps)


def _read_track(data: bytes, parts: dict[bytes, tuple[int, int]], max_samples: int, steps: Steps) -> Track:
    track = Track()
    if b"hdlr" in parts:
        reader = _Reader(data, *parts[b"hdlr"])
        reader.number(8)
        track.handler = reader.word()
    if not {b"stsd", b"stsz", b"stsc"} <= parts.keys():
        return track
    reader = _Reader(data, *parts[b"stsd"])
    reader.version()
    if reader.number(4) != 1:
        raise Refused(State.NO_DECODER, "heif_variant")
    reader.number(4)
    track.codec = reader.word()
    reader.number(24)
    track.width_px, track.height_px = reader.number(2), reader.number(2)
    sizes = _sample_sizes(_Reader(data, *parts[b"stsz"]), max_samples)
    chunks = _chunk_offsets(data, parts, max_samples)
    track.samples = _sample_places(_Reader(data, *parts[b"stsc"]), sizes, chunks, len(data), steps)
    return track


def _sample_sizes(reader: _Reader, max_samples: int) -> list[int]:
    reader.version()
    shared, count = reader.number(4), reader.number(4)
    if count > max_samples:
        raise Refused(State.TOO_LARGE, "frames")
    return [shared or reader.number(4) for _ in range(count)]


def _chunk_offsets(data: bytes, parts: dict[bytes, tuple[int, int]], max_samples: int) -> list[int]:
    size = 4 if b"stco" in parts else 8
    place = parts.get(b"stco") or parts.get(b"co64")
    if place is None or (b"stco" in parts and b"co64" in parts):
        raise broken("heif_structure")
    reader = _Reader(data, *place)
    reader.version()
    count = reader.number(4)
    if count > max_samples:
        raise Refused(State.TOO_LARGE, "frames")
    return [reader.number(size) for _ in range(count)]


def _sample_places(
    reader: _Reader, sizes: list[int], chunks: list[int], end: int, steps: Steps
) -> list[tuple[int, int]]:
    reader.version()
    runs = []
    for _ in range(reader.number(4)):
        steps.take()
        runs.append((reader.number(4) - 1, reader.number(4)))
        reader.number(4)
    places: list[tuple[int, int]] = []
    run, total = -1, 0
    for number, at in enumerate(chunks):
        while run + 1 < len(runs) and runs[run + 1][0] <= number:
            run += 1
        for _ in range(runs[run][1] if run >= 0 else 0):
            steps.take()
            if len(places) == len(sizes):
                break
            stop = at + sizes[len(places)]
            total += stop - at
            if stop > end:
                raise broken("heif_truncated")
            if total > MAX_SHARING * end:
                raise Refused(State.TOO_LARGE, "heif_bytes")
            places.append((at, stop))
            at = stop
    if len(places) != len(sizes):
        raise broken("heif_structure")
    return places


# --- writing ------------------------------------------------------------------------------------------------


def write(meta: Meta, items: list[Item], contents: list[bytes], properties: list[list[tuple[int, bool]]]) -> bytes:
    """A file with ``items`` and nothing else, the first one primary.

    Args:
        meta: where the properties are.
        items: at most 65,535; of their references those among ``items`` are kept.
        contents: the bytes of each item.
        properties: those to keep of each item.
    """
    number = {item.id: n for n, item in enumerate(items, start=1)}
    kept = sorted({index for chosen in properties for index, _ in chosen})
    place = {index: n for n, index in enumerate(kept, start=1)}
    avif = any(item.kind == b"av01" for item in items)
    brand = b"avif" if avif else b"heic"
    infe = b"".join(
        _full(b"infe", 2, int(n > 1), struct.pack(">HH4sB", n, 0, item.kind, 0)) for n, item in enumerate(items, 1)
    )
    ipma = b"".join(
        struct.pack(">HB", n, len(chosen))
        + b"".join(struct.pack(">H", essential << 15 | place[index]) for index, essential in chosen)
        for n, chosen in enumerate(properties, 1)
    )
    iref = b"".join(
        _box(kind, struct.pack(f">HH{len(to)}H", number[item.id], len(to), *to))
        for item in items
        for kind, targets in item.references.items()
        if kind in (b"dimg", b"auxl", b"prem") and (to := [number[t] for t in targets if t in number])
    )
    head = _box(b"ftyp", brand + bytes(4) + b"mif1" + brand + b"miaf")

    def whole(at: int) -> bytes:
        iloc = b""
        for n, content in enumerate(contents, 1):
            iloc += struct.pack(">HHHII", n, 0, 1, at, len(content))
            at += len(content)
        body = _full(b"hdlr", 0, 0, bytes(4) + b"pict" + bytes(13))
        body += _full(b"pitm", 0, 0, struct.pack(">H", 1))
        body += _full(b"iloc", 0, 0, struct.pack(">HH", 0x4400, len(items)) + iloc)
        body += _full(b"iinf", 0, 0, struct.pack(">H", len(items)) + infe)
        if iref:
            body += _full(b"iref", 0, 0, iref)
        ipco = _box(b"ipco", b"".join(_box(*meta.properties[index - 1]) for index in kept))
        body += _box(b"iprp", ipco + _full(b"ipma", 0, 1, struct.pack(">I", len(items)) + ipma))
        return head + _full(b"meta", 0, 0, body)

    start = len(whole(0)) + 8
    data = b"".join(contents)
    return whole(start) + _box(b"mdat", data)


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def _full(kind: bytes, version: int, flags: int, body: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags) + body)
