"""Write ``golden.json``: what the model answers to synthetic numbers, in both runtimes.

python -m grooming.add_goldens --model ../grooming_v3 --seed 101 --seed 202 --seed 303
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
from pathlib import Path

import numpy as np
from common.runtimes import RUNTIMES, machine
from safelight.runtime.golden import golden_text

from grooming.measure import FolderScorer

TOLERANCE_ABS = 0.002  # the runtimes themselves agree to 1e-6; a wrong table or gate moves these by tenths


def main() -> None:
    """Ask both runtimes and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--seed", type=int, action="append", required=True)
    options = parser.parse_args()
    scorers = {runtime: FolderScorer(options.model, runtime) for runtime in RUNTIMES}
    config = next(iter(scorers.values())).config
    cases = []
    for seed in options.seed:
        ids, dense, state = golden_text(
            tuple(config["input"]["shape"]), tuple(config["dense"]["shape"]), tuple(config["state"]["shape"]), seed=seed
        )
        outputs = {}
        for runtime, scorer in scorers.items():
            stages, risk, following = scorer.raw(ids, dense, state)
            outputs[runtime] = [
                [round(float(value), 6) for value in values] for values in (stages, [risk], following.reshape(-1))
            ]
        first, second = (np.concatenate(outputs[runtime]) for runtime in RUNTIMES)
        print(f"seed {seed}: the runtimes differ by {np.abs(first - second).max():.2e}")
        cases.append({"seed": seed, "cell_px": 1, "outputs": outputs})
    golden = {
        "schema": 1,
        "model_sha256": config["sha256"],
        "tolerance_steps": 0,
        "tolerance_abs": TOLERANCE_ABS,
        "cases": cases,
        "measured_with": {
            **{runtime: importlib.metadata.version(runtime) for runtime in RUNTIMES},
            "numpy": importlib.metadata.version("numpy"),
            "machine": machine(),
        },
    }
    path = options.model / "golden.json"
    path.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
