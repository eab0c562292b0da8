"""Measure one int8 model in one runtime: agreement with its float original, false alarms.

    python -m common.measure --runtime ai-edge-litert --model ../open_nsfw_v1 \
        --pictures PICTURES --work WORK

Needs what ``make_model`` left in the work folder: the float original's answers, by picture. Only
pictures named there are looked at, so calibration pictures never enter a figure.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from common import files, pictures
from common.proportion import clopper_pearson
from common.runtimes import RUNTIMES, Model, cpu_name, machine, versions

Floats = npt.NDArray[np.float64]
RawOutputs = dict[str, dict[str, list[int]]]

FLOAT_REFERENCE: Final = "float_reference.json"
#: Float scores between these count as "in between", where agreement is not a matter of course.
_BETWEEN: Final = (0.05, 0.95)


def measure(
    model_dir: Path, picture_dir: Path, reference: dict[str, Any], *, runtime: str
) -> tuple[dict[str, Any], RawOutputs]:
    """Measure a model folder in one runtime.

    Args:
        model_dir: Holds ``config.json`` and the model.
        picture_dir: Holds at least the pictures that the reference names.
        reference: ``outputs``: variant, then picture sha256, then the float original's output.
        runtime: One of ``common.runtimes.RUNTIMES``.

    Returns:
        Figures, ready for JSON: counts, errors, versions; and the raw outputs they
        come from: variant, then picture sha256, then the values.

    Raises:
        ValueError: A picture that the reference names is not in the folder.
    """
    config = files.read_json(model_dir / "config.json")
    model = Model(model_dir / config["file"], runtime=runtime)
    preprocess = pictures.Preprocess(
        resize_px=tuple(config["preprocess"]["resize_px"]),
        crop_px=tuple(config["preprocess"]["crop_px"]),
    )
    known = {p.sha256: p for p in pictures.list_pictures(picture_dir)}
    missing = reference["outputs"]["plain"].keys() - known.keys()
    if missing:
        raise ValueError(f"got a folder without {len(missing)} of the reference's pictures")

    raw: RawOutputs = {}
    for name, outputs in reference["outputs"].items():
        print(f"{runtime}: {len(outputs)} pictures, {name}", flush=True)
        raw[name] = {}
        for digest in outputs:
            image = pictures.variant(pictures.load(known[digest]), name)
            raw[name][digest] = model.run(pictures.to_input(image, preprocess))[0].tolist()

    figures = {
        "runtime": runtime,
        "versions": versions(runtime, "numpy", "Pillow"),
        "machine": machine(),
        "cpu": cpu_name(),
        "groups": compare(raw, reference, config),
    }
    return figures, raw


def compare(raw: RawOutputs, reference: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Compare raw outputs with the float original's, by group of pictures.

    Args:
        raw: Variant, then picture sha256, then the raw values.
        reference: As for :func:`measure`.
        config: The model's ``config.json``.

    Returns:
        ``groups`` of the figures: one a variant, and all changed ones together.
    """
    zero_point, scale = config["output"]["zero_point"], config["output"]["scale"]
    changed = [name for name in reference["outputs"] if name != "plain"]
    groups = {name: [name] for name in reference["outputs"]} | {"changed": changed}
    return {
        group: _compare(
            np.array([row for name in names for row in reference["outputs"][name].values()]),
            np.array(
                [
                    [(value - zero_point) * scale for value in raw[name][digest]]
                    for name in names
                    for digest in reference["outputs"][name]
                ]
            ),
            config,
        )
        for group, names in groups.items()
    }


def _compare(reference: Floats, measured: Floats, config: dict[str, Any]) -> dict[str, Any]:
    """Compare outputs ``float64[n, labels]`` of the float original and of the int8 model."""
    explicit = [config["labels"].index(label) for label in config["explicit_labels"]]
    thresholds: dict[str, float] = config["thresholds"]
    original, int8 = reference[:, explicit].sum(axis=1), measured[:, explicit].sum(axis=1)
    difference = np.abs(int8 - original)
    limits = sorted(thresholds.values())
    between = (original > _BETWEEN[0]) & (original < _BETWEEN[1])
    same = np.digitize(int8, limits) == np.digitize(original, limits)
    return {
        "n": len(original),
        "mean": float(difference.mean()),
        "p99": float(np.quantile(difference, 0.99)),
        "max": float(difference.max()),
        "argmax_agrees": _share(measured.argmax(axis=1) == reference.argmax(axis=1)),
        "decision_agrees": _share(same),
        "between": {
            "n": int(between.sum()),
            "mean": float(difference[between].mean()) if between.any() else None,
            "decision_agrees": _share(same[between]) if between.any() else None,
        },
        "at_or_above": {
            name: {"int8": _share(int8 >= limit), "float": _share(original >= limit)}
            for name, limit in thresholds.items()
        },
    }


def _share(hits: npt.NDArray[np.bool_]) -> dict[str, Any]:
    count, n = int(hits.sum()), len(hits)
    return {"count": count, "n": n, "interval_95": list(clopper_pearson(count, n))}


def report(figures: dict[str, Any]) -> str:
    """Say the main figures in a few lines."""
    lines = [f"{figures['runtime']} {figures['versions'][figures['runtime']]}, {figures['cpu']}"]
    for name, group in figures["groups"].items():
        alarms = ", ".join(f"{label} {share['int8']['count']}" for label, share in group["at_or_above"].items())
        lines.append(
            f"  {name:8} n {group['n']:4}  mean {group['mean']:.4f}  p99 {group['p99']:.4f}  "
            f"max {group['max']:.4f}  argmax {group['argmax_agrees']['count']}  "
            f"decisions {group['decision_agrees']['count']}  at or above: {alarms}"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runtime", choices=RUNTIMES, required=True)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of benign pictures")
    parser.add_argument("--work", type=Path, required=True, help="folder that make_model filled")
    parser.add_argument(
        "--recount", action="store_true", help="run no model: thresholds changed, the outputs in --work did not"
    )
    options = parser.parse_args()
    reference = files.read_json(options.work / FLOAT_REFERENCE)
    measured, outputs = (options.work / f"{name}_{options.runtime}.json" for name in ("measured", "outputs"))
    if options.recount:
        config = files.read_json(options.model / "config.json")
        figures = files.read_json(measured) | {"groups": compare(files.read_json(outputs), reference, config)}
    else:
        figures, raw = measure(options.model, options.pictures, reference, runtime=options.runtime)
        files.write_json(outputs, raw)
    files.write_json(measured, figures)
    print(report(figures))


if __name__ == "__main__":
    main()
