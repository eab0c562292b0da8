"""``safelight risk``: check a risk register, and show it."""

from __future__ import annotations

import sys
from datetime import date, datetime
from pathlib import Path

import click

from safelight.cli.output import console, print_json
from safelight.errors import MediaNotFoundError


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--today", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="Check for this day.")
@click.option("--root", type=click.Path(file_okay=False, path_type=Path), help="See that evidence exists below here.")
@click.option("--strict", is_flag=True, help="Nothing over the limit is tolerated, as before a release.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), metavar="OUT", help="Write the page.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), metavar="OUT", help="Write the page.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def risk(
    file: Path,
    today: datetime | None,
    root: Path | None,
    strict: bool,
    markdown: Path | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Check the risk register FILE (TOML): exits 1 when something is missing, overdue or over the limit.

    Every problem is one line that says what to do. The format and an example are in docs/risk.md.
    """
    from safelight.accountability.risk import check_register, level
    from safelight.accountability.risk_page import risk_html, risk_markdown

    content = read_file(file)
    report = check_register(content, today=today.date() if today else date.today(), root=root, strict=strict)
    for path, page in ((markdown, risk_markdown), (html, risk_html)):
        if path is not None:
            write_page(path, page(report))
    if as_json:
        print_json({"input": str(file), **report.to_dict()})
    else:
        if report.register is not None:
            from rich.table import Table

            table = Table(box=None, pad_edge=False)
            for name in ("remains", "before", "area", "risk", "review by"):
                table.add_column(name)
            for one in sorted(report.register.risk, key=lambda one: (-one.residual, -one.score, one.id)):
                table.add_row(
                    f"{one.residual:>2} {level(one.residual)}",
                    f"{one.score:>2}",
                    one.area.replace("_", " "),
                    one.id,
                    one.review_by.isoformat(),
                )
            console().print(table)
            for one in () if strict else report.tolerated:
                if one.tolerated is not None:
                    click.echo(f"risk {one.id}: over the limit, tolerated until {one.tolerated.until}", err=True)
        for problem in report.problems:
            click.echo(str(problem), err=True)
        if report.passes:
            click.echo("Nothing is missing, overdue or over the limit.", err=True)
    if not report.passes:
        sys.exit(1)


def read_file(path: Path) -> bytes:
    """The content of a named file.

    Raises:
        MediaNotFoundError: there is none.
    """
    try:
        return path.read_bytes()
    except OSError:
        raise MediaNotFoundError("file: got none that can be opened, expected one; check the name.") from None


def write_page(path: Path, text: str) -> None:
    """Write a page whole, or nothing.

    Raises:
        click.ClickException: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError:
        raise click.ClickException(
            "out: got a file that cannot be written, expected one; check folder and disk."
        ) from None
