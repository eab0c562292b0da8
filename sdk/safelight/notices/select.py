"""Which notice to show: pure functions from what was decided to the words for it.

They never fail to answer: the entry written for the situation, else the generic one for this band and
action, else the last resort in this file, which needs no data at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

from safelight.decision import Action, AgeBand, Choice, Event, HelpService, Notice
from safelight.errors import UsageError
from safelight.notices.catalogue import Catalogue, Trigger
from safelight.notices.directory import DEFAULT_LIMIT, INTERNATIONAL, find_help

CATALOGUE_UNVERIFIED: Final = "CATALOGUE_UNVERIFIED"
"""Reason id: the words or the directory could not be read, and a simpler notice stands in."""

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
_OTHER_STATES = frozenset(
    {
        "NO_LIST",
        "UNKNOWN_LANGUAGE",
        "TOO_LONG",
        "MALFORMED",
        "NO_STORE",
        "STORE_DAMAGED",
        "STORE_ROLLED_BACK",
        "STORE_FAILED",
        "CLOCK_UNCONFIRMED",
    }
)
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
# Always offered, whatever the action.
_HELP_AND_APPEAL: Final = (Choice("help", "Find someone to talk to"), Choice("appeal", "Say this is wrong"))


def trigger_for(reasons: Sequence[str], event: Event, band: AgeBand) -> Trigger:
    """Returns the trigger whose words fit ``reasons``; ``generic`` if nothing here knows them.

    A known match comes first, then (for an adult) doubt about the age of the person shown, then explicit
    nudity. Between suggestive nudity and "could not tell" the earlier in ``reasons`` wins.

    Args:
        reasons: ids of what led to the action, most severe first, e.g. ``("NUDITY_EXPLICIT",)``.
        event: what was about to happen; receiving and viewing are worded as coming in.
        band: age of the *user*. Only an established adult reads about the age of the person shown, and
            reads the deterrence notice only at strong evidence together with explicit nudity.

    Example:
        >>> trigger_for(("NUDITY_EXPLICIT",), Event.SEND, AgeBand.UNKNOWN)
        'picture_out_explicit'
    """
    known = set(reasons)
    explicit = "NUDITY_EXPLICIT" in known
    if "KNOWN_MATCH" in known:
        return "known_match"
    if band is AgeBand.ADULT and known & _SUBJECT_DOUBT:
        if explicit and "SUBJECT_MINOR_STRONG" in known:
            return "adult_subject_minor_strong"
        if explicit or "NUDITY_SUGGESTIVE" not in known:
            return "adult_subject_unsure"
    incoming = event in _INCOMING
    if explicit:
        return "picture_in_explicit" if incoming else "picture_out_explicit"
    for reason in reasons:
        if reason == "NUDITY_SUGGESTIVE":
            return "picture_in_suggestive" if incoming else "picture_out_suggestive"
        if reason in _FILE_STATES:
            return "could_not_tell_file"
        if reason in _CHECK_STATES:
            return "could_not_tell_check"
        if reason in _OTHER_STATES:
            return "generic"
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
    text = entry.variants[0]
    return Notice(
        id=f"{entry.id}/{text.id}",
        lang=catalogue.lang,
        title=text.title,
        body=text.body,
        why=text.why,
        choices=tuple(Choice(choice.id, choice.label) for choice in text.choices),
        appeal=text.appeal,
        help=_help(directory, entry.help, band, country, languages, today),
    )


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
        why="A check on this device did this by itself; it can be wrong, and no person took part.",
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
) -> tuple[HelpService, ...]:
    found = find_help(
        directory,
        country=country,
        audiences=audiences,
        languages=languages,
        today=today,
        limit=_YOUNG_LIMIT if band in _YOUNG else DEFAULT_LIMIT,
    )
    return found or (CHILD_HELPLINE_FINDER,)
