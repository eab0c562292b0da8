"""Texts to read at leisure, and where to turn when a refusal stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from safelight.decision import AgeBand, HelpService, Redress, help_dict
from safelight.errors import UsageError
from safelight.notices.catalogue import Catalogue, LanguageFile
from safelight.notices.directory import find_help
from safelight.notices.select import CHILD_HELPLINE_FINDER

# Needs no catalogue, and is safe for a reader of seven.
_LAST_REDRESS: Final = (
    "The answer is still no. If you think that is wrong, ask somebody you trust to ask again with you, or ask the "
    "people who run this app or device for a person to look at it. You did nothing wrong by asking."
)


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
    found = _redress_words(catalogue, band, fallback)
    if found is None:
        raise UsageError(f"redress: got the band {band}, for which {catalogue.lang} has no words; give a fallback.")
    return found[1]


def select_redress(
    *,
    catalogue: Catalogue | None,
    band: AgeBand,
    fallback: Catalogue | None = None,
    directory: Sequence[HelpService] = (),
    country: str | None = None,
    languages: Sequence[str] = (),
    today: date | None = None,
) -> Redress:
    """Returns what to show after a refusal; never fails to answer: without a catalogue, plain English.

    Args:
        catalogue: the texts, or ``None`` if they could not be read.
        band: age of the user.
        fallback: the catalogue for what ``catalogue`` has no words for.
        directory: the help services; empty if they could not be read.
        country: for the help services; ``None``: international ones.
        languages: BCP 47 tags of the reader, best first.
        today: see :func:`~safelight.notices.directory.find_help`.
    """
    found = _redress_words(catalogue, band, fallback) if catalogue is not None else None
    texts, text = found if found is not None else (None, _LAST_REDRESS)
    services = find_help(directory, country=country, audiences=("child", "crisis"), languages=languages, today=today)
    return Redress(
        lang=texts.lang if texts is not None else "en",
        text=text,
        direction=texts.direction if texts is not None else "ltr",
        help=services or (CHILD_HELPLINE_FINDER,),
    )


def _redress_words(catalogue: Catalogue, band: AgeBand, fallback: Catalogue | None) -> tuple[LanguageFile, str] | None:
    for shape in catalogue.structure.redress:
        if band in shape.bands:
            for texts in (catalogue.texts, fallback.texts if fallback is not None else None):
                if texts is not None and shape.id in texts.redress:
                    return texts, texts.redress[shape.id]
    return None
