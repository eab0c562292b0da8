"""What somebody searches for: is a word of it on a list?

Entries of lists have one form, :func:`normal_words`. A query is read in several ways, one of them that of messages
(``native/src/text``), and a match in any of them counts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import msgspec

from safelight._text import normalised
from safelight.builtin_data import read_builtin
from safelight.decision import Finding, FindingKind, Label, State
from safelight.lookup.table import LookupList

MAX_QUERY_CHARS: Final = 2048
"""What search engines take is shorter; more is ``TOO_LONG``, and so is no way around the list."""

HEALTH_TERMS: Final = "policy/health_terms.json"
MODEL: Final = "query_words"

# Written without spaces between words: every run of these is looked at as pieces of up to this many characters.
_UNSPACED: Final = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_LONGEST_PIECE: Final = 8

_LEET: Final = str.maketrans({"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i"})
_STRETCHED: Final = re.compile(r"(.)\1{2,}")
_WORD: Final = re.compile(r"[^\W_]+", re.UNICODE)
# What the normaliser of messages adds to a word, or puts in its place: dad/<FAMILY>, <MONEY>.
_CLASS_TOKEN: Final = re.compile(r"/?<[A-Z_]+>")
_LEET_WORD: Final = re.compile(r"[^\W_]*(?:[@$!][^\W_]+)+|[^\W_]+", re.UNICODE)


def _fold(text: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    folded = "".join(char for char in folded if unicodedata.category(char) != "Cf")
    # Latin, Greek and Cyrillic are written with and without their accents; other scripts need their marks.
    apart = "".join(char for char in unicodedata.normalize("NFD", folded) if not "\u0300" <= char <= "\u036f")
    return unicodedata.normalize("NFC", apart)


def normal_words(text: str) -> tuple[str, ...]:
    """The words of a text as lists hold them: folded, without accents, marks and punctuation.

    Example:
        >>> normal_words("  Crème\u200b BRÛLÉE, please!")
        ('creme', 'brulee', 'please')
    """
    return tuple(_WORD.findall(_fold(text)))


def _readings(folded: str) -> Iterator[tuple[str, ...]]:
    """Every way to read a folded text: as written, with digits for letters, stretched, spaced out, without spaces."""
    plain = tuple(_WORD.findall(folded))
    yield plain
    # As messages are read: letters of other scripts that look like Latin ones, small capitals, enclosed letters.
    as_message = tuple(_WORD.findall(_fold(_CLASS_TOKEN.sub(" ", normalised(folded)))))
    if as_message != plain:
        yield as_message
    if any(char in "013457@$!" for char in folded):
        yield tuple(word.translate(_LEET) for word in _LEET_WORD.findall(folded))
    if _STRETCHED.search(folded):
        for kept in (r"\1\1", r"\1"):
            yield tuple(_STRETCHED.sub(kept, word) for word in plain)
    singles = _joined_singles(plain)
    if singles:
        yield singles
    for word in plain:
        if _UNSPACED.search(word):
            for start in range(len(word)):
                for end in range(start + 1, min(start + _LONGEST_PIECE, len(word)) + 1):
                    yield (word[start:end],)


def _joined_singles(words: Sequence[str]) -> tuple[str, ...]:
    """Words with letters that were spaced out put together again."""
    joined: list[str] = []
    run: list[str] = []
    for word in (*words, "  "):
        if len(word) == 1:
            run.append(word)
            continue
        if len(run) >= 3:
            joined.append("".join(run))
        else:
            joined += run
        run = []
        joined.append(word)
    joined.pop()
    return tuple(joined) if len(joined) < len(words) else ()


def _grams(words: Sequence[str], longest: int) -> Iterator[str]:
    for start in range(len(words)):
        for count in range(1, min(longest, len(words) - start) + 1):
            yield " ".join(words[start : start + count])


@dataclass(frozen=True, slots=True)
class HelpPhrases:
    """Names of services that help, and words of health education: what no list may stand in the way of.

    Attributes:
        phrases: each as normalised words.
    """

    phrases: frozenset[tuple[str, ...]]

    @classmethod
    def of(cls, texts: Iterable[str]) -> HelpPhrases:
        """From texts as people write them. One short word says too little to be a name, and is left out."""
        phrases = (normal_words(text) for text in texts)
        return cls(frozenset(phrase for phrase in phrases if len("".join(phrase)) >= 4))

    def cut_out_of(self, folded: str) -> tuple[str, ...] | None:
        """What is left of a folded text around every phrase in it; ``None`` if none is there."""
        spans = [(match.group(), match.start(), match.end()) for match in _WORD.finditer(folded)]
        longest = max(map(len, self.phrases), default=0)
        left: list[str] = []
        begin = place = 0
        while place < len(spans):
            for count in range(min(longest, len(spans) - place), 0, -1):
                if tuple(word for word, _, _ in spans[place : place + count]) in self.phrases:
                    left.append(folded[begin : spans[place][1]])
                    begin = spans[place + count - 1][2]
                    place += count
                    break
            else:
                place += 1
        return (*left, folded[begin:]) if left else None


class _HealthTerms(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    schema: int
    version: int
    terms: dict[str, list[str]]


@cache
def builtin_help_phrases() -> HelpPhrases:
    """The terms of health education that ship, without the names of services.

    Raises:
        DataError: missing, or not what was built.
    """
    found = msgspec.json.decode(read_builtin(HEALTH_TERMS), type=_HealthTerms)
    return HelpPhrases.of(term for terms in found.terms.values() for term in terms)


class QueryChecker:
    """Looks a query up.

    Args:
        lists: of kind ``words``; empty: nothing can be said, which is ``NO_LIST``.
        phrases: what no list may stand in the way of.
        state: why there is no list, when there is none.
    """

    def __init__(self, lists: Sequence[LookupList], *, phrases: HelpPhrases, state: State = State.NO_LIST) -> None:
        self._lists = tuple(lists)
        self._phrases = phrases
        self._state = state

    def check(self, text: str) -> tuple[Finding, ...]:
        """One finding of kind ``query``. A text without any word is ``NO_EVIDENCE``."""
        if len(text) > MAX_QUERY_CHARS:
            return (Finding(FindingKind.QUERY, State.TOO_LONG, model=MODEL),)
        folded = _fold(text)
        if _WORD.search(folded) is None:
            return (Finding(FindingKind.QUERY, State.NO_EVIDENCE, model=MODEL),)
        left = self._phrases.cut_out_of(folded)
        # With a phrase taken out the rest is looked at, so that naming a service opens nothing else.
        readings = [reading for piece in left or (folded,) for reading in _readings(piece)]
        for one in self._lists:
            if one.contains_any({gram for reading in readings for gram in _grams(reading, one.header.longest)}):
                return (Finding(FindingKind.QUERY, State.OK, Label.MATCH, 1.0, one.id),)
        if left is not None:
            return (Finding(FindingKind.QUERY, State.OK, Label.HELP, 1.0, "help_phrases"),)
        if not self._lists:
            return (Finding(FindingKind.QUERY, self._state, model=MODEL),)
        return (Finding(FindingKind.QUERY, State.OK, Label.NO_MATCH, 1.0, self._lists[0].id),)
