"""Measure one int8 age model in one runtime against its float original.

    python -m age.measure --runtime ai-edge-litert --model ../cydral_age_v1 --work WORK

Needs what ``make_model`` left in the work folder: chips of the evaluation half and the float original's answers.
How old anybody is, is not known here: this compares two models, and says nothing about how right either is.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from common import files
from common.proportion import clopper_pearson
from common.runtimes import RUNTIMES, Model, cpu_name, machine, versions

from age import chip_sets
from age.answers import ADULT_YEARS, CHALLENGE_YEARS, expected_years, probabilities, under

Doubles = npt.NDArray[np.float64]
FLOAT_REFERENCE: Final = "float_reference.json"


def answers(model: Model, chips: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the raw output for each of ``uint8[n, size, size, 3]``: ``uint8[n, ages]``."""
    return np.concatenate([model.run(np.ascontiguousarray(chip[np.newaxis])) for chip in chips])


def compare(original: Doubles, int8: Doubles, ages_years: list[float]) -> dict[str, Any]:
    """Compare probabilities ``float64[n, ages]`` of the float original and of the int8 model."""
    before, after = expected_years(original, ages_years), expected_years(int8, ages_years)
    difference = np.abs(after - before)
    minor = [under(shares, ages_years, years=ADULT_YEARS) >= 0.5 for shares in (original, int8)]
    return {
        "n": len(before),
        "under_adult": int((before < ADULT_YEARS).sum()),
        "under_challenge": int((before < CHALLENGE_YEARS).sum()),
        "mean_years": float(difference.mean()),
        "p99_years": float(np.quantile(difference, 0.99)),
        "max_years": float(difference.max()),
        "bias_years": float((after - before).mean()),
        "minor_agrees": _share(minor[0] == minor[1]),
        "adult_agrees": _share((before >= ADULT_YEARS) == (after >= ADULT_YEARS)),
        "challenge_agrees": _share((before >= CHALLENGE_YEARS) == (after >= CHALLENGE_YEARS)),
    }


def _share(hits: npt.NDArray[np.bool_]) -> dict[str, Any]:
    count, n = int(hits.sum()), len(hits)
    return {"count": count, "n": n, "interval_95": list(clopper_pearson(count, n))}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runtime", choices=RUNTIMES, required=True)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--work", type=Path, required=True, help="folder that make_model filled")
    options = parser.parse_args()
    config = files.read_json(options.model / "config.json")
    model = Model(options.model / config["file"], runtime=options.runtime)
    chips = chip_sets.load(options.work / chip_sets.CHIPS_FILE)
    reference = files.read_json(options.work / FLOAT_REFERENCE)
    raw = {"plain": answers(model, chips.plain), "varied": answers(model, chips.varied)}
    pairs = {name: (np.array(reference[name]), probabilities(rows, config["output"])) for name, rows in raw.items()}
    float_human, int8_human = (shares[chips.human] for shares in pairs["plain"])
    groups = {"human": (float_human, int8_human), **pairs}
    figures = {
        "runtime": options.runtime,
        "versions": versions(options.runtime, "numpy", "Pillow"),
        "machine": machine(),
        "cpu": cpu_name(),
        "sums": [float(bound(np.concatenate(list(raw.values())).sum(axis=1))) for bound in (np.min, np.max)],
        "groups": {name: compare(*pair, config["ages_years"]) for name, pair in groups.items()},
    }
    files.write_json(options.work / f"measured_{options.runtime}.json", figures)
    files.write_json(options.work / f"outputs_{options.runtime}.json", {n: rows.tolist() for n, rows in raw.items()})
    print(f"{options.runtime} {figures['versions'][options.runtime]}, {figures['cpu']}")
    for name, group in figures["groups"].items():
        agree = [group[key]["count"] for key in ("minor_agrees", "adult_agrees", "challenge_agrees")]
        print(
            f"  {name:7} n {group['n']:3}  mean {group['mean_years']:.2f}  p99 {group['p99_years']:.2f}  "
            f"max {group['max_years']:.2f}  bias {group['bias_years']:+.2f}  agree {agree}"
        )


if __name__ == "__main__":
    main()
