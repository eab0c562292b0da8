"""Fill an age model's card with measured figures, so that no figure is typed by hand.

python -m age.fill_card --template cydral_age/MODEL_CARD.template.md --model ../cydral_age_v1 --work WORK
"""

from __future__ import annotations

import argparse
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from common import files
from common.add_goldens import GOLDEN_FILE
from common.fill_card import latency, measured_with, percent, table
from common.latency import LATENCY_FILE
from common.runtimes import RUNTIMES

from age.alignment import ALIGNMENT_FILE
from age.answers import expected_years, probabilities


def values(model_dir: Path, work: Path) -> dict[str, str]:
    """Collect every figure that a template may name."""
    config = files.read_json(model_dir / "config.json")
    golden = files.read_json(model_dir / GOLDEN_FILE)
    made = files.read_json(work / "conversion.json")
    measured = {name: files.read_json(work / f"measured_{name}.json") for name in RUNTIMES}
    timed = files.read_json(work / LATENCY_FILE)
    aligned = files.read_json(work / ALIGNMENT_FILE)
    return {
        "id": config["id"],
        "sha256": config["sha256"],
        "size_bytes": f"{config['size_bytes']:,}",
        "size_mb": f"{config['size_bytes'] / 1e6:.2f}",
        "source_sha256": config["source"]["sha256"],
        "seed": str(made["seed"]),
        "halves": _halves(made),
        "calibration_faces": str(made["calibration"]["faces"]),
        "calibration_human": str(made["calibration"]["human"]),
        "calibration_chips": str(made["calibration"]["chips"]),
        "evaluation_faces": str(made["evaluation"]["faces"]),
        "evaluation_human": str(made["evaluation"]["human"]),
        "rebuild_max_error": f"{made['rebuild_max_error']:.1e}",
        "made_with": ", ".join(f"{name} {version}" for name, version in made["versions"].items()),
        "measured_with": measured_with(measured),
        "fidelity": _fidelity(measured),
        "spread": _spread(measured[RUNTIMES[0]]["groups"]),
        "sums": f"{measured[RUNTIMES[0]]['sums'][0]:.0f} to {measured[RUNTIMES[0]]['sums'][1]:.0f}",
        "runtimes_differ": _runtimes_differ(work, config),
        "alignment": _alignment(aligned),
        "large_n": str(aligned["large_n"]),
        "small_n": str(aligned["small_n"]),
        "cpu": timed["cpu"],
        "latency": latency(timed),
        "goldens": _goldens(golden),
        "tolerance_steps": str(golden["tolerance_steps"]),
    }


def _halves(made: dict[str, Any]) -> str:
    rows = [
        (
            name,
            str(made[name]["n"]),
            f"{made[name]['faces']}, {made[name]['human']} of them human",
            f"`{made[name]['sha256_of_list']}`",
        )
        for name in ("calibration", "evaluation")
    ]
    return table(("half", "pictures", "faces that a second look confirms", "sha256 of its sorted list of sha256"), rows)


def _fidelity(measured: dict[str, Any]) -> str:
    rows = []
    for runtime, figures in measured.items():
        for name, group in figures["groups"].items():
            shares = (group[key] for key in ("minor_agrees", "adult_agrees", "challenge_agrees"))
            # Six changed forms of one face are not independent: no interval.
            said = (f"{s['count']} of {s['n']}" if name == "varied" else percent(s) for s in shares)
            years = (f"{group[key]:.2f}" for key in ("mean_years", "p99_years", "max_years"))
            rows.append((runtime, name, str(group["n"]), *years, f"{group['bias_years']:+.2f}", *said))
    head = ("runtime", "chips", "n", "mean", "p99", "max", "bias", "p(under 18) ≥ .5", "age ≥ 18", "age ≥ 25")
    return table(head, rows)


def _spread(groups: dict[str, Any]) -> str:
    """Say how many chips look young to the float original: without them, agreement comes cheap."""
    return " and ".join(
        f"{groups[name]['under_adult']} of the {groups[name]['n']} {name} chips under 18, "
        f"{groups[name]['under_challenge']} under 25"
        for name in ("plain", "varied")
    )


def _runtimes_differ(work: Path, config: dict[str, Any]) -> str:
    """Say how far the runtimes are apart on the same bytes, in steps and in years."""
    one, other = (
        np.concatenate([np.array(rows) for rows in files.read_json(work / f"outputs_{name}.json").values()])
        for name in RUNTIMES
    )
    steps = np.abs(one - other).max(axis=1)
    years = np.abs(
        np.subtract(*(expected_years(probabilities(r, config["output"]), config["ages_years"]) for r in (one, other)))
    )
    return (
        f"equal on {int((steps == 0).sum())} of {len(steps)} chips, at most {steps.max()} of 256 steps in one output "
        f"apart; the expected age differs by {years.mean():.2f} years on average, {years.max():.1f} at most"
    )


def _alignment(aligned: dict[str, Any]) -> str:
    kinds = ("large_1", "large_10", "small_1", "small_10")
    rows = [(row["change"], *(f"{row[kind]:.1f}" for kind in kinds)) for row in aligned["rows"]]
    return table(("chip", "large, one", "large, ten", "small, one", "small, ten"), rows)


def _goldens(golden: dict[str, Any]) -> str:
    """List the ages that hold most, not all outputs."""
    rows = []
    for case in golden["cases"]:
        outputs = [np.array(case["outputs"][runtime][0]) for runtime in RUNTIMES]
        top = np.argsort(-outputs[0], kind="stable")[:3]
        said = (", ".join(f"[{i}] {output[i]}" for i in top) for output in outputs)
        rows.append((str(case["seed"]), str(case["cell_px"]), *said))
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
