"""Texts to read at leisure, and where to turn when a refusal stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from safelight.decision import AgeBand, HelpService, help_dict
from safelight.errors import UsageError
from safelight.notices.catalogue import Catalogue
from safelight.notices.directory import find_help


@dataclass(frozen=True, slots=True)
class EducationSection:
    """A heading and its paragraphs; ``id`` is one of ``what``, ``risks``, ``report``, ``next``, ``roles``."""

    id: str
    heading: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EducationPack:
    """What one group of readers is told, with services of their country."""

    id: str
    lang: str
    direction: str
    title: str
    sections: tuple[EducationSection, ...]
    help: tuple[HelpService, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values, for hosts in another language."""
        return {
            "id": self.id,
            "lang": self.lang,
            "direction": self.direction,
            "title": self.title,
            "sections": [
                {"id": section.id, "heading": section.heading, "paragraphs": list(section.paragraphs)}
                for section in self.sections
            ],
            "help": [help_dict(service) for service in self.help],
        }


def education_packs(catalogue: Catalogue, band: AgeBand | None = None) -> tuple[str, ...]:
    """Ids of the packs, of all readers or of one band."""
    return tuple(shape.id for shape in catalogue.structure.education if band is None or band in shape.bands)


def education_pack(
    catalogue: Catalogue,
    name: str,
    *,
    fallback: Catalogue | None = None,
    directory: Sequence[HelpService] = (),
    country: str | None = None,
    languages: Sequence[str] = (),
    today: date | None = None,
) -> EducationPack:
    """One pack in the catalogue's language, in ``fallback``'s where that one is unfinished.

    Raises:
        UsageError: there is no such pack, or no words for it.
    """
    shapes = {shape.id: shape for shape in catalogue.structure.education}
    if name not in shapes:
        raise UsageError(f"education pack: got {name!r}, expected one of {', '.join(shapes)}.")
    texts = catalogue.texts
    if name not in texts.education and fallback is not None:
        texts = fallback.texts
    if name not in texts.education:
        raise UsageError(f"education pack: got {name!r}, which {catalogue.lang} has no words for; give a fallback.")
    words = texts.education[name]
    return EducationPack(
        id=name,
        lang=texts.lang,
        direction=texts.direction,
        title=words.title,
        sections=tuple(
            EducationSection(section, words.sections[section].heading, words.sections[section].text)
            for section in shapes[name].sections
        ),
        help=find_help(directory, country=country, audiences=shapes[name].help, languages=languages, today=today),
    )


def redress_text(catalogue: Catalogue, band: AgeBand, *, fallback: Catalogue | None = None) -> str:
    """Where to turn when "this is wrong" was answered with no: shown after every refusal.

    Raises:
        UsageError: the catalogue has no words for this band.
    """
    for shape in catalogue.structure.redress:
        if band in shape.bands:
            for texts in (catalogue.texts, fallback.texts if fallback is not None else None):
                if texts is not None and shape.id in texts.redress:
                    return texts.redress[shape.id]
    raise UsageError(f"redress: got the band {band}, for which {catalogue.lang} has no words; give a fallback.")
