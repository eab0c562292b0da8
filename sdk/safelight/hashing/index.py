"""A list of PDQ hashes to look pictures up in, exactly. The work is done by ``native/src/hash/index.cpp``."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from safelight import _hash
from safelight.decision import State
from safelight.errors import ClosedError, MediaNotFoundError, UnsupportedInputError, UsageError
from safelight.hashing._pdq import MATCH_DISTANCE, PdqHash, PdqProfile, ProfileMismatchError, to_profile
from safelight.hashing._text import DIGEST_BYTES, check_digest

Rows: TypeAlias = npt.NDArray[np.uint8]
Hashes: TypeAlias = Rows | Iterable[PdqHash | bytes]

_NUMBERS = tuple(PdqProfile(name) for name in _hash.PROFILES)
_NO_BITS = bytes(DIGEST_BYTES)
_MAX_ID = 2**64 - 1
_MAX_CATEGORY = 2**16 - 1
# Fewer queries than this are not worth another thread.
_QUERIES_PER_THREAD = 64


class UnusableHashError(UsageError):
    """A hash in a state other than ``OK`` was to be looked up or listed. ``state`` says which.

    Pictures without features look alike to PDQ: they would match each other, or nothing for a wrong reason. So there
    is no answer, which is not "no match".
    """

    def __init__(self, message: str, *, state: State) -> None:
        super().__init__(message)
        self.state = state


@dataclass(frozen=True, slots=True)
class Match:
    """An entry of a list that is near enough.

    Attributes:
        entry_id: the entry's id, 0 to 2**64 - 1.
        distance: bits that differ, 0-256.
        category: as the list says it, 0 to 65535; ``None`` when the index has no categories.
    """

    entry_id: int
    distance: int
    category: int | None


class HashIndex:
    """PDQ hashes of one profile, of which every one within a distance is found.

    Make one with :meth:`build`, :meth:`open` or :meth:`from_buffer`. It may be used from any thread, and as a context
    manager.

    >>> listed = [PdqHash.parse("0f" * 32), PdqHash.parse("35" * 32)]
    >>> with HashIndex.build(listed, ids=[700, 800]) as index:
    ...     index.query(PdqHash.parse("0f" * 31 + "0e"))
    (Match(entry_id=700, distance=1, category=None),)
    """

    def __init__(self, index: _hash.Index, buffer: Any) -> None:
        """Private: use :meth:`build`, :meth:`open` or :meth:`from_buffer`."""
        self._index: _hash.Index | None = index
        self._buffer = buffer
        self._profile = _NUMBERS[index.profile]
        self._count = index.count

    @classmethod
    def build(
        cls,
        hashes: Hashes,
        *,
        ids: Sequence[int] | npt.NDArray[Any] | None = None,
        categories: Sequence[int] | npt.NDArray[Any] | None = None,
        negatives: Hashes = (),
        profile: PdqProfile | str = PdqProfile.FULL,
        progress: Callable[[int, int], None] | None = None,
        threads: int = 1,
        slot_count: int | None = None,
    ) -> HashIndex:
        """Make an index in memory.

        Args:
            hashes: the entries, as ``uint8[N, 32]``, or :class:`PdqHash` or 32 bytes each. Duplicates stay; an entry
                without any bit, as pictures without features have it, never matches.
            ids: of the entries, 0 to 2**64 - 1; several entries may have the same. Left out: 0 to N - 1.
            categories: of the entries, 0 to 65535.
            negatives: hashes that are known to match by mistake, for instance of a logo. A picture that is as near
                to a negative as to an entry, or nearer, does not match that entry; an entry that equals a negative
                never matches.
            profile: of all hashes; of bytes it is taken on trust.
            progress: called with steps done and steps altogether, in the calling thread.
            threads: that sort entries at the same time.
            slot_count: how the 256 bits are cut, 0 or 11 to 16; left out, by the number of entries. Every choice
                gives the same answers.

        Raises:
            UnusableHashError: an entry or negative is not in state ``OK``.
            ProfileMismatchError: an entry or negative has another profile.
            UnsupportedInputError: something is of another type, shape or dtype.
            UsageError: ids or categories are out of range or not as many as the hashes, or too many entries.
        """
        chosen = to_profile(profile)
        rows = _rows("hashes", hashes, chosen)
        if slot_count is None:
            slot_count = _hash.usual_slot_count(len(rows))
        builder = _hash.IndexBuilder(
            rows,
            _numbers("ids", ids, len(rows), _MAX_ID, np.uint64),
            _numbers("categories", categories, len(rows), _MAX_CATEGORY, np.uint16),
            _rows("negatives", negatives, chosen),
            _NUMBERS.index(chosen),
            slot_count,
        )
        del rows
        steps = slot_count + 1
        if progress is not None:
            progress(1, steps)
        for done, _ in enumerate(_each(builder.fill_slot, slot_count, threads), start=2):
            if progress is not None:
                progress(done, steps)
        return cls.from_buffer(builder.finish())

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> HashIndex:
        """Map a file that :meth:`save` wrote. Reads its header only, whatever its size.

        The file is not encrypted: a server's, not a device's. Replace it by renaming another over it, as
        :meth:`save` does; a file that shrinks while it is mapped ends the process.

        Raises:
            MediaNotFoundError: there is no such file, or it may not be read.
            IndexDamagedError: it is not an index, of another version, cut short, or its header damaged.
        """
        try:
            with Path(path).open("rb") as file:
                # An empty file cannot be mapped; it is no index either.
                empty = os.fstat(file.fileno()).st_size == 0
                mapped = b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError:
            raise MediaNotFoundError(
                "path: got a file that cannot be opened, expected an index written by HashIndex.save; "
                "check that it exists and may be read"
            ) from None
        return cls.from_buffer(mapped)

    @classmethod
    def from_buffer(cls, buffer: Any) -> HashIndex:
        """Use the bytes of :meth:`to_bytes` where they are, without copying.

        The index borrows the buffer until it is closed; whoever changes the bytes meanwhile gets wrong answers.
        Content is not vouched for: verify a signature over it before.

        Args:
            buffer: bytes, a ``memoryview``, an ``mmap``, ``uint8[n]``; readable and dense.

        Raises:
            UnsupportedInputError: not such a buffer.
            IndexDamagedError: as for :meth:`open`.
        """
        try:
            view = memoryview(buffer)
        except TypeError:
            view = None
        if view is None or not view.c_contiguous:
            raise UnsupportedInputError(
                f"buffer: got {type(buffer).__name__}, expected dense bytes; give bytes or a memoryview of them"
            )
        return cls(_hash.Index(view), buffer)

    def query(self, hash: PdqHash | bytes, *, max_distance: int = MATCH_DISTANCE) -> tuple[Match, ...]:
        """Every entry within a distance, nearest first, of the same distance the lower id first.

        Args:
            hash: what to look up; of 32 bytes the profile is taken on trust.
            max_distance: bits that may differ, 0-256. Up to 31 bits, and some more, by looking up; beyond, by reading
                the whole list. The answer is exact either way.

        Returns:
            The matches; empty when there is none, and for no other reason.

        Raises:
            UnusableHashError: the picture has too few features (quality 49 or less, or no bit set) or is too small.
            ProfileMismatchError: the hash has another profile.
            UnsupportedInputError: neither a hash nor bytes.
            UsageError: not 32 bytes, or ``max_distance`` out of range.
            IndexDamagedError: the index is damaged inside.
            ClosedError: the index is closed.
        """
        index = self._open_index()
        bits = _usable_bits("hash", hash, self._profile)
        if bits == _NO_BITS:
            raise _no_features("hash")
        return tuple(Match(*found) for found in index.query(bits, _checked_distance(max_distance)))

    def query_many(
        self, hashes: Hashes, max_distance: int = MATCH_DISTANCE, *, threads: int = 1
    ) -> list[tuple[Match, ...]]:
        """As :meth:`query`, for many: one answer each, in order.

        Args:
            hashes: ``uint8[M, 32]``, or hashes or bytes each.
            max_distance: as for :meth:`query`.
            threads: that look up at the same time.

        Raises:
            UnusableHashError: one of the hashes may not be looked up; nothing is.
            UsageError: as for :meth:`query`, and of its other errors each.
        """
        index = self._open_index()
        rows = _rows("hashes", hashes, self._profile)
        if len(rows) and not rows.any(axis=1).all():
            raise _no_features("hashes")
        limit = _checked_distance(max_distance)
        pieces = max(1, min(_at_least_one("threads", threads), len(rows) // _QUERIES_PER_THREAD))
        edges = [len(rows) * piece // pieces for piece in range(pieces + 1)]
        answers = _each(lambda piece: index.query_many(rows[edges[piece] : edges[piece + 1]], limit), pieces, pieces)
        return [tuple(Match(*found) for found in one) for answer in answers for one in answer]

    def verify(self) -> None:
        """Read everything and check that every entry can be found. Queries check on their own what they follow.

        Raises:
            IndexDamagedError: an entry is not where it must be.
            ClosedError: the index is closed.
        """
        self._open_index().verify()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to a file for :meth:`open`, not encrypted. An existing file is replaced when all is written.

        Raises:
            OSError: the file cannot be written.
            ClosedError: the index is closed.
        """
        self._open_index()
        target = Path(path)
        beside = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with beside.open("wb") as file:
                file.write(self._buffer)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)

    def to_bytes(self) -> bytes:
        """The index as bytes, for :meth:`from_buffer`. A copy.

        Raises:
            ClosedError: the index is closed.
        """
        self._open_index()
        return bytes(self._buffer)

    @property
    def profile(self) -> PdqProfile:
        """Which pre-resize the entries were made with."""
        return self._profile

    @property
    def negative_count(self) -> int:
        """Number of negatives."""
        return self._open_index().negative_count

    @property
    def nbytes(self) -> int:
        """Bytes of memory or of the file."""
        return self._open_index().nbytes

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        """Let go of the buffer; calls that are running finish first. Closing twice is allowed."""
        self._index = None
        self._buffer = None

    def __enter__(self) -> HashIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "" if self._index is not None else ", closed"
        return f"<HashIndex of {self._count} entries, profile {self._profile}{state}>"

    def _open_index(self) -> _hash.Index:
        index = self._index
        if index is None:
            raise ClosedError("got a call on a closed index, expected an open one; open or build it again")
        return index


def _rows(name: str, hashes: Hashes, profile: PdqProfile) -> Rows:
    """Dense uint8[N, 32]."""
    if isinstance(hashes, np.ndarray):
        if hashes.dtype != np.uint8 or hashes.ndim != 2 or hashes.shape[1] != DIGEST_BYTES:
            raise UnsupportedInputError(
                f"{name}: got {hashes.dtype}{list(hashes.shape)}, expected uint8[N, {DIGEST_BYTES}]; "
                "pack the bits with numpy.packbits"
            )
        return np.ascontiguousarray(hashes)
    if isinstance(hashes, (bytes, str, PdqHash)) or not isinstance(hashes, Iterable):
        raise UnsupportedInputError(
            f"{name}: got {type(hashes).__name__}, expected several hashes; put one hash into a list"
        )
    joined = bytearray().join(_usable_bits(f"{name}[{place}]", one, profile) for place, one in enumerate(hashes))
    return np.frombuffer(joined, np.uint8).reshape(-1, DIGEST_BYTES)


def _usable_bits(name: str, hash: PdqHash | bytes, profile: PdqProfile) -> bytes:
    if not isinstance(hash, PdqHash):
        return check_digest(hash)
    if not hash.usable:
        raise UnusableHashError(
            f"{name}: got a hash in state {hash.state}, expected one that may be matched; look at .usable first and "
            "treat the picture as one that could not be judged",
            state=hash.state,
        )
    if hash.profile is not profile:
        raise ProfileMismatchError(f"{name}: got profile {hash.profile}, expected {profile}; hash the picture with it")
    return hash.bits


def _no_features(name: str) -> UnusableHashError:
    return UnusableHashError(
        f"{name}: got a hash without any bit, expected one of a picture with features; treat the picture as one that "
        "could not be judged",
        state=State.LOW_QUALITY,
    )


def _numbers(
    name: str, values: Sequence[int] | npt.NDArray[Any] | None, count: int, largest: int, dtype: type[Any]
) -> npt.NDArray[Any] | None:
    """Dense unsigned numbers, each checked before it is converted: numpy wraps negative ones around."""
    if values is None:
        return None
    if isinstance(values, np.ndarray):
        if values.ndim != 1 or values.dtype.kind not in "iu":
            raise UnsupportedInputError(
                f"{name}: got {values.dtype}{list(values.shape)}, expected whole numbers in one dimension; convert them"
            )
        checked: Any = values
        low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    else:
        checked = list(values)
        if not all(isinstance(value, int) for value in checked):
            raise UnsupportedInputError(f"{name}: got something else than an int, expected ints; convert them")
        low, high = min(checked, default=0), max(checked, default=0)
    if len(checked) != count:
        raise UsageError(f"{name}: got {len(checked)}, expected {count}; give one for each hash")
    if low < 0 or high > largest:
        raise UsageError(f"{name}: got {low if low < 0 else high}, expected 0 to {largest}; number the entries anew")
    return np.ascontiguousarray(np.array(checked, dtype))


def _checked_distance(max_distance: int) -> int:
    if not isinstance(max_distance, int):
        raise UnsupportedInputError(
            f"max_distance: got {type(max_distance).__name__}, expected int; give a number of bits"
        )
    if not 0 <= max_distance <= _hash.MAX_DISTANCE:
        raise UsageError(
            f"max_distance: got {max_distance}, expected 0 to {_hash.MAX_DISTANCE}; {MATCH_DISTANCE} is usual"
        )
    return max_distance


def _at_least_one(name: str, number: int) -> int:
    if not isinstance(number, int) or number < 1:
        raise UsageError(f"{name}: got {number!r}, expected 1 or more; leave it out for one")
    return number


def _each(work: Callable[[int], Any], count: int, threads: int) -> Iterator[Any]:
    """``work`` of 0 to count - 1, in order of the numbers."""
    if _at_least_one("threads", threads) == 1:
        yield from map(work, range(count))
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="safelight-index") as pool:
        yield from pool.map(work, range(count))
