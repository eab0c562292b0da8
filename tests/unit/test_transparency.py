"""Question: does the report say what was counted, with definitions and limits, and nothing that tells on anybody?"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from safelight.accountability.transparency import (
    GROUPS,
    Period,
    TransparencyReport,
    build_report,
    periods_of_weeks,
    read_counters,
    report_csv,
)
from safelight.accountability.transparency_page import transparency_html, transparency_markdown
from safelight.cli.main import cli
from safelight.errors import SafelightError, UsageError
from safelight.store.counters import NAMES
from store_world import World

DEVICE = {
    "action.allow": 4120,
    "action.nudge": 61,
    "action.blur": 12,
    "action.hold": 3,
    "action.block": 0,
    "choice.stop": 44,
    "choice.continue": 25,
    "help.opened": 11,
    "appeal.asked": 14,
    "appeal.restored": 2,
    "notice.shown": 76,
    "notice.repeated": 15,
    "notice.false_alarm": 4,
}
OCTOBER, NOVEMBER = (date(2026, 10, 1), date(2026, 10, 31)), (date(2026, 11, 1), date(2026, 11, 30))
# As a collector answers: what it withholds itself is left out.
COLLECTOR = {
    "records.stored": 320,
    "records.made_by.list_match": 300,
    "records.made_by.person": 20,
    "records.category.known_material": 300,
    "records.action.HOLD": 290,
    "records.action.hold": 300,
    "something.else": 17,
}


def device(**changes: int) -> TransparencyReport:
    return build_report([Period(*OCTOBER, {**DEVICE, **changes})], product="A family's tablet", source="device")


def cells(report: TransparencyReport, table: str) -> dict[str, tuple[int | str, ...]]:
    (found,) = (one for one in report.tables if one.id == table)
    return {row.name: row.cells for row in found.rows}


@pytest.mark.parametrize("name", ["report.md", "report.html", "report.csv", "report.json"])
def test_the_golden_report(root: Path, name: str) -> None:
    """After a wanted change: python tests/golden/make_transparency_v1.py."""
    from golden.make_transparency_v1 import made

    assert made()[name] == (root / "tests/golden/transparency_v1" / name).read_text("utf-8")


def test_small_counts_and_what_gives_them_away_are_withheld() -> None:
    actions = cells(device(), "actions")
    assert actions == {
        "action.allow": (4120,),
        "action.nudge": (61,),
        "action.blur": ("withheld",),
        "action.hold": ("withheld",),
        "action.block": (0,),
        "total": (4196,),
    }
    effects = cells(device(), "effects")
    assert effects["notice.false_alarm"] == ("withheld",)
    assert effects["notice.repeated"] == (15,), "no total, so nothing gives the small one away"
    assert cells(device(), "appeals") == {"appeal.asked": (14,), "appeal.restored": ("withheld",)}


def test_nothing_withheld_is_in_any_form() -> None:
    report = device(**{"action.hold": 7, "action.nudge": 54_321, "action.blur": 76_543, "action.allow": 987_654})
    for text in (
        transparency_markdown(report),
        transparency_html(report),
        report_csv(report),
        json.dumps(report.to_dict()),
        repr(report),
    ):
        for number in ("54321", "54,321"):
            assert number not in text
    rows = list(csv.DictReader(io.StringIO(report_csv(report))))
    assert {row["state"] for row in rows if not row["count"]} == {"withheld"}


def test_rates_need_both_counts_and_read_themselves_down() -> None:
    assert device().per_100_shown == {
        "choice.stop": 57.9,
        "choice.continue": 32.9,
        "help.opened": 14.5,
        "notice.repeated": 19.7,
    }
    assert device(**{"notice.shown": 9}).per_100_shown == {}
    page = transparency_markdown(device())
    for said in ("need not add up to 100", "not shares of people", "nothing here says what a notice caused"):
        assert said in page


def test_periods_stand_side_by_side_with_a_total_that_gives_nothing_away() -> None:
    later = {name: count * 3 for name, count in DEVICE.items()}
    report = build_report([Period(*NOVEMBER, later), Period(*OCTOBER, DEVICE)], product="x", source="device")
    actions = cells(report, "actions")
    assert report.tables[0].columns == ("2026-10-01 to 2026-10-31", "2026-11-01 to 2026-11-30", "all")
    assert actions["action.nudge"][-1] == 61 + 183 or actions["action.nudge"][-1] == "withheld"
    for column in range(3):
        hidden = [name for name, row in actions.items() if row[column] == "withheld"]
        assert len(hidden) != 1, (column, actions)
    for row in actions.values():
        assert sum(cell == "withheld" for cell in row) != 1


def test_a_collectors_own_withholding_is_respected_and_not_undone() -> None:
    report = build_report([Period(*OCTOBER, COLLECTOR)], product="x", source="collector")
    category = cells(report, "records_category")
    assert category["records.category.known_material"] in ((300,), ("withheld",))
    assert category["records.category.(withheld)"] == ("withheld",)
    made_by = cells(report, "records_made_by")
    assert made_by["records.made_by.person"] == (20,)
    shown = {name: row[0] for name, row in category.items() if isinstance(row[0], int)}
    assert len(category) - len(shown) >= 2, "one alone is the total less the others"
    # The same total stands in three tables: where one withholds it, all do.
    totals = {cells(report, table.id)["total"] for table in report.tables}
    assert len(totals) == 1
    assert report.undefined == 2
    assert "something.else" not in transparency_markdown(report) and "records.action.HOLD" not in report_csv(report)


def test_what_a_source_does_not_say_is_not_zero() -> None:
    report = build_report(
        [Period(*OCTOBER, {"notice.shown": 500}), Period(*NOVEMBER, {"notice.shown": 400, "help.opened": 30})],
        product="x",
        source="device",
    )
    assert cells(report, "effects")["help.opened"] == ("not stated", 30, "not stated")


@pytest.mark.parametrize(
    "periods",
    [
        [],
        [Period(*OCTOBER, DEVICE), Period(date(2026, 10, 31), date(2026, 11, 5), DEVICE)],
        [Period(*OCTOBER, {"records.stored": 5, "records.made_by.person": 9})],
    ],
)
def test_what_cannot_be_true_is_refused(periods: list[Period]) -> None:
    with pytest.raises(UsageError):
        build_report(periods, product="x", source="collector")
    with pytest.raises(UsageError):
        build_report([Period(*OCTOBER, DEVICE)], product="x", source="device", k=4)


def test_every_counter_of_the_store_has_a_definition() -> None:
    assert set(NAMES) == {one.name for group in GROUPS for one in group.counters}
    assert all(len(one.text) > 10 for group in GROUPS for one in group.counters)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"schema": 2, "from": "2026-01-01", "to": "2026-01-02", "counters": {}}',
        b'{"schema": 1, "from": "2026-01-03", "to": "2026-01-02", "counters": {}}',
        b'{"schema": 1, "from": "2026-01-01", "to": "2026-01-02", "counters": {"a": -1}}',
        b'{"schema": 1, "from": "2026-01-01", "to": "2026-01-02", "counters": {"a": 1.5}}',
        b'{"schema": 1, "from": "2026-01-01", "to": "2026-01-02", "counters": {}, "device": "x"}',
        b'{"week": "2026-W99", "counts": {}}',
    ],
)
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(UsageError):
        read_counters(content)


@given(st.binary(max_size=300))
def test_no_file_raises_anything_else(content: bytes) -> None:
    try:
        read_counters(content)
    except UsageError:
        return


def test_both_forms_are_read() -> None:
    (one,) = read_counters(
        json.dumps({"schema": 1, "from": "2026-10-01", "to": "2026-10-31", "counters": DEVICE}).encode()
    )
    assert (one.first, one.last, dict(one.counters)) == (*OCTOBER, DEVICE)
    lines = (
        b'{"week": "2026-W46", "exported": true, "counts": {"notice.shown": 40}}\n{"week": "2026-W47", "counts": {}}\n'
    )
    first, second = read_counters(lines)
    assert (first.first, first.last) == (date(2026, 11, 9), date(2026, 11, 15))
    assert second.first == date(2026, 11, 16)


def test_weeks_of_a_store_become_one_period_or_many() -> None:
    weeks = {"2026-W46": {"notice.shown": 2}, "2026-W47": {"notice.shown": 3}}
    (one,) = periods_of_weeks(weeks, every=NAMES, by_week=False)
    assert one.counters["notice.shown"] == 5
    assert one.counters["action.block"] == 0
    assert len(periods_of_weeks(weeks, every=NAMES, by_week=True)) == 2
    assert periods_of_weeks({}, every=NAMES, by_week=False) == ()


def test_the_page_is_accessible_and_needs_nothing_from_outside() -> None:
    pytest.importorskip("matplotlib")
    from safelight.accountability.plots import draw_counts

    page = transparency_html(device(), draw=draw_counts)
    body = page.split("<main>")[1]
    assert page.count("<svg") == 3
    assert body.count("<table>") == body.count("<caption") >= 5, "every drawing has a table beside it"
    assert body.count('scope="col"') > 5 and body.count('scope="row"') > 10
    assert "withheld or not stated" in body
    assert "<script" not in page
    assert 'src="' not in page
    for start in body.split("<svg")[1:]:
        svg = ElementTree.fromstring("<svg" + start.split("</svg>")[0] + "</svg>")
        assert svg.get("aria-hidden") == "true"
        assert all("http" not in (value or "") or "w3.org" in (value or "") for value in svg.attrib.values())
    ids = [part.split('"')[0] for part in body.split(' id="')[1:]]
    assert len(ids) == len(set(ids)), "ids are used once on a page"
    assert draw_counts("A", ["x"], [3]) == draw_counts("A", ["x"], [3])


# --- the command ---------------------------------------------------------------------------------------


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setattr("safelight.cli.transparency.open_store", lambda path: world.open())
    return lambda *words: CliRunner().invoke(cli, ["transparency", *words])


def count(world: World, **times: int) -> None:
    with world.set_up(counters=True) as store:
        for name, number in times.items():
            for _ in range(number):
                store.counters.add(name.replace("__", "."))


def test_the_devices_own_counters(world: World, run: Callable[..., Result]) -> None:
    count(world, notice__shown=40, choice__stop=30, action__allow=25, action__hold=4)
    done = run("--product", "Our tablet")
    assert done.exit_code == 0, done.output
    assert "# Transparency report: Our tablet" in done.stdout
    assert "| notice.shown | a notice was on the screen | 40 |" in done.stdout
    data = json.loads(run("--json").stdout)
    (actions,) = (table for table in data["tables"] if table["id"] == "actions")
    assert {row["name"]: row["cells"] for row in actions["rows"]} == {
        "action.allow": ["withheld"],
        "action.nudge": [0],
        "action.blur": [0],
        "action.hold": ["withheld"],
        "action.block": [0],
        "total": [29],
    }


def test_without_counting_it_says_so(world: World, run: Callable[..., Result]) -> None:
    world.set_up().close()
    assert "counters=on" in str(run().exception)
    assert isinstance(run().exception, SafelightError)


def test_a_collectors_files(run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = []
    for first, last in (OCTOBER, NOVEMBER):
        file = tmp_path / f"{first}.json"
        values = {"schema": 1, "from": first.isoformat(), "to": last.isoformat(), "counters": COLLECTOR}
        file.write_text(json.dumps(values), "utf-8")
        files.append(str(file))
    outs = {name: tmp_path / f"out.{name}" for name in ("markdown", "html", "csv")}
    done = run(*files, *(part for name, path in outs.items() for part in (f"--{name}", str(path))))
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert outs["html"].read_text("utf-8").startswith("<!doctype html>")
    assert outs["csv"].read_text("utf-8").startswith("table,counter,period,count,state\n")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    plain = run(files[0], "--html", str(outs["html"]))
    assert plain.exit_code == 0
    assert "safelight[plots]" in plain.stderr
    assert "<svg" not in outs["html"].read_text("utf-8")


def test_usage(run: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text("{}", "utf-8")
    assert run(str(file)).exit_code == 2
    assert run(str(file), "--by-week").exit_code == 2
    assert run("--k", "4").exit_code == 2
    assert isinstance(run(str(tmp_path / "none.json")).exception, SafelightError)
