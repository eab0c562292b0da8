"""``safelight capabilities``: what this build can look for, and what it cannot."""

from __future__ import annotations

from typing import Any

import click

from safelight.cli.output import console, print_json


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def capabilities(as_json: bool) -> None:
    """Print the public manifest: detectors, events, formats, rules, and what is not there."""
    from safelight.capabilities import capabilities as manifest

    values = manifest()
    if as_json:
        print_json(values)
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    covered = values.pop("coverage")
    for name, value in values.items():
        table.add_row(name.replace("_", " "), escape(_plain(value)))
    console().print(table)
    _print_coverage(covered)


def _print_coverage(covered: dict[str, Any]) -> None:
    """Levers and principles with the controls that serve them; a principle without one with the reason."""
    from rich.markup import escape
    from rich.table import Table

    if "state" in covered:
        console().print(f"\ncoverage: {covered['state']}; reinstall safelight.")
        return
    gaps = {(gap["framework"], gap["principle"]): gap["why"] for gap in covered.pop("gaps")}
    still_open = {(gap["framework"], gap["principle"]): gap["why"] for gap in covered.pop("open")}
    for framework, rows in covered.items():
        table = Table(
            title=framework.replace("_", " "), title_justify="left", box=None, pad_edge=False, show_header=False
        )
        for number, controls in rows.items():
            gap = gaps.get((framework, number))
            table.add_row(number, escape(", ".join(controls) if gap is None else f"gap: {gap}"))
            if (framework, number) in still_open:
                table.add_row("", escape(f"open: {still_open[framework, number]}"))
        console().print()
        console().print(table)


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, list):
        separator = "\n" if any(isinstance(item, dict) for item in value) else ", "
        return separator.join(_plain(item) for item in value)
    return str(value)
