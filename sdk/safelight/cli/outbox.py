"""``safelight outbox``: what waits for a collector, what left, and how to take it back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from safelight.cli._family import open_store, usage
from safelight.cli.output import console, print_json
from safelight.errors import UsageError

if TYPE_CHECKING:
    from safelight.reporting import Outbox

F = TypeVar("F", bound=Callable[..., Any])
EXIT_FAILED = 1


def outbox_options(command: F) -> F:
    """``--outbox PATH`` and ``--json``."""
    command = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")(command)
    return click.option(
        "--outbox",
        "outbox_path",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="PATH",
        help="The outbox's file. Default: this user's.",
    )(command)


def open_outbox(path: Path | None) -> Outbox:
    """The outbox at a path, with its key beside it, or this user's."""
    from safelight.keys import FileKeyProvider
    from safelight.reporting import Outbox as Opened

    if path is None:
        return Opened()
    return Opened(path, keys=FileKeyProvider(path.parent / "keys"))


@click.group("outbox")
def outbox() -> None:
    """Hash records on their way to a collector: what waits, what left, and taking it back. Off until connected."""


@outbox.command()
@click.argument("url", metavar="URL")
@click.option("--sealing-key", required=True, metavar="KEY", help="The collector's public key, base64 or hexadecimal.")
@click.option("--name", default="collector", show_default=True, help="How the ledger calls it.")
@click.option("--enrolment-file", type=click.File("r", encoding="utf-8"), metavar="FILE", help="The fleet's token.")
@click.option("--ca-file", type=click.Path(exists=True, dir_okay=False), metavar="FILE", help="Only this authority.")
@click.option("--certificate-sha256", metavar="HEX", help="Only this certificate.")
@outbox_options
def connect(
    url: str,
    sealing_key: str,
    name: str,
    enrolment_file: Any,
    ca_file: str | None,
    certificate_sha256: str | None,
    outbox_path: Path | None,
    as_json: bool,
) -> None:
    """Set up the collector at URL. Nothing is sent by this.

    Without it no record is made. List matches make one only where an app's guard was given this outbox and, on a
    device with a family's settings, `safelight policy set reporting=on` is in force.
    """
    from safelight.reporting import Collector
    from safelight.reporting.wire import read_key

    token = enrolment_file.readline().strip() if enrolment_file is not None else None
    if token == "":
        raise click.UsageError("--enrolment-file: got an empty first line, expected the fleet's token.")
    with open_outbox(outbox_path) as box:
        try:
            box.connect(
                Collector(
                    url=url,
                    sealing_key=read_key(sealing_key),
                    name=name,
                    enrolment=token,
                    ca_file=str(Path(ca_file).absolute()) if ca_file is not None else None,
                    certificate_sha256=_fingerprint(certificate_sha256),
                )
            )
        except UsageError as error:
            raise usage(error) from None
        print_json({"connected": name}) if as_json else click.echo(f"Records can go to {name} now. Nothing was sent.")


@outbox.command()
@outbox_options
def status(outbox_path: Path | None, as_json: bool) -> None:
    """Print whether records are made and how many wait. Exits 1 when it cannot be read."""
    with open_outbox(outbox_path) as box:
        now = box.status()
    if as_json:
        print_json(
            {
                "state": now.state.value,
                "collector": now.collector,
                "waiting": now.waiting,
                "waiting_bytes": now.waiting_bytes,
                "next_send_in_s": round(now.next_send_in_s) if now.next_send_in_s is not None else None,
                "failures": now.failures,
                "counts": now.counts,
            }
        )
    else:
        where = f", to {now.collector}" if now.collector is not None else ": no collector is set up"
        click.echo(f"{now.state.value}{where}")
        click.echo(f"{now.waiting} waiting ({now.waiting_bytes} bytes)")
        if now.next_send_in_s is not None:
            click.echo(f"next send in {now.next_send_in_s / 60:.0f} min of running time")
        if now.failures:
            click.echo(f"{now.failures} sends failed in a row")
        for name, count in now.counts.items():
            click.echo(f"{count} {name}")
    if now.state.value not in ("OK", "OFF"):
        sys.exit(EXIT_FAILED)


@outbox.command()
@outbox_options
def ledger(outbox_path: Path | None, as_json: bool) -> None:
    """List what left and what waits: day, to whom, which fields. Never what was in them."""
    with open_outbox(outbox_path) as box:
        found = box.ledger()
    if as_json:
        for entry in found:
            print_json(entry.to_dict())
        return
    if not len(found):
        click.echo("Nothing has left this device, and nothing waits.")
        return
    from rich.table import Table

    table = Table("number", "state", "made", "last change", "sent", "to", "bytes", box=None, pad_edge=False)
    for entry in found:
        table.add_row(
            entry.id,
            entry.state,
            entry.queued_day,
            entry.last_day,
            f"{entry.attempts} ×" if entry.left else "no",
            entry.collector,
            str(entry.size_bytes),
        )
    console().print(table)
    click.echo(f"Each has these fields and no others: {', '.join(found.entries[0].fields)}.")


@outbox.command()
@click.option("--due", is_flag=True, help="Only if it is time: for a timer.")
@click.option(
    "--store",
    "store_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PATH",
    help="The family's settings. Default: this user's.",
)
@click.option("--proxy", metavar="URL", help="Send through this HTTP proxy.")
@outbox_options
def flush(due: bool, store_path: Path | None, proxy: str | None, outbox_path: Path | None, as_json: bool) -> None:
    """Send what waits, now. While the family's settings do not say reporting=on, only people's own reports go."""
    from safelight.reporting import SendState, Uploader

    with open_outbox(outbox_path) as box, open_store(store_path) as store:
        uploader = Uploader(box, store=store if _set_up(store) else None, proxy=proxy)
        result = uploader.send_due() if due else uploader.flush()
    if as_json:
        print_json(result.to_dict())
    else:
        click.echo(f"{result.state.value}: {result.acked} arrived, {result.refused} refused")
        if result.retry_in_s is not None:
            click.echo(f"trying again makes sense in {result.retry_in_s / 60:.0f} min; nothing is lost")
    if result.state not in (SendState.SENT, SendState.NOTHING, SendState.OFF):
        sys.exit(EXIT_FAILED)


@outbox.command()
@click.option("--matches", is_flag=True, help="Only what list matches made; people's own reports stay.")
@click.option("--off", is_flag=True, help="Also forget the collector: no record is made any more.")
@click.option("--number", metavar="NUMBER", help="Only the record with this number.")
@click.option("--replace", is_flag=True, help="Put a damaged outbox aside and begin a new one, which is off.")
@outbox_options
def purge(matches: bool, off: bool, number: str | None, replace: bool, outbox_path: Path | None, as_json: bool) -> None:
    """Erase what has not left this device, and say how much that was. Anybody may."""
    if matches + off + replace + (number is not None) > 1:
        raise click.UsageError("--matches, --off, --number and --replace: got several, expected at most one.")
    with open_outbox(outbox_path) as box:
        if replace:
            aside = box.replace()
            print_json({"aside": aside}) if as_json else click.echo(f"The old one is put aside under number {aside}.")
            return
        if number is not None:
            erased = int(box.withdraw(number))
        else:
            erased = box.disconnect() if off else box.purge("list_match" if matches else None)
    print_json({"erased": erased}) if as_json else click.echo(f"{erased} erased. They will not leave this device.")


def _set_up(store: Any) -> bool:
    """Whether anybody has set the family's settings up; where nobody has, the app answers for what it gave a guard."""
    return str(store.state) != "NEW"


def _fingerprint(text: str | None) -> str | None:
    return text.replace(":", "").lower() if text is not None else None
