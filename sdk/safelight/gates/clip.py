"""Clips and animated pictures: every frame that may be shown is covered, and the answer says when what is shown.

    source → frames with times (all tracks, all frames, damage named)
                 │   near the last frame that was looked at, which was clear?  it stands for this one
                 ▼   else: look
           intervals (from when to when, action, reasons) → ranges and one decision

A frame is *covered* when it was looked at, or when it is within the bound of the release rule
(:mod:`safelight.gates.release`) of the last one that was. Nothing is sampled and nothing is skipped: what could not be
decoded or judged is a range of its own, with the action that the rules give to "could not tell" (``HOLD`` for a
protected person).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from safelight._build import __version__
from safelight.decision import Action, Decision, Event, Finding, FindingKind, Label, State
from safelight.detect import worst_findings
from safelight.errors import ClosedError, UsageError
from safelight.guard import _SHORT_SIDE_PX, Guard, _context, _event
from safelight.media import Frame, NotJudged, load_image
from safelight.media.animation import Animation, open_animation
from safelight.media.clip import ClipLimits, ClipSource
from safelight.media.clip_frames import ClipCover, ClipFrame, ClipGap, ClipReader, open_clip
from safelight.policy import decide

if TYPE_CHECKING:
    from safelight.detect.known import KnownLook
    from safelight.hashing import PdqHash
    from safelight.notices.select import Context

#: More than this many changes of the verdict are not told apart any more: the rest of a clip that flickers so is one
#: range with the highest action in it.
MAX_INTERVALS: Final = 20_000
_HASH_EVERY_MS: Final = 1_000  # vPDQ's usual interval, as lists of clips are made
_SALT_BYTES: Final = 16
_MAC_BYTES: Final = 32
# An answer about nudity without which no other finding can be judged by itself.
_NOTHING_SEEN: Final = Finding(FindingKind.NUDITY, State.OK, Label.NONE, 0.0, "")


class NearRule(Protocol):
    """What says that a frame need not be looked at itself; :class:`safelight.gates.ReleaseRule` is one."""

    def is_near(self, inferred: Frame, frame: Frame) -> bool:
        """Whether ``frame`` is within the bound of the last frame that was looked at."""
        ...

    def is_clear(self, decision: Decision) -> bool:
        """Whether the frame that was decided about may stand for its neighbours."""
        ...


@dataclass(frozen=True, slots=True)
class ClipRange:
    """A part of a clip with one verdict.

    Attributes:
        start_ms: from when, from the beginning of the clip.
        end_ms: until when; ``None``: to the end, wherever that is (a part could not be decoded, or a still picture).
        action: the highest of what is shown in it.
        reasons: ids of what led to it, most severe first.
    """

    start_ms: int
    end_ms: int | None
    action: Action
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values, with the field names of ``safelight watch --json``."""
        return {
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
            "action": self.action.name,
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True, slots=True)
class ClipDecision:
    """What was decided about a clip.

    Attributes:
        decision: about the whole; the host acts on this, unless it acts on every range. It is never below a range,
            and may be above all of them, where what is in several frames counts together.
        ranges: from 0 to the end, without gap or overlap. One for all where the clip's own times are in disorder.
        frames: how many frames it shows.
        frames_inferred: how many of them were looked at; the others are near one that was.
        frames_resumed: how many were covered by an earlier, interrupted check.
    """

    decision: Decision
    ranges: tuple[ClipRange, ...]
    frames: int
    frames_inferred: int
    frames_resumed: int = 0

    @property
    def action(self) -> Action:
        """Of the decision."""
        return self.decision.action

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON-ready values, with ``ranges`` and the numbers of frames."""
        return {
            **self.decision.to_dict(),
            "ranges": [one.to_dict() for one in self.ranges],
            "frames": self.frames,
            "frames_inferred": self.frames_inferred,
            "frames_resumed": self.frames_resumed,
        }


class _Interval(msgspec.Struct, array_like=True):
    """A part of one track with one verdict; ``end_ms`` is ``None`` while nothing came after it."""

    start_ms: int
    end_ms: int | None
    action: int
    reasons: tuple[str, ...]
    to_the_end: bool = False


class ClipState(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """How far a check has come: numbers, ids and a salted hash of the file; no pixel, no path.

    Keep it, and hand it in as ``resume`` to go on: with :meth:`to_bytes`, also after the process was killed. It counts
    only for the same file and the same guard settings; for anything else the check begins anew.
    """

    content: bytes
    salt: bytes
    setup: bytes
    frames: int
    frames_inferred: int
    intervals: list[list[_Interval]]
    findings: list[Finding]
    times_run_on: bool

    def to_bytes(self, key: bytes) -> bytes:
        """To be stored, sealed against change with a key (:meth:`safelight.keys.KeyProvider.get`).

        Args:
            key: 16 bytes or more. Who has it can make the check skip frames.

        Raises:
            UsageError: a shorter key.
        """
        body = msgspec.msgpack.encode(self)
        return _mac(body, key) + body

    @classmethod
    def from_bytes(cls, data: bytes, key: bytes) -> ClipState | None:
        """Read what :meth:`to_bytes` made; ``None`` when it is damaged or of another key: then begin anew.

        Raises:
            UsageError: a key under 16 bytes.
        """
        from hmac import compare_digest

        body = data[_MAC_BYTES:]
        if not compare_digest(data[:_MAC_BYTES], _mac(body, key)):
            return None
        try:
            return msgspec.msgpack.decode(body, type=cls)
        except msgspec.DecodeError:
            return None

    def __repr__(self) -> str:
        return f"<ClipState after {self.frames} frames>"


class ClipProgress:
    """Where a check is. Handed to the host's callback, and valid there.

    Attributes:
        position_ms: how far every track was covered.
        duration_ms: how long the clip says that it is; 0 when it does not.
        frames: covered so far.
        frames_inferred: looked at so far.
    """

    __slots__ = ("_run", "duration_ms", "frames", "frames_inferred", "position_ms")

    def __init__(self, run: _Run, position_ms: int, duration_ms: int) -> None:
        self._run = run
        self.position_ms, self.duration_ms = position_ms, duration_ms
        self.frames, self.frames_inferred = run.frames, run.inferred

    def state(self) -> ClipState:
        """What to keep in order to go on from here.

        Raises:
            UsageError: the check was not begun with ``resumable=True``.
        """
        return self._run.state()

    def __repr__(self) -> str:
        return f"<ClipProgress {self.position_ms} of {self.duration_ms} ms, {self.frames} frames>"


class ClipGate:
    """Checks clips and animated pictures before they are uploaded, sent, shown or saved.

    May be used from several threads; every check decodes in its own.

    Args:
        guard: who decides.
        event: what is about to happen.
        rule: which frames need no look of their own; ``None``: every frame is looked at. The release rule of live
            video (:class:`safelight.gates.ReleaseRule`) when left out.
        limits: what one clip may cost.

    Raises:
        UsageError: an unknown event.

    Example:
        >>> from safelight import Guard, Profile
        >>> from safelight.gates import ClipGate
        >>> with Guard(Profile("10_12"), detectors=()) as guard:
        ...     found = ClipGate(guard).check(b"not a clip")
        >>> found.action.name, [(one.start_ms, one.end_ms, one.action.name) for one in found.ranges]
        ('HOLD', [(0, None, 'HOLD')])
    """

    def __init__(
        self,
        guard: Guard,
        *,
        event: Event | str = Event.UPLOAD,
        rule: NearRule | str | None = "release",
        limits: ClipLimits | None = None,
    ) -> None:
        self._guard = guard
        self._event = _event(event)
        if isinstance(rule, str):
            if rule != "release":
                raise UsageError("rule: expected a rule, None, or 'release'; leave it out.")
            rule = _release_rule()
        self._rule = rule
        self._limits = limits if limits is not None else ClipLimits()

    def check(
        self,
        source: ClipSource,
        *,
        context: Context | str | None = None,
        progress: Callable[[ClipProgress], None] | None = None,
        resumable: bool = False,
        resume: ClipState | None = None,
    ) -> ClipDecision:
        """Cover every frame, then decide.

        Args:
            source: a path, bytes, or a binary file object. One that cannot seek is read once, as it comes.
            context: as for :meth:`safelight.Guard.check_image`.
            progress: called after every frame of a clip. What it raises ends the check and reaches the caller.
            resumable: let :meth:`ClipProgress.state` work. Reads the source once more.
            resume: where an earlier check of the same source was. Frames before are decoded, not looked at again.

        Raises:
            MediaNotFoundError: the file is not there or cannot be opened.
            UnsupportedInputError: the source is of another type.
            UsageError: ``resumable`` or ``resume`` with a source that cannot seek; an unknown context.
            ClosedError: the guard was closed.
        """
        started = time.perf_counter()
        words = _context(context)
        self._guard._require_open()
        with open_clip(source, limits=self._limits) as reader:
            if (resumable or resume is not None) and not reader.seekable:
                raise UsageError("source: got one that cannot seek, expected a file or bytes to go on with later.")
            if not reader.is_clip:
                return self._check_picture(reader.read_all(self._guard.limits.max_bytes), words, started)
            run = _Run(self._guard, self._event, self._rule)
            run.begin(reader, resume, resumable=resumable)
            try:
                return run.clip(reader, progress, words, started)
            except _BeginAnewError:
                pass
            run = _Run(self._guard, self._event, self._rule)
            run.begin(reader, None, resumable=True)
            return run.clip(reader, progress, words, started)

    def _check_picture(self, content: bytes | NotJudged, context: Context | None, started: float) -> ClipDecision:
        run = _Run(self._guard, self._event, self._rule)
        if isinstance(content, NotJudged):
            run.failed(0, content)
            return run.decided(context, started)
        animation = open_animation(content, limits=self._guard.limits)
        if animation is None:
            decision = self._guard.check_image(content, event=self._event, context=context)
            return ClipDecision(decision, (ClipRange(0, None, decision.action, decision.reasons),), 1, 1)
        run.open_lists(content)
        return run.animation(animation, context, started)


class _BeginAnewError(Exception):
    """Frames that an earlier check covered cannot be told from others this time."""


class _Last:
    """The last frame of a track that was looked at."""

    __slots__ = ("clear", "findings", "look", "stored")

    def __init__(self, frame: ClipFrame, findings: tuple[Finding, ...], *, clear: bool) -> None:
        self.stored, self.look = frame.stored, frame.look
        self.findings, self.clear = findings, clear


class _Run:
    """One check: what was found so far, in intervals for every track and in findings for the whole."""

    def __init__(self, guard: Guard, event: Event, rule: NearRule | None) -> None:
        self._guard, self._event, self._rule = guard, event, rule
        self._band, self._rules = guard.profile.band, guard.rules
        self._always = guard._test_mode.findings if guard._test_mode is not None else ()
        self._worst: tuple[Finding, ...] = ()
        self._whole: list[Finding] = []
        self._reasons: list[str] = []
        self._tracks: list[list[_Interval]] = []
        self._last: dict[int, _Last] = {}
        self._known: KnownLook | None = None
        self._hashes: list[PdqHash] = []
        self._hash_due_ms = 0
        self._salt, self._content, self._clean, self._times_run_on = b"", b"", True, True
        self._times_ms: dict[int, int] = {}
        self._resume: ClipState | None = None
        self.frames = self.inferred = self.resumed = 0

    # --- before the first frame ----------------------------------------------------------------------

    def begin(self, reader: ClipReader, resume: ClipState | None, *, resumable: bool) -> None:
        """Hash the source if anybody asks, and take over what an earlier check of it found."""
        content: Any = None
        if reader.seekable and (resumable or resume is not None or self._guard._known is not None):
            self._salt = resume.salt if resume is not None else secrets.token_bytes(_SALT_BYTES)
            content, self._content = reader.digests(self._salt[:_SALT_BYTES])
        self.open_lists(content)
        if resume is None or (resume.content, resume.setup) != (self._content, self._setup()):
            return
        self._resume = resume
        self.resumed, self.inferred = resume.frames, resume.frames_inferred
        self._times_run_on = resume.times_run_on
        self._tracks = [[msgspec.structs.replace(one) for one in track] for track in resume.intervals]
        self._worst = tuple(resume.findings)

    def open_lists(self, content: Any) -> None:
        """Ask the lists about the file, and be ready to ask about pictures."""
        if self._guard._known is None:
            return
        try:
            self._known = self._guard._known.look(content)
            self._whole += self._known.file()
            self._reasons += self._known.reasons
        except ClosedError:
            raise
        except Exception:  # noqa: BLE001 - as with any detector, a failure is a state
            self._whole.append(Finding(FindingKind.KNOWN, State.DETECTOR_FAILED, model=self._guard._known.id))

    def _setup(self) -> bytes:
        """16 bytes that change with anything that could change a verdict."""
        guard = self._guard
        lists = [(one.list_id, one.state, one.version) for one in guard.lists]
        words = (
            __version__,
            self._event.value,
            self._band.value,
            [detector.id for detector in guard.detectors],
            repr(guard._test_mode),
            guard._test_mode is not None and guard._test_mode.key is not None and guard._test_mode.key.hex,
            repr(guard.limits),
            repr(self._rule),
            lists,
        )
        state = blake2b(repr(words).encode(), digest_size=16)
        state.update(self._rules.table.pack())
        return state.digest()

    # --- frame by frame ------------------------------------------------------------------------------

    def clip(
        self,
        reader: ClipReader,
        progress: Callable[[ClipProgress], None] | None,
        context: Context | None,
        started: float,
    ) -> ClipDecision:
        """Go through a clip."""
        for item in reader:
            if isinstance(item, ClipCover):
                self._cover(item)
                continue
            if isinstance(item, ClipGap):
                self._gap(item)
                continue
            self.frames += 1
            self._frame(item)
            if progress is not None:
                progress(ClipProgress(self, max(0, min(self._times_ms.values())), reader.duration_ms))
        for number, track in enumerate(self._tracks):
            _close(track, reader.end_ms(number))
        return self.decided(context, started)

    def _frame(self, frame: ClipFrame) -> None:
        last = self._last.get(frame.track)
        covered = self.frames <= self.resumed
        # Players differ in what they make of times that run backwards.
        self._times_run_on = self._times_run_on and frame.timestamp_ms >= self._times_ms.get(frame.track, -(1 << 62))
        self._times_ms[frame.track] = frame.timestamp_ms
        self._clean = self._clean and frame.intact
        if covered and not self._clean:
            raise _BeginAnewError
        if last is not None and self._stands_for(last, frame):
            findings = last.findings
        elif covered:
            # Its verdict is known. The lists see it again: what they gather over a clip is kept nowhere.
            if self._known is not None:
                self._lists_only(frame)
            return
        else:
            findings = self._look(frame)
            self.inferred += 1
            if frame.intact and self._rule is not None:
                action, reasons = self._verdict(findings)
                clear = self._rule.is_clear(self._decision(action, reasons, findings))
                self._last[frame.track] = _Last(frame, findings, clear=clear)
            else:
                self._last.pop(frame.track, None)
        if self._known is not None and self._known.wants_clips:
            self._hash(frame)
        if covered:
            return
        if not frame.intact:
            findings = (*findings, Finding(FindingKind.MEDIA, State.DECODE_FAILED))
        self._note(frame.track, frame.timestamp_ms, findings)

    def _stands_for(self, last: _Last, frame: ClipFrame) -> bool:
        if self._rule is None or not frame.intact or last.look != frame.look:
            return False
        if last.clear:
            return self._rule.is_near(last.stored, frame.stored)
        # The very same picture gets the very same answer, whatever it was.
        return _same(last.stored, frame.stored)

    def _look(self, frame: ClipFrame) -> tuple[Finding, ...]:
        # A hash needs every pixel; no built-in model does.
        whole = self._known is not None and self._known.needs_full_pictures
        loaded = load_image(frame.shown(short_side_px=None if whole else _SHORT_SIDE_PX), limits=self._guard.limits)
        if isinstance(loaded, NotJudged):
            return (Finding(FindingKind.MEDIA, loaded.state),)
        findings: list[Finding] = list(self._always)
        with loaded as pictures, self._guard._slots:
            self._guard._require_open()
            for picture in pictures:
                if isinstance(picture, NotJudged):
                    findings.append(Finding(FindingKind.MEDIA, picture.state))
                else:
                    findings += self._guard._look_at_picture(picture, self._known)
        return worst_findings(findings)

    def _lists_only(self, frame: ClipFrame) -> None:
        loaded = load_image(frame.shown(), limits=self._guard.limits)
        if not isinstance(loaded, NotJudged) and self._known is not None:
            with loaded as pictures:
                for picture in pictures:
                    if not isinstance(picture, NotJudged):
                        for _ in self._guard._look_at_picture(picture, self._known, ()):
                            pass
        if self._known is not None and self._known.wants_clips:
            self._hash(frame)

    def _hash(self, frame: ClipFrame) -> None:
        if frame.track == 0 and frame.timestamp_ms >= self._hash_due_ms:
            from safelight.hashing import pdq

            at_ms = frame.timestamp_ms
            self._hash_due_ms = at_ms - at_ms % _HASH_EVERY_MS + _HASH_EVERY_MS
            self._hashes.append(pdq(frame.grey()))

    def _cover(self, cover: ClipCover) -> None:
        findings = worst_findings([*self._always, *self._guard._look_at(cover.data, "RGB", [])])
        # A cover may be shown at any time.
        self._whole += findings

    def _gap(self, gap: ClipGap) -> None:
        self._clean = False
        if self.frames < self.resumed:
            raise _BeginAnewError
        found = (Finding(FindingKind.MEDIA, gap.cause.state),)
        for track in range(max(1, len(self._tracks))) if gap.track is None else (gap.track,):
            self._last.pop(track, None)
            self._note(track, gap.timestamp_ms, found, to_the_end=gap.to_the_end)

    def failed(self, at_ms: int, cause: NotJudged) -> None:
        """All of it, from here, could not be judged."""
        self._note(0, at_ms, (Finding(FindingKind.MEDIA, cause.state),), to_the_end=True)

    # --- animated pictures ---------------------------------------------------------------------------

    def animation(self, animation: Animation, context: Context | None, started: float) -> ClipDecision:
        """Go through an animated picture; one that returns to a picture is looked at once."""
        by_mark: dict[bytes, tuple[Finding, ...]] = {}
        by_frame: dict[int, list[Finding]] = {}
        failure: NotJudged | None = None
        looked: set[int] = set()
        for item in animation:
            if isinstance(item, NotJudged):
                failure = item
                continue
            if item.image is not None:
                with self._guard._slots:
                    self._guard._require_open()
                    new = [*self._always, *self._guard._look_at_picture(item.image, self._known)]
                by_mark[item.mark] = worst_findings([*by_mark.get(item.mark, ()), *new])
                looked.add(item.frame)
            by_frame.setdefault(item.frame, []).extend(by_mark.get(item.mark, ()))
        self.frames, self.inferred = len(animation.times_ms), len(looked)
        for number, (start_ms, end_ms) in enumerate(animation.times_ms):
            findings = worst_findings(by_frame.get(number, ()))
            if not findings:
                findings = (Finding(FindingKind.MEDIA, failure.state if failure else State.DECODE_FAILED),)
            self._worst = worst_findings((*self._worst, *findings))
            action, reasons = self._verdict(findings)
            self._tracks.append([_Interval(start_ms, end_ms, int(action), reasons)])
        if failure is not None:
            self._worst = worst_findings((*self._worst, Finding(FindingKind.MEDIA, failure.state)))
        return self.decided(context, started)

    # --- the answer ----------------------------------------------------------------------------------

    def _verdict(self, findings: Sequence[Finding]) -> tuple[Action, tuple[str, ...]]:
        verdict = decide(findings, band=self._band, event=self._event, rules=self._rules)
        return verdict.action, verdict.reasons

    def _decision(self, action: Action, reasons: tuple[str, ...], findings: tuple[Finding, ...]) -> Decision:
        return Decision(action, self._event, self._band, findings, reasons, None)

    def _note(self, track: int, at_ms: int, findings: tuple[Finding, ...], *, to_the_end: bool = False) -> None:
        """From ``at_ms`` the track shows this, until the next note."""
        self._worst = worst_findings((*self._worst, *findings))
        action, reasons = self._verdict(findings)
        while len(self._tracks) <= track:
            self._tracks.append([])
        intervals = self._tracks[track]
        at_ms = max(0, at_ms)
        last = intervals[-1] if intervals else None
        if last is None:
            at_ms = 0  # what is on the screen before the first frame is, at most, the first frame
        elif not to_the_end and last.end_ms is None and (last.action, last.reasons) == (int(action), reasons):
            return
        elif len(intervals) >= MAX_INTERVALS:
            if int(action) > last.action:
                last.action, last.reasons = int(action), reasons
            last.start_ms, last.end_ms = min(last.start_ms, at_ms), None
            return
        else:
            last.end_ms = max(at_ms, last.start_ms + 1)  # it stays until the next one comes
        intervals.append(_Interval(at_ms, None, int(action), reasons, to_the_end))

    def state(self) -> ClipState:
        """Where it is now. Damage makes the numbers of frames uncertain, so then it begins anew."""
        if not self._content:
            raise UsageError("state: got a check that cannot go on later; begin it with resumable=True.")
        if self._resume is not None and self.frames < self.resumed:
            return self._resume
        return ClipState(
            content=self._content if self._clean else b"",
            salt=self._salt,
            setup=self._setup(),
            frames=self.frames,
            frames_inferred=self.inferred,
            intervals=[[msgspec.structs.replace(one) for one in track] for track in self._tracks],
            findings=list(self._worst),
            times_run_on=self._times_run_on,
        )

    def decided(self, context: Context | None, started: float) -> ClipDecision:
        """Put the whole together."""
        if self._known is not None:
            self._whole += self._known.clip(self._hashes) + self._known.finish()
        whole: tuple[Finding, ...] = tuple(self._whole)
        if self._guard._store is not None:
            from safelight.store.findings import settings_findings

            whole += tuple(settings_findings(self._guard._store))
        decision = self._guard._decide(
            worst_findings((*self._worst, *self._whole)), self._event, started, tuple(self._reasons), context=context
        )
        floor, floor_reasons = self._verdict((_NOTHING_SEEN, *whole))
        ranges = flatten(self._tracks)
        if not self._times_run_on:
            worst = max(ranges, key=lambda one: one.action)
            ranges = [ClipRange(0, None, worst.action, worst.reasons)]
        ranges = [
            one
            if one.action >= floor
            else ClipRange(one.start_ms, one.end_ms, floor, tuple(dict.fromkeys((*floor_reasons, *one.reasons))))
            for one in ranges
        ]
        return ClipDecision(decision, _joined(ranges), self.frames, self.inferred, min(self.resumed, self.frames))


def _same(one: Frame, other: Frame) -> bool:
    if (one.format, one.width, one.height, one.rotation, one.color_range) != (
        other.format,
        other.width,
        other.height,
        other.rotation,
        other.color_range,
    ):
        return False
    return bytes(memoryview(one.data)) == bytes(memoryview(other.data))


def _close(track: list[_Interval], end_ms: int) -> None:
    """The last picture of a track stays until the track's end."""
    if track and track[-1].end_ms is None and not track[-1].to_the_end:
        track[-1].end_ms = max(end_ms, track[-1].start_ms + 1)


def flatten(tracks: Iterable[Iterable[_Interval]]) -> list[ClipRange]:
    """Intervals that may overlap → ranges that do not, each with the highest action and all reasons for it."""
    intervals = [one for track in tracks for one in track]
    starts: dict[int, list[_Interval]] = {}
    ends: dict[int, list[_Interval]] = {}
    for one in intervals:
        starts.setdefault(one.start_ms, []).append(one)
        if one.end_ms is not None:
            ends.setdefault(one.end_ms, []).append(one)
    active: dict[tuple[int, tuple[str, ...]], int] = {}
    ranges: list[ClipRange] = []
    moments = sorted({*starts, *ends})
    for number, at_ms in enumerate(moments):
        for one in ends.get(at_ms, ()):
            key = (one.action, one.reasons)
            active[key] -= 1
            if not active[key]:
                del active[key]
        for one in starts.get(at_ms, ()):
            key = (one.action, one.reasons)
            active[key] = active.get(key, 0) + 1
        if not active:
            continue
        action = max(action for action, _ in active)
        reasons = tuple(dict.fromkeys(word for level, words in sorted(active, reverse=True) for word in words if level))
        end_ms = moments[number + 1] if number + 1 < len(moments) else None
        ranges.append(ClipRange(at_ms, end_ms, Action(action), reasons))
    return list(_joined(ranges))


def _joined(ranges: Iterable[ClipRange]) -> tuple[ClipRange, ...]:
    joined: list[ClipRange] = []
    for one in ranges:
        last = joined[-1] if joined else None
        if last is not None and (last.end_ms, last.action, last.reasons) == (one.start_ms, one.action, one.reasons):
            joined[-1] = ClipRange(last.start_ms, one.end_ms, one.action, one.reasons)
        else:
            joined.append(one)
    return tuple(joined)


def _mac(body: bytes, key: bytes) -> bytes:
    if not isinstance(key, bytes) or len(key) < 16:
        raise UsageError("key: expected 16 bytes or more; take one from a KeyProvider.")
    return blake2b(body, key=blake2b(key).digest(), digest_size=_MAC_BYTES, person=b"safelight-clip").digest()


def _release_rule() -> NearRule:
    from safelight.gates.release import ReleaseRule

    return ReleaseRule()
