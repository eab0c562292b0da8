"""Ways to disguise a message from a machine that a reader still reads: seeded generators for tests and evaluation.

Every function takes a message and a ``random.Random`` and returns the disguised message; ``split`` returns several.
``FAMILIES`` names them all. They disguise; they invent no wording.
"""

from __future__ import annotations

import random
from collections.abc import Callable

ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
LOOKALIKES = {
    "a": "аɑα", "c": "сϲ", "d": "ԁ", "e": "еє", "h": "һ", "i": "іι", "j": "ј", "k": "кκ", "m": "м", "n": "п",
    "o": "оο", "p": "рρ", "q": "ԛ", "s": "ѕ", "t": "тτ", "u": "υ", "v": "ν", "w": "ԝ", "x": "х", "y": "уү",
}  # fmt: skip
LEET = {"a": "4@", "e": "3", "i": "1!", "o": "0", "s": "5$", "t": "7", "l": "1|"}
SHAPES = (0xFF21 - 0x41, 0x1D400 - 0x41, 0x1D5A0 - 0x41, 0x24B6 - 0x41)  # fullwidth, bold, sans, circled capitals


def zero_width(text: str, rng: random.Random) -> str:
    """Invisible characters inside words."""
    return "".join(c + (rng.choice(ZERO_WIDTH) if c.isalpha() and rng.random() < 0.5 else "") for c in text)


def homoglyph(text: str, rng: random.Random) -> str:
    """Letters of other scripts that look like Latin ones, about half of those that have a double."""
    return "".join(
        rng.choice(LOOKALIKES[c.lower()]) if c.lower() in LOOKALIKES and rng.random() < 0.5 else c for c in text
    )


def fullwidth(text: str, rng: random.Random) -> str:
    """The same letters in another shape: full width, bold, circled."""
    shift = rng.choice(SHAPES)
    return "".join(chr(ord(c.upper()) + shift) if "a" <= c.lower() <= "z" else c for c in text)


def leet(text: str, rng: random.Random) -> str:
    """Digits and signs for letters, about half of those that have one, never the whole word."""
    return " ".join(_leet_word(word, rng) for word in text.split(" "))


def _leet_word(word: str, rng: random.Random) -> str:
    out = [rng.choice(LEET[c.lower()]) if c.lower() in LEET and rng.random() < 0.5 else c for c in word]
    if len(word) < 3 or not any(c.isalpha() for c in out):
        return word
    return "".join(out)


def spaced(text: str, rng: random.Random) -> str:
    """The longer words letter by letter, with wider gaps between words."""
    return "  ".join(" ".join(word) if len(word) >= 4 and rng.random() < 0.7 else word for word in text.split(" "))


def dotted(text: str, rng: random.Random) -> str:
    """The longer words with a sign between the letters."""
    sign = rng.choice(".-_*")
    return " ".join(sign.join(word) if len(word) >= 4 and rng.random() < 0.7 else word for word in text.split(" "))


def stretched(text: str, rng: random.Random) -> str:
    """Letters held down."""
    return "".join(c * rng.randint(3, 6) if c.isalpha() and rng.random() < 0.2 else c for c in text)


def capitals(text: str, rng: random.Random) -> str:
    """Capitals at random."""
    return "".join(c.upper() if rng.random() < 0.5 else c.lower() for c in text)


def unpunctuated(text: str, rng: random.Random) -> str:
    """No signs and no accents on the keyboard: only letters, digits and spaces."""
    del rng
    return "".join(c for c in text if c.isalnum() or c.isspace())


def split(text: str, rng: random.Random) -> list[str]:
    """One message as several, cut between words."""
    words = text.split(" ")
    if len(words) < 3:
        return [text]
    parts = rng.randint(2, min(3, len(words) - 1))
    cuts = sorted(rng.sample(range(1, len(words)), parts - 1))
    return [" ".join(words[a:b]) for a, b in zip([0, *cuts], [*cuts, len(words)], strict=True)]


FAMILIES: dict[str, Callable[[str, random.Random], str]] = {
    "zero_width": zero_width,
    "homoglyph": homoglyph,
    "fullwidth": fullwidth,
    "leet": leet,
    "spaced": spaced,
    "dotted": dotted,
    "stretched": stretched,
    "capitals": capitals,
    "unpunctuated": unpunctuated,
}
