"""``safelight doctor``: can this installation protect somebody, and if not, what is missing?"""

from __future__ import annotations

import importlib.metadata
import sys
from dataclasses import asdict, dataclass

import click

from safelight import __version__
from safelight._build import build_info
from safelight.builtin_data import builtin_files, read_builtin
from safelight.cli.models import verify_one
from safelight.cli.output import console, print_json, quiet_runtime
from safelight.decision import State
from safelight.errors import DataError
from safelight.measure import load_plan, measure, save_plan
from safelight.runtime import RUNTIMES, model_ids, runtime_status


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. ``ok=None`` is information that does not decide."""

    name: str
    ok: bool | None
    detail: str


@click.command()
@click.option("--measure", "measure_device", is_flag=True, help="Measure this device, and remember the result.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def doctor(measure_device: bool, as_json: bool) -> None:
    """Check this installation. Exits 1 when it could not protect somebody."""
    if measure_device:
        with quiet_runtime():
            save_plan(measure())
    checks = run_checks()
    healthy = all(check.ok is not False for check in checks)
    if as_json:
        print_json({"healthy": healthy, "build": build_info().to_dict(), "checks": [asdict(check) for check in checks]})
    else:
        from rich.table import Table

        table = Table("", "check", "detail", box=None, pad_edge=False, show_header=False)
        for check in checks:
            table.add_row({True: "✓", False: "✗", None: "·"}[check.ok], check.name, check.detail)
        console().print(table)
        click.echo("This installation can protect." if healthy else "Not ready: see the lines marked ✗.")
    if not healthy:
        sys.exit(1)


def run_checks() -> list[Check]:
    """Everything doctor looks at, in the order in which a fault matters."""
    info = build_info()
    checks = [
        Check("build", None, f"safelight {info.version}, Python {info.python}, {info.platform} {info.machine}"),
        Check(
            "native core", info.version == __version__, f"{info.native_compiler}, digest {info.builtin_digest[:12]}…"
        ),
        _builtin_data(),
    ]
    checks += [_library(name) for name in ("numpy", "pillow")]
    usable = 0
    for name in RUNTIMES:
        status = runtime_status(name)
        if not status.installed:
            checks.append(Check(f"runtime {name}", None, "not installed"))
            continue
        results = [verify_one(model_id, name) for model_id in model_ids()]
        passed = all(result["state"] == State.OK.value for result in results)
        usable += passed
        problems = [str(result["message"]) for result in results if result["state"] != State.OK.value]
        detail = " ".join([f"{status.version}: {len(results)} models verified" if passed else "", *problems])
        # One runtime that works is enough; a second one that does not is information.
        checks.append(Check(f"runtime {name}", passed or None, detail.strip()))
        checks += [Check(f"runtime {name}", None, warning) for warning in status.warnings]
    checks.append(
        Check("models", bool(usable and model_ids()), f"{len(model_ids())} built in, {usable} usable runtimes")
    )
    checks.append(_conversation_model())
    checks.append(_speed())
    checks += _store()
    checks.append(
        Check(
            "network", None, "nothing opens a connection unasked; `safelight capabilities` says what can, and plug-ins"
        )
    )
    checks.append(Check("reporting", None, "off until a collector is connected; see `safelight outbox status`"))
    return checks


def _builtin_data() -> Check:
    problems = []
    for name in builtin_files():
        try:
            read_builtin(name)
        except DataError as error:
            problems.append(str(error))
    detail = " ".join(problems) or f"{len(builtin_files())} files match the digests compiled in"
    return Check("built-in data", not problems, detail)


def _conversation_model() -> Check:
    from safelight.detect.grooming import GroomingDetector, grooming_status

    status = grooming_status()
    detector = GroomingDetector()
    with quiet_runtime():
        state = detector.prepare()
    detector.close()
    if state is not State.OK:
        return Check("conversation model", False, f"{status.id or 'none'}: {state.value}: messages are not judged")
    return Check("conversation model", True, f"{status.id}: OK, reads {', '.join(status.languages)}")


def _store() -> list[Check]:
    from safelight.store import Store, StoreState

    with Store() as store:
        health = store.health()
    protection = f"key {health.key_provider} ({health.key_protection}), anchor {health.anchor}"
    if health.anchor == "none":
        protection += ": an old copy of the whole folder cannot be told from the newest"
    if health.state is StoreState.NEW:
        detail = "not set up, so the strictest settings; run: safelight setup"
    elif health.state is not StoreState.OK:
        detail = f"{health.state}: the strictest settings are in force; run: safelight policy show"
    else:
        parts = ["PIN set" if health.pin_set else "no PIN", f"{health.pending} waiting", f"{health.holds} held back"]
        if health.unconfirmed_time:
            parts.append("clock not confirmed: safelight policy confirm-time")
        detail = ", ".join(parts)
    # The strictest settings protect: what is wrong with the store is said, and does not make the device unready.
    ok = True if health.state is StoreState.OK else None if health.state is StoreState.NEW else False
    return [Check("store", ok, detail), Check("store protection", None, protection)]


def _speed() -> Check:
    device_plan = load_plan()
    if device_plan is None:
        return Check("speed", None, "not measured on this device; run: safelight doctor --measure")
    return Check(
        "speed",
        None,
        f"tier {device_plan.tier} for single pictures; live {device_plan.live_ms} ms, full {device_plan.full_ms} ms "
        f"a look; a live gate looks at {device_plan.frames_per_second} frames a second "
        f"(every {device_plan.look_at_every}. of 30)",
    )


def _library(name: str) -> Check:
    try:
        return Check(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, False, f"not installed; run: pip install {name}")
