"""``safelight serve``: one guard for every process of a device, on a Unix socket."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import warnings
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from safelight.cli import _options as options
from safelight.decision import AgeBand
from safelight.errors import SafelightError, UsageError


@click.command()
@click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Where to listen. Default: systemd's if it passes one, else in XDG_RUNTIME_DIR.",
)
@click.option("--group", metavar="NAME", help="Group that may ask; the socket's mode is 0660.")
@click.option("--user", "users", multiple=True, metavar="UID", type=int, help="Only these users may ask. Repeatable.")
@click.option(
    "--max-clients", type=click.IntRange(1, 10_000), default=64, show_default=True, help="Connections at once."
)
@click.option(
    "--age-band",
    type=click.Choice([band.value for band in AgeBand]),
    help="Who is protected, without a store. Default: unknown, which is protected.",
)
@click.option("--country", metavar="CODE", help="ISO 3166 country for help, e.g. GB, without a store.")
@click.option("--lang", multiple=True, metavar="TAG", help="Reader's language, without a store. Default: en.")
@click.option(
    "--store", type=click.Path(path_type=Path), metavar="PATH", help="A family's settings; see docs/store.md."
)
@click.option(
    "--anchors",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Keep the anchors of other users' stores here.",
)
@options.TIER
@options.RUNTIME
@click.option(
    "--isolation",
    type=click.Choice(["process", "none"]),
    default="process",
    show_default=True,
    help="Where the detectors run.",
)
@click.option("--concurrency", type=click.IntRange(1, 1024), help="Pictures at once. Default: one a processor.")
@options.LISTS
@options.TRUST
@click.option(
    "--trigger", multiple=True, metavar="KIND=VALUE", help="Test mode: add a finding, e.g. nudity=0.97; see check."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line about what happens.")
def serve(
    socket_path: Path | None,
    group: str | None,
    users: tuple[int, ...],
    max_clients: int,
    age_band: str | None,
    country: str | None,
    lang: tuple[str, ...],
    store: Path | None,
    anchors: Path | None,
    tier: str,
    runtime: str,
    isolation: str,
    concurrency: int | None,
    lists: tuple[str, ...],
    trust: tuple[str, ...],
    trigger: tuple[str, ...],
    as_json: bool,
) -> None:
    """Answer other processes of this device on a Unix socket, until SIGTERM or SIGINT.

    The protocol is docs/serve-protocol.md; in Python, safelight.serve.Client speaks it. Exits 0 when it was told to
    stop, 1 when it could not start, 2 for wrong usage.
    """
    from safelight.cli.lists import read_trust
    from safelight.guard import Guard
    from safelight.policy import Profile
    from safelight.serve import ServeError, ServeLimits, Service
    from safelight.serve._process import harden
    from safelight.testing import TestMode, parse_trigger

    harden()
    # The command owns its process. Pillow's warnings are about files we turn into states anyway.
    warnings.filterwarnings("ignore", module=r"PIL(\.|\Z)")
    if store is not None and (age_band or country or lang):
        raise click.UsageError("--store: got --age-band, --country or --lang as well; the store holds them.")
    with contextlib.ExitStack() as stack:
        try:
            chosen: dict[str, Any] = {
                "profile": Profile(age_band or "unknown", country=country, languages=lang or ("en",))
            }
            if store is not None:
                from safelight.cli._family import open_store

                chosen = {"store": stack.enter_context(open_store(store))}
            guard = stack.enter_context(
                Guard(
                    **chosen,
                    tier=tier,
                    runtime=runtime,
                    isolation=isolation,
                    concurrency=concurrency,
                    lists=lists,
                    trust=read_trust(trust) if lists else (),
                    test_mode=TestMode(*(parse_trigger(text) for text in trigger)) if trigger else None,
                )
            )
            service = _opened(
                Service,
                guard,
                socket_path,
                group=group,
                users=users or None,
                limits=ServeLimits(max_clients=max_clients, max_clients_per_user=max(1, max_clients * 3 // 4)),
                anchors=anchors,
                report=lambda event, numbers: _tell(event, numbers, as_json=as_json),
            )
        except UsageError as error:
            raise click.UsageError(str(error)) from None
        except ServeError as error:
            raise SafelightError(str(error)) from None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: service.stop())
        _tell("listening", {"isolation": isolation, "concurrency": guard.concurrency}, as_json=as_json)
        service.run()


def _opened(make: Any, guard: Any, path: Path | None, **options: Any) -> Any:
    from safelight.serve import default_socket_path

    if path is None and not os.environ.get("LISTEN_FDS"):
        path = default_socket_path()
    return make(guard, path, **options)


def _tell(event: str, numbers: dict[str, Any], *, as_json: bool) -> None:
    """One line on standard output: numbers and states, never content."""
    if as_json:
        at = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"at": at, "event": event, **numbers})
    else:
        line = " ".join([event, *(f"{name}={_shown(value)}" for name, value in numbers.items())])
    with contextlib.suppress(OSError, ValueError):  # nobody reads the log any more
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def _shown(value: Any) -> str:
    return ",".join(f"{name}:{state}" for name, state in value.items()) if isinstance(value, dict) else str(value)
