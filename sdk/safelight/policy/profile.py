"""Who is protected. The age band here is the *user's*; faces in a picture are other evidence."""

from __future__ import annotations

import re
from dataclasses import dataclass

from safelight.decision import AgeBand
from safelight.errors import UsageError

_COUNTRY = re.compile(r"[A-Z]{2}\Z")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*\Z")


@dataclass(frozen=True, slots=True)
class Profile:
    """Who holds the device. Every default is the most protective one.

    Attributes:
        age_band: ``under_10``, ``10_12``, ``13_15``, ``16_17``, ``adult`` or ``unknown`` (protected).
        country: ISO 3166-1 alpha-2, e.g. ``GB``; ``None`` gives international help.
        languages: BCP 47 tags, the reader's first choice first.

    Raises:
        UsageError: a value is outside its vocabulary.
    """

    age_band: AgeBand | str = AgeBand.UNKNOWN
    country: str | None = None
    languages: tuple[str, ...] | str = ("en",)

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "age_band", AgeBand(self.age_band))
        except ValueError:
            raise UsageError(
                f"age_band: got {self.age_band!r}, expected one of {', '.join(b.value for b in AgeBand)}; "
                "use unknown when nobody has said."
            ) from None
        if self.country is not None:
            country = str(self.country).upper()
            if not _COUNTRY.match(country):
                raise UsageError(
                    f"country: got {self.country!r}, expected an ISO 3166-1 alpha-2 code such as GB, or None."
                )
            object.__setattr__(self, "country", country)
        languages = tuple(self.language_tags)
        if not languages or not all(isinstance(tag, str) and _LANGUAGE.match(tag) for tag in languages):
            raise UsageError(
                f"languages: got {self.languages!r}, expected one or more BCP 47 tags such as ('en', 'pt-BR')."
            )
        object.__setattr__(self, "languages", languages)

    @property
    def language_tags(self) -> tuple[str, ...]:
        """The languages as a tuple (``languages`` may have been given as one tag)."""
        return (self.languages,) if isinstance(self.languages, str) else self.languages

    @property
    def band(self) -> AgeBand:
        """The age band as a word (``age_band`` may have been given as text)."""
        return AgeBand(self.age_band)
