"""Question: is every service shown only as far as it was read, and the right few to the right person?"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from safelight.decision import AgeBand, HelpService
from safelight.notices.catalogue import AUDIENCES, Catalogue
from safelight.notices.directory import (
    INTERNATIONAL,
    STALE_AFTER_DAYS,
    DirectoryError,
    find_help,
    load_directory,
)

READ = date(2026, 1, 1)


def service(name: str, country: str = "GB", *audience: str, **fields: Any) -> HelpService:
    base = HelpService(
        service=name,
        organisation="A test",
        country=country,
        audience=audience or ("child",),
        languages=("en",),
        phone="1",
        sms=None,
        chat_url=None,
        web_url="https://example.org/",
        report_url=None,
        read_on=READ,
        source="https://example.org/",
    )
    return replace(base, **fields)


def names(found: tuple[HelpService, ...]) -> list[str]:
    return [one.service for one in found]


# --- the table


def test_numbers_only_where_read_and_always_with_the_date(directory: tuple[HelpService, ...]) -> None:
    unverified = [one for one in directory if one.read_on is None]
    assert unverified, "a table without doubt would be a sign that the marks were lost"
    for one in unverified:
        assert (one.phone, one.sms, one.chat_url, one.report_url, one.source) == (None,) * 5, one.service
        assert one.web_url
    for one in directory:
        if one.phone or one.sms or one.chat_url:
            assert one.read_on is not None and one.source, one.service


def test_every_country_has_a_child_line_and_the_world_has_every_fallback(
    directory: tuple[HelpService, ...],
) -> None:
    for country in {one.country for one in directory}:
        assert any(one.country == country and "child" in one.audience for one in directory), country
    worldwide = {name for one in directory if one.country == INTERNATIONAL for name in one.audience}
    assert worldwide >= {
        "child",
        "parent_or_carer",
        "anyone_reporting",
        "adult_concerned_about_own_behaviour",
        "victim_image_removal",
        "victim_image_removal_adult",
    }


def test_values_are_well_formed(directory: tuple[HelpService, ...]) -> None:
    seen = set()
    for one in directory:
        assert (one.service, one.country) not in seen
        seen.add((one.service, one.country))
        assert set(one.audience) <= set(AUDIENCES)
        assert "not read" not in (one.service, one.organisation)
        if one.phone:
            assert re.fullmatch(r"\+?[0-9][0-9 -]*", one.phone), one.service
        if one.sms:
            assert re.fullmatch(r"([A-Z]+ to )?\+?[0-9][0-9 -]*", one.sms), one.service
        for url in (one.chat_url, one.web_url, one.report_url):
            assert url is None or re.fullmatch(r"https://[^\s?#]+", url), f"{one.service}: a bare link"


def test_nothing_claims_to_have_been_dialled(deterrence: Path) -> None:
    table = json.loads((deterrence / "help" / "helplines.json").read_text(encoding="utf-8"))
    assert len(table["services"]) == 110
    assert not any(row["checked_live"] for row in table["services"])
    assert table["version"] == max(row["read_on"] for row in table["services"] if row["read_on"])


@pytest.mark.parametrize(
    "change",
    [
        {"confidence": "widely_known_unverified"},
        {"read_on": None},
        {"source": None},
        {"web_url": None},
        {"web_url": "http://example.org/"},
        {"country": "GBR"},
        {"audience": ["everybody"]},
        {"surprise": 1},
    ],
    ids=lambda change: ",".join(change),
)
def test_a_row_that_claims_too_much_is_refused(deterrence: Path, change: dict[str, Any]) -> None:
    table = json.loads((deterrence / "help" / "helplines.json").read_text(encoding="utf-8"))
    row = next(row for row in table["services"] if row["phone"])
    row.update(change)
    with pytest.raises(DirectoryError, match="expected"):
        load_directory(json.dumps(table).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"schema": 2, "version": "2026-01-01", "services": []}'])
def test_bytes_that_are_no_directory_are_refused(data: bytes) -> None:
    with pytest.raises(DirectoryError):
        load_directory(data)


# --- the choice


def test_the_country_first_then_what_the_world_adds() -> None:
    table = (
        service("world", INTERNATIONAL),
        service("other", "FR"),
        service("second"),
        service("third"),
    )
    assert names(find_help(table, country="GB", audiences=("child",))) == ["second", "third", "world"]
    assert names(find_help(table, country="FR", audiences=("child",))) == ["other", "world"]
    for country in (None, "ZZ", INTERNATIONAL):
        assert names(find_help(table, country=country, audiences=("child",))) == ["world"]


@pytest.mark.parametrize("country", ["GB", "gb", " gb ", "UK"])
def test_a_country_is_found_as_people_write_it(country: str) -> None:
    assert names(find_help((service("line"),), country=country, audiences=("child",))) == ["line"]


def test_audiences_in_the_order_asked_for() -> None:
    table = (service("carer", "GB", "parent_or_carer"), service("child"), service("crisis", "GB", "crisis"))
    found = find_help(table, country="GB", audiences=("crisis", "child", "parent_or_carer"))
    assert names(found) == ["crisis", "child", "carer"]


def test_an_audience_that_the_country_lacks_comes_from_the_world() -> None:
    table = (service("child"), service("removal", INTERNATIONAL, "victim_image_removal"))
    found = find_help(table, country="GB", audiences=("victim_image_removal", "child"))
    assert names(found) == ["removal", "child"]


def test_child_and_crisis_are_the_last_to_go() -> None:
    table = (
        service("carer", "GB", "parent_or_carer"),
        service("removal", "GB", "victim_image_removal"),
        service("child"),
        service("crisis", "GB", "crisis"),
    )
    audiences = ("parent_or_carer", "victim_image_removal", "child", "crisis")
    assert names(find_help(table, country="GB", audiences=audiences, limit=2)) == ["child", "crisis"]
    assert names(find_help(table, country="GB", audiences=audiences, limit=3)) == ["carer", "child", "crisis"]


def test_language_orders_and_never_hides() -> None:
    table = (
        service("dutch", "BE", languages=("nl",)),
        service("french", "BE", languages=("fr",)),
        service("bokmål", "NO", languages=("no",)),
    )
    assert names(find_help(table, country="BE", audiences=("child",), languages=("fr-BE", "nl"))) == [
        "french",
        "dutch",
    ]
    assert names(find_help(table, country="BE", audiences=("child",), languages=("en",))) == [
        "dutch",
        "french",
    ]
    assert names(find_help(table, country="NO", audiences=("child",), languages=("nb-NO",))) == ["bokmål"]


def test_an_old_reading_comes_later_but_child_and_crisis_keep_their_place() -> None:
    audiences = ("child", "parent_or_carer")
    old = service("old", "GB", *audiences, read_on=READ)
    new = service("new", "GB", *audiences, read_on=READ + timedelta(days=300))
    today = READ + timedelta(days=STALE_AFTER_DAYS + 1)
    assert names(find_help((old, new), country="GB", audiences=("child",), today=today)) == ["old", "new"]
    assert names(find_help((old, new), country="GB", audiences=("parent_or_carer",), today=today)) == [
        "new",
        "old",
    ]
    assert names(find_help((old, new), country="GB", audiences=("parent_or_carer",))) == ["old", "new"]
    just = READ + timedelta(days=STALE_AFTER_DAYS)
    assert names(find_help((old, new), country="GB", audiences=("parent_or_carer",), today=just)) == [
        "old",
        "new",
    ]


def test_a_report_form_is_not_somebody_to_talk_to() -> None:
    form = service("form", "GB", "child", "anyone_reporting", phone=None)
    line = service("line")
    assert names(find_help((form, line), country="GB", audiences=("child",))) == ["line"]
    assert names(find_help((form,), country="GB", audiences=("child",))) == ["form"], "better than nothing"
    assert names(find_help((form, line), country="GB", audiences=("anyone_reporting",))) == ["form"]


def test_real_table_support_comes_before_reports(directory: tuple[HelpService, ...]) -> None:
    for country in {one.country for one in directory} - {"BR", INTERNATIONAL}:
        first = find_help(directory, country=country, audiences=("child",))[0]
        assert "anyone_reporting" not in first.audience, country


def test_real_table_well_known_lines(directory: tuple[HelpService, ...]) -> None:
    assert find_help(directory, country="GB", audiences=("child",))[0].service == "Childline"
    assert find_help(directory, country="BE", audiences=("child",), languages=("fr",))[0].phone == "103"
    assert find_help(directory, country="GB", audiences=("parent_or_carer",))[0].organisation == "NSPCC"
    worried = find_help(directory, country="IN", audiences=("adult_concerned_about_own_behaviour",))
    assert worried[0].country == INTERNATIONAL


@pytest.mark.parametrize("languages", [(), ("ar",), ("hu",), ("en",)], ids=str)
def test_no_protected_reader_is_sent_to_a_service_for_adults(
    languages: tuple[str, ...], catalogue: Catalogue, directory: tuple[HelpService, ...]
) -> None:
    lists = {entry.help for entry in catalogue.notices if AgeBand.ADULT not in entry.bands}
    for audiences in lists:
        assert audiences[0] in ("child", "crisis", "child_concerned_about_own_behaviour"), audiences
        assert "child" in audiences and "victim_image_removal_adult" not in audiences, audiences
        for country in {one.country for one in directory} | {None}:
            found = find_help(directory, country=country, audiences=audiences, languages=languages)
            assert not any("18+" in one.service for one in found)


def test_limit_and_no_service_twice(directory: tuple[HelpService, ...]) -> None:
    for country in {one.country for one in directory} | {None}:
        for limit in (1, 2, 4):
            found = find_help(directory, country=country, audiences=AUDIENCES, limit=limit)
            assert 1 <= len(found) <= limit
            assert len(set(found)) == len(found)
