"""Messages → evidence, one contact at a time: which stages were seen, and what they mean together.

A scorer (the grooming model, see :mod:`safelight.detect.grooming`) says of every message which stages it may belong
to. The decision is made here, from several messages, by rules that can be read: at least two different stages, one of
them serious, or one strong threat. Nothing but numbers is kept, with one exception: a sentence that is sent in pieces
can only be read as a whole, so up to three short messages stay in memory until the next longer one, at most two
minutes by their own time stamps.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from safelight import _text
from safelight.decision import Finding, FindingKind, Label, State
from safelight.errors import ClosedError, ModelError, UsageError

STAGES: tuple[Label, ...] = (
    Label.AGE_PROBE,
    Label.ALONE_CHECK,
    Label.FLATTERY_BOND,
    Label.ISOLATION,
    Label.SECRECY,
    Label.GIFT,
    Label.PLATFORM_MOVE,
    Label.PHOTO_REQUEST,
    Label.MEETING,
    Label.THREAT,
    Label.SEXUALISED,
)
"""What a scorer answers, in the order of its output. The last one is raised by the keyed word list as well."""

SERIOUS = frozenset(
    {Label.ISOLATION, Label.SECRECY, Label.PLATFORM_MOVE, Label.PHOTO_REQUEST, Label.MEETING, Label.THREAT}
)
"""Stages that take a child away from others or want something of it. Without one of them there is no warning:
asking an age, praising, giving and asking who is at home are also what friends and relatives do."""

LEVELS: tuple[Label, ...] = (Label.CALM, Label.WATCH, Label.WARN, Label.DANGER)
TRUSTS: tuple[str, ...] = _text.TRUSTS
SENDERS: tuple[str, ...] = _text.SENDERS

_SEGMENT = 160  # code points: longer messages are read sentence by sentence, as the model was trained on short ones
_PIECE = 40  # code points: a message up to this long may be a piece of a longer one
_PIECES = 3  # earlier pieces that are read together with the newest
_PIECE_GAP_S = 120.0
_KEPT_PER_STAGE = 4
_NEVER_UNDERSTOOD = 5  # messages in a script or language that the model does not know, before that is said
_SAID_EVERY = 100
_SENTENCE = re.compile(r"(?<=[.!?…。！？؟\n])\s*")

Ids = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


class StageScores(NamedTuple):
    """What a scorer says of one message.

    Attributes:
        stages: ``float32[11]``, calibrated, in [0, 1], in the order of :data:`STAGES`.
        risk: of the conversation so far, in [0, 1].
        state: ``float32[1,64]`` to hand in with the next message.
    """

    stages: Floats
    risk: float
    state: Floats


class StageScorer(Protocol):
    """Scores one message given what went before. It may be called from several threads."""

    @property
    def id(self) -> str:
        """Stable id, usually the model's."""
        ...

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape of the state; a conversation starts with zeros."""
        ...

    def score(self, ids: Ids, dense: Floats, state: Floats, *, language: str) -> StageScores:
        """Score a message.

        Args:
            ids: ``int32[1, MAX_IDS]`` of :mod:`safelight._text`.
            dense: ``float32[1, DENSE]`` of the same.
            state: ``float32`` of :attr:`state_shape`: of the message before, or zeros.
            language: as guessed, for calibration.

        Raises:
            ModelError: it could not; its state becomes the finding's.
        """
        ...


@dataclass(frozen=True, slots=True)
class ConversationRules:
    """The numbers of the decision. Those in use stand in the model's ``config.json``.

    Attributes:
        stage_thresholds: score from which a message counts as a stage; ``default_threshold`` for stages not named.
        needed_stages: different stages for ``watch`` and ``warn``; one more when a guardian knows the contact.
        watch_risk: the model's own risk that ``watch`` needs as well: a nudge that comes too often is not read.
        warn_evidence: sum of the best scores of the three strongest stages, for ``warn``.
        danger_evidence: the same for ``danger``, which also needs one stage more, two of them serious, and
        danger_messages: different messages that count as a stage.
        warn_risk: the model's own risk that ``warn`` and ``danger`` need as well.
        strong_threat: score from which a threat warns by itself, whoever it comes from.
        window_messages: of the contact, after which a sign no longer counts.
        window_s: time after which it no longer counts. A pause alone resets nothing.
        hold_messages: of the contact without a new sign, before the level falls, one step at a time.
    """

    stage_thresholds: Mapping[Label, float] = field(default_factory=dict)
    default_threshold: float = 0.5
    needed_stages: int = 2
    watch_risk: float = 0.0
    warn_evidence: float = 1.2
    danger_evidence: float = 2.2
    danger_messages: int = 3
    warn_risk: float = 0.0
    strong_threat: float = 0.9
    window_messages: int = 300
    window_s: float = 180 * 86400.0
    hold_messages: int = 20

    def __post_init__(self) -> None:
        for name in ("default_threshold", "watch_risk", "warn_risk", "strong_threat"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"{name}: got {getattr(self, name)!r}, expected 0 to 1.")
        for name in ("needed_stages", "danger_messages", "window_messages", "hold_messages"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}: got {getattr(self, name)!r}, expected 1 or more.")
        unknown = [stage for stage in self.stage_thresholds if stage not in STAGES]
        if unknown or not all(0.0 <= value <= 1.0 for value in self.stage_thresholds.values()):
            raise UsageError("stage_thresholds: expected stages of a message and numbers from 0 to 1.")

    def threshold(self, stage: Label) -> float:
        """Score from which a message counts as ``stage``."""
        return self.stage_thresholds.get(stage, self.default_threshold)


class _Sign(NamedTuple):
    """One message that counted as a stage."""

    score: float
    counted: int  # messages of the contact before it
    at_s: float | None
    indices: tuple[int, ...]


@dataclass(slots=True)
class _Scored:
    """What one message, all its sentences together, was found to be."""

    stages: list[float]
    indices: tuple[int, ...]
    truncated: bool
    understood: bool


class ConversationTracker:
    """The rolling state of one contact: bounded, in memory, without text beyond the pieces named above.

    Not thread-safe: :class:`safelight.chat.Conversation` is.

    Args:
        scorer: what scores messages.
        trust: who knows the contact: ``unknown``, ``child`` or ``guardian``. Context, never absolution: a contact that
            a guardian knows needs one sign more for a nudge or a warning, and none less for danger or a threat.
        rules: the numbers of the decision.
    """

    def __init__(self, scorer: StageScorer, *, trust: str = "unknown", rules: ConversationRules | None = None) -> None:
        if trust not in TRUSTS:
            raise UsageError(f"trust: got {trust!r}, expected one of {', '.join(TRUSTS)}.")
        self._scorer = scorer
        self._trust = trust
        self._rules = rules if rules is not None else ConversationRules()
        self._state: Floats = np.zeros(scorer.state_shape, np.float32)
        self._risk = 0.0
        self._count = 0
        self._from_contact = 0
        self._last_sign = 0
        self._last_at_s: float | None = None
        self._level = 0
        self._fine = False
        self._signs: dict[Label, deque[_Sign]] = {stage: deque(maxlen=_KEPT_PER_STAGE) for stage in STAGES}
        self._foreign: deque[bool] = deque(maxlen=2 * _NEVER_UNDERSTOOD)
        self._foreign_said: int | None = None
        self._pieces: list[tuple[int, str]] = []
        self._pieces_by = ""
        self._closed = False

    @property
    def level(self) -> Label:
        """``calm``, ``watch``, ``warn`` or ``danger``."""
        return LEVELS[self._level]

    @property
    def messages(self) -> int:
        """How many were added."""
        return self._count

    @property
    def trust(self) -> str:
        """Who knows the contact."""
        return self._trust

    def fine(self) -> None:
        """The child says that this contact is fine: no more nudges because of stages that are not serious.

        Two serious stages, a warning or danger are not silenced.
        """
        self._require_open()
        self._fine = True
        if LEVELS[self._level] is Label.WATCH:
            self._level = self._wanted_level(self._living())

    def know(self, trust: str) -> None:
        """Another word for who knows the contact, from the next message on.

        Raises:
            UsageError: an unknown word.
        """
        if trust not in TRUSTS:
            raise UsageError(f"trust: got {trust!r}, expected one of {', '.join(TRUSTS)}.")
        self._trust = trust

    def standing(self) -> tuple[Finding, ...]:
        """What the messages so far mean together, without another one."""
        self._require_open()
        because = sorted({i for signs in self._living().values() for sign in signs for i in sign.indices})
        indices = tuple(because) if self._level else ()
        level = LEVELS[self._level]
        return (
            Finding(FindingKind.CONVERSATION, State.OK, level, self._risk, self._scorer.id, message_indices=indices),
        )

    def close(self) -> None:
        """Forget everything. Later calls raise :class:`ClosedError`. Safe to call twice."""
        self._closed = True
        self._pieces.clear()
        self._state = np.zeros(0, np.float32)
        for signs in self._signs.values():
            signs.clear()

    def add(self, *, sender: str, text: str | bytes, at: datetime | float | None = None) -> tuple[Finding, ...]:
        """Take the next message in.

        Args:
            sender: ``other`` (the contact) or ``self`` (the protected person).
            text: the message; ``bytes`` are UTF-8.
            at: when; seconds of any clock, or a ``datetime`` (without a zone: UTC). A time before that of the message
                before counts as the same time.

        Returns:
            One finding of kind ``conversation`` (what the messages mean together), then one of kind ``grooming`` for
            every stage that this message counts as, or one with label ``none``. A message that could not be scored
            gives a finding with a state.

        Raises:
            UsageError: an unknown sender, a text or time of another type.
            ClosedError: after :meth:`close`.
        """
        self._require_open()
        if sender not in SENDERS:
            raise UsageError(f"sender: got {sender!r}, expected one of {', '.join(SENDERS)}.")
        if not isinstance(text, str | bytes):
            raise UsageError(f"text: got {type(text).__name__}, expected str or UTF-8 bytes.")
        at_s, gap_s = self._clock(at)
        index = self._count
        self._count += 1
        self._from_contact += sender == "other"
        try:
            scored = self._score(index, sender, _decoded(text), gap_s)
        except ModelError as error:
            self._pieces.clear()
            return tuple(
                Finding(kind, State(error.state), model=self._scorer.id, message_indices=(index,))
                for kind in (FindingKind.CONVERSATION, FindingKind.GROOMING)
            )
        found = self._note(scored, sender, at_s)
        living = self._living()
        self._move_level(living)
        return self._findings(scored, found, living, index)

    def unreadable(self) -> tuple[Finding, ...]:
        """A message that the host could not read takes its place, with the state ``MALFORMED``."""
        self._require_open()
        self._pieces.clear()
        index = self._count
        self._count += 1
        return (
            Finding(FindingKind.CONVERSATION, State.OK, LEVELS[self._level], self._risk, self._scorer.id),
            Finding(FindingKind.GROOMING, State.MALFORMED, model=self._scorer.id, message_indices=(index,)),
        )

    def _clock(self, at: datetime | float | None) -> tuple[float | None, float | None]:
        if at is None:
            return None, None
        if isinstance(at, datetime):
            seconds = (at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)).timestamp()
        elif isinstance(at, bool) or not isinstance(at, int | float) or not math.isfinite(at):
            raise UsageError(f"at: got {type(at).__name__}, expected a datetime, finite seconds or None.")
        else:
            seconds = float(at)
        last, self._last_at_s = self._last_at_s, max(seconds, self._last_at_s or seconds)
        return self._last_at_s, None if last is None else max(0.0, seconds - last)

    def _score(self, index: int, sender: str, text: str, gap_s: float | None) -> _Scored:
        before = self._state
        stages, truncated, understood = np.zeros(len(STAGES), np.float32), len(text) > _text.MAX_INPUT, True
        for segment in _segments(text):
            features = _text.features(segment, sender=sender, trust=self._trust, gap_s=gap_s)
            truncated = truncated or features.has("truncated")
            understood = understood and features.language != "other"
            if features.count:
                answer = self._ask(features, self._state)
                stages = np.maximum(stages, answer.stages)
                self._state, self._risk = answer.state, answer.risk
        indices: tuple[int, ...] = (index,)
        joined = self._joined(index, sender, text, gap_s)
        if joined is not None:
            features = _text.features(joined, sender=sender, trust=self._trust, gap_s=gap_s)
            if features.count:
                whole = self._ask(features, before).stages
                if (whole > stages).any():
                    indices = (*(piece for piece, _ in self._pieces[:-1]), index)
                stages = np.maximum(stages, whole)
        return _Scored([float(score) for score in stages], indices, truncated, understood)

    def _ask(self, features: _text.TextFeatures, state: Floats) -> StageScores:
        answer = self._scorer.score(features.ids[None, :], features.dense[None, :], state, language=features.language)
        stages = np.array(answer.stages, np.float32).reshape(-1)
        fits = stages.shape == (len(STAGES),) and answer.state.shape == state.shape
        if not (
            fits and np.isfinite(stages).all() and np.isfinite(answer.state).all() and math.isfinite(float(answer.risk))
        ):
            raise ModelError(
                f"{self._scorer.id} gave scores of another shape or no numbers; run `safelight doctor`.",
                state=State.SCORE_INVALID,
            )
        if features.has("sexualised"):
            stages[STAGES.index(Label.SEXUALISED)] = 1.0
        return StageScores(np.clip(stages, 0.0, 1.0), min(max(float(answer.risk), 0.0), 1.0), answer.state)

    def _joined(self, index: int, sender: str, text: str, gap_s: float | None) -> str | None:
        """The newest message with the short ones right before it, when they may be one sentence in pieces."""
        far = gap_s is not None and gap_s > _PIECE_GAP_S
        if sender != self._pieces_by or far or len(text) > _PIECE:
            self._pieces.clear()
        self._pieces_by = sender
        if len(text) > _PIECE:
            return None
        self._pieces = [*self._pieces, (index, text)][-_PIECES - 1 :]
        return " ".join(piece for _, piece in self._pieces) if len(self._pieces) > 1 else None

    def _note(self, scored: _Scored, sender: str, at_s: float | None) -> list[Label]:
        """Remember the signs of a message of the contact; what the protected person writes is only context."""
        if sender != "other":
            return []
        self._foreign.append(not scored.understood)
        found = []
        for stage, score in zip(STAGES, scored.stages, strict=True):
            if score >= self._rules.threshold(stage):
                found.append(stage)
                signs = self._signs[stage]
                sign = _Sign(score, self._from_contact, at_s, scored.indices)
                if len(signs) == _KEPT_PER_STAGE:
                    weakest = min(range(len(signs)), key=lambda at: (self._alive(signs[at]), signs[at].score))
                    del signs[weakest]
                signs.append(sign)
        if found:
            self._last_sign = self._from_contact
        return found

    def _alive(self, sign: _Sign) -> bool:
        old = (
            sign.at_s is not None and self._last_at_s is not None and self._last_at_s - sign.at_s > self._rules.window_s
        )
        return not old and self._from_contact - sign.counted <= self._rules.window_messages

    def _living(self) -> dict[Label, list[_Sign]]:
        living = {stage: [sign for sign in signs if self._alive(sign)] for stage, signs in self._signs.items() if signs}
        return {stage: signs for stage, signs in living.items() if signs}

    def _wanted_level(self, living: dict[Label, list[_Sign]]) -> int:
        rules = self._rules
        best = {stage: max(sign.score for sign in signs) for stage, signs in living.items()}
        messages = len({sign.counted for signs in living.values() for sign in signs})
        serious = sum(stage in SERIOUS for stage in best)
        evidence = sum(sorted(best.values(), reverse=True)[:3])
        needed = rules.needed_stages + (self._trust == "guardian")
        threat = best.get(Label.THREAT, 0.0) >= rules.strong_threat
        risky = self._risk >= rules.warn_risk or self._level >= LEVELS.index(Label.WARN)
        much = len(best) > rules.needed_stages and messages >= rules.danger_messages
        danger = serious >= 2 and (threat or (much and evidence >= rules.danger_evidence and risky))
        if danger:
            return LEVELS.index(Label.DANGER)
        if threat or (serious and len(best) >= needed and evidence >= rules.warn_evidence and risky):
            return LEVELS.index(Label.WARN)
        stages = serious if self._fine else len(best)
        if serious and stages >= needed and (self._risk >= rules.watch_risk or self._level):
            return LEVELS.index(Label.WATCH)
        return LEVELS.index(Label.CALM)

    def _move_level(self, living: dict[Label, list[_Sign]]) -> None:
        wanted = self._wanted_level(living)
        if wanted >= self._level:
            self._level = wanted
        elif self._from_contact - self._last_sign >= self._rules.hold_messages:
            self._level -= 1
            self._last_sign = self._from_contact

    def _findings(
        self, scored: _Scored, found: list[Label], living: dict[Label, list[_Sign]], index: int
    ) -> tuple[Finding, ...]:
        model = self._scorer.id
        because = sorted({i for signs in living.values() for sign in signs for i in sign.indices})
        findings = [
            Finding(
                FindingKind.CONVERSATION,
                State.OK,
                LEVELS[self._level],
                self._risk,
                model,
                message_indices=tuple(because) if self._level else (),
            )
        ]
        scores = dict(zip(STAGES, scored.stages, strict=True))
        for stage in found:
            findings.append(
                Finding(FindingKind.GROOMING, State.OK, stage, scores[stage], model, message_indices=scored.indices)
            )
        if not found:
            strongest = max(scored.stages)
            findings.append(
                Finding(FindingKind.GROOMING, State.OK, Label.NONE, 1.0 - strongest, model, message_indices=(index,))
            )
        if scored.truncated:
            findings.append(Finding(FindingKind.GROOMING, State.TOO_LONG, model=model, message_indices=(index,)))
        if self._not_understood(index):
            findings.append(Finding(FindingKind.CONVERSATION, State.UNKNOWN_LANGUAGE, model=model))
        return tuple(findings)

    def _not_understood(self, index: int) -> bool:
        """Whether to say now that the messages are in a language that the model does not know: not at every one."""
        if sum(self._foreign) < _NEVER_UNDERSTOOD or not self._foreign[-1]:
            return False
        if self._foreign_said is not None and index - self._foreign_said < _SAID_EVERY:
            return False
        self._foreign_said = index
        return True

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError("this conversation was closed; start a new one to go on.")

    def __repr__(self) -> str:
        return f"ConversationTracker(messages={self._count}, level={self.level.value!r}, trust={self._trust!r})"


def _decoded(text: str | bytes) -> str:
    if isinstance(text, str):
        return text[: _text.MAX_INPUT + 1]
    # Four bytes hold a code point; a cut one at the end is replaced beyond what is read.
    return text[: 4 * (_text.MAX_INPUT + 1)].decode("utf-8", "replace")[: _text.MAX_INPUT + 1]


def _segments(text: str) -> list[str]:
    """A message as parts of about a sentence: the model reads short ones best, and features have a limit."""
    text = text[: _text.MAX_INPUT]
    if len(text) <= _SEGMENT:
        return [text]
    parts: list[str] = []
    for sentence in _SENTENCE.split(text):
        rest = sentence
        if parts and len(parts[-1]) + len(rest) < _SEGMENT // 2:
            parts[-1] += " " + rest
            continue
        while len(rest) > _SEGMENT:
            cut = rest.rfind(" ", _SEGMENT // 2, _SEGMENT)
            cut = cut if cut > 0 else _SEGMENT
            parts.append(rest[:cut])
            rest = rest[cut:]
        parts.append(rest)
    return [part for part in parts if part]


def with_thresholds(rules: ConversationRules, thresholds: Mapping[str, float]) -> ConversationRules:
    """``rules`` with thresholds by stage name, as a model's ``config.json`` has them.

    Raises:
        UsageError: an unknown stage, or a number outside 0 to 1.
    """
    try:
        named = {Label(name): float(value) for name, value in thresholds.items()}
    except ValueError:
        raise UsageError("thresholds: got an unknown stage; expected those of safelight.detect.conversation.") from None
    return replace(rules, stage_thresholds=named)
