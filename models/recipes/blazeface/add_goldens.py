"""Write ``golden.json``: chosen values of both outputs for synthetic mosaics, in both runtimes.

    python -m blazeface.add_goldens --model ../blazeface_short_v1 --case 58:2 --case 70:24

15,232 numbers a case would say no more than a few that hang on everything. Picked are, with no two
from one anchor, the values that move most when the mosaic's channels, or its rows and columns, are
swapped: a runtime, a reader or a caller that mixes those up cannot answer them by luck.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from common import files
from common.add_goldens import GOLDEN_FILE
from common.golden_input import golden_input
from common.runtimes import RUNTIMES, Model, machine, versions

from blazeface.reference_decode import Floats, to_input

PICKS: Final = 16
#: Runtimes and processors differ by rounding: up to 4.6e-4 was seen between XNNPACK and the plain kernels, over all
#: 15,232 values of eight mosaics. A swapped channel moves every picked value by more than 100 times the tolerance.
TOLERANCE_ABS: Final = 0.002
#: Larger values are not picked: their rounding error grows with them.
_LARGEST: Final = 50.0


def picks(model: Model, mosaic: npt.NDArray[np.uint8], preprocess: dict[str, Any]) -> list[list[int]]:
    """Choose flat indices into each output, ascending."""

    def run(pixels: npt.NDArray[np.uint8]) -> list[Floats]:
        return model.run_all(to_input(np.ascontiguousarray(pixels), preprocess))

    plain, channels, turned = run(mosaic[0]), run(mosaic[0, ..., ::-1]), run(mosaic[0].transpose(1, 0, 2))
    chosen = []
    for values, other, another in zip(plain, channels, turned, strict=True):
        moves = np.minimum(np.abs(values - other), np.abs(values - another))[0]
        moves[np.abs(values[0]) > _LARGEST] = 0.0
        best = moves.argmax(axis=1)  # one value an anchor
        anchors = np.argsort(-moves.max(axis=1), kind="stable")[:PICKS]
        chosen.append(sorted(int(anchor * values.shape[-1] + best[anchor]) for anchor in anchors))
    return chosen


def goldens(model_dir: Path, cases: list[tuple[int, int]]) -> dict[str, Any]:
    """Run every case in both runtimes and return the content of ``golden.json``."""
    config = files.read_json(model_dir / "config.json")
    path = model_dir / config["file"]
    models = {name: Model(path, runtime=name) for name in RUNTIMES}
    described = []
    for seed, cell_px in cases:
        mosaic = golden_input(tuple(config["input"]["shape"]), seed=seed, cell_px=cell_px)
        pick = picks(models[RUNTIMES[0]], mosaic, config["preprocess"])
        outputs = {
            name: [
                [round(float(value), 4) for value in output.reshape(-1)[indices]]
                for output, indices in zip(model.run_all(to_input(mosaic[0], config["preprocess"])), pick, strict=True)
            ]
            for name, model in models.items()
        }
        described.append({"seed": seed, "cell_px": cell_px, "pick": pick, "outputs": outputs})
    return {
        "schema": 1,
        "model_sha256": files.sha256_of(path),
        "tolerance_steps": 0,
        "tolerance_abs": TOLERANCE_ABS,
        "cases": described,
        "measured_with": {**versions(*RUNTIMES), "machine": machine()},
    }


def _case(text: str) -> tuple[int, int]:
    seed, cell_px = text.split(":")
    return int(seed), int(cell_px)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--case", type=_case, action="append", required=True, metavar="SEED:CELL_PX")
    options = parser.parse_args()
    golden = goldens(options.model, options.case)
    files.write_json(options.model / GOLDEN_FILE, golden)
    for case in golden["cases"]:
        print(case)


if __name__ == "__main__":
    main()
