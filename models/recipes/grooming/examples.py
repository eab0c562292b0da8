"""Training examples: single messages with their stages, and whole conversations with the moment from which to warn.

Casing, typing errors, emoji and punctuation are drawn alike for stage lines and harmless ones, so that style carries no
answer. Everything is drawn from one seed.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from grooming.corpora import Chat
from grooming.phrasings import STAGES, Book, Phrasing

SERIOUS: Final = frozenset({"isolation", "secrecy", "platform_move", "photo_request", "meeting", "threat"})
_SIGNS: Final = {"a": "4", "e": "3", "i": "1", "o": "0", "s": "5"}  # the digits that people put for letters
_EMOJI: Final = ("😂", "😊", "👍", "😅", "🙈", "❤️", "🎮", "😭")
_ENDINGS: Final = ("", "", "", "!", "...", " lol", " haha", " 🙂")


@dataclass(frozen=True, slots=True)
class Line:
    """One message.

    Attributes:
        text: as sent.
        stage: index into ``STAGES``, or -1 for harmless.
        weight: how much it counts in training.
    """

    text: str
    stage: int
    weight: float


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    sender: str  # "other" or "self"
    line: Line


def style(text: str, rng: random.Random) -> str:
    """The same message as somebody else would type it."""
    case = rng.random()
    if case < 0.3:
        text = text.lower()
    elif case < 0.38:
        text = text.upper()
    elif case < 0.41:
        text = text.title()
    if rng.random() < 0.2:
        text = re.sub(r"[.?!,¿¡;:]", "", text)
    if rng.random() < 0.06:
        text = "".join(_SIGNS.get(c.lower(), c) if rng.random() < 0.4 else c for c in text)
    if rng.random() < 0.12 and len(text) > 6:
        at = rng.randrange(1, len(text) - 1)
        swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        text = text[:at] + text[at + 1 :] if rng.random() < 0.5 else swapped
    if rng.random() < 0.15:
        text = text.rstrip(".!") + rng.choice(_ENDINGS)
    if rng.random() < 0.05:
        text = f"{text} {rng.choice(_EMOJI)}"
    return text or "."


def written_lines(
    book: Book, rng: random.Random, *, without: Iterable[str] = (), copies: int, two_at_once: float = 0.15
) -> list[Line]:
    """The writers' lines, each in several fillings and styles; ``without`` names writers to leave out.

    Some copies carry a second, harmless sentence of the same writer before or after: real messages are longer than
    one idea. In a language with more harmless lines than stage lines the harmless ones count less, so that no language
    is harmless by itself.
    """
    left_out = set(without)
    chosen = [phrasing for phrasing in book.phrasings if phrasing.writer not in left_out]
    of_stages = Counter(phrasing.lang for phrasing in chosen if phrasing.stage is not None)
    harmless = Counter(phrasing.lang for phrasing in chosen if phrasing.stage is None)
    plain: dict[tuple[str, str], list[Phrasing]] = {}
    for phrasing in chosen:
        if phrasing.section in ("reply", "filler"):
            plain.setdefault((phrasing.writer, phrasing.lang), []).append(phrasing)
    lines = []
    for phrasing in chosen:
        for _ in range(copies):
            text = style(book.fill(phrasing, rng), rng)
            if rng.random() < two_at_once:
                other = book.fill(rng.choice(plain[phrasing.writer, phrasing.lang]), rng)
                text = f"{style(other, rng)} {text}" if rng.random() < 0.5 else f"{text} {style(other, rng)}"
            weight = min(1.0, of_stages[phrasing.lang] / harmless[phrasing.lang]) if phrasing.stage is None else 1.0
            lines.append(Line(text, stage_index(phrasing), weight))
    return lines


def stage_index(phrasing: Phrasing) -> int:
    """Index into ``STAGES``, or -1."""
    return STAGES.index(phrasing.stage) if phrasing.stage is not None else -1


def corpus_lines(chats: Sequence[Chat], rng: random.Random, *, per_corpus: int, weight: float = 0.5) -> list[Line]:
    """Harmless lines of the training part of every corpus."""
    lines = []
    for corpus in sorted({chat.corpus for chat in chats}):
        texts = [text for chat in chats if chat.corpus == corpus and chat.use == "train" for _, text in chat.turns]
        lines += [Line(text, -1, weight) for text in rng.sample(texts, min(per_corpus, len(texts)))]
    return lines


def grooming_chat(
    book: Book, pools: dict[tuple[str, str], dict[str, list[Phrasing]]], rng: random.Random, *, cues: int, length: int
) -> list[Message]:
    """A conversation in which the other person writes ``cues`` stage lines among ordinary ones."""
    key = rng.choice(sorted(pools))
    pool = pools[key]
    stages = [rng.choice(STAGES) for _ in range(cues)]
    # Two in three follow the usual order, from getting to know to wanting; the rest come as they come.
    if rng.random() < 0.66:
        stages.sort(key=STAGES.index)
    places = set(rng.sample(range(length), min(cues, length)))
    chat = []
    for at in range(length):
        if at in places and stages:
            phrasing = rng.choice(pool[f"stage:{stages.pop(0)}"])
            chat.append(Message("other", Line(style(book.fill(phrasing, rng), rng), stage_index(phrasing), 1.0)))
        else:
            phrasing = rng.choice(pool["reply"] if rng.random() < 0.6 else pool["filler"])
            sender = "self" if rng.random() < 0.6 else "other"
            chat.append(Message(sender, Line(style(book.fill(phrasing, rng), rng), -1, 1.0)))
    return chat


def harmless_chat(
    book: Book, pools: dict[tuple[str, str], dict[str, list[Phrasing]]], rng: random.Random, *, length: int
) -> list[Message]:
    """A conversation of near negatives of one kind among ordinary lines, with a rare single cue by chance."""
    key = rng.choice(sorted(pools))
    pool = pools[key]
    kind = rng.choice(sorted(name for name in pool if name.startswith("neg:")))
    chat = []
    for _ in range(length):
        phrasing = rng.choice(pool[kind if rng.random() < 0.5 else rng.choice(("reply", "filler"))])
        sender = "self" if rng.random() < 0.45 else "other"
        chat.append(Message(sender, Line(style(book.fill(phrasing, rng), rng), -1, 1.0)))
    return chat


def pools_of(
    book: Book, *, without: Iterable[str] = (), only: Iterable[str] | None = None
) -> dict[tuple[str, str], dict[str, list[Phrasing]]]:
    """``(writer, lang)`` → section → phrasings."""
    left_out, wanted = set(without), set(only) if only is not None else None
    pools: dict[tuple[str, str], dict[str, list[Phrasing]]] = {}
    for phrasing in book.phrasings:
        if phrasing.writer in left_out or (wanted is not None and phrasing.writer not in wanted):
            continue
        pools.setdefault((phrasing.writer, phrasing.lang), {}).setdefault(phrasing.section, []).append(phrasing)
    return pools


def warn_from(chat: Sequence[Message]) -> list[bool]:
    """For every message: have two different stages, one of them serious, been seen by now?"""
    seen: set[str] = set()
    wanted = []
    for message in chat:
        if message.sender == "other" and message.line.stage >= 0:
            seen.add(STAGES[message.line.stage])
        wanted.append(len(seen) >= 2 and bool(seen & SERIOUS))
    return wanted
