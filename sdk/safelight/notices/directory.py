"""The help directory: which services exist, and which few to show to this person.

A number is shown only where it was read at a source, always with the date of that reading; a service that
nobody read at a source is its web address alone. Language and age of the reading put services in order;
they never leave a country's child or crisis line out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Annotated, Final, Literal

import msgspec

from safelight.decision import HelpService
from safelight.errors import DataError
from safelight.notices.catalogue import Audience, Language, Text

INTERNATIONAL = "INT"
"""Country of a service that takes people from anywhere."""

DEFAULT_LIMIT = 4
"""A frightened reader takes in a handful; ``safelight helplines`` lists the rest."""

STALE_AFTER_DAYS = 548
"""18 months: from then on a newer reading goes first, except for child and crisis lines."""

DUE_AFTER_DAYS = 90
"""From then on somebody should read the row at its source again; nothing changes on the screen."""

_DAYS_IN_MONTH = 30

_SPANISH_AMERICA = (
    *("AR", "BO", "CL", "CO", "CR", "CU", "DO", "EC", "GT"),
    *("HN", "MX", "NI", "PA", "PE", "PY", "SV", "UY", "VE"),
)

# Where a country has nothing for an audience: countries whose services work in a language that is spoken there, by
# the language of the reader. Their numbers often cannot be dialled from abroad, so only addresses are shown.
NEIGHBOURS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "AT": {"de": ("DE", "CH")},
    "AU": {"en": ("NZ", "GB")},
    "BE": {"nl": ("NL",), "fr": ("FR",), "de": ("DE",)},
    "CA": {"en": ("US",), "fr": ("FR",)},
    "CH": {"de": ("DE", "AT"), "fr": ("FR",), "it": ("IT",)},
    "GB": {"en": ("IE",)},
    "IE": {"en": ("GB",)},
    "LI": {"de": ("CH", "AT", "DE")},
    "LU": {"fr": ("FR", "BE"), "de": ("DE",), "pt": ("PT",)},
    "MC": {"fr": ("FR",)},
    "NL": {"nl": ("BE",)},
    "NZ": {"en": ("AU", "GB")},
    "SM": {"it": ("IT",)},
    "AD": {"es": ("ES",), "fr": ("FR",), "pt": ("PT",)},
    **{code: {"es": ("ES",)} for code in _SPANISH_AMERICA},
    **{code: {"pt": ("PT", "BR")} for code in ("AO", "CV", "GW", "MZ", "ST")},
    "PT": {"pt": ("BR",)},
}

# A long-lived number helps a child in need more than none: these keep their place however old the reading.
_KEEP_PLACE = frozenset({"child", "crisis"})

# Who asks for these wants somebody to talk to, and a form for reports is not that.
_TO_TALK = frozenset({"child", "crisis", "parent_or_carer"})

# Codes that people type for the country; ISO 3166 reserves both for it.
_COUNTRY_ALIASES = {"UK": "GB", "EL": "GR"}

# Bokmål and Nynorsk are Norwegian: a reader of either can use a line listed as "no".
_LANGUAGE_ALIASES = {"nb": "no", "nn": "no"}

Url = Annotated[str, msgspec.Meta(pattern=r"^https://")]
Country = Annotated[str, msgspec.Meta(pattern=r"^([A-Z]{2}|INT)$")]


class DirectoryError(DataError):
    """A help directory is not what its schema says; it is not used, not even in part."""


class HelpRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of the directory: what a :class:`~safelight.decision.HelpService` shows, and how we know.

    Attributes:
        confidence: ``read``: number or service was seen at ``source``; anything else: ``web_url`` alone.
        read_on: day on which ``source`` was read; ``None`` unless ``confidence`` is ``read``.
        source_date: the source's own date as it states it, which may be years before ``read_on``.
        checked_live: whether a person has dialled or opened the service itself.
        hours_note: opening hours as read, with remarks for whoever re-checks the row; not for display.
        anonymous: whether the service says that one need not give a name; ``None``: not read.
        free: whether it says that it costs nothing; ``None``: not read.
    """

    service: Text
    organisation: Text
    country: Country
    audience: Annotated[tuple[Audience, ...], msgspec.Meta(min_length=1)]
    languages: Annotated[tuple[Language, ...], msgspec.Meta(min_length=1)]
    phone: Text | None
    sms: Text | None
    chat_url: Url | None
    web_url: Url
    report_url: Url | None
    read_on: date | None
    source: Text | None
    source_date: Text | None
    confidence: Literal["read", "widely_known_unverified"]
    checked_live: bool
    hours_note: Text | None
    anonymous: bool | None
    free: bool | None


class HelpTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every known service. ``version`` is the latest day on which a source was read."""

    schema: Literal[1]
    version: date
    services: Annotated[tuple[HelpRow, ...], msgspec.Meta(min_length=1)]


_DECODER = msgspec.json.Decoder(HelpTable)


def load_directory(data: bytes) -> tuple[HelpService, ...]:
    """Checks the directory's JSON ``data`` and returns its services, in the order of the table.

    Raises:
        DirectoryError: not JSON, not of the schema, or a row shows more than was read at a source.
    """
    try:
        table = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DirectoryError(
            f"got a help directory that does not follow its schema ({error}); expected schema 1; "
            "make it again with deterrence/tools/import_helplines.py"
        ) from error
    for number, row in enumerate(table.services):
        _check_row(row, number)
    return tuple(_service(row) for row in table.services)


def _check_row(row: HelpRow, number: int) -> None:
    if row.confidence == "read":
        if row.read_on is None or row.source is None:
            raise DirectoryError(
                f"got service {number} as read, without a source or a date; expected both; read it at its source again"
            )
    elif any(value is not None for value in (row.phone, row.sms, row.chat_url, row.report_url, row.read_on)):
        raise DirectoryError(
            f"got service {number} unverified with more than its web address; expected web_url alone; "
            "read it at its source first"
        )


def _service(row: HelpRow) -> HelpService:
    return HelpService(
        service=row.service,
        organisation=row.organisation,
        country=row.country,
        audience=row.audience,
        languages=row.languages,
        phone=row.phone,
        sms=row.sms,
        chat_url=row.chat_url,
        web_url=row.web_url,
        report_url=row.report_url,
        read_on=row.read_on,
        source=row.source,
    )


def find_help(
    services: Sequence[HelpService],
    *,
    country: str | None,
    audiences: Sequence[str],
    languages: Sequence[str] = (),
    today: date | None = None,
    limit: int = DEFAULT_LIMIT,
) -> tuple[HelpService, ...]:
    """Returns the few services to show to one person, best first.

    First the best service for each audience, in the order given: the country's own; where it has none, the address
    of one in a neighbouring country that works in the reader's language; else an international one. Then, while there
    is room, the country's further services and at last the best international ones. Should ``limit`` be too small for
    all audiences, ``child`` and ``crisis`` are the last to go.

    For ``child``, ``crisis`` and ``parent_or_carer`` a form for reports is not somebody to talk to: it is
    left out where the country has a service that answers.

    Args:
        services: the directory.
        country: ISO 3166 code of two letters, any case; ``None`` or an unknown one: international services.
        audiences: whom the help is for, most important first.
        languages: BCP 47 tags of the reader, best first. They order, they never hide.
        today: if given, readings older than 18 months come later (not for ``child`` and ``crisis``).
        limit: the most services to return.

    Returns:
        At most ``limit`` services, none twice. Empty only if the directory has nothing for any audience.

    Example:
        >>> find_help((), country="GB", audiences=("child",))
        ()
    """
    code = _country(country)
    local = [_ranked(services, code, audience, languages, today) for audience in audiences]
    world = [_ranked(services, INTERNATIONAL, audience, languages, today) for audience in audiences]
    near = [
        _neighbours(services, code, audience, languages, today) if not here else []
        for audience, here in zip(audiences, local, strict=True)
    ]

    first: list[HelpService] = []
    kept: list[HelpService] = []
    for audience, here, beside, anywhere in zip(audiences, local, near, world, strict=True):
        best = next((s for s in here or beside or anywhere if s not in first), None)
        if best is not None:
            first.append(best)
            if audience in _KEEP_PLACE:
                kept.append(best)
    # Leaving out what comes last, except child and crisis lines, until the rest fits.
    for service in reversed(first.copy()):
        if len(first) > limit and service not in kept:
            first.remove(service)

    found = first[:limit]
    further = [s for rows in local for s in rows] + [rows[0] for rows in world if rows]
    for service in further:
        if len(found) >= limit:
            break
        if service not in found:
            found.append(service)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to reach a service, as it is shown.

    Attributes:
        kind: ``phone``, ``sms``, ``chat``, ``web`` or ``report``.
        value: a number or an address.
    """

    kind: Literal["phone", "sms", "chat", "web", "report"]
    value: str


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old what is shown is.

    Attributes:
        state: ``current``; ``due``: older than 90 days; ``old``: older than 18 months; ``unverified``: never read.
        days: since it was read; ``None`` if it never was.
        months: the same, for words.
    """

    state: Literal["current", "due", "old", "unverified"]
    days: int | None

    @property
    def months(self) -> int | None:
        """Whole months since the reading."""
        return None if self.days is None else self.days // _DAYS_IN_MONTH


def freshness(service: HelpService, today: date) -> Freshness:
    """How long ago the service was read at its source."""
    if service.read_on is None:
        return Freshness("unverified", None)
    days = (today - service.read_on).days
    state: Literal["current", "due", "old"] = "current"
    if days > STALE_AFTER_DAYS:
        state = "old"
    elif days > DUE_AFTER_DAYS:
        state = "due"
    return Freshness(state, days)


def keeps_its_place(service: HelpService) -> bool:
    """Whether a number is shown first however old: a child in need is better served by it than by none."""
    return bool(_KEEP_PLACE & set(service.audience))


def ways(service: HelpService, today: date) -> tuple[Way, ...]:
    """How to reach the service, in the order in which it is shown.

    Numbers come first; once they are older than 18 months the address does, except for child and crisis lines.
    """
    numbers = [Way("phone", service.phone)] if service.phone else []
    numbers += [Way("sms", service.sms)] if service.sms else []
    addresses = [Way("chat", service.chat_url)] if service.chat_url else []
    addresses += [Way("web", service.web_url)] if service.web_url else []
    if service.report_url and service.report_url != service.web_url:
        addresses.append(Way("report", service.report_url))
    if freshness(service, today).state == "old" and not keeps_its_place(service):
        return tuple(sorted(addresses, key=lambda way: way.kind != "web") + numbers)
    return tuple(numbers + addresses)


def due(services: Sequence[HelpService], today: date) -> tuple[tuple[HelpService, Freshness], ...]:
    """What somebody should read at its source again: never read first, then the oldest."""
    found = [(service, freshness(service, today)) for service in services]
    found = [pair for pair in found if pair[1].state != "current"]
    return tuple(sorted(found, key=lambda pair: -(pair[1].days if pair[1].days is not None else 10**6)))


def _neighbours(
    services: Sequence[HelpService], country: str, audience: str, languages: Sequence[str], today: date | None
) -> list[HelpService]:
    # An emergency or a crisis is for the country where the person is.
    if audience == "crisis":
        return []
    found: list[HelpService] = []
    spoken = NEIGHBOURS.get(country, {})
    for tag in dict.fromkeys((*map(_primary, languages), *spoken)):
        for neighbour in spoken.get(tag, ()):
            rows = _ranked(services, neighbour, audience, (tag,), today)
            found += [row for row in rows if tag in map(_primary, row.languages)]
    return [replace(row, phone=None, sms=None) for row in dict.fromkeys(found)]


def _country(country: str | None) -> str:
    if country is None:
        return INTERNATIONAL
    code = country.strip().upper()
    return _COUNTRY_ALIASES.get(code, code)


def _ranked(
    services: Sequence[HelpService],
    country: str,
    audience: str,
    languages: Sequence[str],
    today: date | None,
) -> list[HelpService]:
    """A country's services for one audience, best first; ties keep the order of the table."""
    rows = [s for s in services if s.country == country and audience in s.audience]
    if audience in _TO_TALK:
        rows = [s for s in rows if not _only_a_form(s)] or rows
    return sorted(
        rows,
        key=lambda s: (
            audience not in _KEEP_PLACE and _is_stale(s, today),
            _language_rank(s.languages, languages),
            _serves_others(s, audience),
        ),
    )


def _only_a_form(service: HelpService) -> bool:
    answers = service.phone or service.sms or service.chat_url
    return "anyone_reporting" in service.audience and not answers


def _is_stale(service: HelpService, today: date | None) -> bool:
    if today is None or service.read_on is None:
        return False
    return (today - service.read_on).days > STALE_AFTER_DAYS


def _language_rank(spoken: Sequence[str], wanted: Sequence[str]) -> int:
    have = {_primary(tag) for tag in spoken}
    for rank, tag in enumerate(wanted):
        if _primary(tag) in have:
            return rank
    return len(wanted)


def _primary(tag: str) -> str:
    subtag = tag.replace("_", "-").split("-", 1)[0].lower()
    return _LANGUAGE_ALIASES.get(subtag, subtag)


def _serves_others(service: HelpService, audience: str) -> int:
    """Support before reports, and no parent is sent to a line for people at risk while there is another."""
    reports = "anyone_reporting" in service.audience and audience != "anyone_reporting"
    at_risk = "adult_concerned_about_own_behaviour" in service.audience
    if audience == "child":
        return 2 * reports + at_risk
    if audience == "parent_or_carer":
        return 2 * at_risk + reports
    return int(reports)
