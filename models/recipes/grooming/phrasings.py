"""The writers' phrasings: reading, checking, filling slots.

One file a writer and language, ``phrasings/<writer>/<lang>.txt``: sections ``[stage:<stage>]`` (what the other person
writes at that stage), ``[neg:<kind>]`` (harmless lines that look near), ``[reply]``, ``[filler]`` and
``[slot:<slot>]``; one independent phrasing a line. A *family* is one phrasing with everything that slots and
augmentation make of it: the unit that is split, never a filled line.

    python -m grooming.phrasings          counts, and refuses what breaks the rules
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STAGES: Final = (
    "age_probe", "alone_check", "flattery_bond", "isolation", "secrecy",
    "gift", "platform_move", "photo_request", "meeting", "threat",
)  # fmt: skip
NEGATIVES: Final = (
    "parent", "coach_teacher", "sibling_family", "peer_friend", "peer_crush",
    "game_trade", "group_project", "surprise_party", "service_pro", "safety_advice",
)  # fmt: skip
SLOTS: Final = ("name", "game", "app", "place", "time", "day", "thing", "sum", "school_year")
AGES_YEARS: Final = range(9, 17)
FIRST_WAVE: Final = ("en", "de", "es", "fr", "it", "pt")
MIN_PHRASINGS: Final = 150  # independent ones per stage and first-wave language, all writers together

ROOT: Final = Path(__file__).parent / "phrasings"
_SECTION: Final = re.compile(r"\[(?:stage:(\w+)|neg:(\w+)|slot:(\w+)|(reply|filler))\]")
_SLOT: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Phrasing:
    """One line as a writer wrote it.

    Attributes:
        family: ``<writer>/<lang>/<section>/<number>``, the unit that is split.
        writer: who wrote it.
        lang: BCP 47 tag.
        section: ``stage:…``, ``neg:…``, ``reply`` or ``filler``.
        text: with ``{slot}`` marks.
    """

    family: str
    writer: str
    lang: str
    section: str
    text: str

    @property
    def stage(self) -> str | None:
        """The stage, or ``None`` for harmless lines."""
        return self.section.removeprefix("stage:") if self.section.startswith("stage:") else None


@dataclass(frozen=True, slots=True)
class Book:
    """All phrasings, and what fills their slots: ``(writer, lang, slot)`` → fillers."""

    phrasings: tuple[Phrasing, ...]
    fillers: dict[tuple[str, str, str], tuple[str, ...]]

    def fill(self, phrasing: Phrasing, rng: random.Random) -> str:
        """The phrasing with every slot filled by the same writer's words."""

        def value(found: re.Match[str]) -> str:
            if found[1] == "age":
                return str(rng.choice(AGES_YEARS))
            return rng.choice(self.fillers[phrasing.writer, phrasing.lang, found[1]])

        return _SLOT.sub(value, phrasing.text)

    def writers(self, lang: str) -> list[str]:
        """Who wrote in a language, sorted."""
        return sorted({phrasing.writer for phrasing in self.phrasings if phrasing.lang == lang})


def read(root: Path = ROOT) -> Book:
    """Read every file.

    Raises:
        SystemExit: an unknown section, a slot that nothing fills, or a line twice in one file.
    """
    phrasings: list[Phrasing] = []
    fillers: dict[tuple[str, str, str], tuple[str, ...]] = {}
    for path in sorted(root.glob("*/*.txt")):
        writer, lang = path.parent.name, path.stem
        sections = dict(list(_sections(path)))
        for section, lines in sections.items():
            if section.startswith("slot:"):
                fillers[writer, lang, section.removeprefix("slot:")] = tuple(lines)
        seen: set[str] = set()
        for section, lines in sections.items():
            if section.startswith("slot:"):
                continue
            for number, line in enumerate(lines):
                if line in seen:
                    raise SystemExit(f"{writer}/{lang}: a line of {section} stands twice; keep one.")
                seen.add(line)
                for slot in _SLOT.findall(line):
                    if slot != "age" and not fillers.get((writer, lang, slot)):
                        raise SystemExit(f"{writer}/{lang}: {section} uses {{{slot}}}, which no [slot:{slot}] fills.")
                phrasings.append(Phrasing(f"{writer}/{lang}/{section}/{number}", writer, lang, section, line))
    return Book(tuple(phrasings), fillers)


def _sections(path: Path) -> Iterator[tuple[str, list[str]]]:
    current: list[str] | None = None
    for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        line = raw.strip()
        if not line:
            continue
        found = _SECTION.fullmatch(line)
        if found is None:
            if current is None:
                raise SystemExit(f"{path.parent.name}/{path.name}:{number}: got a line, expected a [section] first.")
            current.append(line)
            continue
        stage, negative, slot, _ = found.groups()
        for name, known in ((stage, STAGES), (negative, NEGATIVES), (slot, SLOTS)):
            if name is not None and name not in known:
                raise SystemExit(f"{path.parent.name}/{path.name}:{number}: got {name!r}, expected one of {known}.")
        current = []
        yield line[1:-1], current


def main() -> None:
    """Print how many phrasings there are, and fail where the rule of 150 is broken."""
    book = read()
    counts: dict[tuple[str, str], int] = {}
    for phrasing in book.phrasings:
        counts[phrasing.lang, phrasing.section] = counts.get((phrasing.lang, phrasing.section), 0) + 1
    short = []
    for lang in sorted({lang for lang, _ in counts}):
        stages = [counts.get((lang, f"stage:{stage}"), 0) for stage in STAGES]
        negatives = sum(counts.get((lang, f"neg:{kind}"), 0) for kind in NEGATIVES)
        print(
            f"{lang}: writers {''.join(book.writers(lang))}, phrasings a stage {min(stages)} to {max(stages)}, "
            f"stage lines {sum(stages)}, near negatives {negatives}"
        )
        if lang in FIRST_WAVE and min(stages) < MIN_PHRASINGS:
            short.append(lang)
    if short:
        sys.exit(f"fewer than {MIN_PHRASINGS} phrasings for a stage in: {', '.join(short)}")


if __name__ == "__main__":
    main()
