"""``safelight transparency``: a report from counters that tells on nobody. Sends nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from safelight.cli._family import open_store, store_options
from safelight.cli.output import print_json
from safelight.cli.risk import read_file, write_page
from safelight.errors import SafelightError, UsageError

if TYPE_CHECKING:
    from safelight.accountability.transparency import Period
    from safelight.accountability.transparency_page import Draw

_SMALLEST_K = 5


@click.command()
@click.argument("files", nargs=-1, type=click.Path(dir_okay=False, path_type=Path), metavar="[FILE…]")
@click.option("--product", default="Safelight", show_default=True, help="What the report is about.")
@click.option("--k", type=click.IntRange(_SMALLEST_K), default=10, show_default=True, help="Smallest count shown.")
@click.option("--by-week", is_flag=True, help="A column for each week of this device's counters.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), metavar="OUT", help="Write Markdown.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), metavar="OUT", help="Write a page.")
@click.option("--csv", type=click.Path(dir_okay=False, path_type=Path), metavar="OUT", help="Write the tables.")
@store_options
def transparency(
    files: tuple[Path, ...],
    product: str,
    k: int,
    by_week: bool,
    markdown: Path | None,
    html: Path | None,
    csv: Path | None,
    store_path: Path | None,
    as_json: bool,
) -> None:
    """Make a transparency report: from FILEs with a collector's counters, a period each, or from this device's own.

    Small counts are withheld, and so is what would give them away (--k). Without an OUT the report is printed as
    Markdown. Drawings on the page need the extra [plots]; the tables beside them say the same.
    """
    from safelight.accountability.transparency import build_report, read_counters, report_csv
    from safelight.accountability.transparency_page import transparency_html, transparency_markdown

    if files and (by_week or store_path is not None):
        raise click.UsageError("FILE: got it with --by-week or --store, for this device's counters; drop one.")
    try:
        if files:
            periods: Sequence[Period] = [period for file in files for period in read_counters(read_file(file))]
        else:
            periods = _own(store_path, by_week=by_week)
        report = build_report(periods, product=product, source="collector" if files else "device", k=k)
    except UsageError as error:
        raise click.UsageError(str(error)) from None
    if markdown is not None:
        write_page(markdown, transparency_markdown(report))
    if csv is not None:
        write_page(csv, report_csv(report))
    if html is not None:
        write_page(html, transparency_html(report, draw=_drawing()))
    if as_json:
        print_json(report.to_dict())
    elif markdown is None and csv is None and html is None:
        click.echo(transparency_markdown(report), nl=False)


def _own(path: Path | None, *, by_week: bool) -> Sequence[Period]:
    from safelight.accountability.transparency import periods_of_weeks
    from safelight.store import StoreState
    from safelight.store.counters import NAMES

    with open_store(path) as store:
        if store.state not in (StoreState.OK, StoreState.NEW):
            raise SafelightError(
                f"counters: got a store in state {store.state}, expected one that can be read; run: safelight doctor"
            )
        counting = store.counters.on
        weeks = store.counters.read()
    if not weeks:
        what = (
            "nothing was counted yet" if counting else "counting is off; turn it on: safelight policy set counters=on"
        )
        raise SafelightError(f"counters: got none, expected some; {what}")
    return periods_of_weeks(weeks, every=NAMES, by_week=by_week)


def _drawing() -> Draw | None:
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        click.echo("No drawings: they need pip install 'safelight[plots]'. The tables say the same.", err=True)
        return None
    from safelight.accountability.plots import draw_counts

    return draw_counts
