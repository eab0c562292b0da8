"""A transparency report from counters: definitions, method, limits, and no cell that tells on anybody.

Counters come from a device's own store or from a collector, as
``{"schema": 1, "from": day, "to": day, "counters": {name: count}}``. Every name has a definition here; one without
is not published. Which cells are withheld, and why no reader can work them out, says
:mod:`safelight.accountability.suppression`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, Final

import msgspec

from safelight.accountability.suppression import DEFAULT_K, TOTAL, CellName, Counts, withheld_cells
from safelight.errors import UsageError

MAX_PERIODS: Final = 60
MAX_COUNT: Final = 1 << 53
_WEEK: Final = re.compile(r"(\d{4})-W(\d{2})\Z")
_WORD: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}\Z")


@dataclass(frozen=True, slots=True)
class Definition:
    """What a counter counts."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Group:
    """Counters that belong in one table.

    Attributes:
        id: of the table.
        title: above it.
        parts: whether every event is in exactly one row, so that a total means something.
        counters: in order. Where ``prefix`` is set, names below it are rows as well.
        total: name of a counter that the source itself gives as the total.
    """

    id: str
    title: str
    parts: bool
    counters: tuple[Definition, ...]
    prefix: str | None = None
    prefix_text: str = ""
    total: str | None = None


GROUPS: Final[tuple[Group, ...]] = (
    Group(
        "actions",
        "What checks decided",
        True,
        (
            Definition("action.allow", "it went ahead without a word"),
            Definition("action.nudge", "it went ahead after a thought"),
            Definition("action.blur", "it was covered until the reader chose"),
            Definition("action.hold", "it was kept back for now, also where nobody could tell"),
            Definition("action.block", "it was stopped"),
        ),
    ),
    Group(
        "effects",
        "What notices did",
        False,
        (
            Definition("notice.shown", "a notice was on the screen"),
            Definition("notice.repeated", "of these, one that had been there before in the same session"),
            Definition("choice.stop", "a choice after which what was about to happen did not; help counts here too"),
            Definition("choice.continue", "a choice to go on, or to look"),
            Definition("help.opened", "a way to people was opened"),
            Definition("notice.false_alarm", 'somebody pressed "this is wrong" on a notice'),
        ),
    ),
    Group(
        "appeals",
        "Second looks",
        False,
        (
            Definition("appeal.asked", "somebody asked for another look at a decision"),
            Definition("appeal.restored", "of these, the other look gave a lower action"),
        ),
    ),
    *(
        Group(
            f"records_{name}",
            f"Records that left devices, by {text}",
            True,
            (),
            prefix=f"records.{name}.",
            prefix_text=f"records with this {text}",
            total="records.stored",
        )
        for name, text in (("made_by", "origin"), ("category", "category"), ("action", "action"))
    ),
)
_TOTALS: Final = frozenset(group.total for group in GROUPS if group.total is not None)


class CountersFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One period's counters."""

    schema: int
    from_: date = msgspec.field(name="from")
    to: date
    counters: dict[str, int]


@dataclass(frozen=True, slots=True)
class Period:
    """Counters of one period, both days included."""

    first: date
    last: date
    counters: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Row:
    """A counter, or the total of a table.

    Attributes:
        name, text: what it is.
        cells: one a period, then the total over all periods if there are several. A number; ``"withheld"``;
            ``"not stated"`` where the source says nothing.
    """

    name: str
    text: str
    cells: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class CountTable:
    """One group, ready to be published."""

    id: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class TransparencyReport:
    """Everything that is published.

    Attributes:
        product: what it is about.
        source: whose counters: ``device`` or ``collector``.
        first, last: the days.
        k: the smallest count that is shown.
        tables: with counts.
        per_100_shown: of the whole span, where both counts are shown.
        undefined: how many counters had no definition and were left out.
    """

    product: str
    source: str
    first: date
    last: date
    k: int
    tables: tuple[CountTable, ...]
    per_100_shown: Mapping[str, float]
    undefined: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values; nothing that is withheld is in them."""
        return {
            "schema": 1,
            "product": self.product,
            "source": self.source,
            "from": self.first.isoformat(),
            "to": self.last.isoformat(),
            "k": self.k,
            "tables": [
                {
                    "id": table.id,
                    "columns": list(table.columns),
                    "rows": [
                        {"name": row.name, "definition": row.text, "cells": list(row.cells)} for row in table.rows
                    ],
                }
                for table in self.tables
            ],
            "per_100_shown": dict(self.per_100_shown),
            "undefined": self.undefined,
        }


def read_counters(content: bytes) -> tuple[Period, ...]:
    """Read a counters file: the object above, or the lines of ``safelight notices effects --export --json``.

    Raises:
        UsageError: it is something else, or its numbers are out of range.
    """
    texts = [line for line in content.splitlines() if line.strip()]
    if len(texts) > MAX_PERIODS or len(content) > 1 << 22:
        raise UsageError(f"counters: got too large a file, expected at most {MAX_PERIODS} periods; check it")
    periods: list[Period] | None = None
    try:
        whole = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        whole = None
    try:
        if isinstance(whole, dict) and "counters" in whole:
            read = msgspec.convert(whole, CountersFile)
            periods = [Period(read.from_, read.to, read.counters)] if read.schema == 1 else None
        else:
            lines = [msgspec.json.decode(text, type=_WeekLine) for text in texts]
            periods = [Period(*_days_of(line.week), line.counts) for line in lines] or None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        periods = None
    if periods is None or not all(_in_range(period) for period in periods):
        raise UsageError(
            f"counters: got {len(content)} bytes of another form, expected "
            '{"schema": 1, "from": day, "to": day, "counters": {name: count}} or the lines of '
            "'safelight notices effects --export --json'; get the file again"
        )
    return tuple(periods)


def periods_of_weeks(
    weeks: Mapping[str, Mapping[str, int]], *, every: Iterable[str], by_week: bool
) -> tuple[Period, ...]:
    """A store's own counters as periods.

    Args:
        weeks: week (``2026-W47``) to name to count.
        every: names that a week without them counted zero times.
        by_week: a period for each week; else one over all of them.
    """
    names = tuple(every)
    found = [
        Period(*_days_of(week), {name: counts.get(name, 0) for name in names}) for week, counts in sorted(weeks.items())
    ]
    if by_week or not found:
        return tuple(found)
    sums = {name: sum(period.counters[name] for period in found) for name in names}
    return (Period(found[0].first, found[-1].last, sums),)


def build_report(periods: Sequence[Period], *, product: str, source: str, k: int = DEFAULT_K) -> TransparencyReport:
    """Make the report.

    Args:
        periods: in any order, without overlap.
        product: what the report is about, in a few words.
        source: ``device`` or ``collector``.
        k: the smallest count that is shown, 5 or more.

    Raises:
        UsageError: no period, periods that overlap, parts above their total, or k below 5.
    """
    if not periods:
        raise UsageError("counters: got none, expected at least one period; turn counting on, or give a file")
    if source not in ("device", "collector"):
        raise UsageError("source: expected device or collector; choose one")
    ordered = sorted(periods, key=lambda period: period.first)
    if any(one.last >= other.first for one, other in pairwise(ordered)):
        raise UsageError(
            "counters: got periods that overlap, expected separate ones; two reports about one day give away what each "
            "withholds: use files of separate spans"
        )
    defined = set(_TOTALS)
    prepared: list[_Prepared] = []
    for group in GROUPS:
        rows = _definitions(group, ordered)
        defined |= {row.name for row in rows}
        if any(row.name in period.counters for row in rows for period in ordered):
            prepared.append(_prepare(group, rows, ordered))
    tables = _tables(prepared, ordered, k)
    shown = {row.name: cell for table in tables for row in table.rows if isinstance(cell := row.cells[-1], int)}
    names = {name for period in ordered for name in period.counters}
    return TransparencyReport(
        product,
        source,
        ordered[0].first,
        ordered[-1].last,
        k,
        tuple(tables),
        _rates(shown),
        len(names - defined),
    )


def report_csv(report: TransparencyReport) -> str:
    """The tables as CSV: ``table,counter,period,count,state``."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("table", "counter", "period", "count", "state"))
    for table in report.tables:
        for row in table.rows:
            for column, cell in zip(table.columns, row.cells, strict=True):
                number = cell if isinstance(cell, int) else ""
                writer.writerow((table.id, row.name, column, number, "shown" if isinstance(cell, int) else cell))
    return out.getvalue()


class _WeekLine(msgspec.Struct, frozen=True):
    week: str
    counts: dict[str, int]


def _in_range(period: Period) -> bool:
    return period.first <= period.last and all(0 <= count <= MAX_COUNT for count in period.counters.values())


def _days_of(week: str) -> tuple[date, date]:
    found = _WEEK.match(week)
    if not found:
        raise ValueError
    first = date.fromisocalendar(int(found.group(1)), int(found.group(2)), 1)
    return first, first + timedelta(days=6)


def _definitions(group: Group, periods: Sequence[Period]) -> tuple[Definition, ...]:
    if group.prefix is None:
        return group.counters
    words = sorted(
        {
            name[len(group.prefix) :]
            for period in periods
            for name in period.counters
            if name.startswith(group.prefix) and _WORD.match(name[len(group.prefix) :])
        }
    )
    return tuple(Definition(group.prefix + word, f"{group.prefix_text}: {word.replace('_', ' ')}") for word in words)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A table before withholding.

    Attributes:
        rows: with the row of what the source withholds, if there is any.
        values: 0 where the source is silent (``silent``), and what it withholds in a row of its own.
        silent: cells of which the source does not say whether they are 0.
        hidden: cells that must be withheld whatever their value.
    """

    group: Group
    rows: tuple[Definition, ...]
    values: list[list[int | None]]
    silent: frozenset[CellName]
    hidden: frozenset[CellName]

    def counts(self, also: frozenset[CellName]) -> Counts:
        several = len(self.values[0]) > 1
        return Counts(self.values, several, self.group.parts, self.hidden | also)


def _prepare(group: Group, rows: tuple[Definition, ...], periods: Sequence[Period]) -> _Prepared:
    values: list[list[int | None]] = [[period.counters.get(row.name) for period in periods] for row in rows]
    if group.total is None:
        return _Prepared(group, rows, values, frozenset(), frozenset())
    rest: list[int | None] = []
    silent: set[CellName] = set()
    for column, period in enumerate(periods):
        total = period.counters.get(group.total)
        known = sum(line[column] or 0 for line in values)
        if total is not None and known > total:
            raise UsageError("counters: got parts that are more than their total; get the file again")
        rest.append(None if total is None else total - known)
        if total != known:
            silent |= {(row, column) for row, line in enumerate(values) if line[column] is None}
    values = [[value or 0 for value in line] for line in values]
    if any(rest) or None in rest:
        rows = (*rows, Definition(f"{group.prefix}(withheld)", "what the source itself withholds"))
        values.append(rest)
    hidden = {(len(values) - 1, column) for column, value in enumerate(rest) if value}
    return _Prepared(group, rows, values, frozenset(silent), frozenset(hidden))


def _tables(prepared: Sequence[_Prepared], periods: Sequence[Period], k: int) -> list[CountTable]:
    """Withhold until tables that share a total agree about it: one that shows it would undo the other."""
    withheld: dict[str, frozenset[CellName]] = {}
    totals: dict[str | None, frozenset[CellName]] = {}
    while True:
        for one in prepared:
            also = totals.get(one.group.total, frozenset()) if one.group.total else frozenset()
            withheld[one.group.id] = withheld_cells(one.counts(also), k=k)
        agreed: dict[str | None, frozenset[CellName]] = {}
        for one in prepared:
            margins = frozenset(name for name in withheld[one.group.id] if name[0] == TOTAL)
            agreed[one.group.total] = agreed.get(one.group.total, frozenset()) | margins
        if agreed == totals:
            return [_table(one, withheld[one.group.id], periods) for one in prepared]
        totals = agreed


def _table(prepared: _Prepared, withheld: frozenset[CellName], periods: Sequence[Period]) -> CountTable:
    several = len(periods) > 1
    columns = [_span(period) for period in periods] + (["all"] if several else [])
    silent = prepared.silent | {(row, TOTAL) for row, _ in prepared.silent}
    made = [
        Row(row.name, row.text, _cells(prepared.values[number], number, withheld, silent, totals=several))
        for number, row in enumerate(prepared.rows)
    ]
    if prepared.group.parts:
        sums = [_total([line[column] for line in prepared.values]) for column in range(len(periods))]
        made.append(Row("total", "all of these together", _cells(sums, TOTAL, withheld, frozenset(), totals=several)))
    return CountTable(prepared.group.id, prepared.group.title, tuple(columns), tuple(made))


def _cells(
    values: Sequence[int | None],
    row: int,
    withheld: frozenset[CellName],
    silent: frozenset[CellName],
    *,
    totals: bool,
) -> tuple[int | str, ...]:
    named = [(value, (row, column)) for column, value in enumerate(values)]
    if totals:
        named.append((_total(values), (row, TOTAL)))
    return tuple("withheld" if name in withheld else "not stated" if value is None else value for value, name in named)


def _total(values: Iterable[int | None]) -> int | None:
    known = list(values)
    return None if any(value is None for value in known) else sum(value or 0 for value in known)


def _span(period: Period) -> str:
    return f"{period.first.isoformat()} to {period.last.isoformat()}"


def _rates(shown: Mapping[str, int]) -> dict[str, float]:
    all_shown = shown.get("notice.shown", 0)
    if not all_shown:
        return {}
    names = ("choice.stop", "choice.continue", "help.opened", "notice.repeated", "notice.false_alarm")
    return {name: round(100 * shown[name] / all_shown, 1) for name in names if name in shown}
