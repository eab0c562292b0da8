"""A scan: consent, then every media file of a folder, and what was decided about each."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from safelight._build import build_info
from safelight.decision import Action, Decision, Event, Finding
from safelight.errors import ScanError, StoreError
from safelight.scan.engine import Engine, LocalEngine
from safelight.scan.walk import Found, Walk

if TYPE_CHECKING:
    from safelight.guard import Guard
    from safelight.scan.journal import Journal
    from safelight.store import Hold

_MAX_HANDLE = 256


@dataclass(frozen=True, slots=True)
class ScanResult:
    """One file.

    Attributes:
        name: below the folder.
        action: what was decided; ``None`` when the file could not be opened any more, which says nothing about it.
        reasons: why.
        findings: the evidence; empty for a file that was looked at in an earlier scan and has not changed.
        unchanged: it was decided in an earlier scan.
        hold: when it is kept back (``keep_holds``).
    """

    name: str
    action: Action | None
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    unchanged: bool = False
    hold: Hold | None = None


@dataclass(slots=True)
class Progress:
    """How far a scan is.

    Attributes:
        looked_at: files decided now.
        unchanged: files decided in an earlier scan.
        other: files that hold no media; documents and archives count here too.
        unreadable: files and folders that could not be read. They are not "nothing to see".
        actions: action to how many files.
        not_held: files that were to be held, but the store had no room or could not be written.
        resumable: whether a scan that is stopped goes on where it was.
    """

    looked_at: int = 0
    unchanged: int = 0
    other: int = 0
    unreadable: int = 0
    not_held: int = 0
    actions: Counter[Action] = field(default_factory=Counter)
    resumable: bool = True


class Scan:
    """Looks through a folder, on request and with consent (store, purpose ``scan``).

    Nothing is deleted, moved or marked: a result says what was decided, and with ``keep_holds`` the store holds the
    file's name as a handle, for the app that shows the folder to ask. When consent ends, the scan does.

    Args:
        root: the folder.
        guard: decides; one with a store, since consent is kept there.
        event: what the files are decided for.
        journal: of an earlier scan of this folder, and for the next one; see :class:`Journal` and :func:`stamp`.
        engine: what looks at files; threads of this process when left out.
        keep_holds: make a hold of every file that is decided ``HOLD`` or ``BLOCK``, unless it has one.
        progress: called after every file.

    Raises:
        ScanError: there is no consent.
        MediaNotFoundError: ``root`` is no folder that can be read.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        guard: Guard,
        *,
        event: Event = Event.VIEW,
        journal: Journal | None = None,
        engine: Engine | None = None,
        keep_holds: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._walk = Walk(root)
        self._guard = guard
        self._event = event
        self._journal = journal
        self._engine: Engine = engine if engine is not None else LocalEngine(guard, self._walk.root, event)
        self._owns_engine = engine is None
        self._keep_holds = keep_holds
        self._told = progress
        self._gone = 0
        self.progress = Progress(resumable=journal is not None)
        self._require_consent()

    def __iter__(self) -> Iterator[ScanResult]:
        """Every media file, as it is decided: those of an earlier scan where they are met.

        Raises:
            ScanError: consent ended, or the engine did. What was decided until then is kept.
        """
        ready: list[ScanResult] = []
        try:
            for found, answer in self._engine.run(self._unknown(ready)):
                yield from self._take(ready)
                self._require_consent()
                if answer is None:
                    self._gone += 1
                    yield self._note(ScanResult(found.name, None, ()))
                    continue
                self.progress.looked_at += 1
                self._remember(found, answer.action, answer.reasons)
                result = ScanResult(found.name, answer.action, answer.reasons, answer.findings)
                yield self._note(self._held(result))
            yield from self._take(ready)
            self._note_walk()
        finally:
            if self._owns_engine:
                self._engine.close()

    def _unknown(self, ready: list[ScanResult]) -> Iterator[Found]:
        """The files that no earlier scan decided; the others go to ``ready``."""
        for found in self._walk:
            known = self._recall(found)
            if known is None:
                yield found
            else:
                ready.append(ScanResult(found.name, *known, unchanged=True))

    def _take(self, ready: list[ScanResult]) -> Iterator[ScanResult]:
        while ready:
            self.progress.unchanged += 1
            yield self._note(self._held(ready.pop(0)))

    def _note_walk(self) -> None:
        self.progress.other = self._walk.other
        self.progress.unreadable = self._gone + self._walk.unreadable

    def _note(self, result: ScanResult) -> ScanResult:
        self._note_walk()
        if result.action is not None:
            self.progress.actions[result.action] += 1
        if self._told is not None:
            self._told(self.progress)
        return result

    def _recall(self, found: Found) -> tuple[Action, tuple[str, ...]] | None:
        if self._journal is None or not self.progress.resumable:
            return None
        try:
            return self._journal.known(found)
        except ScanError:
            self.progress.resumable = False
            return None

    def _remember(self, found: Found, action: Action, reasons: tuple[str, ...]) -> None:
        if self._journal is None or not self.progress.resumable:
            return
        try:
            self._journal.add(found, action, reasons)
        except ScanError:
            # A full disk must not end the scan: it only cannot be gone on with.
            self.progress.resumable = False

    def _held(self, result: ScanResult) -> ScanResult:
        if not self._keep_holds or result.action is None or result.action < Action.HOLD:
            return result
        handle = handle_of(result.name)
        holds = self._guard.holds
        hold = next((hold for hold in holds.all() if hold.handle == handle), None)
        if hold is None:
            decision = Decision(
                result.action, self._event, self._guard.profile.band, result.findings, result.reasons, None
            )
            try:
                hold = holds.keep(decision, handle=handle)
            except StoreError:
                self.progress.not_held += 1
                return result
        return replace(result, hold=hold)

    def _require_consent(self) -> None:
        if self._guard.check_consent("scan").action > Action.ALLOW:
            raise ScanError(
                "scan: got no consent, or it ended; expected consent for the purpose scan: ask for it and give it with "
                "store.consents.give('scan')."
            )


def handle_of(name: str) -> str:
    """The handle under which a file is held: its name below the folder, or a digest of one that is too long."""
    if len(name) <= _MAX_HANDLE and name.isprintable():
        return name
    return "blake2b:" + hashlib.blake2b(os.fsencode(name), digest_size=16).hexdigest()


def stamp(guard: Guard, event: Event) -> str:
    """What a decision depends on besides the file, as one digest, for :class:`~safelight.scan.Journal`."""
    parts = [
        build_info().builtin_digest,
        event.value,
        guard.profile.band.value,
        guard.rules.id,
        str(guard.rules.version),
        guard.rules.table.pack().hex(),
        repr(guard.rules.documents),
        *(detector.id for detector in guard.detectors),
        *(f"{status.list_id} {status.version} {status.state}" for status in guard.lists),
        f"test_mode={guard.test_mode}",
    ]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=32).hexdigest()
