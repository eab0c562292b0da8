"""List mosaics that make good golden cases for these models; write nothing.

    python -m nsfwjs.search_goldens --model ../nsfwjs_mid_v1

``common.add_goldens --search`` looks for outputs in the very middle. These nets answer most mosaics alike, and
in the middle one step of a logit moves a probability by five: there a golden would hang on rounding. So this
looks for one clear answer that all kernels give, and that changes most when the picture's channels or
axes are swapped: the mistakes that a golden should catch.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import numpy as np
from common import files
from common.golden_input import golden_input
from common.runtimes import RUNTIMES, Model

_CELLS_PX: Final = (8, 16, 24, 48, 64, 80, 96, 112, 128, 160)
#: The largest output should lie between: below, one step of a logit counts too much; above, too little does.
_LARGEST: Final = (185, 232)
_SPREAD: Final = 1
_TRIED: Final = 150
_SHOWN: Final = 10


def search(model_dir: Path, seeds: int) -> list[str]:
    """Describe the best cases, those that a swap changes most first."""
    config = files.read_json(model_dir / "config.json")
    path, shape = model_dir / config["file"], tuple(config["input"]["shape"])
    kernels = [Model(path, runtime=name, kernels=kind) for name in RUNTIMES for kind in ("default", "builtin")]
    found: list[tuple[int, int, int]] = []
    for cell_px in _CELLS_PX:
        for seed in range(seeds):
            mosaic = golden_input(shape, seed=seed, cell_px=cell_px)
            answer = kernels[0].run(mosaic)[0].astype(int)
            if _LARGEST[0] <= answer.max() <= _LARGEST[1]:
                swapped = (mosaic[..., ::-1], mosaic.transpose(0, 2, 1, 3))
                changes = (kernels[0].run(np.ascontiguousarray(other))[0].astype(int) - answer for other in swapped)
                found.append((min(int(np.abs(change).max()) for change in changes), seed, cell_px))
    lines = []
    for change, seed, cell_px in sorted(found, reverse=True)[:_TRIED]:
        mosaic = golden_input(shape, seed=seed, cell_px=cell_px)
        answers = [model.run(mosaic)[0].astype(int) for model in kernels]
        if np.ptp(answers, axis=0).max() <= _SPREAD:
            lines.append(f"--case {seed}:{cell_px}  {answers[0].tolist()}  a swap changes it by {change} or more")
    return lines[:_SHOWN]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--seeds", type=int, default=250, help="of each cell size (default 250)")
    options = parser.parse_args()
    print("\n".join(search(options.model, options.seeds)))


if __name__ == "__main__":
    main()
