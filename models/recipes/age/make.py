"""The steps that both age models share: compare, quantise, check, release, describe."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

# It comes without type annotations.
import tensorflow as tf  # type: ignore[import-untyped,import-not-found,unused-ignore]
from common import files, pictures
from common.quantise import MODEL_FILE, quantise, release
from common.runtimes import versions

from age import chip_sets
from age.measure import FLOAT_REFERENCE

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
#: From ``uint8[n, size, size, 3]`` chips to ``float32[n, ages]`` probabilities.
Original = Callable[[Pixels], Floats]

#: Where four of BlazeFace's points lie in the chip of an upright face, as fractions of its side. Fitted once by the
#: project, privately, for chips like those that the smaller model was trained on.
LANDMARKS: Final = {
    "image_left_eye": [0.289, 0.298],
    "image_right_eye": [0.690, 0.288],
    "nose": [0.487, 0.518],
    "mouth": [0.495, 0.717],
}

#: The rebuild is the same arithmetic in another order; a wrong pad or channel costs 1e-2 or more.
REBUILD_TOLERANCE: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Recipe:
    """What differs between the age models.

    Attributes:
        model_id: E.g. ``cydral_age_v1``.
        tiers: Tiers that use it.
        size_px: Side of its chip.
        ages_years: The age that each output stands for.
        licence: ``licence`` of ``config.json``.
        source: ``source`` of ``config.json``.
        distributions: Packages whose versions are written down.
    """

    model_id: str
    tiers: tuple[str, ...]
    size_px: int
    ages_years: list[float]
    licence: dict[str, str]
    source: dict[str, str]
    distributions: tuple[str, ...]

    @property
    def chip(self) -> dict[str, Any]:
        """``chip`` of ``config.json``."""
        return {"size_px": self.size_px, "landmarks": LANDMARKS}

    @property
    def input(self) -> dict[str, Any]:
        """The input tensor: raw RGB bytes."""
        shape = [1, self.size_px, self.size_px, 3]
        return {"shape": shape, "dtype": "uint8", "scale": 1.0, "zero_point": 0}

    @property
    def output(self) -> dict[str, Any]:
        """The output tensor: probabilities in steps of 1/256."""
        return {"shape": [1, len(self.ages_years)], "dtype": "uint8", "scale": 1 / 256, "zero_point": 0}


def options(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that both recipes have."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0] if description else None)
    parser.add_argument("--calibration", type=Path, required=True, help="folder of benign pictures")
    parser.add_argument("--evaluate", type=Path, required=True, help="another, or the same: halved")
    parser.add_argument("--faces", type=Path, required=True, help="model folder of the face detector")
    parser.add_argument("--out", type=Path, required=True, help="model folder to fill")
    parser.add_argument("--work", type=Path, required=True, help="folder for measurements")
    parser.add_argument("--seed", type=int, default=0, help="chooses halves and changes (default 0)")
    return parser


def make(recipe: Recipe, chosen: argparse.Namespace, function: Callable[[Any], Any], original: Original) -> None:
    """Make a model folder: all steps after source and rebuild.

    Args:
        recipe: Which model.
        chosen: Parsed options.
        function: The float rebuild, a ``tf.function`` from raw RGB ``float32``.
        original: The float original.

    Raises:
        ValueError: The rebuild is off, a tensor is not as expected, or another model is there already.
    """
    chosen.out.mkdir(parents=True, exist_ok=True)
    calibration, evaluation = pictures.split(chosen.calibration, chosen.evaluate, seed=chosen.seed)
    print(f"2/5 faces of {len(calibration)} + {len(evaluation)} pictures", flush=True)
    detector = chip_sets.Detector(chosen.faces)
    first, second = (
        detector.chips(half, recipe.chip, copies=copies, seed=chosen.seed + number)
        for number, (half, copies) in enumerate(
            ((calibration, chip_sets.CALIBRATION_COPIES), (evaluation, chip_sets.EVALUATION_COPIES))
        )
    )
    chip_sets.save(chosen.work / chip_sets.CHIPS_FILE, second)
    for name, half in (("calibration", first), ("evaluation", second)):
        print(f"  {name}: {len(half.plain)} faces, {half.human.sum()} of them human", flush=True)

    print("3/5 float rebuild against the original", flush=True)
    reference = {"plain": original(second.plain), "varied": original(second.varied)}
    error = max(
        float(np.abs(_rebuilt(function, chips) - reference[name]).max())
        for name, chips in (("plain", second.plain), ("varied", second.varied))
    )
    print(f"  largest difference: {error:.2e}", flush=True)
    if error > REBUILD_TOLERANCE:
        raise ValueError(f"got a rebuild off by {error}, expected at most {REBUILD_TOLERANCE}")
    files.write_json(
        chosen.work / FLOAT_REFERENCE, {name: np.round(rows, 7).tolist() for name, rows in reference.items()}
    )

    calibrating = np.concatenate([first.plain, first.varied])
    print(f"4/5 quantise, calibrating on {len(calibrating)} chips", flush=True)
    content = quantise(function, lambda: (chip[np.newaxis].astype(np.float32) for chip in calibrating))
    released = release(content, chosen.out, expected_input=recipe.input, expected_output=recipe.output)

    print("5/5 write down what was done", flush=True)
    described = config(recipe, released)
    files.write_json(chosen.out / "config.json", described)
    print(f"  {described['size_bytes']} bytes, sha256 {described['sha256']}", flush=True)
    files.write_json(
        chosen.work / "conversion.json",
        {
            "seed": chosen.seed,
            "calibration": _half(calibration, first) | {"chips": len(calibrating)},
            "evaluation": _half(evaluation, second),
            "rebuild_max_error": error,
            "versions": versions("tensorflow-cpu", *recipe.distributions, "ai-edge-litert", "numpy", "Pillow"),
        },
    )


def _rebuilt(function: Callable[[Any], Any], chips: Pixels) -> Floats:
    return np.concatenate([np.asarray(function(tf.constant(chip[np.newaxis].astype(np.float32)))) for chip in chips])


def _half(chosen: list[pictures.Picture], found: chip_sets.Chips) -> dict[str, Any]:
    return {
        "n": len(chosen),
        "sha256_of_list": pictures.set_digest(chosen),
        "faces": len(found.plain),
        "human": int(found.human.sum()),
    }


def config(recipe: Recipe, model: Path) -> dict[str, Any]:
    """Describe the model, in the shape that the SDK reads."""
    shape, dtype = recipe.input["shape"], recipe.input["dtype"]
    return {
        "schema": 1,
        "id": recipe.model_id,
        "task": "age",
        "tiers": list(recipe.tiers),
        "file": MODEL_FILE,
        "size_bytes": model.stat().st_size,
        "sha256": files.sha256_of(model),
        "licence": recipe.licence,
        "source": recipe.source,
        "input": {"shape": shape, "dtype": dtype, "colour": "RGB", "scale": 1.0, "zero_point": 0},
        "chip": recipe.chip,
        "output": recipe.output,
        "ages_years": recipe.ages_years,
        "calibration": None,
    }
