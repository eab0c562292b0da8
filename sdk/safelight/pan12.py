"""Measure the conversation model on PAN12, for holders of their own granted copy: aggregate numbers only.

The corpus of the PAN 2012 sexual predator identification task is granted on request (Zenodo record 3713280). This
module reads the official XML as it streams by and keeps counts: no text, no author and no conversation id leaves it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import IO, Any
from xml.parsers import expat

from safelight.decision import Label
from safelight.detect.conversation import LEVELS, ConversationRules, ConversationTracker, StageScorer
from safelight.errors import MediaNotFoundError, UnsupportedInputError

MAX_MESSAGES = 20_000  # of one conversation; the longest of the corpus has a few thousand
MAX_TEXT = 100_000  # characters of one message
MAX_AUTHORS = 8  # of one conversation that are judged, in order of appearance
LATENCY_P = 0.0078
"""Rate of the latency penalty of Sadeque, Xu and Bethard (WSDM 2018), as Vogt, Leser and Akbik (ACL 2021) use it."""

_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Pan12Message:
    """One message: an author's name of the corpus, minutes since midnight or ``None``, a text."""

    author: str
    minute: int | None
    text: str


def read_conversations(stream: IO[bytes]) -> Iterator[list[Pan12Message]]:
    """The conversations of the official XML, one at a time.

    Raises:
        UnsupportedInputError: it is no such XML, or declares a document type or entity (which the corpus does not).
    """
    parser = expat.ParserCreate()
    reader = _Reader()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.buffer_text = True
    try:
        while chunk := stream.read(_CHUNK):
            parser.Parse(chunk, False)
            yield from reader.take()
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise UnsupportedInputError(
            f"the corpus is not well-formed XML (line {error.lineno}); expected the file as it was granted."
        ) from None
    yield from reader.take()
    if not reader.seen:
        raise UnsupportedInputError("the corpus has no <conversation>; expected the PAN12 XML, not its ground truth.")


def _refuse(*_: object) -> None:
    raise UnsupportedInputError(
        "the corpus declares a document type or entities; expected the PAN12 XML as it was granted."
    )


class _Reader:
    """Handlers that build one conversation after the other."""

    def __init__(self) -> None:
        self.seen = False
        self._done: list[list[Pan12Message]] = []
        self._messages: list[Pan12Message] = []
        self._fields: dict[str, str] = {}
        self._open = ""

    def start(self, name: str, _: dict[str, str]) -> None:
        if name == "conversation":
            self.seen, self._messages = True, []
        elif name == "message":
            self._fields = {}
        elif name in ("author", "time", "text"):
            self._open, self._fields[name] = name, ""

    def text(self, data: str) -> None:
        if self._open and len(self._fields[self._open]) < MAX_TEXT:
            self._fields[self._open] += data

    def end(self, name: str) -> None:
        if name == self._open:
            self._open = ""
        elif name == "message" and len(self._messages) < MAX_MESSAGES:
            author = self._fields.get("author", "").strip()
            self._messages.append(
                Pan12Message(author, _minute(self._fields.get("time", "")), self._fields.get("text", ""))
            )
        elif name == "conversation":
            self._done.append(self._messages)
            self._messages = []

    def take(self) -> list[list[Pan12Message]]:
        done, self._done = self._done, []
        return done


def _minute(time: str) -> int | None:
    hour, _, minute = time.strip().partition(":")
    if not (hour.isdecimal() and minute.isdecimal()):
        return None
    return int(hour) % 24 * 60 + int(minute) % 60


def read_truth(path: Path) -> frozenset[str]:
    """Author names of the ground truth, one a line.

    Raises:
        MediaNotFoundError: it cannot be opened.
        UnsupportedInputError: it is empty or no such list.
    """
    try:
        names = frozenset(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except OSError:
        raise MediaNotFoundError("the ground truth could not be opened; give the path of problem 1's list.") from None
    except UnicodeDecodeError:
        raise UnsupportedInputError("the ground truth is no text; expected one author name a line.") from None
    if not names or any(" " in name or "<" in name for name in names):
        raise UnsupportedInputError(
            "the ground truth is no list; expected one author name a line, as problem 1 has it."
        )
    return names


@dataclass(slots=True)
class _Counts:
    """How often a warning was right."""

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0
    true_negative: int = 0

    def add(self, *, warned: bool, positive: bool) -> None:
        self.true_positive += warned and positive
        self.false_positive += warned and not positive
        self.false_negative += positive and not warned
        self.true_negative += not positive and not warned

    def f(self, beta: float) -> float:
        weighted = (1 + beta * beta) * self.true_positive
        total = weighted + beta * beta * self.false_negative + self.false_positive
        return weighted / total if total else 0.0

    def to_dict(self) -> dict[str, Any]:
        warned = self.true_positive + self.false_positive
        positive = self.true_positive + self.false_negative
        return {
            "true_positive": self.true_positive,
            "false_positive": self.false_positive,
            "false_negative": self.false_negative,
            "true_negative": self.true_negative,
            "precision": self.true_positive / warned if warned else 0.0,
            "recall": self.true_positive / positive if positive else 0.0,
            "f1": self.f(1.0),
            "f0_5": self.f(0.5),
        }


@dataclass(slots=True)
class Pan12Result:
    """Counts over the corpus; nothing of its content."""

    conversations: _Counts = field(default_factory=_Counts)
    authors: _Counts = field(default_factory=_Counts)
    messages: int = 0
    delays: list[int] = field(default_factory=list)  # messages until the warning, of conversations warned rightly

    def to_dict(self, *, latency_p: float = LATENCY_P) -> dict[str, Any]:
        """JSON-ready values. ``f_latency`` is ``f1`` times the median speed of the right warnings."""
        speeds = [1.0 - latency_penalty(delay, latency_p) for delay in self.delays]
        speed = median(speeds) if speeds else 0.0
        return {
            "messages": self.messages,
            "conversations": self.conversations.to_dict(),
            "authors": self.authors.to_dict(),
            "median_messages_before_warning": median(self.delays) if self.delays else None,
            "latency_p": latency_p,
            "speed": speed,
            "f_latency": self.conversations.f(1.0) * speed,
        }


def latency_penalty(messages: int, p: float = LATENCY_P) -> float:
    """0 for a warning at the first message, towards 1 for a late one."""
    return -1.0 + 2.0 / (1.0 + math.exp(-p * (messages - 1)))


def evaluate_pan12(
    stream: IO[bytes],
    truth: frozenset[str],
    scorer: StageScorer,
    *,
    rules: ConversationRules | None = None,
    warn_at: Label = Label.WARN,
    progress: Callable[[int], object] | None = None,
) -> Pan12Result:
    """Judge every conversation of the corpus, from the side of each author's counterpart.

    A conversation counts as warned when any of its authors, taken as the contact, brings it to ``warn_at``; an author
    when that happens in any conversation.

    Args:
        stream: the official XML, opened for reading bytes.
        truth: author names of the ground truth.
        scorer: what scores messages.
        rules: the numbers of the decision.
        warn_at: level that counts as a warning.
        progress: called with the number of conversations so far.

    Raises:
        UnsupportedInputError: the corpus cannot be read.
        ModelError: the model cannot be used.
    """
    result = Pan12Result()
    warned_authors: set[str] = set()
    authors: set[str] = set()
    for number, messages in enumerate(read_conversations(stream)):
        names = list(dict.fromkeys(message.author for message in messages))
        authors.update(names)
        delays = []
        for name in names[:MAX_AUTHORS]:
            delay = _first_warning(messages, name, scorer, rules, warn_at)
            if delay is not None:
                warned_authors.add(name)
                delays.append(delay)
        positive = not truth.isdisjoint(names)
        result.conversations.add(warned=bool(delays), positive=positive)
        if positive and delays:
            result.delays.append(min(delays))
        result.messages += len(messages)
        if progress is not None:
            progress(number + 1)
    for name in authors:
        result.authors.add(warned=name in warned_authors, positive=name in truth)
    return result


def _first_warning(
    messages: list[Pan12Message], contact: str, scorer: StageScorer, rules: ConversationRules | None, warn_at: Label
) -> int | None:
    tracker = ConversationTracker(scorer, rules=rules)
    day, last = 0, None
    for number, message in enumerate(messages):
        if message.minute is not None and last is not None and message.minute < last:
            day += 1
        last = message.minute if message.minute is not None else last
        at = None if message.minute is None else float((day * 1440 + message.minute) * 60)
        tracker.add(sender="other" if message.author == contact else "self", text=message.text, at=at)
        if LEVELS.index(tracker.level) >= LEVELS.index(warn_at):
            return number + 1
    return None
