"""Measure the nudity cascade on benign pictures that no model was calibrated on.

    python -m cascade.measure_cascade --runtime ai-edge-litert --pictures PICTURES --models .. --work WORK
    python -m cascade.measure_cascade --runtime tflite-runtime --pictures PICTURES --models .. --work WORK --readme

``full``: explicit if OpenNSFW reaches its explicit threshold, or Mid its own, or both reach the lower
one at which they agree. ``live``: explicit if MobileNetV2 reaches its explicit threshold. Thresholds
come from each ``config.json``, on the model's own scale; the agreement from ``tiers_v1.json``, on the
common scale that each model's ``calibration`` leads to. The pictures are the evaluation
half of all three recipes (same split, same seed). ``--readme`` fills README.md from the figures of
both runtimes.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path
from string import Template
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from common import files, pictures
from common.fill_card import measured_with, percent, table
from common.proportion import clopper_pearson
from common.runtimes import RUNTIMES, Model, cpu_name, versions

Floats = npt.NDArray[np.float64]
Hits = npt.NDArray[np.bool_]

MAIN: Final = "open_nsfw_v1"
SECOND: Final = "nsfwjs_mid_v1"
LIVE: Final = "nsfwjs_mobilenet_v2_v1"
MODELS: Final = (MAIN, SECOND, LIVE)
LIVE_THRESHOLDS: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)

_HERE: Final = Path(__file__).parent
#: Resamples for the interval of a correlation: enough for its second digit.
_RESAMPLES: Final = 4000


def scores(model_dir: Path, chosen: list[pictures.Picture], *, runtime: str) -> dict[str, Floats]:
    """Ask one model about every picture, plain and changed.

    Returns:
        Variant, then one explicit score a picture.
    """
    config = files.read_json(model_dir / "config.json")
    model = Model(model_dir / config["file"], runtime=runtime)
    explicit = [config["labels"].index(label) for label in config["explicit_labels"]]
    preprocess = pictures.Preprocess(
        resize_px=tuple(config["preprocess"]["resize_px"]), crop_px=tuple(config["preprocess"]["crop_px"])
    )
    found: dict[str, list[float]] = {name: [] for name in pictures.VARIANTS}
    for picture in chosen:
        image = pictures.load(picture)
        for name in pictures.VARIANTS:
            output = model.run(pictures.to_input(pictures.variant(image, name), preprocess))[0]
            real = (output.astype(np.float64) - config["output"]["zero_point"]) * config["output"]["scale"]
            found[name].append(float(real[explicit].sum()))
    return {name: np.array(values) for name, values in found.items()}


def own_scale(config: dict[str, Any], calibrated: float) -> float:
    """Return the score on the model's own scale that its calibration maps to ``calibrated``."""
    points = config["calibration"]
    return calibrated if points is None else float(np.interp(calibrated, points["calibrated"], points["raw"]))


def rules(found: dict[str, Floats], thresholds: dict[str, float], agree_at: dict[str, float]) -> dict[str, Hits]:
    """Apply every rule to the scores of one group of pictures.

    Args:
        found: Model, then its scores.
        thresholds: Model, then its explicit threshold.
        agree_at: Model, then the score that it must reach to agree, on its own scale.

    Returns:
        Rule in words, then which pictures it calls explicit.
    """
    main, second, live = (found[name] for name in MODELS)
    alone, other = main >= thresholds[MAIN], second >= thresholds[SECOND]
    both = (main >= agree_at[MAIN]) & (second >= agree_at[SECOND])
    return {
        f"`{MAIN}` ≥ {thresholds[MAIN]}": alone,
        f"`{SECOND}` ≥ {thresholds[SECOND]}": other,
        f"both: `{MAIN}` ≥ {agree_at[MAIN]:.2g} and `{SECOND}` ≥ {agree_at[SECOND]:.2g}": both,
        "**full**: any of the three": alone | other | both,
        **{
            f"{'**live**: ' if limit == thresholds[LIVE] else ''}`{LIVE}` ≥ {limit}": live >= limit
            for limit in LIVE_THRESHOLDS
        },
    }


def correlation(one: Floats, other: Floats) -> dict[str, Any]:
    """Return Pearson's and Spearman's correlation, with bootstrap 95 % intervals."""
    generator = np.random.default_rng(0)
    picks = generator.integers(0, len(one), size=(_RESAMPLES, len(one)))
    answer = {}
    for name, x, y in (("pearson", one, other), ("spearman", _ranks(one), _ranks(other))):
        resampled = [np.corrcoef(x[pick], y[pick])[0, 1] for pick in picks]
        interval = np.nanquantile(resampled, [0.025, 0.975])
        answer[name] = {"r": float(np.corrcoef(x, y)[0, 1]), "interval_95": [float(bound) for bound in interval]}
    return answer


def _ranks(values: Floats) -> Floats:
    """Rank from 0; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: Floats = (ends - (counts + 1) / 2)[inverse]
    return ranks


def measure(models: Path, chosen: list[pictures.Picture], *, runtime: str) -> dict[str, Any]:
    """Measure the cascade in one runtime.

    Args:
        models: Folder of the model folders, with ``tiers_v1.json``.
        chosen: Pictures that calibrated none of them.
        runtime: One of ``RUNTIMES``.

    Returns:
        Figures, ready for JSON.
    """
    configs = {name: files.read_json(models / name / "config.json") for name in MODELS}
    thresholds = {name: config["thresholds"]["explicit"] for name, config in configs.items()}
    agreement = files.read_json(models / "tiers_v1.json")["agreement"]["each_at_least"]
    agree_at = {name: own_scale(config, agreement) for name, config in configs.items()}
    found = {name: scores(models / name, chosen, runtime=runtime) for name in MODELS}
    plain = {name: values["plain"] for name, values in found.items()}
    changed = {name: np.concatenate([values[v] for v in pictures.VARIANTS[1:]]) for name, values in found.items()}
    counted_plain, counted_changed = (rules(group, thresholds, agree_at) for group in (plain, changed))
    return {
        "runtime": runtime,
        "versions": versions(runtime, "numpy", "Pillow"),
        "cpu": cpu_name(),
        "models": {name: config["sha256"] for name, config in configs.items()},
        "pictures": {"n": len(chosen), "sha256_of_list": pictures.set_digest(chosen)},
        "rules": {
            rule: {
                "count": int(hits.sum()),
                "n": len(hits),
                "interval_95": list(clopper_pearson(int(hits.sum()), len(hits))),
                "changed": int(counted_changed[rule].sum()),
                "changed_n": len(counted_changed[rule]),
            }
            for rule, hits in counted_plain.items()
        },
        "correlation": {
            f"{one} and {other}": correlation(plain[one], plain[other]) for one, other in combinations(MODELS, 2)
        },
    }


def report(figures: dict[str, Any]) -> str:
    """Draw the table of one runtime."""
    rows = [
        (rule, percent(share), f"{share['changed']} of {share['changed_n']}")
        for rule, share in figures["rules"].items()
    ]
    return table((figures["runtime"], "plain: benign false alarms", "changed"), rows)


def _correlations(figures: dict[str, Any]) -> str:
    rows = [
        (
            pair,
            *(f"{one['r']:.2f} ({one['interval_95'][0]:.2f} to {one['interval_95'][1]:.2f})" for one in both.values()),
        )
        for pair, both in figures["correlation"].items()
    ]
    return table((figures["runtime"], "Pearson", "Spearman"), rows)


def fill_readme(work: Path) -> None:
    """Fill README.md from the figures of both runtimes."""
    measured = {name: files.read_json(work / f"cascade_{name}.json") for name in RUNTIMES}
    first = measured[RUNTIMES[0]]
    text = Template((_HERE / "README.template.md").read_text(encoding="utf-8")).substitute(
        n=first["pictures"]["n"],
        sha256=first["pictures"]["sha256_of_list"],
        cpu=first["cpu"],
        measured_with=measured_with(measured),
        models="\n".join(f"- `{name}`, sha256 `{digest}`" for name, digest in first["models"].items()),
        alarms="\n\n".join(report(figures) for figures in measured.values()),
        correlations="\n\n".join(_correlations(figures) for figures in measured.values()),
    )
    (_HERE / "README.md").write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runtime", choices=RUNTIMES, required=True)
    parser.add_argument("--pictures", type=Path, required=True, help="the benign pictures that the recipes halved")
    parser.add_argument("--models", type=Path, required=True, help="folder of the model folders")
    parser.add_argument("--work", type=Path, required=True, help="folder for measurements")
    parser.add_argument("--seed", type=int, default=0, help="of the recipes (default 0)")
    parser.add_argument("--readme", action="store_true", help="fill README.md, when both runtimes were measured")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    _, chosen = pictures.split(options.pictures, options.pictures, seed=options.seed)
    figures = measure(options.models, chosen, runtime=options.runtime)
    files.write_json(options.work / f"cascade_{options.runtime}.json", figures)
    print(report(figures))
    print(_correlations(figures))
    if options.readme:
        fill_readme(options.work)


if __name__ == "__main__":
    main()
