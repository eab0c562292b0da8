"""The operations page: counts, plots and the state of the house, rendered here and complete in one answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

from jinja2 import Environment, PackageLoader, Template, select_autoescape

from safelight_collector import __version__
from safelight_collector.counting import DIMENSIONS, TOTAL, publishable
from safelight_collector.settings import Settings
from safelight_collector.storage import Storage

_DAYS: Final = 30
_PLOT_WIDTH: Final = 720
_PLOT_HEIGHT: Final = 160
_TITLES: Final = {
    "made_by": "By what made the record",
    "category": "By category",
    "action": "By what the device did",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a plot, in the plot's own units."""

    label: str
    count: int
    x: float
    y: float
    width: float
    height: float


def bars(counts: dict[str, int], *, width: int = _PLOT_WIDTH, height: int = _PLOT_HEIGHT) -> list[Bar]:
    """Bars of equal width from zero, the highest as high as the plot."""
    if not counts:
        return []
    highest = max(*counts.values(), 1)
    step = width / len(counts)
    return [
        Bar(label, count, i * step + step * 0.1, height * (1 - count / highest), step * 0.8, height * count / highest)
        for i, (label, count) in enumerate(counts.items())
    ]


def operations_page(storage: Storage, settings: Settings, day: date) -> str:
    """The page as HTML, without any resource from elsewhere and without a script.

    Raises:
        StorageError: the database does not answer.
    """
    since = day - timedelta(days=_DAYS - 1)
    by_day = storage.by_day(TOTAL, since, day)
    days = {(since + timedelta(days=i)).isoformat(): by_day.get(since + timedelta(days=i), 0) for i in range(_DAYS)}
    counts = storage.counts(since, day)
    shown, withheld = publishable(counts, min_cell=settings.min_cell)
    tables = [
        {
            "title": _TITLES[dimension],
            "rows": [
                (name.rpartition(".")[2], shown.get(name))
                for name in sorted(counts)
                if name.startswith(f"records.{dimension}.")
            ],
        }
        for dimension in DIMENSIONS
    ]
    return _template().render(
        version=__version__,
        day=day.isoformat(),
        since=since.isoformat(),
        days=days,
        bars=bars(days),
        width=_PLOT_WIDTH,
        height=_PLOT_HEIGHT,
        highest=max(days.values()),
        total=counts.get(TOTAL, 0),
        tables=tables,
        withheld=len(withheld),
        min_cell=settings.min_cell,
        overview=storage.overview(),
        tokens=storage.tokens(),
        dialect=storage.dialect,
    )


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("safelight_collector"),
        autoescape=select_autoescape(),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("operations.html")
