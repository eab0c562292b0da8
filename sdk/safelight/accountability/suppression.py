"""Which cells of a table may be published: none that is small, and none from which a small one can be worked out.

A cell from 1 to k - 1 is withheld (*primary*). If totals are published, a single withheld cell is the total less the
others; so further cells are withheld (*complementary*) until, for every withheld cell, whoever knows all that is
published still has to reckon with at least k + 1 different values. That range is computed exactly: a table with totals
is a network in which what is published is fixed, and how far a cell can move is a maximum flow. Zeros are published.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

from safelight.errors import UsageError

#: Fewer would protect nobody; more only hides more.
SMALLEST_K: Final = 5
DEFAULT_K: Final = 10

#: (row, column); ``TOTAL`` stands for the margin.
TOTAL: Final = -1
CellName = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Counts:
    """A table of counts.

    Attributes:
        values: a row each; ``None`` where the source does not say.
        row_totals, column_totals: whether the sums over a row, over a column are published.
        hidden: cells and totals that are withheld whatever their value.
    """

    values: Sequence[Sequence[int | None]]
    row_totals: bool
    column_totals: bool
    hidden: frozenset[CellName] = frozenset()


def withheld_cells(table: Counts, *, k: int = DEFAULT_K) -> frozenset[CellName]:
    """The cells and totals that must not be shown.

    Args:
        table: of counts, 0 or more.
        k: the smallest count that is shown, 5 or more.

    Returns:
        ``(row, column)``, with :data:`TOTAL` for a margin. Totals over a row or column with an unknown value are not
        shown at all and never in here.

    Raises:
        UsageError: k is below 5, a count below 0, or rows of different lengths.
    """
    network = _Network(table, k)
    withheld = {name for name, value in network.shown.items() if 0 < value < k} | (
        set(table.hidden) & set(network.shown)
    )
    for _ in range(len(network.shown)):
        weak = next((name for name in sorted(withheld) if network.range_of(name, withheld) < k), None)
        if weak is None:
            break
        more = network.around(weak, withheld)
        if not more:
            break
        withheld |= more
    return frozenset(withheld)


def range_of(table: Counts, cell: CellName, withheld: frozenset[CellName], *, k: int = DEFAULT_K) -> int:
    """How far apart the values are that the cell could have for whoever knows what is published; at most k."""
    return _Network(table, k).range_of(cell, set(withheld))


class _Network:
    """Rows, columns and two corners as nodes; every cell and total is a flow between two of them."""

    def __init__(self, table: Counts, k: int) -> None:
        if k < SMALLEST_K:
            raise UsageError(f"k: got {k}, expected {SMALLEST_K} or more; fewer than that protects nobody")
        columns = {len(row) for row in table.values}
        flat = [value for row in table.values for value in row if value is not None]
        if len(columns) != 1 or any(value < 0 for value in flat):
            raise UsageError("table: expected rows of one length, of counts of 0 or more; check the counters")
        self._k = k
        rows, width = range(len(table.values)), range(columns.pop())
        self._ends: dict[CellName, tuple[str, str]] = {}
        self.shown: dict[CellName, int] = {}
        #: Flows that nobody publishes: they can be anything.
        self._free: set[CellName] = set()
        for row in rows:
            for column in width:
                self._put((row, column), f"r{row}", f"c{column}", table.values[row][column], published=True)
        sums = [_sum(row) for row in table.values]
        for row in rows:
            self._put((row, TOTAL), "rows", f"r{row}", sums[row], published=table.row_totals)
        for column in width:
            down = _sum([row[column] for row in table.values])
            self._put((TOTAL, column), f"c{column}", "columns", down, published=table.column_totals)
        both = table.row_totals and table.column_totals
        self._put((TOTAL, TOTAL), "columns", "rows", _sum(sums), published=both)

    def _put(self, name: CellName, start: str, end: str, value: int | None, *, published: bool) -> None:
        self._ends[name] = (start, end)
        if published and value is not None:
            self.shown[name] = value
        else:
            self._free.add(name)

    def range_of(self, name: CellName, withheld: set[CellName]) -> int:
        if name in self._free:
            return self._k
        start, end = self._ends[name]
        up = _flow(self._residual(withheld, without=name), end, start, self._k)
        # It is known not to be zero, since zeros are shown.
        down = min(self.shown[name] - 1, _flow(self._residual(withheld, without=name), start, end, self._k))
        return min(self._k, up + max(0, down))

    def around(self, name: CellName, withheld: set[CellName]) -> set[CellName]:
        """The cheapest further cells that let this one move: those on the cheapest way around it.

        Few and small ones are cheap. What is withheld already is free as far as it can still move; a zero cannot.
        """
        start, end = self._ends[name]
        for source, sink in ((end, start), (start, end)):
            residual = self._residual(withheld, without=name)
            _flow(residual, source, sink, self._k)
            found = self._way(residual, source, sink, withheld | {name})
            if found:
                return found
        rest = [one for one, value in self.shown.items() if value > 0 and one not in withheld]
        return {min(rest, key=lambda one: (self.shown[one], one))} if rest else set()

    def _way(
        self, residual: Mapping[str, Mapping[str, int]], source: str, sink: str, withheld: set[CellName]
    ) -> set[CellName]:
        """The cells to withhold along the cheapest way from source to sink (Dijkstra 1959); none: there is no way."""
        steps: dict[str, list[tuple[int, str, CellName | None]]] = {}
        for node, edges in residual.items():
            steps[node] = [(0, other, None) for other, capacity in edges.items() if capacity > 0]
        for cell, value in self.shown.items():
            if value > 0 and cell not in withheld:
                start, end = self._ends[cell]
                steps.setdefault(start, []).append((value + self._k, end, cell))
                if value > 1:
                    steps.setdefault(end, []).append((value + self._k, start, cell))
        best: dict[str, int] = {source: 0}
        came: dict[str, tuple[str, CellName | None]] = {}
        queue = [(0, source)]
        while queue:
            cost, node = heappop(queue)
            if node == sink:
                break
            if cost > best[node]:
                continue
            for price, other, through in steps.get(node, ()):
                if cost + price < best.get(other, cost + price + 1):
                    best[other] = cost + price
                    came[other] = (node, through)
                    heappush(queue, (cost + price, other))
        found: set[CellName] = set()
        node = sink
        while node != source:
            if node not in came:
                return set()
            node, cell_on_way = came[node]
            if cell_on_way is not None:
                found.add(cell_on_way)
        return found

    def _residual(self, withheld: set[CellName], *, without: CellName) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for name, (start, end) in self._ends.items():
            if name == without:
                continue
            if name in self._free:
                forward = backward = self._k
            elif name in withheld:
                forward, backward = self._k, max(0, self.shown[name] - 1)
            else:
                continue
            for one, other, capacity in ((start, end, forward), (end, start, backward)):
                inner = found.setdefault(one, {})
                inner[other] = inner.get(other, 0) + capacity
        return found


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _flow(left: dict[str, dict[str, int]], source: str, sink: str, enough: int) -> int:
    """Maximum flow, by shortest augmenting paths (Edmonds and Karp 1972), or ``enough`` if it is at least that.

    ``left`` holds the capacities, and afterwards what is left of them.
    """
    total = 0
    while total < enough:
        came: dict[str, str] = {source: source}
        queue = deque([source])
        while queue and sink not in came:
            node = queue.popleft()
            for other, capacity in left.get(node, {}).items():
                if capacity > 0 and other not in came:
                    came[other] = node
                    queue.append(other)
        if sink not in came:
            break
        path = [sink]
        while path[-1] != source:
            path.append(came[path[-1]])
        steps = [(path[at + 1], path[at]) for at in range(len(path) - 1)]
        push = min(enough - total, *(left[one][other] for one, other in steps))
        for one, other in steps:
            left[one][other] -= push
            back = left.setdefault(other, {})
            back[one] = back.get(one, 0) + push
        total += push
    return min(total, enough)
