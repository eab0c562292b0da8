"""A list that is ready to be asked: what a device holds in memory.

The image is made once, when a list is installed, and sealed; opening it is decrypting it. It holds the list's index
(PDQ, clip frames) and the exact hashes in the order in which they are searched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from safelight.errors import ClosedError, ListDamagedError
from safelight.hashing import HashIndex, PdqHash, PdqProfile, ProfileMismatchError, Sha256Hash
from safelight.lists.format import HASH_BYTES, HashList, ListInfo

_MAGIC: Final = b"SLIMAGE1"
_ALIGN: Final = 64
_MAX_HEADER_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class ListMatch:
    """An entry of a list that a picture, file or clip came near.

    Attributes:
        list_id: of the list.
        entry_id: of the entry; means something to the list's operator only.
        distance: bits that differ; 0 for the very same bytes.
        category: name of the entry's category, or ``None`` when the list does not say.
        kind: ``pdq``, ``sha256`` or ``clip_frame``.
    """

    list_id: str
    entry_id: int
    distance: int
    category: str | None
    kind: str


@dataclass(frozen=True, slots=True)
class ClipMatch:
    """How much of a clip is how much of a list's clip.

    Attributes:
        list_id: of the list.
        entry_id: of the clip on the list.
        category: name of its category, or ``None``.
        query_matched_percent: 0-100, of the looked-at clip's distinct frames, those near a frame of the entry.
        list_matched_percent: 0-100, of the entry's distinct frames, those near a frame of the looked-at clip.
        distance: least number of bits between two frames.
    """

    list_id: str
    entry_id: int
    category: str | None
    query_matched_percent: float
    list_matched_percent: float
    distance: int


@dataclass(frozen=True, slots=True)
class HashAppeal:
    """What a person may choose to show somebody when a match is wrong: a hash and the entry it came near.

    Made on request only, kept nowhere and sent nowhere. A perceptual hash can be turned back into a blurred picture
    in part: whoever gets it must be allowed to see that. It does not show itself when printed.

    Attributes:
        list_id: of the list.
        list_version: that was asked.
        entry_id: of the entry.
        distance: bits that differ.
        kind: ``pdq`` or ``sha256``.
        profile: of a PDQ hash; ``None`` for SHA-256.
        hash_hex: 64 hexadecimal digits.
    """

    list_id: str
    list_version: int
    entry_id: int
    distance: int
    kind: str
    profile: str | None
    hash_hex: str = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values, the hash included."""
        return {
            "list_id": self.list_id,
            "list_version": self.list_version,
            "entry_id": self.entry_id,
            "distance": self.distance,
            "kind": self.kind,
            "profile": self.profile,
            "hash": self.hash_hex,
        }


class Memory(Protocol):
    """Where an image lies."""

    def view(self) -> memoryview:
        """Its bytes."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...


class _Image(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    list_id: str
    version: int
    profile: str
    dihedral: bool
    max_distance: int
    categories: dict[int, str]
    parts: dict[str, tuple[int, int]]


def build_image(hash_list: HashList, *, progress: Callable[[float], None] | None = None) -> bytes:
    """What :class:`KnownList` reads. Takes the time that building an index takes.

    Args:
        hash_list: what to index.
        progress: called with the finished fraction of the index, 0 to 1.
    """
    info = hash_list.info
    pdq, exact, frames = (hash_list.sections[kind] for kind in ("pdq", "sha256", "clip_frame"))
    parts: dict[str, bytes] = {}
    if len(pdq):
        index = HashIndex.build(
            pdq.hashes,
            ids=pdq.ids,
            categories=pdq.categories,
            negatives=hash_list.negatives["pdq"],
            profile=info.profile.value,
            progress=(lambda done, steps: progress(done / steps)) if progress is not None else None,
        )
        parts["pdq"] = index.to_bytes()
    if len(frames):
        rows = np.arange(len(frames), dtype=np.uint64)
        index = HashIndex.build(
            frames.hashes, ids=rows, negatives=hash_list.negatives["pdq"], profile=info.profile.value
        )
        parts["clip"] = index.to_bytes()
        parts["clip_ids"] = frames.ids.astype("<u8").tobytes()
        parts["clip_categories"] = frames.categories.astype("<u2").tobytes()
    if len(exact):
        parts["sha256"] = exact.hashes.tobytes()
        parts["sha256_ids"] = exact.ids.astype("<u8").tobytes()
        parts["sha256_categories"] = exact.categories.astype("<u2").tobytes()
    if len(hash_list.negatives["sha256"]):
        parts["negative_sha256"] = hash_list.negatives["sha256"].tobytes()
    return _pack(info, parts)


def _pack(info: ListInfo, parts: Mapping[str, bytes]) -> bytes:
    """Header and parts; offsets count from the end of the header, each part at a multiple of 64."""
    places: dict[str, tuple[int, int]] = {}
    body = bytearray()
    for name, data in parts.items():
        body += b"\0" * (-len(body) % _ALIGN)
        places[name] = (len(body), len(data))
        body += data
    header = msgspec.json.encode(
        _Image(
            info.list_id,
            info.version,
            info.profile.value,
            info.dihedral,
            info.max_distance,
            dict(info.categories),
            places,
        )
    )
    header += b" " * (-(len(_MAGIC) + 8 + len(header)) % _ALIGN)
    return b"".join([_MAGIC, len(header).to_bytes(8, "little"), header, bytes(body)])


class KnownList:
    """A list in memory. May be asked from several threads.

    Args:
        memory: holds what :func:`build_image` made; given back by :meth:`close`.
        expires: when the list's signatures run out; ``None`` for one that is not signed.

    Raises:
        ListDamagedError: the image is not one, or its index is of another profile than the list.
    """

    def __init__(self, memory: Memory, *, expires: datetime | None = None) -> None:
        self._memory = memory
        self.expires = expires
        self._closed = False
        view = memory.view()
        header, body = _read_header(view)
        self.info = ListInfo(
            header.list_id,
            header.version,
            PdqProfile(header.profile),
            header.dihedral,
            header.max_distance,
            header.categories,
        )
        parts = _Parts(header, body)
        self._index = self._open_index(parts.raw("pdq"))
        self._clip_index = self._open_index(parts.raw("clip"))
        self._clip_ids = parts.array("clip_ids", "<u8")
        self._clip_categories = parts.array("clip_categories", "<u2")
        self._exact = parts.array("sha256", "u1").reshape(-1, HASH_BYTES)
        self._exact_ids = parts.array("sha256_ids", "<u8")
        self._exact_categories = parts.array("sha256_categories", "<u2")
        self._negative_exact = parts.array("negative_sha256", "u1").reshape(-1, HASH_BYTES)

    def _open_index(self, data: memoryview | None) -> HashIndex | None:
        if data is None:
            return None
        index = HashIndex.from_buffer(data)
        if index.profile is not self.info.profile:
            raise ListDamagedError(
                f"list: got an index of profile {index.profile}, expected {self.info.profile}; install it again"
            )
        return index

    @property
    def list_id(self) -> str:
        """Of the list."""
        return self.info.list_id

    @property
    def has_pdq(self) -> bool:
        """Whether pictures can match."""
        return self._index is not None

    @property
    def has_clips(self) -> bool:
        """Whether clips can match."""
        return self._clip_index is not None

    def __len__(self) -> int:
        counts = [len(index) for index in (self._index, self._clip_index) if index is not None]
        return sum(counts) + len(self._exact)

    def stale(self, now: datetime) -> bool:
        """Whether its signatures have run out. It keeps matching: an old list is better than none."""
        return self.expires is not None and now >= self.expires

    def refuses_sha256(self, file_hash: Sha256Hash) -> bool:
        """Whether the negative list names this very file: then it matches nothing, however near."""
        self._require_open()
        return _find(self._negative_exact, file_hash.bits) >= 0

    def match_sha256(self, file_hash: Sha256Hash) -> ListMatch | None:
        """The entry of these very bytes.

        Raises:
            ClosedError: after :meth:`close`.
        """
        self._require_open()
        row = -1 if self.refuses_sha256(file_hash) else _find(self._exact, file_hash.bits)
        if row < 0:
            return None
        return self._match(int(self._exact_ids[row]), 0, int(self._exact_categories[row]), "sha256")

    def match_pdq(self, hashes: PdqHash | Sequence[PdqHash]) -> ListMatch | None:
        """The nearest entry within the list's distance, of one hash or of any of several (turned, mirrored).

        Hashes that are not usable (too small, without features) match nothing, and neither does what the negative
        list names.

        Raises:
            ProfileMismatchError: a hash was made with another profile than the list.
            ClosedError: after :meth:`close`.
        """
        self._require_open()
        several = [hashes] if isinstance(hashes, PdqHash) else list(hashes)
        best: tuple[int, int, int] | None = None
        for one in several:
            self._require_profile(one)
            if self._index is None or not _searchable(one):
                continue
            for found in self._index.query(one, max_distance=self.info.max_distance):
                candidate = (found.distance, found.entry_id, found.category or 0)
                best = candidate if best is None or candidate < best else best
        if best is None:
            return None
        return self._match(best[1], best[0], best[2], "pdq")

    def match_clip(self, frames: Sequence[PdqHash]) -> tuple[ClipMatch, ...]:
        """Every clip on the list that shares a frame with these, the most alike first.

        A bag of frames has no order and no repetitions: both percentages count distinct hashes.

        Args:
            frames: hashes of the looked-at clip's frames; those that are not usable are passed over.

        Raises:
            ProfileMismatchError: a hash was made with another profile than the list.
            ClosedError: after :meth:`close`.
        """
        self._require_open()
        for frame in frames:
            self._require_profile(frame)
        distinct = {frame.bits: frame for frame in frames if _searchable(frame)}
        if self._clip_index is None or not distinct:
            return ()
        query_frames: dict[int, set[bytes]] = {}
        list_rows: dict[int, set[int]] = {}
        nearest: dict[int, int] = {}
        for bits, frame in distinct.items():
            for found in self._clip_index.query(frame, max_distance=self.info.max_distance):
                row = found.entry_id
                entry_id = int(self._clip_ids[row])
                query_frames.setdefault(entry_id, set()).add(bits)
                list_rows.setdefault(entry_id, set()).add(row)
                nearest[entry_id] = min(nearest.get(entry_id, 8 * HASH_BYTES), found.distance)
        matches = []
        for entry_id, rows in list_rows.items():
            whole = int(np.count_nonzero(self._clip_ids == entry_id))
            code = int(self._clip_categories[min(rows)])
            matches.append(
                ClipMatch(
                    self.list_id,
                    entry_id,
                    self.info.categories.get(code),
                    100.0 * len(query_frames[entry_id]) / len(distinct),
                    100.0 * len(rows) / whole,
                    nearest[entry_id],
                )
            )
        return tuple(sorted(matches, key=lambda m: (-m.list_matched_percent, -m.query_matched_percent, m.entry_id)))

    def close(self) -> None:
        """Wipe the list from memory. May be called twice."""
        if not self._closed:
            self._closed = True
            for index in (self._index, self._clip_index):
                if index is not None:
                    index.close()
            self._index = self._clip_index = None
            empty: Any = np.empty(0, np.uint8)
            self._exact = self._negative_exact = empty.reshape(0, HASH_BYTES)
            self._exact_ids = self._exact_categories = self._clip_ids = self._clip_categories = empty
            self._memory.close()

    def __enter__(self) -> KnownList:
        self._require_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<KnownList {self.list_id} version {self.info.version}, closed={self._closed}>"

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError("this list was closed; open it again.")

    def _require_profile(self, one: PdqHash) -> None:
        if one.profile is not self.info.profile:
            raise ProfileMismatchError(
                f"hashes: got profile {one.profile}, this list has {self.info.profile}; hash with the list's profile"
            )

    def _match(self, entry_id: int, distance: int, code: int, kind: str) -> ListMatch:
        return ListMatch(self.list_id, entry_id, distance, self.info.categories.get(code), kind)


class _Parts:
    def __init__(self, header: _Image, body: memoryview) -> None:
        self._header, self._body = header, body

    def raw(self, name: str) -> memoryview | None:
        place = self._header.parts.get(name)
        if place is None:
            return None
        start, size = place
        if start < 0 or size < 0 or start + size > len(self._body):
            raise ListDamagedError("list image: a part lies outside of it; install it again")
        return self._body[start : start + size]

    def array(self, name: str, dtype: str) -> npt.NDArray[Any]:
        data = self.raw(name)
        return np.empty(0, dtype) if data is None else np.frombuffer(data, dtype)


def _read_header(view: memoryview) -> tuple[_Image, memoryview]:
    start = len(_MAGIC) + 8
    length = int.from_bytes(view[len(_MAGIC) : start], "little")
    header: _Image | None = None
    if bytes(view[: len(_MAGIC)]) == _MAGIC and length <= _MAX_HEADER_BYTES and start + length <= len(view):
        try:
            header = msgspec.json.decode(bytes(view[start : start + length]), type=_Image)
        except (msgspec.DecodeError, UnicodeDecodeError):
            header = None
    if header is None:
        raise ListDamagedError(f"list image: got {len(view)} bytes that are none of this version; install it again")
    return header, view[start + length :]


def _searchable(one: PdqHash) -> bool:
    """Whether it may be looked up: enough features, and at least one bit (an index refuses a hash without any)."""
    return one.usable and any(one.bits)


def _find(rows: npt.NDArray[np.uint8], wanted: bytes) -> int:
    """Position of a hash among sorted ones, or -1."""
    low, high = 0, len(rows)
    while low < high:
        middle = (low + high) // 2
        if rows[middle].tobytes() < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < len(rows) and rows[low].tobytes() == wanted else -1
