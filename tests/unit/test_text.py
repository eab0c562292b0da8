"""Is text from outside safe to show?"""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from safelight._text import printable


def _reference(text: str) -> str:
    """The readable twin: what has no business on a screen, by general category and by property."""
    out = []
    for char in text:
        code = ord(char)
        hidden = (
            unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs")
            or code in (0x00AD, 0x061C, 0x180E, 0xFEFF)
            or 0x200B <= code <= 0x200F
            or 0x202A <= code <= 0x202E
            or 0x2060 <= code <= 0x206F
            or 0xFDD0 <= code <= 0xFDEF
            or code & 0xFFFE == 0xFFFE
            or 0xE0000 <= code <= 0xE0FFF
        )
        out.append(f"\\u{{{code:X}}}" if hidden else char)
    return "".join(out)


def test_every_code_point_agrees_with_the_readable_twin() -> None:
    for start in range(0, 0x110000, 0x10000):
        text = "".join(map(chr, range(start, start + 0x10000)))
        assert printable(text) == _reference(text)


@given(st.text())
def test_showing_twice_changes_nothing(text: str) -> None:
    assert printable(printable(text)) == printable(text)


def test_an_undecodable_file_name() -> None:
    assert printable("a\udcffb") == "a\\u{DCFF}b"
