"""Question: can anybody who reads a published table work out a small count in it? Asked by trying every table."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safelight.accountability.suppression import SMALLEST_K, TOTAL, Counts, range_of, withheld_cells
from safelight.errors import UsageError

SIZES = st.tuples(st.integers(1, 3), st.integers(1, 2))


@st.composite
def tables(draw: st.DrawFn, most: int = 14) -> Counts:
    rows, columns = draw(SIZES)
    cell = st.integers(0, most)
    values = draw(st.lists(st.lists(cell, min_size=columns, max_size=columns), min_size=rows, max_size=rows))
    return Counts(values, draw(st.booleans()), draw(st.booleans()))


def published(table: Counts, withheld: frozenset[tuple[int, int]]) -> dict[tuple[int, int], int | None]:
    """All that a reader sees: value, or ``None`` where something is withheld. Zeros are always values."""
    values = table.values
    seen: dict[tuple[int, int], int | None] = {}
    for row, cells in enumerate(values):
        for column, value in enumerate(cells):
            seen[row, column] = value
        if table.row_totals:
            seen[row, TOTAL] = sum(value or 0 for value in cells)
    if table.column_totals:
        for column in range(len(values[0])):
            seen[TOTAL, column] = sum(cells[column] or 0 for cells in values)
    if table.row_totals and table.column_totals:
        seen[TOTAL, TOTAL] = sum(value or 0 for cells in values for value in cells)
    return {name: None if name in withheld else value for name, value in seen.items()}


@given(st.data())
def test_the_range_is_what_trying_every_table_finds(data: st.DataObject) -> None:
    """Any set of withheld inner cells, all totals shown: the flow must find exactly what exhaustion finds."""
    rows, columns = data.draw(st.sampled_from([(1, 2), (2, 1), (2, 2), (3, 1), (3, 2), (2, 3)]))
    cell = st.integers(0, 4)
    values = data.draw(st.lists(st.lists(cell, min_size=columns, max_size=columns), min_size=rows, max_size=rows))
    table = Counts(values, True, True)
    names = list(itertools.product(range(rows), range(columns)))
    nonzero = [name for name in names if values[name[0]][name[1]]]
    if not nonzero:
        return
    withheld = frozenset(data.draw(st.sets(st.sampled_from(nonzero), min_size=1, max_size=3)))
    seen = published(table, withheld)
    most = max(value for value in seen.values() if value is not None)
    found: dict[tuple[int, int], set[int]] = {name: set() for name in withheld}
    free = sorted(withheld)
    for flat in itertools.product(range(1, min(most, 8) + 1), repeat=len(free)):
        guess = dict(zip(free, flat, strict=True))
        other = [[guess.get((row, column), values[row][column]) for column in range(columns)] for row in range(rows)]
        if published(Counts(other, True, True), withheld) == seen:
            for name, value in guess.items():
                found[name].add(value)
    for name in withheld:
        if most <= 8:
            assert range_of(table, name, withheld, k=100) == max(found[name]) - min(found[name])


@given(tables())
def test_nothing_small_is_shown_and_ranges_are_wide(table: Counts) -> None:
    withheld = withheld_cells(table, k=SMALLEST_K)
    for name, value in published(table, withheld).items():
        assert value is None or value == 0 or value >= SMALLEST_K, (name, value)
    for name in withheld:
        nonzero = {one for one, value in published(table, frozenset()).items() if value}
        assert range_of(table, name, withheld, k=SMALLEST_K) >= SMALLEST_K or nonzero <= withheld


@given(tables(most=200))
def test_larger_k_shows_no_more(table: Counts) -> None:
    small = {name for name, value in published(table, withheld_cells(table, k=5)).items() if value is None}
    large = {name for name, value in published(table, withheld_cells(table, k=20)).items() if value is None}
    primary = {name for name, value in published(table, frozenset()).items() if value is not None and 0 < value < 20}
    assert primary <= large
    assert {name for name in small if (published(table, frozenset())[name] or 0) < 5} <= large


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[100], [200], [300]], set()),
        ([[0], [200]], set()),
        # Alone it would be the total less the other: the next smallest goes with it.
        ([[3], [200], [300]], {(0, 0), (1, 0)}),
        # Two that add up to 2 are 1 and 1.
        ([[1], [1], [300]], {(0, 0), (1, 0), (2, 0)}),
        # Nothing to hide behind: the total goes.
        ([[3], [0]], {(0, 0), (TOTAL, 0)}),
    ],
)
def test_examples_with_totals(values: list[list[int]], expected: set[tuple[int, int]]) -> None:
    assert withheld_cells(Counts(values, False, True), k=10) == expected


def test_without_totals_only_the_small_ones_go() -> None:
    assert withheld_cells(Counts([[3], [200]], False, False), k=10) == {(0, 0)}


def test_two_periods_with_totals_both_ways() -> None:
    table = Counts([[3, 40], [50, 60], [70, 80]], True, True)
    withheld = withheld_cells(table, k=10)
    assert (0, 0) in withheld
    assert len(withheld) >= 4, "a rectangle at least, or the totals give it away"
    for name in withheld:
        assert range_of(table, name, withheld, k=10) == 10


def test_one_small_count_in_a_large_table_costs_one_rectangle() -> None:
    table = Counts([[3, *[40] * 29], *([50] * 30 for _ in range(5))], True, True)
    withheld = withheld_cells(table, k=10)
    assert len(withheld) == 4
    assert len({row for row, _ in withheld}) == len({column for _, column in withheld}) == 2


def test_an_unknown_value_is_not_a_zero_and_takes_its_totals_along() -> None:
    table = Counts([[3], [None], [500]], False, True)
    assert withheld_cells(table, k=10) == {(0, 0)}, "no total can be shown, so nothing gives it away"


def test_wrong_arguments() -> None:
    for table, k in (
        (Counts([[1], [1, 2]], True, True), 10),
        (Counts([[-1]], True, True), 10),
        (Counts([[1]], True, True), 4),
    ):
        with pytest.raises(UsageError):
            withheld_cells(table, k=k)
