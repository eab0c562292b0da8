"""What is decided about one document that somebody is about to upload, whatever it calls itself.

    bytes → kind, by content → picture: looked at · clip: looked at · text: passes, after the pictures written out in
    it were looked at · everything else: could not tell

The guard's :meth:`~safelight.Guard.before_upload` asks here; :class:`safelight.gates.UploadGate` does for every part
of a request.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Protocol, cast

from safelight.decision import Action, Decision, Event, FindingKind, State
from safelight.errors import MediaNotFoundError, UnsupportedInputError, UsageError
from safelight.media import Limits, NotJudged
from safelight.media.content import ContentKind, content_kind, ends_as_archive, is_two_files
from safelight.media.embedded import embedded_media

#: Kinds that an operator may let pass although they could not be looked at.
PASSABLE_KINDS: Final = frozenset(
    {ContentKind.ARCHIVE, ContentKind.PDF, ContentKind.OFFICE, ContentKind.AUDIO, ContentKind.FONT}
)
NOT_A_PICTURE: Final = "NOT_A_PICTURE"
PASSED_BY_LIST: Final = "PASSED_BY_LIST"

_CANNOT_TELL: Final = frozenset({State.NOT_MEDIA, State.NO_DECODER, State.TOO_LARGE})


@dataclass(frozen=True, slots=True)
class UploadRules:
    """What becomes of documents that are no picture and no clip. Without arguments as strict as it gets for forms.

    Attributes:
        pass_kinds: kinds that pass although nobody could look inside: ``archive``, ``pdf``, ``office``, ``audio``,
            ``font``. What *was* seen in one still counts. ``picture``, ``clip`` and ``unknown`` cannot be listed.
        hold_text: hold text too: for an endpoint that takes pictures only.
        look_in_text: look for pictures written out in text (base64, ``data:`` addresses). Without, text that may
            hold one is not told from other text: only for endpoints that never show it.
        max_embedded: how many pictures one text may hold.
    """

    pass_kinds: frozenset[ContentKind] = frozenset()
    hold_text: bool = False
    look_in_text: bool = True
    max_embedded: int = 64

    def __post_init__(self) -> None:
        given: object = self.pass_kinds
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise UsageError("pass_kinds: got a single word, expected several in a set; write {'pdf'}.")
        names = {kind.value: kind for kind in PASSABLE_KINDS}
        wrong = [kind for kind in given if str(kind) not in names]
        if wrong:
            raise UsageError(f"pass_kinds: got one that cannot be listed, expected {', '.join(sorted(names))}.")
        object.__setattr__(self, "pass_kinds", frozenset(names[str(kind)] for kind in given))
        if isinstance(self.max_embedded, bool) or not isinstance(self.max_embedded, int) or self.max_embedded < 0:
            raise UsageError("max_embedded: expected a whole number, 0 or above; 64 is usual.")


class Looks(Protocol):
    """What the guard lends for one document."""

    limits: Limits

    def picture(self, data: bytes | BinaryIO) -> Decision:
        """Decide about a picture."""

    def clip(self, stream: BinaryIO) -> Decision:
        """Decide about a clip."""

    def cannot_tell(self, state: State) -> Decision:
        """Decide about what nobody could look at."""

    def passes(self, reason: str) -> Decision:
        """Allow, for this reason."""


def decide_document(stream: BinaryIO, looks: Looks, rules: UploadRules) -> tuple[ContentKind, Decision]:
    """The kind of a document and the decision about it.

    Args:
        stream: seekable; nothing else may move it meanwhile.
        looks: how pictures and clips are looked at.
        rules: what becomes of everything else.
    """
    kind = content_kind(stream)
    return kind, _decide(stream, kind, looks, rules)


def _decide(stream: BinaryIO, kind: ContentKind, looks: Looks, rules: UploadRules) -> Decision:
    if kind is ContentKind.EMPTY:
        return looks.passes(NOT_A_PICTURE)
    if kind is ContentKind.CLIP:
        stream.seek(0)
        decision = looks.clip(stream)
        if decision.action < Action.HOLD and ends_as_archive(stream):
            decision = highest([decision, looks.cannot_tell(State.NO_DECODER)])
        return decision
    if kind is ContentKind.TEXT:
        if rules.hold_text:
            return looks.cannot_tell(State.NOT_MEDIA)
        return _text(stream, looks, rules) if rules.look_in_text else looks.passes(NOT_A_PICTURE)
    if kind is ContentKind.DRAWN:
        return looks.cannot_tell(State.NO_DECODER)
    data = _all(stream, looks.limits.max_bytes)
    if data is None:
        decision = looks.cannot_tell(State.TOO_LARGE)
    elif kind is ContentKind.PICTURE:
        decision = looks.picture(data)
        if decision.action < Action.HOLD and is_two_files(data):
            decision = highest([decision, looks.cannot_tell(State.NO_DECODER)])
    else:
        decision = looks.picture(data)
        if decision.action is Action.ALLOW and kind not in (ContentKind.ARCHIVE,):
            # Only of an archive does looking inside say that there is nothing.
            decision = looks.cannot_tell(State.NOT_MEDIA)
    if kind in rules.pass_kinds and all(
        finding.kind is FindingKind.MEDIA and finding.state in _CANNOT_TELL for finding in decision.findings
    ):
        return looks.passes(PASSED_BY_LIST)
    return decision


def _text(stream: BinaryIO, looks: Looks, rules: UploadRules) -> Decision:
    seen: list[Decision] = []
    plain = _narrow(stream, looks.limits.max_bytes)
    if plain is None:
        return looks.cannot_tell(State.TOO_LARGE)
    for found in embedded_media(plain, max_bytes=looks.limits.max_bytes, max_count=rules.max_embedded):
        if isinstance(found, NotJudged):
            seen.append(looks.cannot_tell(found.state))
            continue
        inside = io.BytesIO(found)
        kind = content_kind(inside)
        # What was decoded began as media: whatever it turned out to be, it is not passed as a text.
        seen.append(
            _decide(inside, kind, looks, rules)
            if kind not in (ContentKind.TEXT, ContentKind.EMPTY)
            else looks.cannot_tell(State.NOT_MEDIA)
        )
    return highest(seen) if seen else looks.passes(NOT_A_PICTURE)


def _narrow(stream: BinaryIO, max_bytes: int) -> BinaryIO | None:
    """The text in a coding that contains ASCII; ``None`` when it would have to be turned into one and is too large."""
    stream.seek(0)
    if stream.read(2) not in (b"\xff\xfe", b"\xfe\xff"):
        return stream
    data = _all(stream, max_bytes)
    return io.BytesIO(data.decode("utf-16").encode()) if data is not None else None


def _all(stream: BinaryIO, max_bytes: int) -> bytes | None:
    if stream.seek(0, os.SEEK_END) > max_bytes:
        return None
    stream.seek(0)
    data = stream.read(max_bytes + 1)
    return data if len(data) <= max_bytes else None


def highest(decisions: Iterable[Decision]) -> Decision:
    """The most protective decision; of several, the first."""
    return max(decisions, key=lambda decision: decision.action)


def open_document(source: object) -> tuple[BinaryIO, Callable[[], None]]:
    """A seekable stream of a source and how to close it.

    Raises:
        MediaNotFoundError: the file is not there or cannot be read.
        UnsupportedInputError: neither a path, bytes nor a seekable binary file object.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return io.BytesIO(source), lambda: None
    if isinstance(source, (str, os.PathLike)):
        opened: Any = None
        with suppress(OSError, ValueError):
            if os.path.isfile(source):
                opened = open(source, "rb")  # noqa: SIM115 - closed by what is handed back
        if opened is None:
            raise MediaNotFoundError("file: got a path that is no readable file, expected one; check the path")
        return opened, opened.close
    if callable(getattr(source, "read", None)) and callable(getattr(source, "seek", None)):
        stream = cast(Any, source)
        usable = False
        with suppress(OSError, ValueError, AttributeError):
            usable = bool(stream.seekable()) and isinstance(stream.read(0), bytes)
        if usable:
            position = stream.tell()
            return stream, lambda: stream.seek(position)
    raise UnsupportedInputError(
        f"file: got {type(source).__name__}, expected a path, bytes or a seekable binary file object; give what can "
        "be read once only to safelight.gates.UploadGate, which keeps what it read."
    )


class GuardLooks:
    """A guard's answers for documents.

    Args:
        check_image: of the guard.
        check_clip: of the guard.
        cannot_tell: decides about a media state.
        passes: allows for a reason.
        limits: of the guard.
        event: what is about to happen.
    """

    def __init__(
        self,
        *,
        check_image: Callable[..., Decision],
        check_clip: Callable[..., Decision],
        cannot_tell: Callable[[State, Event], Decision],
        passes: Callable[[str, Event], Decision],
        limits: Limits,
        event: Event,
    ) -> None:
        self.limits = limits
        self._check_image, self._check_clip = check_image, check_clip
        self._cannot_tell, self._passes, self._event = cannot_tell, passes, event

    def picture(self, data: bytes | BinaryIO) -> Decision:
        """See :meth:`safelight.Guard.check_image`."""
        return self._check_image(data, event=self._event)

    def clip(self, stream: BinaryIO) -> Decision:
        """See :meth:`safelight.Guard.check_clip`."""
        return self._check_clip(stream, event=self._event)

    def cannot_tell(self, state: State) -> Decision:
        """A decision about a finding of kind ``media`` in this state."""
        return self._cannot_tell(state, self._event)

    def passes(self, reason: str) -> Decision:
        """``ALLOW`` for this reason."""
        return self._passes(reason, self._event)


__all__ = [
    "NOT_A_PICTURE",
    "PASSABLE_KINDS",
    "PASSED_BY_LIST",
    "GuardLooks",
    "Looks",
    "UploadRules",
    "decide_document",
    "highest",
    "open_document",
]
