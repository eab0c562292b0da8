"""``safelight capabilities``: what this build can look for, and what it cannot."""

from __future__ import annotations

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
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in values.items():
        table.add_row(name.replace("_", " "), _plain(value))
    console().print(table)


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, list):
        separator = "\n" if any(isinstance(item, dict) for item in value) else ", "
        return separator.join(_plain(item) for item in value)
    return str(value)
