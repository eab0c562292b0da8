"""Question: what happens to a number as its reading gets older, and where does help come from without a local one?"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from safelight.decision import HelpService
from safelight.notices.catalogue import AUDIENCES
from safelight.notices.directory import DUE_AFTER_DAYS, STALE_AFTER_DAYS, due, find_help, freshness, ways

READ_ON = date(2026, 1, 1)
SERVICE = HelpService(
    service="A line",
    organisation="Someone",
    country="GB",
    audience=("adult_concerned_about_own_behaviour",),
    languages=("en",),
    phone="01 234",
    sms="567",
    chat_url="https://example.org/chat",
    web_url="https://example.org/",
    report_url=None,
    read_on=READ_ON,
    source="https://example.org/about",
)


def after(days: int) -> date:
    return READ_ON + timedelta(days=days)


@pytest.mark.parametrize(
    ("days", "state"),
    [
        (0, "current"),
        (DUE_AFTER_DAYS, "current"),
        (DUE_AFTER_DAYS + 1, "due"),
        (STALE_AFTER_DAYS, "due"),
        (STALE_AFTER_DAYS + 1, "old"),
        (5000, "old"),
    ],
)
def test_states_of_a_reading(days: int, state: str) -> None:
    assert freshness(SERVICE, after(days)).state == state
    assert freshness(replace(SERVICE, read_on=None), after(days)).state == "unverified"


@pytest.mark.parametrize("audience", AUDIENCES)
def test_an_old_number_comes_after_the_address_but_for_children_and_in_a_crisis(audience: str) -> None:
    service = replace(SERVICE, audience=(audience,))
    assert [way.kind for way in ways(service, after(STALE_AFTER_DAYS))] == ["phone", "sms", "chat", "web"]
    old = [way.kind for way in ways(service, after(STALE_AFTER_DAYS + 1))]
    if audience in ("child", "crisis"):
        assert old == ["phone", "sms", "chat", "web"]
    else:
        assert old == ["web", "chat", "phone", "sms"]


def test_nothing_is_lost_by_age(directory: tuple[HelpService, ...]) -> None:
    for service in directory:
        values = {value for value in (service.phone, service.sms, service.chat_url, service.web_url) if value}
        for today in (READ_ON, date(2040, 1, 1)):
            assert {way.value for way in ways(service, today)} >= values
            assert ways(service, today)


def test_due_lists_what_was_never_read_first_and_nothing_that_is_current() -> None:
    never, older, newer = (
        replace(SERVICE, service="never", read_on=None),
        replace(SERVICE, service="older", read_on=after(-50)),
        replace(SERVICE, service="newer"),
    )
    current = replace(SERVICE, service="current", read_on=after(100))
    found = due((newer, current, older, never), after(DUE_AFTER_DAYS + 1))
    assert [service.service for service, _ in found] == ["never", "older", "newer"]


def test_after_ninety_days_everything_is_due(directory: tuple[HelpService, ...]) -> None:
    newest = max(service.read_on for service in directory if service.read_on is not None)
    assert len(due(directory, newest + timedelta(days=DUE_AFTER_DAYS + 1))) == len(directory)


@pytest.mark.parametrize(
    ("country", "language", "audience", "expected"),
    [
        ("AT", "de", "adult_concerned_about_own_behaviour", "DE"),
        ("CH", "fr", "adult_concerned_about_own_behaviour", "FR"),
        ("BO", "es", "adult_concerned_about_own_behaviour", "ES"),
        ("LI", "de", "child", "CH"),
    ],
)
def test_a_neighbour_in_the_readers_language_comes_before_the_international_finder(
    directory: tuple[HelpService, ...], country: str, language: str, audience: str, expected: str
) -> None:
    assert not [s for s in directory if s.country == country and audience in s.audience], "the case must need it"
    (first, *_) = find_help(directory, country=country, audiences=(audience,), languages=(language,))
    near = [s for s in directory if s.country == expected and audience in s.audience]
    if near:
        assert first.country == expected
        assert (first.phone, first.sms) == (None, None), "a number of another country may not work"
        assert first.web_url
    else:
        assert first.country in ("DE", "AT", "INT")


def test_a_crisis_is_never_sent_abroad(directory: tuple[HelpService, ...]) -> None:
    for country in ("CA", "GB", "AT", "CH"):
        for service in find_help(directory, country=country, audiences=("crisis",), languages=("en", "de")):
            assert service.country in (country, "INT")
