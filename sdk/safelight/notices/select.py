"""Which notice to show: pure functions from what was decided, and what was shown before, to the words for it.

They never fail to answer: the entry written for the situation, else the generic one for this band and action, else
the last resort in this file, which needs no data at all. What the reader has seen is a value that the caller keeps
(:class:`History`); nothing here remembers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final, Literal

from safelight.decision import Action, AgeBand, Choice, Event, HelpService, Notice
from safelight.errors import UsageError
from safelight.notices.catalogue import ASKED, Catalogue, Entry, Trigger, Variant
from safelight.notices.directory import DEFAULT_LIMIT, INTERNATIONAL, find_help

CATALOGUE_UNVERIFIED: Final = "CATALOGUE_UNVERIFIED"
"""Reason id: the words or the directory could not be read, and a simpler notice stands in."""

SHORT: Final = "short"
"""Stands in a notice's id in place of a variant for the short form."""

FULL_SHOWINGS: Final = 2
"""After two different full forms in a session a warning is no longer read (Anderson and others, CHI 2015)."""

Context = Literal["forwarding", "outrage", "chat_with_child"]
"""What only the host knows: the picture was received and is passed on; in outrage; the other one is a known child."""

CONTEXTS: Final[tuple[Context, ...]] = ("forwarding", "outrage", "chat_with_child")

# The texts that the rules here were written for and tested on; a translation has to earn its place first.
_SOURCE_LANGUAGE: Final = "en"

_YOUNG = frozenset({AgeBand.UNDER_10, AgeBand.FROM_10_TO_12})

# Two are enough for a young child, for whom the adult beside them comes first anyway.
_YOUNG_LIMIT = 2

_INCOMING = frozenset({Event.RECEIVE, Event.VIEW})

_FILE_STATES = frozenset(
    {"DECODE_FAILED", "NOT_MEDIA", "NO_DECODER", "TOO_LARGE", "TOO_SMALL", "NO_EVIDENCE", "TOO_DARK", "TOO_BLURRED"}
)
_CHECK_STATES = frozenset(
    {"NO_MODEL", "UNVERIFIED", "DETECTOR_FAILED", "SCORE_INVALID", "LOW_QUALITY", "TIMED_OUT", "OUT_OF_MEMORY"}
)
# What is about a text, a list, the settings or the clock, where words about a picture would be wrong.
_TEXT_STATES = frozenset({"UNKNOWN_LANGUAGE", "TOO_LONG", "MALFORMED"})
_LIST_STATES = frozenset({"NO_LIST"})
_SETTINGS_STATES = frozenset({"NO_STORE", "STORE_DAMAGED", "STORE_ROLLED_BACK", "STORE_FAILED"})
_CLOCK_STATES = frozenset({"CLOCK_UNCONFIRMED"})
_BY_REASON: Final[dict[str, Trigger]] = {
    "QUERY_MATCH": "query_match",
    "SITE_MATCH": "site_match",
    "CONVERSATION_WATCH": "conversation_watch",
    "GROOMING_STAGE": "conversation_watch",
    "CONSENT_MISSING": "consent",
    "CONSENT_EXPIRED": "consent",
    "CONSENT_WITHDRAWN": "consent",
    "TIME_SPENT": "time_spent",
    "TIME_OUTSIDE_WINDOW": "time_outside_window",
    **dict.fromkeys(_SETTINGS_STATES, "settings_damaged"),
    **dict.fromkeys(_CLOCK_STATES, "clock_unconfirmed"),
    **dict.fromkeys(_TEXT_STATES, "could_not_tell_text"),
    **dict.fromkeys(_LIST_STATES, "generic"),
}
_SUBJECT_DOUBT = frozenset({"SUBJECT_MINOR_STRONG", "SUBJECT_MINOR", "SUBJECT_UNSURE"})

CHILD_HELPLINE_FINDER: Final = HelpService(
    service="Child helpline finder",
    organisation="Child Helpline International",
    country=INTERNATIONAL,
    audience=("child", "parent_or_carer"),
    languages=("en",),
    phone=None,
    sms=None,
    chat_url=None,
    web_url="https://childhelplineinternational.org/about/members/",
    report_url=None,
    read_on=None,
    source=None,
)
"""The directory's own row, kept in code for the case that the directory cannot be read."""

# Age 7, any trigger, any event, no promise that a setting could break. First choice: the safest.
_LAST_RESORT: Final[dict[Action, tuple[str, str, tuple[Choice, ...]]]] = {
    Action.NUDGE: (
        "Stop and think first",
        "This may be private or upsetting. You can stop here or carry on. This does not mean that you did "
        "something wrong. If something worries you, talk to somebody you trust.",
        (Choice("stop", "Stop here"), Choice("continue", "Carry on")),
    ),
    Action.BLUR: (
        "Hidden until you decide",
        "This may be private or upsetting, so it is hidden. You do not have to look. You can also choose to "
        "look. If something worries you, talk to somebody you trust. It is not your fault.",
        (Choice("keep_hidden", "Keep it hidden"), Choice("show", "Look at it")),
    ),
    Action.HOLD: (
        "Kept back for now",
        "The device was not sure about this, so it is kept back for now. It has not been deleted. This does "
        "not mean that you did something wrong. If something worries you, talk to somebody you trust.",
        (Choice("close", "Leave it for now"),),
    ),
    Action.BLOCK: (
        "This stops here",
        "The device was not sure that this is safe, so it stopped it. This does not mean that you did "
        "something wrong. If something worries you, talk to somebody you trust.",
        (Choice("stop", "Stop here"),),
    ),
}
_LAST_RESORT_WHY: Final = "A check on this device did this by itself; it can be wrong, and no person took part."
# Always offered, whatever the action.
_HELP_AND_APPEAL: Final = (Choice("help", "Find someone to talk to"), Choice("appeal", "Say this is wrong"))


@dataclass(frozen=True, slots=True)
class History:
    """What one reader has been shown, oldest first: entry and variant ids, no time and no content.

    The host or the guard keeps it and gives it back; an empty one means "nothing yet".

    Attributes:
        shown: ``(entry, variant)`` of this session; the variant is ``short`` for the short form.
        earlier: the last full form of each entry in sessions before.
        false_alarms: entries of which the reader said "this is wrong".
    """

    shown: tuple[tuple[str, str], ...] = ()
    earlier: tuple[tuple[str, str], ...] = ()
    false_alarms: frozenset[str] = frozenset()

    def with_shown(self, notice: Notice) -> History:
        """This history after ``notice`` was shown."""
        entry, _, variant = notice.id.partition("/")
        return replace(self, shown=(*self.shown, (entry, variant)))

    def with_false_alarm(self, notice: Notice) -> History:
        """This history after the reader said that ``notice`` was wrong. The block itself always stays."""
        return replace(self, false_alarms=self.false_alarms | {notice.id.partition("/")[0]})

    def next_session(self) -> History:
        """This history at the start of a new session: full forms again, but not the last one first."""
        last = {**dict(self.earlier), **{entry: variant for entry, variant in self.shown if variant != SHORT}}
        return History(earlier=tuple(sorted(last.items())), false_alarms=self.false_alarms)

    def times(self, entry: str) -> int:
        """How often the entry was shown in this session."""
        return sum(shown == entry for shown, _ in self.shown)

    def last_variant(self, entry: str) -> str | None:
        """The full form of the entry that was shown last, in this session or before."""
        for shown, variant in reversed(self.shown):
            if shown == entry and variant != SHORT:
                return variant
        return dict(self.earlier).get(entry)


def trigger_for(
    reasons: Sequence[str],
    event: Event,
    band: AgeBand,
    *,
    context: Context | None = None,
    about: Literal["picture", "text"] = "picture",
) -> Trigger:
    """Returns the trigger whose words fit ``reasons``; ``generic`` if nothing here knows them.

    In this order: somebody in danger; somebody who may be shown in the picture; somebody who came by it or is about to
    pass it on; somebody whose own act is in question. Of what is left, the earlier in ``reasons`` wins.

    Args:
        reasons: ids of what led to the action, most severe first, e.g. ``("NUDITY_EXPLICIT",)``.
        event: what was about to happen; receiving and viewing are worded as coming in.
        band: age of the *user*. Only an established adult reads about the age of the person shown, and
            reads the deterrence notice only at strong evidence together with explicit nudity.
        context: what only the host knows. It chooses words, no action.
        about: what was looked at, for states that fit pictures and texts alike.

    Example:
        >>> trigger_for(("NUDITY_EXPLICIT",), Event.SEND, AgeBand.UNKNOWN)
        'picture_out_explicit'
    """
    known = set(reasons)
    adult = band is AgeBand.ADULT
    explicit = "NUDITY_EXPLICIT" in known
    incoming = event in _INCOMING
    in_chat = bool(known & {"CONVERSATION_DANGER", "CONVERSATION_WARN", "CONVERSATION_WATCH"})
    if adult and in_chat and context == "chat_with_child":
        return "adult_chat_likely_child"
    if "CONVERSATION_DANGER" in known:
        return "conversation_danger"
    passing_on = not incoming and event not in (Event.CAPTURE, Event.SEARCH)
    if adult and context == "outrage" and passing_on and known & {"KNOWN_MATCH", "SUBJECT_MINOR_STRONG"}:
        return "outrage_sharing"
    if "KNOWN_MATCH" in known:
        return "known_match"
    if adult and known & _SUBJECT_DOUBT:
        if explicit and "SUBJECT_MINOR_STRONG" in known:
            return "adult_subject_minor_strong"
        if explicit or "NUDITY_SUGGESTIVE" not in known:
            return "adult_subject_unsure"
    if "CONVERSATION_WARN" in known:
        return "conversation_warn"
    if explicit:
        if context == "forwarding" and passing_on and not adult:
            return "forwarding"
        return "picture_in_explicit" if incoming else "picture_out_explicit"
    for reason in reasons:
        if reason == "NUDITY_SUGGESTIVE":
            if context == "forwarding" and passing_on and not adult:
                return "forwarding"
            return "picture_in_suggestive" if incoming else "picture_out_suggestive"
        if reason == "QUERY_MATCH" and adult:
            return "adult_search"
        if reason == "QUERY_MATCH" and band is AgeBand.UNKNOWN:
            return "unknown_age"
        if reason in _FILE_STATES:
            return "could_not_tell_file" if about == "picture" else "could_not_tell_text"
        if reason in _CHECK_STATES:
            return "could_not_tell_check" if about == "picture" else "could_not_tell_text"
        if reason in _BY_REASON:
            return _BY_REASON[reason]
    return "generic"


def select_notice(
    *,
    catalogue: Catalogue | None,
    directory: Sequence[HelpService],
    trigger: str,
    action: Action,
    band: AgeBand,
    event: Event,
    country: str | None = None,
    languages: Sequence[str] = (),
    today: date | None = None,
    history: History | None = None,
    unreviewed_languages: Collection[str] = (),
    recorded: bool = False,
) -> Notice:
    """Returns the notice for one decision, always with words and at least one way to help.

    Args:
        catalogue: the texts, or ``None`` if they could not be read: then the last resort answers.
        directory: the help services; empty if they could not be read.
        trigger: from :func:`trigger_for`; one that the catalogue does not know gets the generic notice,
            because the moment of a block is no moment for an exception.
        action: ``NUDGE`` or higher.
        band: age of the user.
        event: what was about to happen.
        country: for the help services; ``None``: international ones.
        languages: BCP 47 tags of the reader, best first.
        today: see :func:`~safelight.notices.directory.find_help`.
        history: what this reader has seen: the first time a full form, then a different one, then the short form.
        unreviewed_languages: tags whose full texts may be shown although no native speaker has judged them. Of any
            language but English that nobody has judged, others see the short form with the local help line.
        recorded: a record for a collector was made: then the words never say that nobody was told.

    Raises:
        UsageError: ``action`` is ``ALLOW``, which shows nothing.
    """
    if action is Action.ALLOW:
        raise UsageError("got action ALLOW; expected NUDGE or higher; an allowed picture has no notice")
    entry = None
    if catalogue is not None:
        entry = catalogue.find(trigger=trigger, action=action.name, band=band, event=event)
        if entry is None:
            entry = catalogue.find(trigger="generic", action=action.name, band=band, event=event)
    if catalogue is None or entry is None:
        return last_resort(
            action=action, band=band, directory=directory, country=country, languages=languages, today=today
        )
    notice = _worded(
        entry, action.name, band, directory, country, languages, today, history or History(), unreviewed_languages
    )
    if recorded:
        # Its sentence says that no person has looked, which stays true; every other one says that nobody was told.
        known = catalogue.find(trigger="known_match", action=action.name, band=band, event=event)
        return replace(notice, why=known.why if known is not None else _LAST_RESORT_WHY)
    return notice


def select_asked(
    *,
    catalogue: Catalogue | None,
    directory: Sequence[HelpService],
    trigger: str,
    band: AgeBand,
    country: str | None = None,
    languages: Sequence[str] = (),
    today: date | None = None,
    history: History | None = None,
    unreviewed_languages: Collection[str] = (),
) -> Notice:
    """Returns the notice that a person asked for: ``pressured``, ``own_image_shared``, ``parent_asked`` and others.

    A notice for adults that a possible child asks for, or an unknown trigger, gives what a child is told who is
    pressed: support first. Arguments as for :func:`select_notice`.
    """
    entry = None
    if catalogue is not None:
        entry = catalogue.find_asked(trigger=trigger, band=band) or catalogue.find_asked(trigger="pressured", band=band)
    if entry is None:
        return last_resort(
            action=Action.NUDGE, band=band, directory=directory, country=country, languages=languages, today=today
        )
    return _worded(entry, ASKED, band, directory, country, languages, today, history or History(), unreviewed_languages)


def _worded(
    entry: Entry,
    action: str,
    band: AgeBand,
    directory: Sequence[HelpService],
    country: str | None,
    languages: Sequence[str],
    today: date | None,
    history: History,
    unreviewed_languages: Collection[str],
) -> Notice:
    may_show = [variant for variant in entry.variants if _may_show_in_full(variant, entry.lang, unreviewed_languages)]
    text = _variant(entry, may_show, history)
    return Notice(
        id=f"{entry.id}/{text.id if text is not None else SHORT}",
        lang=entry.lang,
        title=text.title if text is not None else entry.variants[0].title,
        body=text.body if text is not None else entry.short,
        why=entry.why,
        choices=entry.choices(action),
        appeal=entry.appeal,
        help=_help(
            directory,
            entry.help,
            band,
            country,
            # The local line first: of services in one country, the reader's own language wins.
            languages,
            today,
            local_only=not may_show,
        ),
        direction=entry.direction,
        severity=entry.shape.severity,
    )


def _may_show_in_full(variant: Variant, lang: str, unreviewed_languages: Collection[str]) -> bool:
    return lang == _SOURCE_LANGUAGE or variant.review != "written" or lang in unreviewed_languages


def _variant(entry: Entry, may_show: Sequence[Variant], history: History) -> Variant | None:
    """The full form to show now, or ``None`` for the short form."""
    softened = entry.shape.severity == 1 and entry.id in history.false_alarms
    if not may_show or softened or history.times(entry.id) >= FULL_SHOWINGS:
        return None
    last = history.last_variant(entry.id)
    ids = [variant.id for variant in may_show]
    if last not in ids:
        return may_show[0]
    if len(ids) > 1:
        return may_show[(ids.index(last) + 1) % len(ids)]
    # The one wording there is may open a session, but is not shown twice in one.
    return may_show[0] if history.times(entry.id) == 0 else None


def last_resort(
    *,
    action: Action,
    band: AgeBand,
    directory: Sequence[HelpService] = (),
    country: str | None = None,
    languages: Sequence[str] = (),
    today: date | None = None,
) -> Notice:
    """Returns a plain English notice that needs no catalogue, safe for a reader of seven.

    Its words carry no number. Its help is the child and crisis lines of ``directory`` where that could be
    read, else the international finder's web address.

    Raises:
        UsageError: ``action`` is ``ALLOW``, which shows nothing.
    """
    if action is Action.ALLOW:
        raise UsageError("got action ALLOW; expected NUDGE or higher; an allowed picture has no notice")
    title, body, choices = _LAST_RESORT[action]
    return Notice(
        id=f"last_resort.{action.name.lower()}/a",
        lang="en",
        title=title,
        body=body,
        why=_LAST_RESORT_WHY,
        choices=choices + _HELP_AND_APPEAL,
        appeal="If you think this is wrong, press “Say this is wrong” to ask for another look.",
        help=_help(directory, ("child", "crisis"), band, country, languages, today),
    )


def _help(
    directory: Sequence[HelpService],
    audiences: Sequence[str],
    band: AgeBand,
    country: str | None,
    languages: Sequence[str],
    today: date | None,
    *,
    local_only: bool = False,
) -> tuple[HelpService, ...]:
    limit = _YOUNG_LIMIT if band in _YOUNG or local_only else max(DEFAULT_LIMIT, len(audiences))
    found = find_help(directory, country=country, audiences=audiences, languages=languages, today=today, limit=limit)
    return found or (CHILD_HELPLINE_FINDER,)
