"""One version of a hash list as bytes, and the difference between two versions.

    list    "SLLIST1\\n"  length of header  header (JSON)  arrays
    delta   "SLDELT1\\n"  length of header  header (JSON)  arrays

Every section is sorted by hash and holds no hash twice, so that one content has one form: a delta that was
applied can be compared with the full list byte for byte, and by one digest. Nothing here is signed or secret;
signatures are over digests of these bytes, and a device seals them.

Reading trusts nothing: sizes are checked against the length before any array is looked at.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from safelight.errors import ListDamagedError, UsageError
from safelight.hashing import MATCH_DISTANCE, PdqProfile

LIST_MAGIC: Final = b"SLLIST1\n"
DELTA_MAGIC: Final = b"SLDELT1\n"
HASH_BYTES: Final = 32
#: What a device takes; a server indexes more, without this format.
MAX_ENTRIES: Final = 1_000_000
MAX_VERSION: Final = (1 << 53) - 1
_MAX_HEADER_BYTES: Final = 64 << 10
_LENGTH_BYTES: Final = 8
_LIST_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
_CATEGORY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}\Z")

#: Kinds of entries, in the order of their arrays.
KINDS: Final = ("pdq", "sha256", "clip_frame")
#: Kinds of hashes that must never match, although an entry is near.
NEGATIVE_KINDS: Final = ("pdq", "sha256")

Hashes = npt.NDArray[np.uint8]
Ids = npt.NDArray[np.uint64]
Codes = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Section:
    """Entries of one kind, sorted by hash, then id.

    Attributes:
        hashes: ``uint8[n, 32]``.
        ids: ``uint64[n]``, of the list entry that each belongs to. The same entry may have a PDQ and a SHA-256,
            and many clip frames.
        categories: ``uint16[n]``, see :attr:`ListInfo.categories`; 0 is "not said".
    """

    hashes: Hashes
    ids: Ids
    categories: Codes

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"<Section of {len(self)}>"


@dataclass(frozen=True, slots=True)
class ListInfo:
    """What one version of a list says of itself.

    Attributes:
        list_id: ``[a-z0-9_-]``, at most 64; appears in findings as the model.
        version: 1 or more; higher is newer.
        profile: of all PDQ hashes in it.
        dihedral: whether a picture is also looked for turned and mirrored. Eight times as many comparisons, so
            eight times as many chances for an unrelated picture to be near an entry.
        max_distance: of PDQ hashes, at most 31 bits.
        categories: names of category codes, e.g. ``{1: "A1"}``.
    """

    list_id: str
    version: int
    profile: PdqProfile = PdqProfile.FULL
    dihedral: bool = False
    max_distance: int = MATCH_DISTANCE
    categories: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.list_id, str) or not _LIST_ID.match(self.list_id):
            raise UsageError("list_id: expected up to 64 of a-z, 0-9, - and _; give the list a short stable name")
        if not _whole(self.version, 1, MAX_VERSION):
            raise UsageError("version: expected a whole number from 1; count up with every publication")
        if not _whole(self.max_distance, 0, MATCH_DISTANCE):
            raise UsageError(f"max_distance: expected 0 to {MATCH_DISTANCE} bits; {MATCH_DISTANCE} is PDQ's own advice")
        try:
            object.__setattr__(self, "profile", PdqProfile(self.profile))
        except ValueError:
            raise UsageError(f"profile: expected one of {', '.join(PdqProfile)}; ask who made the hashes") from None
        if not all(
            _whole(code, 1, 0xFFFF) and isinstance(name, str) and _CATEGORY.match(name)
            for code, name in self.categories.items()
        ):
            raise UsageError(
                "categories: expected codes 1 to 65535 with names of up to 64 letters, digits, .-_; fix it"
            )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class HashList:
    """One version of a list. Make one with :func:`make_list` or :func:`read_list`.

    Attributes:
        info: what it says of itself.
        sections: by kind of :data:`KINDS`.
        negatives: by kind of :data:`NEGATIVE_KINDS`: ``uint8[n, 32]`` each, sorted.
    """

    info: ListInfo
    sections: Mapping[str, Section]
    negatives: Mapping[str, Hashes]

    @property
    def counts(self) -> dict[str, int]:
        """Number of hashes by kind, negatives as ``negative_…``."""
        return {kind: len(self.sections[kind]) for kind in KINDS} | {
            f"negative_{kind}": len(self.negatives[kind]) for kind in NEGATIVE_KINDS
        }

    def __len__(self) -> int:
        return sum(len(section) for section in self.sections.values())

    def __repr__(self) -> str:
        return f"<HashList {self.info.list_id} version {self.info.version}, {len(self)} hashes>"


def make_list(
    info: ListInfo,
    *,
    entries: Mapping[str, tuple[Hashes, Ids, Codes]],
    negatives: Mapping[str, Hashes] | None = None,
) -> HashList:
    """Sort entries into a list. Of a hash that comes several times the lowest id stays.

    Args:
        info: what the list says of itself.
        entries: by kind: hashes ``uint8[n, 32]``, ids ``uint64[n]``, category codes ``uint16[n]``.
        negatives: by kind: hashes ``uint8[n, 32]``.

    Raises:
        UsageError: an unknown kind, a wrong shape, an undeclared category, or over a million hashes.
    """
    given = negatives or {}
    if not set(entries) <= set(KINDS) or not set(given) <= set(NEGATIVE_KINDS):
        raise UsageError(f"entries: got an unknown kind, expected {', '.join(KINDS)}; rename it")
    sections = {kind: _sorted_section(kind, *entries.get(kind, _NOTHING)) for kind in KINDS}
    sorted_negatives = {}
    for kind in NEGATIVE_KINDS:
        rows = _rows(given.get(kind, _NO_HASHES))
        order = _order(rows)
        sorted_negatives[kind] = _frozen(rows[order][_first_of_each(rows[order])])
    made = HashList(info, sections, sorted_negatives)
    problem = _problem(made)
    if problem:
        raise UsageError(f"entries: {problem}")
    return made


def write_list(hash_list: HashList) -> bytes:
    """The one form of this content."""
    return b"".join([LIST_MAGIC, _header_bytes(_list_header(hash_list)), *_arrays(hash_list)])


def read_list(data: bytes | memoryview) -> HashList:
    """Read and check what :func:`write_list` wrote. The arrays are views of ``data``.

    Raises:
        ListDamagedError: it is not the one form of a list.
    """
    header, body = _split(data, LIST_MAGIC, _ListHeader, "list")
    try:
        info = _info(header)
    except UsageError as error:
        raise ListDamagedError(f"list: its header is not valid ({error})") from None
    reader = _ArrayReader(body, "list")
    sections = {kind: reader.section(header.counts.get(kind, 0)) for kind in KINDS}
    negatives = {kind: reader.hashes(header.counts.get(f"negative_{kind}", 0)) for kind in NEGATIVE_KINDS}
    reader.finish()
    found = HashList(info, sections, negatives)
    problem = _problem(found)
    if problem:
        raise ListDamagedError(f"list: {problem}; get it again from its operator")
    if _header_bytes(_list_header(found)) != bytes(memoryview(data)[len(LIST_MAGIC) : len(data) - len(body)]):
        raise ListDamagedError("list: its header is not in the one form; get it again from its operator")
    return found


def digest(data: bytes | memoryview) -> str:
    """SHA-256 as 64 hexadecimal digits: what is signed."""
    return hashlib.sha256(data).hexdigest()


def make_delta(old: HashList, new: HashList) -> bytes:
    """What turns ``old`` into ``new``.

    Raises:
        UsageError: of different lists, or ``new`` is not newer.
    """
    if old.info.list_id != new.info.list_id or old.info.version >= new.info.version:
        raise UsageError("delta: expected an older and a newer version of one list; exchange them")
    removed: dict[str, npt.NDArray[np.uint32]] = {}
    added: list[bytes] = []
    counts: dict[str, int] = {}
    for kind in KINDS:
        before, after = old.sections[kind], new.sections[kind]
        gone, fresh = _difference(_keys(before), _keys(after))
        removed[kind] = gone
        counts[kind] = len(fresh)
        added += _section_bytes(Section(after.hashes[fresh], after.ids[fresh], after.categories[fresh]))
    for kind in NEGATIVE_KINDS:
        gone, fresh = _difference(old.negatives[kind], new.negatives[kind])
        removed[f"negative_{kind}"] = gone
        counts[f"negative_{kind}"] = len(fresh)
        added.append(_bytes(new.negatives[kind][fresh]))
    header = _DeltaHeader(
        removed={name: len(rows) for name, rows in removed.items() if len(rows)},
        added={name: count for name, count in counts.items() if count},
        from_version=old.info.version,
        from_sha256=digest(write_list(old)),
        to=_list_header(new),
        to_sha256=digest(write_list(new)),
    )
    gone_bytes = [_padded(rows.astype("<u4").tobytes()) for rows in removed.values()]
    return b"".join([DELTA_MAGIC, _header_bytes(header), *gone_bytes, *added])


def apply_delta(base: bytes | memoryview, delta: bytes | memoryview) -> bytes:
    """The newer list's bytes: exactly those of the full list, or an error.

    Raises:
        ListDamagedError: one of the two is damaged, or the delta is for another base.
    """
    header, body = _split(delta, DELTA_MAGIC, _DeltaHeader, "delta")
    if digest(base) != header.from_sha256:
        raise ListDamagedError("delta: it is for another version of the list; use the full list")
    old = read_list(base)
    names = [*KINDS, *(f"negative_{kind}" for kind in NEGATIVE_KINDS)]
    reader = _ArrayReader(body, "delta")
    removed = {name: reader.positions(header.removed.get(name, 0)) for name in names}
    try:
        info = _info(header.to)
    except UsageError as error:
        raise ListDamagedError(f"delta: its header is not valid ({error})") from None
    entries: dict[str, tuple[Hashes, Ids, Codes]] = {}
    for kind in KINDS:
        kept = _without(old.sections[kind], removed[kind])
        fresh = reader.section(header.added.get(kind, 0))
        entries[kind] = (
            np.concatenate([kept.hashes, fresh.hashes]),
            np.concatenate([kept.ids, fresh.ids]),
            np.concatenate([kept.categories, fresh.categories]),
        )
    negatives: dict[str, Hashes] = {}
    for kind in NEGATIVE_KINDS:
        name = f"negative_{kind}"
        kept_rows = np.delete(old.negatives[kind], _positions(removed[name], len(old.negatives[kind])), axis=0)
        negatives[kind] = np.concatenate([kept_rows, reader.hashes(header.added.get(name, 0))])
    reader.finish()
    try:
        result = write_list(make_list(info, entries=entries, negatives=negatives))
    except UsageError as error:
        raise ListDamagedError(f"delta: it makes no list ({error})") from None
    if digest(result) != header.to_sha256:
        raise ListDamagedError("delta: what it makes is not the list that it names; use the full list")
    return result


def delta_versions(delta: bytes | memoryview) -> tuple[str, int, int]:
    """List id, version that it starts from and version that it makes.

    Raises:
        ListDamagedError: it is no delta.
    """
    header, _ = _split(delta, DELTA_MAGIC, _DeltaHeader, "delta")
    return header.to.list_id, header.from_version, header.to.version


# --- headers ---------------------------------------------------------------------------------------------

_Count = Annotated[int, msgspec.Meta(ge=1, le=2 * MAX_ENTRIES)]
_Version = Annotated[int, msgspec.Meta(ge=1, le=MAX_VERSION)]
_Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Counts = Annotated[dict[str, _Count], msgspec.Meta(max_length=len(KINDS) + len(NEGATIVE_KINDS))]


class _ListHeader(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    list_id: str
    version: _Version
    profile: Literal["full", "thumb512", "near512"]
    dihedral: bool
    max_distance: int
    categories: dict[int, str]
    counts: _Counts


class _DeltaHeader(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    removed: _Counts
    added: _Counts
    from_version: _Version
    from_sha256: _Digest
    to: _ListHeader
    to_sha256: _Digest


_Header = TypeVar("_Header", _ListHeader, _DeltaHeader)


def _list_header(hash_list: HashList) -> _ListHeader:
    info = hash_list.info
    return _ListHeader(
        list_id=info.list_id,
        version=info.version,
        profile=info.profile.value,
        dihedral=bool(info.dihedral),
        max_distance=info.max_distance,
        categories=dict(sorted(info.categories.items())),
        counts={name: count for name, count in hash_list.counts.items() if count},
    )


def _info(header: _ListHeader) -> ListInfo:
    return ListInfo(
        header.list_id,
        header.version,
        PdqProfile(header.profile),
        header.dihedral,
        header.max_distance,
        header.categories,
    )


def _header_bytes(header: _ListHeader | _DeltaHeader) -> bytes:
    text = msgspec.json.encode(header)
    # Arrays begin at a multiple of 8, so that they can be used where they lie.
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text


def _split(data: bytes | memoryview, magic: bytes, kind: type[_Header], what: str) -> tuple[_Header, memoryview]:
    view = memoryview(data)
    if bytes(view[: len(magic)]) != magic:
        raise ListDamagedError(f"{what}: got {len(view)} bytes that do not begin as one; check which file it is")
    start = len(magic) + _LENGTH_BYTES
    length = int.from_bytes(view[len(magic) : start], "little")
    if length > _MAX_HEADER_BYTES or start + length > len(view) or length % 8:
        raise ListDamagedError(f"{what}: got {len(view)} bytes, its header needs more or is damaged; get it again")
    try:
        header = msgspec.json.decode(bytes(view[start : start + length]), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        header = None
    if header is None:
        raise ListDamagedError(f"{what}: its header is damaged or of a newer format; get it again, or update Safelight")
    return header, view[start + length :]


# --- arrays ----------------------------------------------------------------------------------------------


class _ArrayReader:
    """Takes arrays off a buffer, one after the other, each from a multiple of 8 on."""

    def __init__(self, body: memoryview, what: str) -> None:
        self._body, self._what, self._at = body, what, 0

    def hashes(self, count: int) -> Hashes:
        return self._take(count * HASH_BYTES, np.dtype(np.uint8)).reshape(count, HASH_BYTES)

    def section(self, count: int) -> Section:
        hashes = self.hashes(count)
        ids = self._take(count * 8, np.dtype("<u8"))
        return Section(hashes, ids, self._take(count * 2, np.dtype("<u2")))

    def positions(self, count: int) -> npt.NDArray[np.uint32]:
        return self._take(count * 4, np.dtype("<u4"))

    def finish(self) -> None:
        if self._at != len(self._body):
            raise ListDamagedError(
                f"{self._what}: got {len(self._body)} bytes of entries, expected {self._at}; get it again"
            )

    def _take(self, size: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        end = self._at + size
        padded = end + -size % 8
        if padded > len(self._body):
            raise ListDamagedError(
                f"{self._what}: got {len(self._body)} bytes of entries, expected {padded} or more: it was cut short; "
                "get it again"
            )
        if any(self._body[end:padded]):
            raise ListDamagedError(f"{self._what}: bytes between its arrays are damaged; get it again")
        array = np.frombuffer(self._body[self._at : end], dtype=dtype)
        self._at = padded
        return array


_NO_HASHES: Final = np.empty((0, HASH_BYTES), np.uint8)
_NOTHING: Final = (_NO_HASHES, np.empty(0, np.uint64), np.empty(0, np.uint16))


def _arrays(hash_list: HashList) -> Iterable[bytes]:
    for kind in KINDS:
        yield from _section_bytes(hash_list.sections[kind])
    for kind in NEGATIVE_KINDS:
        yield _bytes(hash_list.negatives[kind])


def _section_bytes(section: Section) -> list[bytes]:
    return [
        _bytes(section.hashes),
        _padded(section.ids.astype("<u8").tobytes()),
        _padded(section.categories.astype("<u2").tobytes()),
    ]


def _bytes(hashes: Hashes) -> bytes:
    return np.ascontiguousarray(hashes).tobytes()


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 8)


def _rows(hashes: Hashes) -> Hashes:
    if not isinstance(hashes, np.ndarray) or hashes.dtype != np.uint8 or hashes.ndim != 2 or hashes.shape[1] != 32:
        raise UsageError("entries: expected hashes as uint8[n, 32]; stack their bytes")
    return np.ascontiguousarray(hashes)


def _words(hashes: Hashes) -> npt.NDArray[np.uint64]:
    """Rows as four numbers that compare as the bytes do."""
    return np.ascontiguousarray(hashes).view(">u8").reshape(-1, 4).astype(np.uint64)


def _order(hashes: Hashes, ids: Ids | None = None) -> npt.NDArray[np.intp]:
    words = _words(hashes)
    keys = (words[:, 3], words[:, 2], words[:, 1], words[:, 0])
    order: npt.NDArray[np.intp] = np.lexsort(keys if ids is None else (ids, *keys))
    return order


def _first_of_each(hashes: Hashes) -> npt.NDArray[np.bool_]:
    """Of sorted rows, those that differ from the one before."""
    first = np.ones(len(hashes), np.bool_)
    if len(hashes) > 1:
        first[1:] = (hashes[1:] != hashes[:-1]).any(axis=1)
    return first


def _sorted_section(kind: str, hashes: Hashes, ids: Ids, categories: Codes) -> Section:
    rows = _rows(hashes)
    if (
        ids.shape != (len(rows),)
        or categories.shape != (len(rows),)
        or ids.dtype != np.uint64
        or categories.dtype != np.uint16
    ):
        raise UsageError(f"entries: expected a uint64 id and a uint16 category for each {kind}; give one each")
    order = _order(rows, ids)
    rows, ids, categories = rows[order], ids[order], categories[order]
    first = _first_of_each(rows)
    if kind == "clip_frame" and len(ids) > 1:
        first[1:] |= ids[1:] != ids[:-1]  # clips share frames; each keeps its own
    return Section(_frozen(rows[first]), _frozen(ids[first]), _frozen(categories[first]))


_Array = TypeVar("_Array", bound=npt.NDArray[Any])


def _frozen(array: _Array) -> _Array:
    array.setflags(write=False)
    return array


def _problem(hash_list: HashList) -> str:
    """Why this is no list, or nothing."""
    codes = {0, *hash_list.info.categories}
    if sum(hash_list.counts.values()) > MAX_ENTRIES:
        return f"got {sum(hash_list.counts.values())} hashes, a device takes {MAX_ENTRIES}"
    for kind in KINDS:
        section = hash_list.sections[kind]
        if not _ascending(section.hashes, section.ids if kind == "clip_frame" else None):
            return f"the {kind} hashes are not in order, or one comes twice"
        if kind != "clip_frame" and len(np.unique(section.ids)) != len(section):
            return f"two different {kind} hashes have the same id"
        if not set(np.unique(section.categories).tolist()) <= codes:
            return f"a {kind} entry has a category that the list does not name"
    for kind in NEGATIVE_KINDS:
        if not _ascending(hash_list.negatives[kind]):
            return f"the negative {kind} hashes are not in order, or one comes twice"
    return ""


def _ascending(hashes: Hashes, ids: Ids | None = None) -> bool:
    """Whether every row is above the one before, in bytes and then in id."""
    if len(hashes) < 2:
        return True
    words = _words(hashes)
    columns = [words[:, column] for column in range(4)]
    if ids is not None:
        columns.append(ids.astype(np.uint64))
    equal = np.ones(len(hashes) - 1, np.bool_)
    for column in columns:
        before, after = column[:-1], column[1:]
        if bool((equal & (before > after)).any()):
            return False
        equal &= before == after
    return not bool(equal.any())


def _keys(section: Section) -> npt.NDArray[np.uint8]:
    """Everything that makes an entry what it is, as bytes that sort as the section does."""
    return np.concatenate(
        [
            section.hashes,
            section.ids.astype(">u8").view(np.uint8).reshape(-1, 8),
            section.categories.astype(">u2").view(np.uint8).reshape(-1, 2),
        ],
        axis=1,
    )


def _difference(
    before: npt.NDArray[np.uint8], after: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.intp]]:
    """Positions in ``before`` that are not in ``after``, and the other way round."""
    old, new = _opaque(before), _opaque(after)
    gone = np.flatnonzero(~np.isin(old, new)).astype(np.uint32)
    return gone, np.flatnonzero(~np.isin(new, old))


def _opaque(rows: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """Rows as single values that can be compared; a last byte of 1, since numpy ignores zeros at the end."""
    marked = np.concatenate([rows, np.ones((len(rows), 1), np.uint8)], axis=1)
    return np.ascontiguousarray(marked).view(f"S{marked.shape[1]}").reshape(-1)


def _positions(positions: npt.NDArray[np.uint32], length: int) -> npt.NDArray[np.int64]:
    wide = positions.astype(np.int64)
    if len(wide) and (int(wide.max()) >= length or bool((np.diff(wide) <= 0).any())):
        raise ListDamagedError("delta: it takes away entries that are not there; use the full list")
    return wide


def _without(section: Section, positions: npt.NDArray[np.uint32]) -> Section:
    wide = _positions(positions, len(section))
    return Section(
        np.delete(section.hashes, wide, axis=0), np.delete(section.ids, wide), np.delete(section.categories, wide)
    )


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
