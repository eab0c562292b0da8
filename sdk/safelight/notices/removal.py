"""The image-removal guide: which service fits, and what it would be sent. Nothing is sent from here.

Take It Down (NCMEC), Report Remove (IWF and Childline) and StopNCII take codes that are made from a picture on the
person's own device. This guide makes such codes from the one file that the person picked, shows them, and names the
service's address; the person goes on there, and the service makes the code again itself. Which services exist for
whom was read on their public pages; none of them has endorsed Safelight or is a partner.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from safelight.decision import HelpService, State, help_dict
from safelight.errors import UsageError
from safelight.hashing import pdq, sha256
from safelight.media import Limits, NotJudged, load_image
from safelight.notices.catalogue import Catalogue
from safelight.notices.directory import find_help


@dataclass(frozen=True, slots=True)
class RemovalService:
    """A service for getting pictures taken down.

    Attributes:
        id: names its words in ``removal_services``.
        under_18: for people who were under 18 when the picture was taken; else for adults.
        countries: where it works; empty: anywhere.
    """

    id: str
    name: str
    web_url: str
    under_18: bool
    countries: frozenset[str] = frozenset()


TAKE_IT_DOWN: Final = RemovalService("take_it_down", "Take It Down", "https://takeitdown.ncmec.org/", True)
REPORT_REMOVE: Final = RemovalService(
    "report_remove",
    "Report Remove",
    "https://www.childline.org.uk/info-advice/bullying-abuse-safety/online-mobile-safety/report-remove/",
    True,
    frozenset({"GB"}),
)
STOP_NCII: Final = RemovalService("stop_ncii", "StopNCII", "https://stopncii.org/", False)


@dataclass(frozen=True, slots=True)
class PictureCodes:
    """Codes of one picked file. Sensitive: a PDQ code can be turned back into a blurred picture in part.

    Attributes:
        pdq: 64 hexadecimal digits, or ``None`` where ``state`` says why there is none.
        state: of the PDQ code.
        sha256, md5: of the very bytes of the file.
    """

    pdq: str | None = field(repr=False)
    state: State
    sha256: str = field(repr=False)
    md5: str = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {"pdq": self.pdq, "state": self.state.value, "sha256": self.sha256, "md5": self.md5}


@dataclass(frozen=True, slots=True)
class RemovalGuide:
    """What to show: words, services best first, and somebody to talk to.

    Attributes:
        sends: always 0: how many requests this guide makes.
    """

    lang: str
    direction: str
    title: str
    paragraphs: tuple[str, ...]
    services: tuple[tuple[RemovalService, str], ...]
    codes: PictureCodes | None
    code_lines: tuple[tuple[str, str], ...] = field(repr=False)
    closing: tuple[str, ...]
    help: tuple[HelpService, ...]
    sends: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values, for hosts in another language."""
        return {
            "lang": self.lang,
            "direction": self.direction,
            "title": self.title,
            "paragraphs": list(self.paragraphs),
            "services": [
                {"id": one.id, "name": one.name, "web_url": one.web_url, "text": text} for one, text in self.services
            ],
            "would_send": self.codes.to_dict() if self.codes is not None else None,
            "sent": self.sends,
            "closing": list(self.closing),
            "help": [help_dict(service) for service in self.help],
        }


def removal_services(*, under_18: bool, country: str | None) -> tuple[RemovalService, ...]:
    """The services for a picture that was taken at this age, those of the country first.

    Example:
        >>> [one.id for one in removal_services(under_18=True, country="GB")]
        ['report_remove', 'take_it_down']
    """
    code = (country or "").strip().upper()
    code = {"UK": "GB"}.get(code, code)
    every = (REPORT_REMOVE, TAKE_IT_DOWN, STOP_NCII)
    return tuple(one for one in every if one.under_18 == under_18 and (not one.countries or code in one.countries))


def picture_codes(content: bytes, *, limits: Limits | None = None) -> PictureCodes:
    """Make the codes of one picked file, on this device.

    Args:
        content: the bytes of the file, unchanged: a saved-again picture has other file codes.
        limits: bounds for decoding.

    Raises:
        UsageError: there are no bytes.
    """
    if not content:
        raise UsageError("file: got 0 bytes, expected a picture; pick another file.")
    bits: str | None = None
    state = State.NOT_MEDIA
    loaded = load_image(content, limits=limits if limits is not None else Limits())
    if isinstance(loaded, NotJudged):
        state = loaded.state
    else:
        with loaded as pictures:
            for picture in pictures:
                if isinstance(picture, NotJudged):
                    state = picture.state
                else:
                    # An animation is known by its first picture.
                    made = pdq(picture.pixels)
                    state = made.state
                    bits = made.hex() if state is State.OK else None
                break
    # The services ask for MD5 of videos; it identifies bytes here and protects nothing.
    return PictureCodes(bits, state, sha256(content).hex(), hashlib.md5(content, usedforsecurity=False).hexdigest())


def removal_guide(
    catalogue: Catalogue,
    *,
    under_18: bool,
    country: str | None = None,
    codes: PictureCodes | None = None,
    fallback: Catalogue | None = None,
    directory: Sequence[HelpService] = (),
    languages: Sequence[str] = (),
    today: date | None = None,
) -> RemovalGuide:
    """Everything that the guide shows.

    Args:
        catalogue: gives the words; ``fallback`` where it is unfinished.
        under_18: whether the person was under 18 when the picture was taken. Not known: ask, or take ``True``, since
            the services for under-18s hand nobody on to a worse place.
        country: for the service and the help.
        codes: of the picked file; ``None`` before one is picked.
        directory, languages, today: choose somebody to talk to.
    """
    texts = catalogue.texts
    if not texts.removal and fallback is not None:
        texts = fallback.texts
    words = texts.removal
    services = removal_services(under_18=under_18, country=country)
    lines: tuple[tuple[str, str], ...] = ()
    if codes is not None:
        named = (("code_pdq", codes.pdq), ("code_sha256", codes.sha256), ("code_md5", codes.md5))
        lines = tuple((words[name], value) for name, value in named if value is not None)
    return RemovalGuide(
        lang=texts.lang,
        direction=texts.direction,
        title=words["title"],
        paragraphs=(
            words["not_your_fault"],
            words["how"],
            words["limits"],
            words["only_yours"],
            words["under_18" if under_18 else "adult"],
        ),
        services=tuple((one, texts.removal_services[one.id]) for one in services),
        codes=codes,
        code_lines=lines,
        closing=(words["would_send"], words["own_codes"], words["not_sent"], words["next"], words["talk"])
        if codes is not None
        else (words["not_sent"], words["next"], words["talk"]),
        help=find_help(
            directory,
            country=country,
            audiences=("child", "crisis") if under_18 else ("victim_image_removal_adult", "crisis"),
            languages=languages,
            today=today,
        ),
    )
