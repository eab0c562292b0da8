"""The text features of docs/text-features.md, readable: one message in, ids and numbers out.

Reads the data files under native/data/text_v2 itself, so that it shares no code with the compiled tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "native" / "data" / "text_v2"

LANGUAGES = ("unknown", "en", "de", "es", "fr", "it", "pt", "nl", "pl", "tr", "hi", "ar", "ja", "other")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MAX_INPUT, MAX_FOLDED, MAX_CHUNKS, MAX_TOKENS, MAX_WORD = 4096, 8192, 512, 256, 32
MAX_IDS, BUCKETS, DENSE = 96, 65536, 16
MIN_VOTES = 6

LETTERS, SOLID = "LAVOM", "HKT"  # scripts with spaces between words, scripts without
ELISIONS = {"l", "d", "j", "m", "t", "s", "c", "n", "qu", "dell", "all", "nell", "sull", "dall", "un", "quell"}
TLDS = _words("com net org gg io tv app xyz info link live chat club dev shop online site eu uk fr pt pl br nl jp")
TLDS_WITH_PATH = _words("me it de es in to so be is at no us my co ly gl")
UNITS = _words("st nd rd th x k m f w h s am pm uhr hs hrs min mins yo y yr yrs j ans anni anos jahre jaar lat yas")
TIME_UNITS = _words("am pm h hs hrs uhr")
LEET = {"0": "o", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i", "|": "l", "€": "e"}
MAYBE_L = "\ue000"  # stands for such an I up to word(); the character itself is read as U+FFFD
SINGLE_LEET = "013457@$"
LAUGHS = {"ha", "ah", "he", "eh", "hi", "ih", "ja", "aj", "je", "ej", "rs", "sr", "xa", "ax", "ka", "ak"}
HIDDEN = ((0xAD, 0xAD), (0x200B, 0x200B), (0x202A, 0x202E), (0x2060, 0x2064), (0x2066, 0x2069), (0xE0000, 0xE0FFF))
LENGTHS = (0, 5, 15, 40, 100, 300, 1000)


@dataclass
class Data:
    fold: dict[int, str] = field(default_factory=dict)
    classes: dict[int, str] = field(default_factory=dict)
    upper: set[int] = field(default_factory=set)
    latin: dict[str, str] = field(default_factory=dict)
    kana: dict[str, str] = field(default_factory=dict)
    emoji: dict[str, str] = field(default_factory=dict)
    emoticons: dict[str, str] = field(default_factory=dict)
    exact: dict[str, list[tuple[str, int]]] = field(default_factory=dict)  # word → (class, bits of languages)
    prefix: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    slang: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    votes: dict[str, int] = field(default_factory=dict)
    marks: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # raw code point → (language, points)
    key: bytes = b""
    explicit: set[int] = field(default_factory=set)


def fold_word(data: Data, word: str) -> str:
    """A word of the data files as the features see it: folded, runs of a letter as one."""
    folded = "".join(data.fold.get(ord(c), c) for c in word)
    out = ""
    for c in folded:
        if c != "'" and not (out and out[-1] == c and data.classes.get(ord(c), " ") in LETTERS):
            out += c
    return out


def _rows(name: str) -> list[list[str]]:
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("# ")]


def _senses(languages: dict[int, list[str]], strict: set[int], votes: int) -> list[tuple[str, int]]:
    """What a word means in each language: its own meaning there, else that of the first language that has it."""
    out: dict[str, int] = {}
    for number in range(len(LANGUAGES)):
        named = 1 <= number < len(LANGUAGES) - 1
        loose = [n for n in languages if n not in strict]
        if named and number in languages:
            source: int | None = number
        elif votes >> (number if named else 1) & 1 and not (not named and set(loose) & {0, 1}):
            source = None  # a word of grammar there
        else:
            source = loose[0] if loose else None
        for name in languages[source] if source is not None else []:
            out[name] = out.get(name, 0) | 1 << number
    return list(out.items())


@cache
def load() -> Data:
    data = Data()
    for row in _rows("unicode.tsv"):
        points = [int(part, 16) for part in row[1].replace("..", " ").split()]
        span = range(points[0], points[-1] + 1)
        if row[0] == "F":
            data.fold |= dict.fromkeys(span, "".join(chr(int(p, 16)) for p in row[2].split()))
        elif row[0] == "C":
            data.classes |= dict.fromkeys(span, row[2])
        elif row[0] == "U":
            data.upper |= set(span)
        elif row[0] == "L":
            data.latin[chr(points[0])] = row[2]
        elif row[0] == "K":
            data.kana[chr(points[0]) + chr(points[1])] = chr(int(row[2], 16))
    data.classes |= {ord(MAYBE_L): "L"} | dict.fromkeys(range(0x30, 0x3A), "D") | {0x20: "S", 0x0A: "N", 0x27: "Q"}
    for kind, name, items in _rows("emoji.tsv"):
        (data.emoji if kind == "emoji" else data.emoticons).update(dict.fromkeys(items.split(" "), name))
    exact: dict[str, dict[int, list[str]]] = {}
    stems: dict[str, dict[int, list[str]]] = {}
    strict: set[tuple[str, int]] = set()
    for number, language in enumerate(("all", *LANGUAGES[1:-1])):
        for kind, name, items in _rows(f"lexicon/{language}.tsv"):
            for item in items.split(" "):
                if kind == "class":
                    word = fold_word(data, item.strip("!*"))
                    strict |= {(word, number)} if item.startswith("!") else set()
                    names = (stems if item.endswith("*") else exact).setdefault(word, {}).setdefault(number, [])
                    if name not in names:
                        names.append(name)
                elif kind == "slang":
                    short, _, long = item.partition("=")
                    data.slang[fold_word(data, short), number] = [fold_word(data, w) for w in long.split("_")]
                elif kind == "votes":
                    word = fold_word(data, item)
                    data.votes[word] = data.votes.get(word, 0) | 1 << number
                elif kind == "marks":
                    data.marks.setdefault(ord(item), []).append((number, int(name)))
    for words, out in ((exact, data.exact), (stems, data.prefix)):
        for word, languages in words.items():
            out[word] = _senses(languages, {n for n in languages if (word, n) in strict}, data.votes.get(word, 0))
    for word, languages in exact.items():
        for number in languages:
            data.votes[word] = data.votes.get(word, 0) | (1 << number if number else 0)
    for kind, value in _rows("explicit.tsv"):
        if kind == "key":
            data.key = bytes.fromhex(value)
        else:
            data.explicit.add(int(value, 16))
    return data


def siphash(key: bytes, message: bytes) -> int:
    """SipHash-2-4 (Aumasson and Bernstein, 2012)."""
    mask = (1 << 64) - 1
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rotate(x: int, bits: int) -> int:
        return (x << bits | x >> (64 - bits)) & mask

    def rounds(count: int) -> None:
        for _ in range(count):
            v[0], v[2] = v[0] + v[1] & mask, v[2] + v[3] & mask
            v[1], v[3] = rotate(v[1], 13) ^ v[0], rotate(v[3], 16) ^ v[2]
            v[0] = rotate(v[0], 32)
            v[2], v[0] = v[2] + v[1] & mask, v[0] + v[3] & mask
            v[1], v[3] = rotate(v[1], 17) ^ v[2], rotate(v[3], 21) ^ v[0]
            v[2] = rotate(v[2], 32)

    padded = message + bytes(-(len(message) + 1) % 8) + bytes([len(message) & 0xFF])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def bucket(text: str) -> int:
    """FNV-1a, 32 bits, over UTF-8, into 1..65535; 0 is padding."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return 1 + value % (BUCKETS - 1)


@dataclass
class Token:
    word: str  # "" for a class token that stands for no word
    classes: list[str] = field(default_factory=list)
    solid: bool = False

    @property
    def shown(self) -> str:
        return f"<{self.classes[0]}>" if self.classes else self.word


@dataclass
class Features:
    ids: list[int]
    dense: list[float]
    language: str
    flags: set[str]
    tokens: list[Token]

    @property
    def normalised(self) -> str:
        return " ".join("/".join(filter(None, [t.word, *(f"<{c}>" for c in t.classes)])) for t in self.tokens)


class _Message:
    def __init__(self, data: Data) -> None:
        self.data = data
        self.flags: set[str] = set()
        self.tokens: list[Token] = []

    def kind(self, c: str) -> str:
        return self.data.classes.get(ord(c), "")

    def letters(self, text: str) -> int:
        return sum(self.kind(c) != "" and self.kind(c) in LETTERS for c in text)

    def is_letter(self, c: str) -> bool:
        return self.kind(c) != "" and self.kind(c) in LETTERS

    def known(self, word: str) -> bool:
        word = self.collapse(word.replace(MAYBE_L, "i"))
        data = self.data
        return word in data.exact or word in data.prefix or word in data.votes or self.explicit(word)

    def explicit(self, text: str) -> bool:
        return siphash(self.data.key, text.encode()) in self.data.explicit

    def collapse(self, word: str) -> str:
        out = ""
        for c in word:
            if not (out and out[-1] == c and self.is_letter(c)):
                out += c
        return out[:MAX_WORD]

    # 1. folding

    def fold(self, text: str) -> str:
        if len(text) > MAX_INPUT:
            text = text[:MAX_INPUT]
            self.flags.add("truncated")
        out: list[str] = []
        self.upper = self.cased = 0
        for at, c in enumerate(text):
            if 0xD800 <= ord(c) <= 0xDFFF or c == MAYBE_L:
                c = "\ufffd"
                self.flags.add("invalid")
            before, after = text[at - 1] if at else "", text[at + 1] if at + 1 < len(text) else ""
            # A capital I between small letters may be meant as an l: word() looks which of the two is a word.
            maybe_l = c == "I" and "a" <= before <= "z" and "a" <= after <= "z"
            folded = MAYBE_L if maybe_l else self.data.fold.get(ord(c), c)
            self.upper += ord(c) in self.data.upper
            self.cased += folded != "" and self.is_letter(folded[0])
            if any(first <= ord(c) <= last for first, last in HIDDEN):
                self.flags.add("hidden")
            if folded in ("\u3099", "\u309a"):
                both = self.data.kana.get(out[-1] + folded) if out else None
                if both is not None:
                    out[-1] = both
                continue
            if len(out) + len(folded) > MAX_FOLDED:
                self.flags.add("truncated")
                break
            out += folded
        return "".join(out)

    # 2. lookalikes

    def latinise(self, folded: str) -> str:
        kinds = [self.kind(c) for c in folded]
        self.scripts = {script: kinds.count(script) for script in "LAVOHKT"}
        latin, other = self.scripts["L"], self.scripts["O"]
        unlike = any(kind == "O" and c not in self.data.latin for c, kind in zip(folded, kinds, strict=True))
        latin_message = latin > other or (latin > 0 and not unlike)
        out = list(folded)
        at = 0
        while at < len(folded):
            end = at
            while end < len(folded) and self.is_letter(folded[end]):
                end += 1
            run = range(at, end)
            others = [i for i in run if kinds[i] == "O"]
            if (
                others
                and all(kinds[i] in "LOM" for i in run)
                and all(folded[i] in self.data.latin for i in others)
                and (any(kinds[i] == "L" for i in run) or latin_message)
            ):
                for i in others:
                    out[i] = self.data.latin[folded[i]]
                self.flags.add("lookalike")
            at = max(end, at + 1)
        return "".join(out)

    # 3. chunks

    def chunks(self, folded: str) -> list[tuple[str, bool]]:
        """Chunks between spaces as ``(text, close)``; close: exactly one space stands before it."""
        out: list[tuple[str, bool]] = []
        spaces, current, close = 2, "", False
        for c in folded + " ":
            kind = self.kind(c)
            if kind in ("S", "N", "E"):
                if current:
                    out.append((current, close))
                    current, spaces = "", 0
                if kind == "E":
                    out.append((c, False))
                    spaces = 2
                else:
                    spaces += 1 if kind == "S" else 2
            else:
                if not current:
                    close = spaces == 1
                current += c
        if len(out) > MAX_CHUNKS:
            self.flags.add("truncated")
        return out[:MAX_CHUNKS]

    def join_letters(self, chunks: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
        out: list[tuple[str, bool]] = []
        at = 0
        while at < len(chunks):
            end = at
            while end < len(chunks) and self.single(chunks[end][0]) and (end == at or chunks[end][1]):
                end += 1
            text = "".join(chunk for chunk, _ in chunks[at:end])
            letters = sum(self.kind(c) in tuple(LETTERS + SOLID) for c in text)
            if end - at >= 3 and letters * 2 >= end - at and (end - at >= 4 or self.known(self.leet(text))):
                out.append((text, chunks[at][1]))
                self.flags.add("joined")
            else:
                end = max(end, at + 1)
                out += chunks[at:end]
            at = end
        return out

    def single(self, chunk: str) -> bool:
        return len(chunk) == 1 and (self.kind(chunk) in tuple("LAVOHK") or chunk in SINGLE_LEET)

    def phone(self, chunks: list[tuple[str, bool]], at: int) -> int:
        """How many chunks from ``at`` are one phone number; 0 when none."""
        end, digits = at, 0
        while end < len(chunks) and (end == at or chunks[end][1]):
            count = self.phone_digits(chunks[end][0])
            if count < 2:
                break
            digits += count
            end += 1
        if end - at >= 2 and digits >= 8:
            return end - at
        return 1 if self.phone_digits(chunks[at][0]) >= 7 else 0

    def phone_digits(self, chunk: str) -> int:
        return sum(c.isdigit() for c in chunk) if all(c in "+0123456789-.()/" for c in chunk) else 0

    # 4. a chunk

    def emit(self, name: str) -> None:
        self.tokens.append(Token("", [name]))

    def chunk(self, text: str) -> None:
        data = self.data
        if self.kind(text[0]) == "E":
            name = data.emoji.get(text, "EMOJI")
            if not (self.tokens and not self.tokens[-1].word and self.tokens[-1].classes == [name]):
                self.emit(name)
            return None
        if text in data.emoticons:
            return self.emit(data.emoticons[text])
        start, end = 0, len(text)
        while start < end and self.kind(text[start]) in ("", "Q") and text[start] not in "@+#":
            start += 1
        while end > start and self.kind(text[end - 1]) in ("", "Q"):
            end -= 1
        text = text[start:end]
        if not text:
            return None
        if self.url(text):
            return None
        if self.user(text):
            if len(text) > 3 or not self.known(self.leet(text)):
                return self.emit("USER")
            self.flags.add("leet")
            self.word(self.leet(text))
            return None
        if self.money(text):
            return self.emit("MONEY")
        if self.time(text):
            return self.emit("TIME")
        at = 0
        while at < len(text):
            solid = self.kind(text[at]) in tuple(SOLID)
            stop = at
            while stop < len(text) and (self.kind(text[stop]) in tuple(SOLID)) == solid:
                stop += 1
            (self.solid if solid else self.spaced)(text[at:stop])
            at = stop
        return None

    def url(self, text: str) -> bool:
        start = text.startswith(("http:", "https:", "www."))
        host = text.split("://", 1)[-1] if text.startswith(("http:", "https:")) else text
        stop = next((i for i, c in enumerate(host) if c in "/?#:"), len(host))
        path, host = host[stop:], host[:stop]
        labels = host.split(".")
        if not start:
            if len(labels) < 2 or not all(labels) or len(host) - len(labels[-1]) - 1 < 1:
                return False
            if not all("a" <= c <= "z" or "0" <= c <= "9" or c == "-" for label in labels for c in label):
                return False
            if labels[-1] not in TLDS and not (labels[-1] in TLDS_WITH_PATH and path.startswith("/")):
                return False
        self.emit("URL")
        for label in labels:
            for name, mask in self.data.exact.get(self.collapse(label), []) if label else []:
                if mask & 1:
                    self.emit(name)
                    return True
        return True

    def user(self, text: str) -> bool:
        at = text.find("@")
        if at == 0:
            rest = text[1:]
            return len(rest) >= 2 and all(self.is_letter(c) or self.kind(c) == "D" or c in "_.-" for c in rest)
        if at > 0:
            return at + 1 < len(text) and "." in text[at + 1 :] and self.kind(text[at + 1]) in ("L", "D")
        name, hash_, tag = text.rpartition("#")
        return hash_ == "#" and len(name) >= 2 and len(tag) == 4 and all(self.kind(c) == "D" for c in tag)

    def money(self, text: str) -> bool:
        if self.kind(text[0]) == "C":
            text = text[1:]
        elif self.kind(text[-1]) == "C":
            text = text[:-1]
        else:
            return False
        return bool(text) and self.kind(text[0]) == "D" and all(self.kind(c) == "D" or c in ".,k" for c in text)

    def time(self, text: str) -> bool:
        digits = 0
        while digits < len(text) and self.kind(text[digits]) == "D":
            digits += 1
        if not 1 <= digits <= 2 or int(text[:digits]) > 24:
            return False
        rest = text[digits:]
        if rest in TIME_UNITS:
            return True
        return (
            len(rest) >= 3
            and rest[0] in ":h"
            and all(self.kind(c) == "D" for c in rest[1:3])
            and (len(rest) == 3 or rest[3:] in TIME_UNITS)
        )

    # 5. words

    def spaced(self, text: str) -> None:
        segments, elided, current = [], False, ""
        for at, c in enumerate(text):
            before = text[at - 1] if at else " "
            after = text[at + 1] if at + 1 < len(text) else " "
            between = self.wordy(before) and self.wordy(after)
            if self.wordy(c) or (c in "@!|€" and between) or (c == "$" and (self.wordy(before) or self.wordy(after))):
                current += c
                continue
            if c == "'" and self.is_letter(before) and self.is_letter(after):
                if current not in ELISIONS:
                    continue
                elided = True
            if current:
                segments.append(current)
                current = ""
        if current:
            segments.append(current)
        whole = "".join(segments)
        if (len(segments) >= 3 and all(len(s) == 1 for s in segments) and self.letters(whole) * 2 >= len(whole)) or (
            len(segments) >= 2
            and not elided
            and len(whole) <= MAX_WORD
            and self.letters(whole)
            and self.known(self.leet(whole))
        ):
            segments = [whole]
            self.flags.add("joined")
        for segment in segments:
            self.segment(segment)

    def wordy(self, c: str) -> bool:
        return self.is_letter(c) or self.kind(c) == "D"

    def leet(self, text: str) -> str:
        """Digits and signs as letters; where 1, ! and | may be an i or an l, what makes a word."""
        choices = [self.leet_as(text, None)]
        if set(text) & set("1!|") and not self.known(choices[0]):
            choices = [choice for letter in "li" if self.known(choice := self.leet_as(text, letter))] or choices
        return choices[0]

    def leet_as(self, text: str, letter: str | None) -> str:
        out = ""
        for at, c in enumerate(text):
            if letter is not None and c in "1!|":
                out += letter
            elif c == "1":
                after = text[at + 1] if at + 1 < len(text) else ""
                vowel = (out[-1] if out else after) in tuple("aeiou")
                out += "l" if vowel else "i"
            else:
                out += LEET.get(c, c)
        return out

    def segment(self, text: str) -> None:
        letters = self.letters(text)
        digits = sum(self.kind(c) == "D" for c in text)
        if letters == 0:
            if digits:
                self.number("".join(c for c in text if self.kind(c) == "D"))
            return
        if letters == len(text):
            self.word(text)
            return
        lead = 0
        while self.kind(text[lead]) == "D":
            lead += 1
        trail = 0
        while self.kind(text[-1 - trail]) == "D":
            trail += 1
        rest = text[lead:]
        plain = self.letters(rest) == len(rest)
        leet = self.leet(text)
        if any((self.collapse(text), number) in self.data.slang for number in range(len(LANGUAGES))):
            self.word(text)
        elif lead and plain and (rest in UNITS or lead >= 2):
            self.number(text[:lead])
            self.word(rest)
        elif self.letters(leet) == len(leet) and self.known(leet):
            self.flags.add("leet")
            self.word(leet)
        elif trail >= 2 and not (trail == 2 and len(text) >= 4 and all(c in "03457" for c in text[-2:])):
            self.flags |= {"leet"} if self.leet(text[:-trail]) != text[:-trail] else set()
            self.word(self.leet(text[:-trail]))
            self.number(text[-trail:])
        elif trail == 1 and len(text) <= 3 and self.letters(text[:-1]) == len(text) - 1:
            self.word(text)
        else:
            self.flags |= {"leet"} if leet != text else set()
            self.word(leet)

    def number(self, digits: str) -> None:
        self.emit("AGE" if len(digits) <= 2 and 8 <= int(digits) <= 17 else "NUM")

    def word(self, text: str) -> None:
        if MAYBE_L in text:
            as_i, as_l = text.replace(MAYBE_L, "i"), text.replace(MAYBE_L, "l")
            text = as_l if self.known(as_l) and not self.known(as_i) else as_i
            self.flags |= {"lookalike"} if text == as_l else set()
        for at in range(2, len(text)):
            if text[at] == text[at - 1] == text[at - 2] and self.is_letter(text[at]):
                self.flags.add("stretched")
        short = self.collapse(text)
        if len(text) >= 3 and short in ("k", "w"):
            return self.emit("LAUGH")
        if len(short) >= 4 and short[:2] in LAUGHS and all(short[i] == short[i - 2] for i in range(2, len(short))):
            return self.emit("LAUGH")
        self.tokens.append(Token(short))
        return None

    def solid(self, text: str) -> None:
        """A script without spaces: known words, and pairs of characters between them."""
        kept = ""
        for at, c in enumerate(text):
            if at >= 2 and self.kind(c) == "K" and c == text[at - 1] == text[at - 2]:
                self.flags.add("stretched")
            else:
                kept += c
        text = kept
        at = 0
        rest = ""
        while at < len(text):
            length = next((n for n in range(min(6, len(text) - at), 1, -1) if self.explicit(text[at : at + n])), 0)
            if length:
                self.pairs(rest)
                rest = ""
                self.emit("SEX")
                self.flags.add("sexualised")
            else:
                length = next(
                    (n for n in range(min(8, len(text) - at), 0, -1) if text[at : at + n] in self.data.exact), 0
                )
                if length:
                    self.pairs(rest)
                    rest = ""
                    self.tokens.append(Token(text[at : at + length], solid=True))
            if not length:
                rest += text[at]
                length = 1
            at += length
        self.pairs(rest)

    def pairs(self, text: str) -> None:
        if len(text) == 1:
            self.tokens.append(Token(text, solid=True))
        for one, two in pairwise(text):
            self.tokens.append(Token(one + two, solid=True))

    # 6. language, slang, classes

    def language(self, raw: str) -> int:
        scripts = self.scripts
        total = sum(scripts.values())
        if not total:
            return 0
        if scripts["K"] and (scripts["K"] + scripts["H"]) * 2 > total:
            return LANGUAGES.index("ja")
        for script, language in (("A", "ar"), ("V", "hi")):
            if scripts[script] * 2 > total:
                return LANGUAGES.index(language)
        if (scripts["O"] + scripts["H"] + scripts["T"]) * 2 > total and "lookalike" not in self.flags:
            return LANGUAGES.index("other")
        votes = [0] * len(LANGUAGES)
        for token in self.tokens:
            mask = self.data.votes.get(token.word, 0)
            for number in range(len(LANGUAGES)):
                if mask >> number & 1:
                    votes[number] += 12 // mask.bit_count()
        for c in raw[:MAX_INPUT]:
            for number, points in self.data.marks.get(ord(c), []):
                votes[number] += points
        best = max(votes)
        return votes.index(best) if best >= MIN_VOTES else 0

    def understand(self, language: int) -> None:
        words: list[Token] = []
        for token in self.tokens:
            short = token.word
            keys = [language, 0] if language else [0, 1]
            long = next((self.data.slang[short, n] for n in keys if (short, n) in self.data.slang), None)
            words += [Token(word) for word in long] if long is not None and not token.solid else [token]
        words = words[:MAX_TOKENS]
        out: list[Token] = []
        at = 0
        while at < len(words):
            length = next((n for n in (3, 2, 1) if self.phrase(words[at : at + n], n)), 0)
            if length:
                out.append(Token("", ["SEX"]))
                self.flags.add("sexualised")
                at += length
                continue
            token = words[at]
            if token.word:
                token.classes = self.classes(token, language)
            out.append(token)
            at += 1
        self.tokens = out

    def phrase(self, tokens: list[Token], count: int) -> bool:
        if len(tokens) < count or not all(token.word and not token.solid for token in tokens):
            return False
        return self.explicit(" ".join(token.word for token in tokens))

    def classes(self, token: Token, language: int) -> list[str]:
        word, data = token.word, self.data
        rows = data.exact.get(word)
        if rows is None and not token.solid:
            stems = (word[:n] for n in range(len(word), 2, -1))
            rows = next((data.prefix[stem] for stem in stems if stem in data.prefix), None)
        return [name for name, mask in rows or [] if mask >> language & 1][:2]

    # 7. features

    def ids(self) -> list[int]:
        found: dict[int, None] = {}

        def add(text: str) -> None:
            if len(found) < MAX_IDS:
                found.setdefault(bucket(text))

        tokens = self.tokens
        for token in tokens:
            if token.word:
                add(f"w:{token.word}")
            for name in token.classes:
                add(f"c:<{name}>")
        chain = [token.shown for token in tokens if token.classes]
        chain = [name for at, name in enumerate(chain) if not at or chain[at - 1] != name]
        for one, two in pairwise(chain):
            add(f"o:{one} {two}")
        for a, b in pairwise(tokens):
            if a.word and b.word and (a.classes or b.classes):
                add(f"b:{a.word} {b.word}")
        for token in tokens:
            if token.word and not token.solid and len(token.word) >= 2:
                framed = f"^{token.word}$"
                for at in range(len(framed) - 3):
                    add(f"g:{framed[at : at + 4]}")
        return list(found)


def features(text: str, *, sender: str = "other", trust: str = "unknown", gap_s: float | None = None) -> Features:
    """The features of one message."""
    message = _Message(load())
    folded = message.fold(text)
    plain = message.latinise(folded)
    chunks = message.join_letters(message.chunks(plain))
    at = 0
    while at < len(chunks):
        count = message.phone(chunks, at)
        if count:
            message.emit("PHONE")
        else:
            message.chunk(chunks[at][0])
        at += max(count, 1)
    if len(message.tokens) > MAX_TOKENS:
        message.flags.add("truncated")
        message.tokens = message.tokens[:MAX_TOKENS]
    language = message.language(text)
    message.understand(language)
    flags = message.flags
    gap = gap_s if gap_s is not None and gap_s >= 0 else None
    gaps = [gap is None, *(gap is not None and low <= gap and not gap >= high for low, high in _GAPS)]
    dense = [
        sender == "other",
        trust == "child",
        trust == "guardian",
        sum(len(folded) > length for length in LENGTHS) / 8,
        *gaps,
        "?" in folded,
        "!" in folded,
        min(message.upper * 8 // message.cased, 8) / 8 if message.cased >= 4 else 0.0,
        "sexualised" in flags,
        bool(flags & {"hidden", "lookalike", "leet", "joined"}),
        "stretched" in flags,
        "truncated" in flags,
    ]
    return Features(message.ids(), [float(x) for x in dense], LANGUAGES[language], flags, message.tokens)


_GAPS: Sequence[tuple[float, float]] = ((0.0, 60.0), (60.0, 3600.0), (3600.0, 86400.0), (86400.0, float("nan")))
