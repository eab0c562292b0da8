"""Fill a model card's template with measured figures, so that no figure is typed by hand.

    python -m common.fill_card --template open_nsfw/MODEL_CARD.template.md \
        --model ../open_nsfw_v1 --work WORK

The prose lives in the template, the figures in the files that ``make_model``, ``measure`` (once a
runtime), ``latency`` and ``add_goldens`` wrote. A placeholder without a figure is an error.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from common import files
from common.add_goldens import GOLDEN_FILE
from common.latency import LATENCY_FILE
from common.pictures import VARIANTS
from common.runtimes import RUNTIMES


def values(model_dir: Path, work: Path) -> dict[str, str]:
    """Collect every figure that a template may name.

    Args:
        model_dir: Holds ``config.json`` and ``golden.json``.
        work: Holds ``conversion.json``, ``measured_<runtime>.json``, ``outputs_<runtime>.json`` and
            ``latency.json``.

    Returns:
        Placeholder name to text.
    """
    config = files.read_json(model_dir / "config.json")
    golden = files.read_json(model_dir / GOLDEN_FILE)
    made = files.read_json(work / "conversion.json")
    measured = {name: files.read_json(work / f"measured_{name}.json") for name in RUNTIMES}
    timed = files.read_json(work / LATENCY_FILE)
    first = measured[RUNTIMES[0]]
    return {
        "id": config["id"],
        "sha256": config["sha256"],
        "size_bytes": f"{config['size_bytes']:,}",
        "size_mb": f"{config['size_bytes'] / 1e6:.2f}",
        "source_sha256": config["source"]["sha256"],
        "seed": str(made["seed"]),
        "calibration_n": str(made["calibration"]["n"]),
        "calibration_sha256": made["calibration"]["sha256_of_list"],
        "evaluation_n": str(made["evaluation"]["n"]),
        "evaluation_sha256": made["evaluation"]["sha256_of_list"],
        "rebuild_max_error": f"{made['rebuild_max_error']:.1e}",
        **_jpeg_round_trip(made.get("jpeg_round_trip")),
        "made_with": ", ".join(f"{name} {version}" for name, version in made["versions"].items()),
        "measured_with": measured_with(measured),
        "cpu": timed["cpu"],
        "fidelity_plain": _fidelity(measured, ("plain",)),
        "fidelity_changed": _fidelity(measured, (*VARIANTS[1:], "changed")),
        "between": _between(measured),
        "false_alarms": _false_alarms(measured, config),
        "changed_alarms": _changed_alarms(measured, config),
        "runtimes_differ": _runtimes_differ(work),
        "outputs_n": f"{sum(first['groups'][name]['n'] for name in ('plain', 'changed')):,}",
        "latency": latency(timed),
        "goldens": _goldens(golden),
        "tolerance_steps": str(golden["tolerance_steps"]),
    }


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Draw a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(share: dict[str, Any]) -> str:
    """Say a count as ``k of n = x % (95 % interval a to b %)``."""
    low, high = (100.0 * bound for bound in share["interval_95"])
    value = 100.0 * share["count"] / share["n"]
    return f"{share['count']} of {share['n']} = {value:.1f} % ({low:.1f} to {high:.1f} %)"


def _jpeg_round_trip(moved: dict[str, float] | None) -> dict[str, str]:
    """Say what a JPEG round trip does, of the models whose originals have one."""
    return {} if moved is None else {"jpeg_mean": f"{moved['mean']:.4f}", "jpeg_max": f"{moved['max']:.2f}"}


def measured_with(measured: dict[str, Any]) -> str:
    """Say the versions that each runtime was measured with."""
    return "; ".join(
        ", ".join(f"{name} {version}" for name, version in figures["versions"].items()) for figures in measured.values()
    )


def _fidelity(measured: dict[str, Any], groups: tuple[str, ...]) -> str:
    rows = []
    for runtime, figures in measured.items():
        for name in groups:
            group = figures["groups"][name]
            # Changed pictures come six to an original: together they are not independent.
            independent = name != "changed"
            argmax, decision = (
                percent(group[key]) if independent else f"{group[key]['count']} of {group[key]['n']}"
                for key in ("argmax_agrees", "decision_agrees")
            )
            rows.append(
                (
                    runtime,
                    name if independent else "all changed",
                    str(group["n"]),
                    f"{group['mean']:.4f}",
                    f"{group['p99']:.3f}",
                    f"{group['max']:.3f}",
                    argmax,
                    decision,
                )
            )
    head = ("runtime", "pictures", "n", "mean", "p99", "max", "argmax agrees", "decision agrees")
    return table(head, rows)


def _between(measured: dict[str, Any]) -> str:
    parts = []
    for runtime, figures in measured.items():
        groups = [figures["groups"][name]["between"] for name in ("plain", "changed")]
        n = sum(group["n"] for group in groups)
        agree = sum(group["decision_agrees"]["count"] for group in groups if group["n"])
        parts.append(f"{agree} of {n} in {runtime}")
    return ", ".join(parts)


def _false_alarms(measured: dict[str, Any], config: dict[str, Any]) -> str:
    rows = []
    for name, limit in config["thresholds"].items():
        alarms = {runtime: figures["groups"]["plain"]["at_or_above"][name] for runtime, figures in measured.items()}
        original = next(iter(alarms.values()))["float"]
        rows.append(
            (
                f"{name} (score ≥ {limit})",
                percent(original),
                *(percent(share["int8"]) for share in alarms.values()),
            )
        )
    return table(("threshold", "float original", *measured), rows)


def _changed_alarms(measured: dict[str, Any], config: dict[str, Any]) -> str:
    rows = []
    for variant in VARIANTS[1:]:
        counts: list[str] = []
        for name in config["thresholds"]:
            alarms = [figures["groups"][variant]["at_or_above"][name] for figures in measured.values()]
            counts.append(str(alarms[0]["float"]["count"]))
            counts.extend(str(share["int8"]["count"]) for share in alarms)
        rows.append((variant, str(alarms[0]["float"]["n"]), *counts))
    head = (f"{name}, {who}" for name in config["thresholds"] for who in ("float", *measured))
    return table(("pictures", "n", *head), rows)


def _runtimes_differ(work: Path) -> str:
    """Say how far the runtimes are apart on the same bytes, in steps of the output."""
    outputs = [files.read_json(work / f"outputs_{name}.json") for name in RUNTIMES]
    one, other = (
        np.array([raw[v][digest] for v in VARIANTS for digest in outputs[0][v]], dtype=np.int64) for raw in outputs
    )
    steps = np.abs(one - other).max(axis=1)
    same = int((steps == 0).sum())
    return (
        f"equal on {same} of {len(steps)} inputs, at most {steps.max()} of 256 steps apart, "
        f"{np.quantile(steps, 0.99):.0f} at p99"
    )


def latency(timed: dict[str, Any]) -> str:
    """Draw the table of what ``common.latency`` measured."""
    rows = [
        (
            f"{runtime} {timed['versions'][runtime]}",
            f"{statistics.median(medians):.1f} ms",
            f"{min(medians):.1f} to {max(medians):.1f} ms",
            f"{len(medians)} of {timed['runs_per_launch']} runs",
        )
        for runtime, medians in timed["launch_medians_ms"].items()
    ]
    head = ("runtime", "median of launches", "fastest to slowest launch", "launches")
    return table(head, rows)


def _goldens(golden: dict[str, Any]) -> str:
    rows = [
        (
            str(case["seed"]),
            str(case["cell_px"]),
            *(str(case["outputs"][runtime][0]) for runtime in RUNTIMES),
        )
        for case in golden["cases"]
    ]
    return table(("seed", "cell_px", *RUNTIMES), rows)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--template", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--work", type=Path, required=True, help="folder with the measurements")
    options = parser.parse_args()
    template = Template(options.template.read_text(encoding="utf-8"))
    text = template.substitute(values(options.model, options.work))
    (options.model / "MODEL_CARD.md").write_text(text, encoding="utf-8", newline="\n")
    print(f"{len(text.splitlines())} lines")


if __name__ == "__main__":
    main()
