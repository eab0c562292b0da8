"""Write ``golden.json``: what a model answers to synthetic mosaics, in both runtimes.

    python -m common.add_goldens --model ../open_nsfw_v1 --case 7511:5 --case 58220:112

The SDK runs these cases when it loads a model: a runtime that imports and then computes nonsense is
found before it judges a picture. To choose cases for a new model::

    python -m common.add_goldens --model ../open_nsfw_v1 --search 1000

which lists mosaics whose outputs lie farthest from 0 and 255, where a fault would show. Prefer one
on which all kernels agree (small spread): its answer hangs on the weights, not on rounding.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np

from common import files
from common.golden_input import golden_input
from common.runtimes import RUNTIMES, Model, machine, versions

GOLDEN_FILE: Final = "golden.json"
#: Steps of the uint8 output that a correct runtime may differ by, on another processor.
TOLERANCE_STEPS: Final = 2
_SEARCH_CELLS_PX: Final = (4, 5, 32, 64, 96, 112, 128, 144, 160, 176, 192)
_SEARCH_SHOWN: Final = 30
_MIDDLE: Final = 128


def goldens(model_dir: Path, cases: Iterable[tuple[int, int]]) -> dict[str, Any]:
    """Run every case in both runtimes.

    Args:
        model_dir: Holds ``config.json`` and the model.
        cases: Seed and cell size of each mosaic.

    Returns:
        The content of ``golden.json``.
    """
    config = files.read_json(model_dir / "config.json")
    path = model_dir / config["file"]
    models = {name: Model(path, runtime=name) for name in RUNTIMES}
    shape = tuple(config["input"]["shape"])
    return {
        "schema": 1,
        "model_sha256": files.sha256_of(path),
        "tolerance_steps": TOLERANCE_STEPS,
        "cases": [
            {
                "seed": seed,
                "cell_px": cell_px,
                "outputs": {
                    name: model.run(golden_input(shape, seed=seed, cell_px=cell_px)).tolist()
                    for name, model in models.items()
                },
            }
            for seed, cell_px in cases
        ],
        "measured_with": {**versions(*RUNTIMES), "machine": machine()},
    }


def search(model_dir: Path, seeds: int) -> list[str]:
    """Try many mosaics and describe the best, those nearest the middle of the output first."""
    config = files.read_json(model_dir / "config.json")
    path = model_dir / config["file"]
    shape = tuple(config["input"]["shape"])
    fast = Model(path, runtime="ai-edge-litert")
    tried: list[tuple[int, int, int]] = []
    for cell_px in _SEARCH_CELLS_PX:
        for seed in range(seeds):
            output = fast.run(golden_input(shape, seed=seed, cell_px=cell_px))[0]
            distance = min(abs(int(value) - _MIDDLE) for value in output)
            tried.append((distance, seed, cell_px))
        print(f"  searched {seeds} mosaics of {cell_px} px", flush=True)
    others = {
        f"{name}/{kernels}": Model(path, runtime=name, kernels=kernels)
        for name in RUNTIMES
        for kernels in ("default", "builtin")
    }
    lines = []
    for _, seed, cell_px in sorted(tried)[:_SEARCH_SHOWN]:
        pixels = golden_input(shape, seed=seed, cell_px=cell_px)
        outputs = {name: model.run(pixels)[0].tolist() for name, model in others.items()}
        spread = int(np.ptp(np.array(list(outputs.values())), axis=0).max())
        lines.append(f"--case {seed}:{cell_px}  spread {spread}  {outputs}")
    return lines


def _case(text: str) -> tuple[int, int]:
    seed, cell_px = text.split(":")
    return int(seed), int(cell_px)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--case", type=_case, action="append", metavar="SEED:CELL_PX")
    what.add_argument("--search", type=int, metavar="SEEDS", help="list candidates, write nothing")
    options = parser.parse_args()
    if options.search is not None:
        print("\n".join(search(options.model, options.search)))
        return
    files.write_json(options.model / GOLDEN_FILE, goldens(options.model, options.case))
    for case in files.read_json(options.model / GOLDEN_FILE)["cases"]:
        print(case)


if __name__ == "__main__":
    main()
