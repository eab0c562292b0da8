"""Compile native/data/text_v2 into the C++ tables of the text features.

Called by generate.py at build time; standard library only. docs/text-features.md says what the rows of the data
files mean, native/src/text/tables.h what the tables are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "data" / "text_v2"
LANGUAGES = ("all", "en", "de", "es", "fr", "it", "pt", "nl", "pl", "tr", "hi", "ar", "ja")
LANGUAGE_COUNT = 14  # unknown, the twelve, other
MAX_SENSES = 6
# Class tokens that the code itself gives out, in the order of native/src/text/tables.h.
OWN_CLASSES = ("AGE", "NUM", "TIME", "URL", "USER", "PHONE", "MONEY", "EMOJI", "LAUGH", "SEX")
LETTERS = "LAVOM"
IDENTITY = 255
MASK64 = (1 << 64) - 1


def data_files() -> list[Path]:
    """The data files, in a fixed order."""
    return sorted(DATA.rglob("*.tsv"), key=lambda path: path.relative_to(DATA).as_posix())


def data_sha256() -> str:
    """Of the names and contents of all data files."""
    digest = hashlib.sha256()
    for path in data_files():
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{content}  {path.relative_to(DATA).as_posix()}\n".encode())
    return digest.hexdigest()


def rows(name: str) -> list[list[str]]:
    """The rows of a data file as lists of fields."""
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("# ")]


def hash64(points: Iterable[int]) -> int:
    """FNV-1a, 64 bits, a code point at a time."""
    value = 0xCBF29CE484222325
    for point in points:
        value = (value ^ point) * 0x100000001B3 & MASK64
    return value


class Characters:
    """unicode.tsv."""

    def __init__(self) -> None:
        self.fold: dict[int, list[int]] = {}
        self.kind: dict[int, str] = {ord("'"): "Q", 0x20: "S", 0x0A: "N"}
        self.kind |= dict.fromkeys(range(0x30, 0x3A), "D")
        self.upper: set[int] = set()
        self.latin: dict[int, str] = {}
        self.kana: list[tuple[int, int, int]] = []
        for row in rows("unicode.tsv"):
            points = [int(part, 16) for part in row[1].replace("..", " ").split()]
            span = range(points[0], points[-1] + 1)
            if row[0] == "F":
                self.fold |= {point: [int(part, 16) for part in row[2].split()] for point in span}
            elif row[0] == "C":
                self.kind |= dict.fromkeys(span, row[2])
            elif row[0] == "U":
                self.upper |= set(span)
            elif row[0] == "L":
                self.latin[points[0]] = row[2]
            elif row[0] == "K":
                self.kana.append((points[0], points[1], int(row[2], 16)))

    def word(self, text: str) -> list[int]:
        """A word as the features see it: folded, without apostrophes, runs of a letter as one."""
        out: list[int] = []
        for point in (p for c in text for p in self.fold.get(ord(c), [ord(c)])):
            again = out and out[-1] == point and self.kind.get(point, " ") in LETTERS
            if point != 0x27 and not again:
                out.append(point)
        if not 1 <= len(out) <= 32:
            raise SystemExit(f"text_v2: got a word of {len(out)} code points, expected 1 to 32: {text!r}")
        return out


def _table(entries: dict[int, str], empty: str) -> tuple[int, str]:
    """An open-addressing table (linear probing, at most half full) as ``(size, rows)``."""
    size = 1
    while size < 2 * len(entries):
        size *= 2
    slots = [empty] * size
    for key, text in entries.items():
        at = key & (size - 1)
        while slots[at] != empty:
            at = (at + 1) & (size - 1)
        slots[at] = text
    return size, ",\n".join(slots)


def _array(kind: str, name: str, items: Iterable[object], per_line: int = 24) -> str:
    texts = [str(item) for item in items]
    lines = [", ".join(texts[at : at + per_line]) for at in range(0, len(texts), per_line)]
    return f"constexpr {kind} {name}[] = {{\n" + ",\n".join(lines) + "};\n"


def _trie(characters: Characters) -> str:
    pool: list[int] = []
    entries: dict[tuple[tuple[int, ...] | None, str, int, str], int] = {}
    order: list[str] = []

    def entry(point: int) -> int:
        folded = characters.fold.get(point)
        offset = len(pool) if folded else 0
        kind = characters.kind.get(point, "")
        upper = int(point in characters.upper)
        latin = characters.latin.get(point, "")
        key = (None if folded is None else tuple(folded), kind, upper, latin)
        if key not in entries:
            if folded:
                pool.extend(folded)
            entries[key] = len(order)
            length = IDENTITY if folded is None else len(folded)
            order.append(f"{{{offset}, {length}, {ord(kind) if kind else 0}, {upper}, {ord(latin) if latin else 0}}}")
        return entries[key]

    blocks: dict[tuple[int, ...], int] = {}
    index = []
    for start in range(0, 0x110000, 128):
        block = tuple(entry(point) for point in range(start, start + 128))
        index.append(blocks.setdefault(block, len(blocks)))
    return (
        _array("std::uint16_t", "kBlockOf", index)
        + _array("std::uint16_t", "kBlocks", (number for block in blocks for number in block))
        + _array("Character", "kCharacters", order, 6)
        + _array("char32_t", "kFolded", pool)
    )


def text_tables_inc() -> str:
    """All tables as C++."""
    characters = Characters()
    names = list(OWN_CLASSES)

    def number_of(name: str) -> int:
        if name not in names:
            if len(name) > 16 or not name.isascii() or not name.isupper():
                raise SystemExit(f"text_v2: got the class {name!r}, expected up to 16 capital letters")
            names.append(name)
        return names.index(name)

    emoji: dict[int, int] = {}
    emoticons: dict[int, str] = {}
    for kind, name, items in rows("emoji.tsv"):
        for item in items.split(" "):
            if kind == "emoji":
                emoji[ord(item)] = number_of(name)
            else:
                key = hash64(map(ord, item))
                emoticons[key] = f"{{{key}U, {number_of(name)}}}"

    exact: dict[int, dict[int, list[int]]] = {}
    prefix: dict[int, dict[int, list[int]]] = {}
    strict: set[tuple[int, int]] = set()
    spelled: dict[int, list[int]] = {}
    slang: dict[int, list[tuple[int, list[list[int]]]]] = {}
    votes: dict[int, int] = {}
    marks: list[tuple[int, int, int]] = []

    def key_of(points: list[int]) -> int:
        key = hash64(points)
        if key == 0 or spelled.setdefault(key, points) != points:
            raise SystemExit("text_v2: two words have one 64-bit hash; leave one out")
        return key

    for number, language in enumerate(LANGUAGES):
        for kind, name, items in rows(f"lexicon/{language}.tsv"):
            for item in items.split(" "):
                if kind == "class":
                    key = key_of(characters.word(item.strip("!*")))
                    if item.startswith("!"):
                        strict.add((key, number))
                    found = (prefix if item.endswith("*") else exact).setdefault(key, {}).setdefault(number, [])
                    if number_of(name) not in found:
                        found.append(number_of(name))
                elif kind == "slang":
                    short, _, long = item.partition("=")
                    expansion = [characters.word(word) for word in long.split("_")]
                    slang.setdefault(key_of(characters.word(short)), []).append((number, expansion))
                elif kind == "votes":
                    key = key_of(characters.word(item))
                    votes[key] = votes.get(key, 0) | 1 << number
                elif kind == "marks":
                    marks.append((ord(item), number, int(name)))
                else:
                    raise SystemExit(f"lexicon/{language}.tsv: got a row {kind!r}, expected class, slang, votes, marks")

    def senses(key: int, languages: dict[int, list[int]]) -> str:
        """``{class, languages}``: a word's own meaning in a language, else that of the first language that has it."""
        found: dict[int, int] = {}
        loose = [number for number in languages if (key, number) not in strict]
        for number in range(LANGUAGE_COUNT):
            named = 1 <= number < LANGUAGE_COUNT - 1
            grammar = function_words.get(key, 0) >> (number if named else 1) & 1
            if named and number in languages:
                classes = languages[number]
            elif not loose or (grammar and (named or not set(loose) & {0, 1})):
                classes = []
            else:
                classes = languages[loose[0]]
            for name in classes:
                found[name] = found.get(name, 0) | 1 << number
        if len(found) > MAX_SENSES:
            raise SystemExit(f"text_v2: {expansion_of(key)!r} has {len(found)} classes, expected at most {MAX_SENSES}")
        padded = [*found.items(), *[(0, 0)] * (MAX_SENSES - len(found))]
        return "{{" + ", ".join(f"{{{name}, {mask}}}" for name, mask in padded) + "}}"

    function_words = dict(votes)
    for key, languages in exact.items():
        for number in languages:
            if number:
                votes[key] = votes.get(key, 0) | 1 << number

    def expansion_of(key: int) -> str:
        return "".join(map(chr, spelled[key]))

    pool: list[int] = []
    slang_rows: list[str] = []
    slang_table: dict[int, str] = {}
    for key, entries in slang.items():
        slang_table[key] = f"{{{key}U, {len(slang_rows)}, {len(entries)}}}"
        seen: dict[int, list[list[int]]] = {}
        for number, expansion in entries:
            if seen.setdefault(number, expansion) != expansion:
                raise SystemExit(f"text_v2: {expansion_of(key)!r} is slang for two things in one language")
            if not 1 <= len(expansion) <= 3:
                raise SystemExit(
                    f"text_v2: got {expansion_of(key)!r} for {len(expansion)} words, expected one to three"
                )
            spans = []
            for word in expansion:
                spans.append(f"{{{len(pool)}, {len(word)}}}")
                pool.extend(word)
            spans += ["{0, 0}"] * (3 - len(expansion))
            slang_rows.append(f"{{{number}, {len(expansion)}, {{{{{', '.join(spans)}}}}}}}")

    explicit = sorted(int(row[1], 16) for row in rows("explicit.tsv") if row[0] == "word")
    secret = bytes.fromhex(next(row[1] for row in rows("explicit.tsv") if row[0] == "key"))

    out = [_trie(characters)]

    def table(kind: str, name: str, entries: dict[int, str], empty: str) -> None:
        size, text = _table(entries, empty)
        out.append(f"constexpr std::size_t {name}Size = {size};\nconstexpr {kind} {name}[] = {{\n{text}}};\n")

    def lexicon(words: dict[int, dict[int, list[int]]]) -> dict[int, str]:
        return {key: f"{{{key}U, {senses(key, languages)}}}" for key, languages in words.items()}

    nothing = "{0, {{" + ", ".join(["{0, 0}"] * MAX_SENSES) + "}}}"
    table("Word", "kExact", lexicon(exact), nothing)
    table("Word", "kPrefix", lexicon(prefix), nothing)
    table("Slang", "kSlang", slang_table, "{0, 0, 0}")
    table("Vote", "kVotes", {key: f"{{{key}U, {mask}}}" for key, mask in votes.items()}, "{0, 0}")
    table("Emoticon", "kEmoticons", emoticons, "{0, 0}")
    out.append(_array("SlangRow", "kSlangRows", slang_rows, 4))
    out.append(_array("char32_t", "kSlangWords", pool))
    out.append(_array("Kana", "kKana", (f"{{{a}, {b}, {c}}}" for a, b, c in sorted(characters.kana)), 8))
    out.append(_array("Emoji", "kEmojiTable", (f"{{{point}, {number}}}" for point, number in sorted(emoji.items())), 8))
    out.append(_array("Mark", "kMarks", (f"{{{a}, {b}, {c}}}" for a, b, c in sorted(marks)), 8))
    out.append(_array("std::uint64_t", "kExplicit", (f"0x{value:016X}U" for value in explicit), 6))
    halves: list[Callable[[], int]] = [lambda at=at: int.from_bytes(secret[at : at + 8], "little") for at in (0, 8)]
    out.append(_array("std::uint64_t", "kKey", (f"0x{half():016X}U" for half in halves)))
    out.append(_array("const char*", "kClassNames", (f'"<{name}>"' for name in names), 8))
    out.append(f'constexpr char kDataSha256[] = "{data_sha256()}";\n')
    return "".join(out)
