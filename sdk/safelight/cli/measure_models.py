"""``safelight models bench|evaluate|card``: measure the models, and read what was measured."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from safelight.builtin_data import read_builtin
from safelight.cli.card_plot import draw_card
from safelight.cli.output import console, print_json, quiet_runtime
from safelight.decision import State
from safelight.detect import TIERS, VisionDetector
from safelight.detect.tiers import Tier
from safelight.errors import DataError, ModelError, SafelightError
from safelight.evaluate import HISTOGRAM_BINS, Tally, evaluate_face_crops, evaluate_pictures
from safelight.measure import synthetic_frame
from safelight.media import Limits
from safelight.runtime import RUNTIMES, Model, golden_input, golden_text, model_ids, normalise
from safelight.runtime.manifest import FaceManifest, GroomingManifest, ModelManifest

_tier = click.option("--tier", type=click.Choice(TIERS), default="full", show_default=True)
_runtime = click.option("--runtime", type=click.Choice(["auto", *RUNTIMES]), default="auto", show_default=True)


@click.command()
@_runtime
@click.option("--rounds", type=click.IntRange(3, 1000), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a row, one a line.")
def bench(runtime: str, rounds: int, as_json: bool) -> None:
    """Time every model, and a whole look at a 640×480 frame in each tier, on one thread of this machine."""
    rows = [_bench_model(model_id, runtime, rounds) for model_id in model_ids()]
    rows += [_bench_tier(tier, runtime, rounds) for tier in TIERS]
    if as_json:
        for row in rows:
            print_json(row)
        return
    from rich.table import Table

    table = Table("what", "runtime", "median ms", "min ms", "max ms", box=None, pad_edge=False)
    for row in rows:
        times = [f"{row[name]:.2f}" if name in row else row.get("state", "") for name in ("median", "min", "max")]
        table.add_row(row["what"], row["runtime"], *times)
    console().print(table)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_tier
@_runtime
@click.option("--slices", is_flag=True, help="One row for every folder directly below FOLDER as well.")
@click.option("--face-crops", is_flag=True, help="One row for the faces in them, each cut out, as well.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw the scores (.svg, .png, .pdf).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a slice, one a line.")
def evaluate(
    folder: Path, tier: Tier, runtime: str, slices: bool, face_crops: bool, plot: Path | None, as_json: bool
) -> None:
    """Look at every file below FOLDER and print aggregates only: shares with 95 % intervals, score histograms.

    For people who lawfully hold a labelled set. No file name, score or picture is kept or printed.
    """
    groups = {"all": sorted(path for path in folder.rglob("*") if path.is_file())}
    if not groups["all"]:
        raise click.UsageError("got a folder without files, expected pictures in it or below it.")
    if slices:
        for child in sorted(path for path in folder.iterdir() if path.is_dir()):
            groups[child.name] = sorted(path for path in child.rglob("*") if path.is_file())
    detector = VisionDetector(tier, runtime=runtime)
    with quiet_runtime():
        state = detector.prepare()
    if state is not State.OK:
        raise click.ClickException(f"tier {tier} cannot be used: {state.value}; run `safelight doctor`.")
    tallies: dict[str, Tally] = {}
    try:
        for name, files in groups.items():
            tallies[name] = evaluate_pictures(_progress(files, name), detector, limits=Limits())
        if face_crops:
            found = _progress(groups["all"], "face crops")
            tallies["face crops"] = evaluate_face_crops(found, detector, limits=Limits(), runtime=runtime)
    except ModelError as error:
        raise click.ClickException(f"{error.state}: {error}") from None
    finally:
        detector.close()
    for name, tally in tallies.items():
        if as_json:
            print_json({"slice": name, "tier": tier, **tally.to_dict()})
        else:
            _print_tally(name, tally)
    if plot is not None:
        draw_histograms(tallies["all"].histogram, plot, f"{tallies['all'].pictures} pictures, tier {tier}")


@click.command()
@click.argument("model", type=click.Choice(model_ids()))
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw its shares (.svg, .png, .pdf).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: the model's id and the card's text.")
def card(model: str, plot: Path | None, as_json: bool) -> None:
    """Print the card of MODEL: what it is for, what was measured, what it misses."""
    try:
        text = read_builtin(f"models/{model}/MODEL_CARD.md").decode("utf-8")
    except DataError as error:
        raise click.ClickException(str(error)) from None
    if plot is not None:
        draw_card(model, text, plot)
    if as_json:
        print_json({"model": model, "card": text})
        return
    from rich.markdown import Markdown

    console().print(Markdown(text))


def draw_histograms(histogram: dict[str, list[int]], path: Path, title: str) -> None:
    """Draw score histograms, one panel a model.

    Raises:
        click.ClickException: matplotlib is missing, or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise click.ClickException("drawing needs matplotlib; run: pip install 'safelight[plots]'.") from None
    figure = Figure(figsize=(6, 1.6 * len(histogram) + 0.6), layout="constrained")
    figure.suptitle(title)
    for index, (model, counts) in enumerate(sorted(histogram.items())):
        axes = figure.add_subplot(len(histogram), 1, index + 1)
        axes.bar([(i + 0.5) / HISTOGRAM_BINS for i in range(HISTOGRAM_BINS)], counts, width=0.9 / HISTOGRAM_BINS)
        axes.set(xlim=(0, 1), yscale="symlog", ylabel="pictures", title=model)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"the drawing could not be written: {error}") from None


def _bench_values(manifest: ModelManifest) -> tuple[Any, ...]:
    if isinstance(manifest, GroomingManifest):
        return golden_text(manifest.input.shape, manifest.dense.shape, manifest.state.shape, seed=1)
    pixels = golden_input(manifest.input.shape, seed=1, cell_px=8)
    return (normalise(pixels, manifest.preprocess) if isinstance(manifest, FaceManifest) else pixels,)


def _bench_model(model_id: str, runtime: str, rounds: int) -> dict[str, Any]:
    try:
        with quiet_runtime(), Model(model_id, runtime=runtime) as model:
            values = _bench_values(model.manifest)
            times = _times(lambda: model.run(*values), rounds)
            return {"what": model_id, "runtime": model.verification.runtime, **times}
    except SafelightError as error:
        return {"what": model_id, "runtime": runtime, "state": str(getattr(error, "state", type(error).__name__))}


def _bench_tier(tier: Tier, runtime: str, rounds: int) -> dict[str, Any]:
    detector = VisionDetector(tier, runtime=runtime)
    try:
        with quiet_runtime():
            state = detector.prepare()
            if state is not State.OK:
                return {"what": f"tier {tier}, 640×480", "runtime": runtime, "state": state.value}
            frame = synthetic_frame()
            return {
                "what": f"tier {tier}, 640×480",
                "runtime": runtime,
                **_times(lambda: detector.detect(frame), rounds),
            }
    finally:
        detector.close()


def _times(call: Any, rounds: int) -> dict[str, float]:
    call()
    measured = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        measured.append((time.perf_counter() - started) * 1000.0)
    measured.sort()
    return {
        "median": round(measured[len(measured) // 2], 3),
        "min": round(measured[0], 3),
        "max": round(measured[-1], 3),
    }


def _print_tally(name: str, tally: Tally) -> None:
    from rich.table import Table

    values = tally.to_dict()
    table = Table("model", "answer", "pictures", "share", "95 % interval", box=None, pad_edge=False)
    for model, answers in [("decided", values["decided"]), *values["by_model"].items()]:
        for answer, numbers in answers.items():
            low, high = numbers["interval_95"]
            table.add_row(model, answer, str(numbers["count"]), f"{numbers['share']:.2%}", f"{low:.2%} to {high:.2%}")
    console().print(f"{name}: {tally.pictures} pictures")
    console().print(table)


def _progress(files: list[Path], name: str) -> Iterable[Path]:
    if not sys.stderr.isatty():
        return files
    from rich.console import Console
    from rich.progress import track

    return track(files, description=name, console=Console(stderr=True), transient=True)
