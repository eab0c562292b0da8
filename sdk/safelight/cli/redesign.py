"""``safelight redesign``: check a redesign log, and show it."""

from __future__ import annotations

import sys
from datetime import date, datetime
from pathlib import Path

import click

from safelight.cli.output import print_json
from safelight.cli.risk import read_file, write_page


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--today", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="Check for this day.")
@click.option("--root", type=click.Path(file_okay=False, path_type=Path), help="See that evidence exists below here.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), metavar="OUT", help="Write the page.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def redesign(file: Path, today: datetime | None, root: Path | None, markdown: Path | None, as_json: bool) -> None:
    """Check the redesign log FILE (TOML): what was learnt, what was changed because of it, and what was not.

    Exits 1 when something is missing or wrong; every problem is one line that says what to do. Format: docs/risk.md.
    """
    from safelight.accountability.redesign import check_log, log_markdown

    report = check_log(read_file(file), today=today.date() if today else date.today(), root=root)
    if markdown is not None:
        write_page(markdown, log_markdown(report))
    if as_json:
        print_json({"input": str(file), **report.to_dict()})
    else:
        for entry in () if report.log is None else report.log.entry:
            click.echo(f"{entry.on}  {entry.source:<15}  {entry.target:<9}  {entry.id}")
        for problem in report.problems:
            click.echo(str(problem), err=True)
    if not report.passes:
        sys.exit(1)
