"""``safelight models``: what models this build has, and whether they can be trusted here."""

from __future__ import annotations

import sys
import time

import click

from safelight.cli.measure_models import bench, card, evaluate
from safelight.cli.output import console, print_json, quiet_runtime
from safelight.cli.pan12 import evaluate_pan12_command
from safelight.decision import State
from safelight.errors import ModelError, UsageError
from safelight.runtime import RUNTIMES, Model, load_manifest, model_ids, runtime_status


@click.group()
def models() -> None:
    """The built-in models: list, verify, time and evaluate them, read their cards."""


models.add_command(bench)
models.add_command(card)
models.add_command(evaluate)
models.add_command(evaluate_pan12_command)


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a model, one a line.")
def list_models(as_json: bool) -> None:
    """List the models in this build."""
    from rich.table import Table

    table = Table("model", "task", "tiers", "size", "licence", "input", box=None, pad_edge=False)
    for model_id in model_ids():
        try:
            manifest = load_manifest(model_id)
        except ModelError as error:
            if as_json:
                print_json({"state": str(error.state), "id": model_id, "message": str(error)})
            else:
                table.add_row(model_id, str(error.state), "", "", "", "")
            continue
        if as_json:
            print_json({"state": State.OK.value, **manifest.summary()})
        else:
            table.add_row(
                manifest.id,
                manifest.task,
                ", ".join(manifest.tiers),
                f"{manifest.size_bytes / 1e6:.2f} MB",
                manifest.licence.weights,
                "×".join(str(n) for n in manifest.input.shape[1:])
                + f" {manifest.input.colour or manifest.input.dtype}",
            )
    if not as_json:
        console().print(table)


@models.command()
@click.argument("ids", nargs=-1, metavar="[MODEL…]")
@click.option("--runtime", type=click.Choice(["all", *RUNTIMES]), default="all", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a model and runtime, one a line.")
def verify(ids: tuple[str, ...], runtime: str, as_json: bool) -> None:
    """Prove each MODEL (all of them by default) here: digest, tensors, labels, golden inference.

    Exits 1 unless every model passes in every chosen runtime that is installed, and in at least one.
    """
    names = [name for name in RUNTIMES if runtime in ("all", name)]
    passed_everywhere = True
    for model_id in ids or model_ids():
        passed_somewhere = False
        for name in names:
            if not runtime_status(name).installed and runtime == "all":
                continue
            result = verify_one(model_id, name)
            passed_somewhere |= result["state"] == State.OK.value
            passed_everywhere &= result["state"] == State.OK.value
            if as_json:
                print_json(result)
            else:
                click.echo(_line(result))
        passed_everywhere &= passed_somewhere
    if not passed_everywhere:
        sys.exit(1)


def verify_one(model_id: str, runtime: str) -> dict[str, object]:
    """Verify one model in one runtime; the result says what was proved or what to do."""
    started = time.perf_counter()
    try:
        with quiet_runtime(), Model(model_id, runtime=runtime) as model:
            proof = model.verification
    except UsageError as error:
        raise click.UsageError(str(error)) from None
    except ModelError as error:
        return {"model": model_id, "runtime": runtime, "state": str(error.state), "message": str(error)}
    return {
        "model": model_id,
        "runtime": proof.runtime,
        "runtime_version": proof.runtime_version,
        "state": State.OK.value,
        "golden_cases": proof.golden_cases,
        "max_steps": proof.max_steps,
        "elapsed_ms": round((time.perf_counter() - started) * 1000, 1),
    }


def _line(result: dict[str, object]) -> str:
    if result["state"] != State.OK.value:
        return f"✗ {result['model']} in {result['runtime']}: {result['state']}. {result['message']}"
    return (
        f"✓ {result['model']} in {result['runtime']} {result['runtime_version']}: digest, tensors, labels and "
        f"{result['golden_cases']} golden inferences (largest difference {result['max_steps']} steps), "
        f"{result['elapsed_ms']:.0f} ms"
    )
