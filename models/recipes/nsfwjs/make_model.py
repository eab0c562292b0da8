"""Make ``nsfwjs_mobilenet_v2_v1`` or ``nsfwjs_mid_v1``: npm's archive in, a checked int8 TFLite file out.

    python -m nsfwjs.make_model --variant mobilenet_v2 --archive nsfwjs-4.4.0.tgz --node NODE \
        --calibration PICTURES --evaluate PICTURES --out ../nsfwjs_mobilenet_v2_v1 --work WORK

One folder given for both is halved; no picture both calibrates and evaluates. Only benign pictures
are needed, and nothing else may be given: see README.md beside this file.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

# It comes without type annotations.
import tensorflow as tf  # type: ignore[import-untyped,import-not-found,unused-ignore]
from common import files, pictures, tfjs
from common.golden_input import golden_input
from common.measure import FLOAT_REFERENCE, measure, report
from common.quantise import MODEL_FILE, quantise, release
from common.runtimes import Model, versions

from nsfwjs import original

Floats = npt.NDArray[np.float32]
Pictures = list[pictures.Picture]


@dataclass(frozen=True, slots=True)
class Variant:
    """What differs between the models of one package.

    Attributes:
        model_id: Name of the model folder.
        name: nsfwjs's own name for it.
        tier: The one tier that it is for.
        rebuild: The rebuilder for its TensorFlow.js format.
        last_bias: Name of the weight that is added last before the softmax.
        what: What kind of net it is, in words.
    """

    model_id: str
    name: str
    tier: str
    rebuild: Callable[[dict[str, Any], tfjs.Weights], tfjs.Function]
    last_bias: str
    what: str


VARIANTS: Final = {
    "mobilenet_v2": Variant(
        "nsfwjs_mobilenet_v2_v1",
        "MobileNetV2",
        "live",
        tfjs.rebuild_layers,
        "dense_3/bias",
        "a MobileNetV2 (width 1.0) with two more dense layers, Keras",
    ),
    "mid": Variant(
        "nsfwjs_mid_v1",
        "MobileNetV2Mid",
        "full",
        tfjs.rebuild_graph,
        "Func/StatefulPartitionedCall/input/_263",
        "a MobileNetV2 (width 1.4) from TensorFlow Hub with one dense layer",
    ),
}

#: The whole picture, squashed to a square, nothing cut off: as nsfwjs does, but with antialiasing.
PREPROCESS: Final = pictures.Preprocess(resize_px=(224, 224), crop_px=(224, 224))
#: 1/255 as a float32, which is what the file holds.
_SCALE: Final = float(np.float32(1 / 255))
INPUT: Final = {"shape": [1, 224, 224, 3], "dtype": "uint8", "scale": _SCALE, "zero_point": 0}
OUTPUT: Final = {"shape": [1, len(original.LABELS)], "dtype": "uint8", "scale": 1 / 256, "zero_point": 0}

EXPLICIT_LABELS: Final = ("porn", "hentai")
#: For porn + hentai, on the model's own scale. Upstream names none. 0.9 was picked in an earlier look at other
#: benign pictures; "suggestive" so that about one benign picture in a hundred is nudged, on the 400 pictures of
#: both halves. Nothing here knows what is missed.
THRESHOLDS: Final = {
    "nsfwjs_mid_v1": {"suggestive": 0.6, "explicit": 0.9},
    "nsfwjs_mobilenet_v2_v1": {"suggestive": 0.8, "explicit": 0.9},
}
#: Where every nudity model's thresholds lie after calibration, so that scores of several can be compared.
COMMON_SCALE: Final = (0.0, 0.5, 0.8, 1.0)
CALIBRATION_NOTE: Final = (
    "Puts the model's own suggestive and explicit thresholds at 0.5 and 0.8. Made on benign pictures only: equal "
    "scores of two models mean about equal false alarms, not equal probabilities."
)

#: The rebuild is the same arithmetic in another order; a wrong pad or channel costs 1e-2 or more.
REBUILD_TOLERANCE: Final = 1e-4

#: Side of the cells of the mosaics on which the rebuild is compared, too.
_MOSAIC_CELLS_PX: Final = (4, 16, 64, 112)
_MOSAIC_SEEDS: Final = 5

_ORIGIN: Final = (
    "{what}. Trained by Gant Laborde and the nsfw_model developers on pictures that Alexander Kim's "
    "nsfw_data_scraper lists; published by Infinite Red in nsfwjs, quantised to uint8. "
    "Rebuilt and quantised to int8 by Safelight."
)
#: The package's own licence follows; this line names those whose repository the weights come from.
_NOTICE_HEAD: Final = (
    "nsfwjs, and the weights in it, from nsfw_model (https://github.com/GantMan/nsfw_model), which is\n"
    "under the same licence: Copyright (c) 2020 The nsfw_model Developers\n\n"
)


def float_reference(asked: original.Original, evaluation: Pictures) -> dict[str, Any]:
    """Ask the original about every evaluation picture, plain and changed, and about mosaics.

    Returns:
        ``outputs``: variant, then picture sha256, then one value a label; ``own_resize``: picture
        sha256, then what the original says when nsfwjs resizes the plain picture itself; ``mosaics``:
        the answers to what :func:`mosaics` makes, in order.
    """
    outputs: dict[str, dict[str, list[float]]] = {name: {} for name in pictures.VARIANTS}
    own_resize: dict[str, list[float]] = {}
    for number, picture in enumerate(evaluation, start=1):
        image = pictures.load(picture)
        own_resize[picture.sha256] = _list(asked.run(np.asarray(image)))
        for name in pictures.VARIANTS:
            pixels = pictures.to_input(pictures.variant(image, name), PREPROCESS)
            outputs[name][picture.sha256] = _list(asked.run(pixels[0]))
        if number % 20 == 0:
            print(f"  float original: {number} of {len(evaluation)} pictures", flush=True)
    return {
        "labels": list(original.LABELS),
        "outputs": outputs,
        "own_resize": own_resize,
        "mosaics": [_list(asked.run(mosaic[0])) for mosaic in mosaics()],
    }


def mosaics() -> Iterator[pictures.Pixels]:
    """Make the synthetic inputs on which the rebuild is compared, ``uint8[1, 224, 224, 3]`` each."""
    for cell_px in _MOSAIC_CELLS_PX:
        for seed in range(_MOSAIC_SEEDS):
            yield golden_input((1, 224, 224, 3), seed=seed, cell_px=cell_px)


def rebuild_error(
    function: Callable[[Any], Any], reference: dict[str, Any], evaluation: Pictures
) -> tuple[float, float]:
    """Return the largest difference of the float rebuild, over all outputs: on pictures, on mosaics."""

    def worst(inputs: Iterator[pictures.Pixels], expected: list[list[float]]) -> float:
        answers = [np.asarray(function(tf.constant(to_real(pixels))))[0] for pixels in inputs]
        return float(np.abs(np.array(answers, dtype=np.float64) - np.array(expected)).max())

    plain = (pictures.to_input(pictures.load(picture), PREPROCESS) for picture in evaluation)
    return (
        worst(plain, [reference["outputs"]["plain"][picture.sha256] for picture in evaluation]),
        worst(mosaics(), reference["mosaics"]),
    )


def as_function(rebuilt: tfjs.Function) -> Any:
    """Fix a rebuild to one picture, ``float32[1, 224, 224, 3]`` in [0, 1]."""
    return tf.function(rebuilt, input_signature=[tf.TensorSpec(INPUT["shape"], tf.float32)], autograph=False)


def logit_offsets(variant: Variant, source: original.Source, weights: tfjs.Weights, calibration: Pictures) -> Floats:
    """Measure how far quantising moves the logits on average, so that the last bias can take it back.

    Rounding errors of many layers do not cancel: the quantised net leans to some labels. Only
    calibration pictures are looked at, plain and changed.

    Args:
        variant: Which model.
        source: Its topology.
        weights: Its float weights.
        calibration: Calibration pictures.

    Returns:
        ``float32[labels]``, to be added to the last bias. Their mean, which softmax ignores, is 0.
    """
    function = as_function(variant.rebuild(tfjs.without_softmax(source.topology), weights))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL_FILE
        path.write_bytes(quantise(function, lambda: samples(calibration)))
        int8 = Model(path, runtime="ai-edge-litert")
    scale, zero_point = int8.output["scale"], int8.output["zero_point"]
    errors = []
    for picture in calibration:
        image = pictures.load(picture)
        for name in pictures.VARIANTS:
            pixels = pictures.to_input(pictures.variant(image, name), PREPROCESS)
            quantised = (int8.run(pixels)[0].astype(np.float64) - zero_point) * scale
            errors.append(np.asarray(function(tf.constant(to_real(pixels))))[0] - quantised)
    offsets = np.mean(errors, axis=0)
    return np.asarray(offsets - offsets.mean(), dtype=np.float32)


def samples(calibration: Pictures) -> Iterator[Floats]:
    """Prepare pictures one after another as the net wants them."""
    return (to_real(pictures.to_input(pictures.load(picture), PREPROCESS)) for picture in calibration)


def to_real(pixels: pictures.Pixels) -> Floats:
    """Turn bytes into what the net was trained on, 0 to 1."""
    return pixels.astype(np.float32) / np.float32(255)


def config(variant: Variant, model: Path, licence: str) -> dict[str, Any]:
    """Describe the model, in the shape that the SDK reads."""
    return {
        "schema": 1,
        "id": variant.model_id,
        "task": "nudity",
        "tiers": [variant.tier],
        "file": MODEL_FILE,
        "size_bytes": model.stat().st_size,
        "sha256": files.sha256_of(model),
        "licence": {
            "weights": "MIT",
            "origin": _ORIGIN.format(what=variant.what[0].upper() + variant.what[1:]),
            "notice": _NOTICE_HEAD + licence,
        },
        "source": {
            "package": original.PACKAGE,
            "version": original.PACKAGE_VERSION,
            "registry": "npm",
            "file": original.ARCHIVE,
            "sha256": original.ARCHIVE_SHA256,
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
        "labels": list(original.LABELS),
        "explicit_labels": list(EXPLICIT_LABELS),
        "thresholds": THRESHOLDS[variant.model_id],
        "calibration": {
            "kind": "monotone",
            "raw": [0.0, *THRESHOLDS[variant.model_id].values(), 1.0],
            "calibrated": list(COMMON_SCALE),
            "note": CALIBRATION_NOTE,
        },
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--variant", choices=VARIANTS, required=True)
    parser.add_argument("--archive", type=Path, required=True, help=f"{original.ARCHIVE}, from npm pack")
    parser.add_argument("--node", type=Path, required=True, help="folder in which npm ci was run")
    parser.add_argument("--calibration", type=Path, required=True, help="folder of benign pictures")
    parser.add_argument("--evaluate", type=Path, required=True, help="another, or the same: halved")
    parser.add_argument("--out", type=Path, required=True, help="model folder to fill")
    parser.add_argument("--work", type=Path, required=True, help="folder for measurements")
    parser.add_argument("--seed", type=int, default=0, help="chooses the halves (default 0)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    options.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.node) as folder:
        make(VARIANTS[options.variant], options, original.unpack(options.archive, Path(folder)))


def make(variant: Variant, options: argparse.Namespace, package: Path) -> None:
    """Go through all steps with an unpacked package.

    Raises:
        ValueError: The rebuild is off, a tensor is not as expected, or another model is there already.
    """
    print(f"1/6 source: {original.PACKAGE} {original.PACKAGE_VERSION}, {variant.name}", flush=True)
    source = original.source(options.node, package, variant.name)
    calibration, evaluation = pictures.split(options.calibration, options.evaluate, seed=options.seed)
    print(f"2/6 float original on {len(evaluation)} evaluation pictures", flush=True)
    with original.Original(options.node, package, variant.name) as asked:
        reference = float_reference(asked, evaluation)
    files.write_json(options.work / FLOAT_REFERENCE, reference)

    print("3/6 rebuild as a TensorFlow function", flush=True)
    weights = tfjs.decode_weights(source.manifest, source.weights)
    function = as_function(variant.rebuild(source.topology, weights))
    on_pictures, on_mosaics = rebuild_error(function, reference, evaluation)
    print(f"  largest difference from the original: {on_pictures:.2e}, on mosaics {on_mosaics:.2e}", flush=True)
    if max(on_pictures, on_mosaics) > REBUILD_TOLERANCE:
        raise ValueError(f"got a rebuild off by {on_pictures}, {on_mosaics}, expected at most {REBUILD_TOLERANCE}")

    print(f"4/6 quantise, calibrating on {len(calibration)} pictures", flush=True)
    offsets = logit_offsets(variant, source, weights, calibration)
    by_label = dict(zip(original.LABELS, offsets.tolist(), strict=True))
    print("  added to the last bias: " + ", ".join(f"{k} {v:+.3f}" for k, v in by_label.items()), flush=True)
    corrected = weights | {variant.last_bias: weights[variant.last_bias] + offsets}
    function = as_function(variant.rebuild(source.topology, corrected))
    content = quantise(function, lambda: samples(calibration))
    released = release(content, options.out, expected_input=INPUT, expected_output=OUTPUT)
    described = config(variant, released, original.licence_text(package))
    files.write_json(options.out / "config.json", described)
    print(f"  {described['size_bytes']} bytes, sha256 {described['sha256']}", flush=True)

    print("5/6 int8 against float", flush=True)
    figures, _ = measure(options.out, options.evaluate, reference, runtime="ai-edge-litert")
    print(report(figures), flush=True)

    print("6/6 write down what was done", flush=True)
    node_version = subprocess.run(["node", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    files.write_json(
        options.work / "conversion.json",
        {
            "variant": options.variant,
            "seed": options.seed,
            "calibration": _set(calibration),
            "evaluation": _set(evaluation),
            "parameters": sum(weight.size for weight in weights.values()),
            "rebuild_max_error": on_pictures,
            "rebuild_max_error_mosaics": on_mosaics,
            "mosaics": len(reference["mosaics"]),
            "logit_offsets": by_label,
            "versions": versions("tensorflow-cpu", "ai-edge-litert", "numpy", "Pillow")
            | {"node": node_version.strip().removeprefix("v"), **original.node_versions(options.node)},
        },
    )


def _list(answer: Floats) -> list[float]:
    return [float(value) for value in answer]


def _set(chosen: Pictures) -> dict[str, Any]:
    return {"n": len(chosen), "sha256_of_list": pictures.set_digest(chosen)}


if __name__ == "__main__":
    main()
