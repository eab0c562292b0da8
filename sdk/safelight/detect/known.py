"""Known material: is this file, or this picture however it was resized, on a list?

The file's bytes are compared by SHA-256, every picture in it by PDQ at full resolution: a picture that was decoded
at a reduced scale has another hash. A match names the list's entry and its distance, never the picture's own hash.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final

from safelight.decision import Finding, FindingKind, Label, State
from safelight.errors import ClosedError, IndexDamagedError, KeyUnavailableError, ListError, ListMissingError
from safelight.hashing import PdqHash, PdqProfile, Sha256Hash, pdq, pdq_dihedral, sha256

if TYPE_CHECKING:
    from safelight.lists.device import ListStore
    from safelight.lists.known import HashAppeal, KnownList, ListMatch
    from safelight.media import Image

_log = logging.getLogger("safelight")

#: Of findings about lists that could not be opened, whose own id is then not known.
LISTS_ID: Final = "lists"
#: The reason that a decision carries when a list's signatures have run out.
LIST_STALE: Final = "LIST_STALE"
#: A keystore may be unlocked after the start: what could not be opened is tried again after this long.
_RETRY_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class ListStatus:
    """How one list, or a store that could not be opened, is now.

    Attributes:
        list_id: of the list, or ``lists`` when it could not be opened.
        state: ``OK``, ``NO_LIST``, ``UNVERIFIED``, ``DETECTOR_FAILED`` or ``OUT_OF_MEMORY``.
        version: of the open list.
        expires: when its signatures run out.
        stale: whether they have; it keeps matching.
    """

    list_id: str
    state: State
    version: int | None = None
    expires: datetime | None = None
    stale: bool = False


class KnownDetector:
    """Asks every list of several stores. May be used from several threads.

    A list that was installed meanwhile is opened by the next check.

    Args:
        stores: where the lists are.
        clock: gives the time by which a list is stale; aware.
    """

    kinds = (FindingKind.KNOWN,)

    def __init__(self, stores: Sequence[ListStore], *, clock: Callable[[], datetime] | None = None) -> None:
        self._stores = tuple(stores)
        self._clock = clock or _utc_now
        self._lock = threading.Lock()
        self._opened: list[_Opened] = [_Opened() for _ in self._stores]
        self._closed = False

    @property
    def id(self) -> str:
        """Always ``lists``; findings name each list."""
        return LISTS_ID

    def prepare(self) -> dict[str, State]:
        """Open the lists now; list id to ``OK``, or to the state that every picture will get.

        Raises:
            ClosedError: after :meth:`close`.
        """
        return {status.list_id: status.state for status in self.status()}

    def status(self) -> tuple[ListStatus, ...]:
        """How every list is now; opens what is not open.

        Raises:
            ClosedError: after :meth:`close`.
        """
        now = self._clock()
        found: list[ListStatus] = []
        for opened in self._open():
            if opened.state is not State.OK:
                found.append(ListStatus(LISTS_ID, opened.state))
            found += [
                ListStatus(one.list_id, State.OK, one.info.version, one.expires, one.stale(now)) for one in opened.lists
            ]
        return tuple(found)

    def look(self, content: bytes | Sha256Hash | None) -> KnownLook:
        """Begin with one input.

        Args:
            content: the file's bytes, or their hash; ``None`` when the picture came as pixels, which have no file to
                compare.

        Raises:
            ClosedError: after :meth:`close`.
        """
        return KnownLook(self._open(), content, self._clock())

    def close(self) -> None:
        """Wipe the lists from memory; later calls raise ``ClosedError``. Safe to call twice."""
        with self._lock:
            self._closed = True
            for opened in self._opened:
                for one in opened.lists:
                    one.close()

    def __repr__(self) -> str:
        return f"<KnownDetector of {len(self._stores)} stores, closed={self._closed}>"

    def _open(self) -> tuple[_Opened, ...]:
        with self._lock:
            if self._closed:
                raise ClosedError("this detector was closed; make a new Guard to go on.")
            for place, store in enumerate(self._stores):
                opened = self._opened[place]
                changed, mark = store.changed_since(opened.mark)
                failed = opened.state is not State.OK and time.monotonic() - opened.tried_s >= _RETRY_S
                if changed or failed or not opened.tried:
                    # Checks in progress keep the lists they began with; memory goes with the last of them.
                    self._opened[place] = _open_store(store, mark)
            return tuple(self._opened)


@dataclass(frozen=True, slots=True)
class _Opened:
    lists: tuple[KnownList, ...] = ()
    state: State = State.NO_LIST
    mark: object = None
    tried: bool = False
    tried_s: float = 0.0


def opened_lists(lists: Sequence[KnownList]) -> tuple[_Opened, ...]:
    """Lists that somebody opened, for :class:`KnownLook`."""
    return (_Opened(tuple(lists), State.OK),)


def _open_store(store: ListStore, mark: object) -> _Opened:
    lists: tuple[KnownList, ...] = ()
    try:
        lists = store.open()
        state = State.OK if lists else State.NO_LIST
    except ListMissingError:
        state = State.NO_LIST
    except (ListError, KeyUnavailableError, IndexDamagedError) as error:
        _log.warning("lists: not opened (%s); every picture is UNVERIFIED", type(error).__name__)
        state = State.UNVERIFIED
    except MemoryError:
        state = State.OUT_OF_MEMORY
    except Exception as error:  # noqa: BLE001 - whatever a keystore of somebody else raises, pictures are held
        _log.warning("lists: not opened (%s); every picture is DETECTOR_FAILED", type(error).__name__)
        state = State.DETECTOR_FAILED
    return _Opened(lists, state, mark, True, time.monotonic())


class KnownLook:
    """One input, picture by picture. Belongs to one thread."""

    def __init__(
        self, opened: Sequence[_Opened], content: bytes | Sha256Hash | None, now: datetime | None = None
    ) -> None:
        self._lists = [one for store in opened for one in store.lists]
        self._failed = [store.state for store in opened if store.state is not State.OK]
        when = now if now is not None else _utc_now()
        self._stale = any(one.stale(when) for one in self._lists)
        self._file_hash: Sha256Hash | None = None
        if content is not None and self._lists:
            self._file_hash = content if isinstance(content, Sha256Hash) else sha256(content)
        # A file that a list's negatives name matches nothing on that list, whatever its pictures look like.
        self._asked = [one for one in self._lists if self._file_hash is None or not one.refuses_sha256(self._file_hash)]
        self._usable: set[str] = set()
        self._without_features: set[str] = set()
        self._seen: set[str] = set()
        self.appeals: list[HashAppeal] = []

    @property
    def needs_full_pictures(self) -> bool:
        """Whether pictures must be decoded at full resolution."""
        return any(one.has_pdq for one in self._asked)

    @property
    def reasons(self) -> tuple[str, ...]:
        """What a decision should say beside its findings."""
        return (LIST_STALE,) if self._stale else ()

    def file(self) -> list[Finding]:
        """What the file's bytes say, and which lists could not be opened."""
        findings = [Finding(FindingKind.KNOWN, state, model=LISTS_ID) for state in self._failed]
        if self._file_hash is not None:
            for one in self._asked:
                match = one.match_sha256(self._file_hash)
                if match is not None:
                    findings.append(_found(match))
                    self._remember(one, match, None, self._file_hash.hex())
        return findings

    def picture(self, image: Image) -> list[Finding]:
        """What one picture says: for every list with PDQ hashes, its nearest entry or none."""
        findings: list[Finding] = []
        made: dict[tuple[PdqProfile, bool], tuple[PdqHash, ...]] = {}
        for one in self._asked:
            if not one.has_pdq:
                continue
            key = (one.info.profile, one.info.dihedral)
            if key not in made:
                made[key] = (
                    pdq_dihedral(image.pixels, profile=key[0]) if key[1] else (pdq(image.pixels, profile=key[0]),)
                )
            hashes = made[key]
            self._seen.add(one.list_id)
            if not hashes[0].usable:
                if hashes[0].quality:
                    self._without_features.add(one.list_id)
                else:
                    self._usable.add(one.list_id)  # plain: nothing is there that could be on a list
                continue
            self._usable.add(one.list_id)
            match = one.match_pdq(hashes)
            if match is not None:
                findings.append(_found(match))
                nearest = min(hashes, key=lambda each: _distance(one, each))
                self._remember(one, match, one.info.profile.value, nearest.hex())
        return findings

    @property
    def wants_clips(self) -> bool:
        """Whether a list has clips to compare with."""
        return any(one.has_clips for one in self._asked)

    def clip(self, frames: Sequence[PdqHash]) -> list[Finding]:
        """What the hashes of a clip's frames, one a second, say: for every list of clips the nearest entry or none.

        A clip that shares a frame with a listed one matches, as a picture would.
        """
        findings: list[Finding] = []
        for one in self._asked:
            if not one.has_clips or not frames:
                continue
            self._seen.add(one.list_id)
            self._usable.add(one.list_id)
            for match in one.match_clip(frames)[:1]:
                findings.append(
                    Finding(
                        FindingKind.KNOWN,
                        State.OK,
                        Label.MATCH,
                        1.0,
                        match.list_id,
                        entry_id=match.entry_id,
                        distance=match.distance,
                    )
                )
        return findings

    def finish(self) -> list[Finding]:
        """For every list whether it was asked in vain; nothing for a list that there was nothing to ask about.

        A picture with hardly any features (PDQ quality 1 to 49) cannot be told by its hash. When no picture of the
        input could be, that is a state; one faint frame among others is not.
        """
        findings = []
        for one in self._lists:
            if one.list_id in self._without_features and one.list_id not in self._usable:
                findings.append(Finding(FindingKind.KNOWN, State.LOW_QUALITY, model=one.list_id))
            elif one.list_id in self._seen or (
                self._file_hash is not None and (not one.has_pdq or one not in self._asked)
            ):
                findings.append(Finding(FindingKind.KNOWN, State.OK, Label.NO_MATCH, 0.0, one.list_id))
        return findings

    def _remember(self, one: KnownList, match: ListMatch, profile: str | None, hash_hex: str) -> None:
        from safelight.lists.known import HashAppeal

        self.appeals.append(
            HashAppeal(one.list_id, one.info.version, match.entry_id, match.distance, match.kind, profile, hash_hex)
        )


def _distance(one: KnownList, each: PdqHash) -> int:
    match = one.match_pdq(each)
    return match.distance if match is not None else 256


def _found(match: ListMatch) -> Finding:
    return Finding(
        FindingKind.KNOWN,
        State.OK,
        Label.MATCH,
        1.0,
        match.list_id,
        entry_id=match.entry_id,
        distance=match.distance,
    )


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)
