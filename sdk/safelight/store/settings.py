"""What a family has chosen, as one validated document, and which of two documents is stricter.

A document that says nothing is the strictest: each default is. *Stricter* is decided by comparing what the
documents mean, cell by cell, not how they are written: every action that the rules can come to, every minute of
the week, every allowance, every consent. Documents of which neither is stricter everywhere count as a loosening.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any, Final

import msgspec

from safelight.decision import Action, AgeBand
from safelight.errors import UsageError
from safelight.policy import Profile, Rules
from safelight.policy.layers import Layer
from safelight.policy.profile_document import ContactId, ProfileDocument, TrustedAdult
from safelight.store import schedule
from safelight.store._cells import cell_words, cells_that_bind, raisable, rules_of

MIN_DELAY_H: Final = 1
DEFAULT_DELAY_H: Final = 24
MAX_DELAY_H: Final = 7 * 24


class ConsentPurpose(str, Enum):
    """What consent is asked for. A consent for one purpose is none for another."""

    CAMERA = "camera"
    REGISTRATION = "registration"
    PURCHASE = "purchase"
    SCAN = "scan"
    AGE_CHECK = "age_check"

    def __str__(self) -> str:
        return str(self.value)


class ConsentBy(str, Enum):
    """Who must agree, each including the one before."""

    CHILD = "child"
    """The person who holds the device."""
    GUARDIAN = "guardian"
    """That person and a guardian."""
    NEVER = "never"
    """Nobody can: the purpose is closed."""

    def __str__(self) -> str:
        return str(self.value)


# Whoever nobody has spoken for is protected as the youngest, and one of unknown age as a young teenager.
_OLDER: Final[Mapping[str | None, int]] = {
    None: 0, "under_10": 0, "10_12": 1, "13_15": 2, "unknown": 2, "16_17": 3, "adult": 4,
}  # fmt: skip
_UNSURE: Final = ".minor_or_unsure"
_CONSENT_RANK: Final = {by: rank for rank, by in enumerate(ConsentBy)}
_YOUNG: Final = frozenset({AgeBand.UNDER_10, AgeBand.FROM_10_TO_12})
# A contract, or an account in one's name, is not a minor's alone in any country that the help directory covers.
_CONTRACTS: Final = frozenset({ConsentPurpose.PURCHASE, ConsentPurpose.REGISTRATION})


class Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """The document.

    Attributes:
        schema: 1.
        age_band: who holds the device; ``None``: nobody has said, so the strictest of all bands with the words for
            a teenager.
        country: ISO 3166-1 alpha-2, for help.
        languages: BCP 47 tags, first choice first.
        preset, guardian, child, known_contacts, trusted_adults: as in
            :class:`safelight.policy.profile_document.ProfileDocument`. What the guardian permits, the child changes
            without anybody.
        rules: ``<event>.<level>`` or ``<section>.<answer>`` to the action that is taken *at least*, e.g.
            ``{"receive.explicit": "HOLD", "site.match": "BLOCK"}``.
        zone: IANA time zone that windows, bedtimes and days are in.
        allowance: purpose to minutes a day; ``None`` is no limit; ``*`` stands for all that are not named. What
            is not covered has no minutes.
        windows: purpose to weekday to open times, e.g. ``{"games": {"sat": ["10:00-12:00"]}}``; a purpose without
            an entry, and none for ``*``, is open all day.
        bedtime: weekday on which the night begins to its times, e.g. ``{"sun": "20:30-07:00"}``; closes everything.
        consent: purpose to who must agree; by age band where nothing is said.
        counters: whether private counters count.
        reporting: whether a list match may make a record for a collector (docs/reporting.md). A person's own report
            needs nobody's leave.
        loosening_delay_h: how long a loosening waits, 1 to 168 hours.
    """

    schema: int = 1
    age_band: str | None = None
    country: str | None = None
    languages: tuple[str, ...] = ("en",)
    preset: str = "strict"
    guardian: Layer = Layer()
    child: Layer = Layer()
    known_contacts: tuple[ContactId, ...] = ()
    trusted_adults: tuple[TrustedAdult, ...] = ()
    rules: dict[str, str] = {}
    zone: str = "UTC"
    allowance: dict[str, int | None] = {}
    windows: dict[str, dict[str, tuple[str, ...]]] = {}
    bedtime: dict[str, str] = {}
    consent: dict[str, str] = {}
    counters: bool = False
    reporting: bool = False
    loosening_delay_h: int = DEFAULT_DELAY_H

    @property
    def profile(self) -> Profile:
        """Who is protected; ``unknown`` where nobody has said."""
        return Profile(self.profile_band, country=self.country, languages=self.languages)

    @property
    def band(self) -> AgeBand:
        """The age band as a word."""
        return AgeBand(self.profile_band)

    @property
    def profile_band(self) -> str:
        """The age band of the profile; ``unknown`` where nobody has said."""
        return self.age_band if self.age_band is not None else AgeBand.UNKNOWN.value

    @property
    def document(self) -> ProfileDocument:
        """The part that profile and rules are made of."""
        return ProfileDocument(
            age_band=self.profile_band,
            country=self.country,
            languages=self.languages,
            preset=self.preset,
            guardian=self.guardian,
            child=self.child,
            known_contacts=self.known_contacts,
            trusted_adults=self.trusted_adults,
        )

    @property
    def raises(self) -> tuple[tuple[str, Action], ...]:
        """What ``rules`` says, in words of their own."""
        return tuple(sorted((key, Action[action]) for key, action in self.rules.items()))

    def effective_rules(self, operator: Layer | None = None) -> Rules:
        """The rules that these settings come to.

        Args:
            operator: the layer of whoever runs the app or makes the device.
        """
        return rules_of(self.document, operator, strictest=self.age_band is None, raises=self.raises)

    def consent_by(self, purpose: ConsentPurpose) -> ConsentBy:
        """Who must agree to the purpose."""
        said = self.consent.get(purpose.value)
        if said is not None:
            return ConsentBy(said)
        if self.age_band is None or self.band in _YOUNG:
            return ConsentBy.GUARDIAN
        if self.band is not AgeBand.ADULT and purpose in _CONTRACTS:
            return ConsentBy.GUARDIAN
        return ConsentBy.CHILD

    def allowance_min(self, purpose: str) -> int | None:
        """Minutes a day; ``None`` is no limit."""
        if purpose in self.allowance:
            return self.allowance[purpose]
        return self.allowance.get(schedule.ANY, 0)

    def open_mask(self, purpose: str) -> int:
        """The minutes of the week in which the purpose is open, as bits."""
        return _open_mask(
            _frozen_windows(self.windows.get(purpose, self.windows.get(schedule.ANY))),
            tuple(sorted(self.bedtime.items())),
        )

    def _by_the_clock(self, purpose: str) -> bool:
        """Whether it depends on the time of day or on where a day ends."""
        return self.allowance_min(purpose) is not None or self.open_mask(purpose) != schedule.ALWAYS

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values, everything written out."""
        return {name: msgspec.to_builtins(getattr(self, name)) for name in self.__struct_fields__}


STRICTEST: Final = Settings()
"""What counts when nothing has been set up, or what was set up cannot be believed."""


class Relation(str, Enum):
    """How one document compares with another."""

    SAME = "same"
    TIGHTER = "tighter"
    LOOSER = "looser"
    MIXED = "mixed"

    def __str__(self) -> str:
        return str(self.value)

    @property
    def loosens(self) -> bool:
        """Whether it needs two keys: looser somewhere."""
        return self in (Relation.LOOSER, Relation.MIXED)


def compare(old: Settings, new: Settings, *, operator: Layer | None = None) -> Relation:
    """How ``new`` compares with ``old``."""
    return relation_of(difference(old, new, operator=operator).values())


def relation_of(steps: Any) -> Relation:
    """One word for many comparisons, each of them -1 (looser), 0 or 1 (tighter), or ``None`` (neither)."""
    found = set(steps)
    looser, tighter = bool(found & {-1, None}), bool(found & {1, None})
    if looser:
        return Relation.MIXED if tighter else Relation.LOOSER
    return Relation.TIGHTER if tighter else Relation.SAME


def difference(old: Settings, new: Settings, *, operator: Layer | None = None) -> dict[str, int | None]:
    """Name of each difference to -1 where ``new`` is looser, 1 where it is tighter, ``None`` for neither."""
    found: dict[str, int | None] = {}
    for name, step in _steps(old, new, operator):
        if step != 0:
            found[name] = step
    return found


def _steps(old: Settings, new: Settings, operator: Layer | None) -> Iterator[tuple[str, int | None]]:
    before, after = (
        cells_that_bind(one.document, operator, strictest=one.age_band is None, raises=one.raises) for one in (old, new)
    )
    # A picture that may show a child is held for an adult where a teenager is asked: that protects the child in the
    # picture, and says nothing about which of the two holders of a device is protected more.
    skip = _UNSURE if (old.band is AgeBand.ADULT) != (new.band is AgeBand.ADULT) else None
    for name, was, becomes in zip(cell_words(), before, after, strict=True):
        if skip is None or not name.endswith(skip):
            yield name, _sign(becomes - was)
    yield "age_band", _sign(_OLDER[old.age_band] - _OLDER[new.age_band])
    for contact in sorted({*old.known_contacts, *new.known_contacts}):
        yield f"known_contacts.{contact}", (contact in old.known_contacts) - (contact in new.known_contacts)
    for word in ConsentPurpose:
        yield f"consent.{word}", _sign(_CONSENT_RANK[new.consent_by(word)] - _CONSENT_RANK[old.consent_by(word)])
    purposes = {*old.allowance, *old.windows, *new.allowance, *new.windows, schedule.ANY}
    shared = []
    for purpose in sorted(purposes):
        if _minutes(old, purpose) and _minutes(new, purpose):
            shared.append(purpose)
        yield f"allowance.{purpose}", _sign(_minutes(old, purpose) - _minutes(new, purpose))
        was_open = old.open_mask(purpose) if _minutes(old, purpose) else 0
        opens = new.open_mask(purpose) if _minutes(new, purpose) else 0
        yield f"windows.{purpose}", _set_step(was_open, opens)
    if old.zone != new.zone and any(old._by_the_clock(purpose) and new._by_the_clock(purpose) for purpose in shared):
        # Another zone moves every window and every midnight: some minutes open and some close. What was open day and
        # night before is only ever closed by it, and what becomes so is looser already.
        yield "zone", None
    yield "counters", _sign(old.counters - new.counters)
    yield "reporting", _sign(old.reporting - new.reporting)
    yield "loosening_delay_h", _sign(new.loosening_delay_h - old.loosening_delay_h)


def _minutes(settings: Settings, purpose: str) -> int:
    minutes = settings.allowance_min(purpose)
    # No limit is more than any number of minutes in a day.
    return schedule.DAY_MIN + 1 if minutes is None else minutes


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def _set_step(was: int, becomes: int) -> int | None:
    if was == becomes:
        return 0
    if was & ~becomes == 0:
        return -1
    return 1 if becomes & ~was == 0 else None


def validated(values: Mapping[str, Any]) -> Settings:
    """A document from JSON-ready values.

    Raises:
        UsageError: an unknown field, a wrong type, or a value outside its vocabulary.
    """
    message = ""
    try:
        settings = msgspec.convert(dict(values), Settings)
    except msgspec.ValidationError as error:
        message = str(error)
    if message:
        raise UsageError(f"settings: {message}; `safelight policy show --json` prints a document that is right.")
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    if settings.schema != 1:
        raise UsageError(f"settings: got schema {settings.schema}, this version reads schema 1.")
    # The vocabulary of each field is the one of the type that it ends up in.
    settings.document.check()
    words = raisable()
    for key, action in settings.rules.items():
        if key not in words:
            raise UsageError(f"rules: got {key!r}, expected e.g. receive.explicit or site.match.")
        if action not in Action.__members__:
            raise UsageError(f"rules: got action {action!r}, expected one of {', '.join(Action.__members__)}.")
    schedule.zone_of(settings.zone)
    for purpose, minutes in settings.allowance.items():
        schedule.check_limited(purpose)
        if minutes is not None and not 0 <= minutes <= schedule.DAY_MIN:
            raise UsageError(f"allowance: got {minutes}, expected 0 to {schedule.DAY_MIN} minutes a day, or none.")
    for purpose, windows in settings.windows.items():
        schedule.check_limited(purpose)
        _check_weekdays(windows)
        schedule.windows_mask(windows)
    _check_weekdays(settings.bedtime)
    schedule.bedtime_mask(settings.bedtime)
    for word, by in settings.consent.items():
        if word not in {purpose.value for purpose in ConsentPurpose}:
            raise UsageError(f"consent: got {word!r}, expected one of {', '.join(p.value for p in ConsentPurpose)}.")
        if by not in {who.value for who in ConsentBy}:
            raise UsageError(f"consent: got {by!r}, expected one of {', '.join(who.value for who in ConsentBy)}.")
    if not MIN_DELAY_H <= settings.loosening_delay_h <= MAX_DELAY_H:
        raise UsageError(
            f"loosening_delay_h: got {settings.loosening_delay_h}, expected {MIN_DELAY_H} to {MAX_DELAY_H} hours."
        )


def _check_weekdays(days: Mapping[str, Any]) -> None:
    for day in days:
        if day not in schedule.WEEKDAYS:
            raise UsageError(f"weekday: got {day!r}, expected one of {', '.join(schedule.WEEKDAYS)}.")


_FrozenWindows = tuple[tuple[str, tuple[str, ...]], ...]


def _frozen_windows(windows: Mapping[str, tuple[str, ...]] | None) -> _FrozenWindows | None:
    return None if windows is None else tuple(sorted((day, tuple(spans)) for day, spans in windows.items()))


@lru_cache(maxsize=256)
def _open_mask(windows: _FrozenWindows | None, bedtime: tuple[tuple[str, str], ...]) -> int:
    mask = schedule.ALWAYS if windows is None else schedule.windows_mask(dict(windows))
    return mask & ~schedule.bedtime_mask(dict(bedtime))
