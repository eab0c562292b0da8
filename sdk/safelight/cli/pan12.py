"""``safelight models evaluate-pan12``: aggregate numbers on somebody's own granted copy of PAN12."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from safelight.cli.output import console, print_json, quiet_runtime
from safelight.decision import Label, State


@click.command("evaluate-pan12")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--truth", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Author names of problem 1."
)
@click.option(
    "--warn-at",
    type=click.Choice([Label.WATCH.value, Label.WARN.value, Label.DANGER.value]),
    default=Label.WARN.value,
    show_default=True,
    help="Level that counts as a warning.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def evaluate_pan12_command(file: Path, truth: Path, warn_at: str, as_json: bool) -> None:
    """Measure the conversation model on the PAN12 corpus in FILE, the XML as it was granted to you.

    Prints precision, recall, F1, F0.5 and F_latency, never a text or a name. The corpus is no part of Safelight:
    ask for it at Zenodo, record 3713280.
    """
    from safelight.detect.grooming import GroomingDetector
    from safelight.errors import ModelError
    from safelight.pan12 import evaluate_pan12, read_truth

    names = read_truth(truth)
    detector = GroomingDetector()
    with quiet_runtime():
        state = detector.prepare()
    if state is not State.OK:
        raise ModelError("the conversation model cannot be used; see `safelight models verify`.", state=state)
    try:
        stream = file.open("rb")
    except OSError:
        raise click.ClickException("the corpus could not be opened; give the path of the XML.") from None
    with stream:
        result = evaluate_pan12(
            stream,
            names,
            detector,
            rules=detector.rules,
            warn_at=Label(warn_at),
            progress=None if as_json or not sys.stderr.isatty() else _progress,
        )
    values = {"model": detector.id, "warn_at": warn_at, **result.to_dict()}
    if as_json:
        print_json(values)
        return
    console().print(_table(values))


def _progress(conversations: int) -> None:
    if conversations % 1000 == 0:
        click.echo(f"{conversations} conversations", err=True)


def _table(values: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table("", "precision", "recall", "F1", "F0.5", title=f"PAN12, {values['model']}, {values['warn_at']}")
    for unit in ("conversations", "authors"):
        counts = values[unit]
        table.add_row(unit, *(f"{counts[name]:.3f}" for name in ("precision", "recall", "f1", "f0_5")))
    table.caption = (
        f"F_latency {values['f_latency']:.3f}; "
        f"median messages before the warning: {values['median_messages_before_warning'] or 'none'}"
    )
    return table
