"""Fill the template of both nsfwjs cards: what every card has, and what only these have.

    python -m nsfwjs.fill_card --model ../nsfwjs_mid_v1 --pictures PICTURES --work WORK

Needs what ``make_model``, ``common.measure`` (once a runtime), ``common.latency`` and
``common.add_goldens`` wrote. A placeholder without a figure is an error.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from string import Template
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from common import files, pictures
from common.fill_card import percent, table
from common.fill_card import values as common_values
from common.golden_input import golden_input
from common.measure import FLOAT_REFERENCE
from common.proportion import clopper_pearson
from common.runtimes import RUNTIMES, Model

Floats = npt.NDArray[np.float64]

_TEMPLATE: Final = Path(__file__).with_name("MODEL_CARD.template.md")
_SEXY_LIMIT: Final = 0.5
_NEAREST_SHOWN: Final = 5
#: What the table of "sexy" says, in words; written after reading it.
_SEXY_ADVICE: Final = {
    "mobilenet_v2": (
        "**Not recommended** from this model: it would speak on\n"
        "about as many benign pictures again as porn + hentai does, a sandbar, a Dobermann and a stage among them.\n"
        "Leaving it out may miss nude pictures, which upstream files under “sexy”; how many cannot be measured here."
    ),
    "mid": (
        "**Possible, for the mildest step only** (offering\n"
        "a blur, say), not as a part of the score: it speaks on none of these pictures, and upstream files nude\n"
        "pictures under “sexy”. But swimwear was left out of the set, and that is where it must be expected to speak:\n"
        "what it costs on a child's holiday pictures is not known."
    ),
}
#: How the benign set names a picture: the identity of its class, then the class in words.
_CLASS_IN_NAME: Final = re.compile(r"n\d{8}_(.+)")


def values(model_dir: Path, picture_dir: Path, work: Path) -> dict[str, str]:
    """Collect every figure that the template may name.

    Args:
        model_dir: Holds ``config.json`` and ``golden.json``.
        picture_dir: The benign pictures, for the names of the classes nearest to an alarm.
        work: Holds the measurements.

    Returns:
        Placeholder name to text.
    """
    config = files.read_json(model_dir / "config.json")
    golden = files.read_json(model_dir / "golden.json")
    made = files.read_json(work / "conversion.json")
    reference = files.read_json(work / FLOAT_REFERENCE)
    zero_point, scale = config["output"]["zero_point"], config["output"]["scale"]
    raw = {runtime: files.read_json(work / f"outputs_{runtime}.json") for runtime in RUNTIMES}
    int8 = {
        runtime: {name: (_rows(outputs[name], reference["outputs"][name]) - zero_point) * scale for name in outputs}
        for runtime, outputs in raw.items()
    }
    return common_values(model_dir, work) | {
        "variant": made["variant"],
        "tier": " and ".join(config["tiers"]),
        "origin": config["licence"]["origin"],
        "origin_kind": config["licence"]["origin"].split(". ")[0],
        "parameters": f"{made['parameters'] / 1e6:.1f} million",
        "rebuild_max_error_mosaics": f"{made['rebuild_max_error_mosaics']:.1e}",
        "mosaics_n": str(made["mosaics"]),
        "offsets": ", ".join(f"{label} {offset:+.2f}" for label, offset in made["logit_offsets"].items()),
        "own_resize": _own_resize(reference, config),
        "thresholds_text": ", ".join(f"`{name}` {limit}" for name, limit in config["thresholds"].items()),
        "thresholds_agree": _thresholds_agree(reference, int8, config),
        "sexy": _sexy(reference, int8, config),
        "sexy_advice": _SEXY_ADVICE[made["variant"]],
        "nearest": _nearest(reference, config, picture_dir),
        "golden_swap": str(_golden_swap(model_dir, config, golden)),
        "golden_cases": " ".join(f"--case {case['seed']}:{case['cell_px']}" for case in golden["cases"]),
    }


def _rows(outputs: dict[str, list[float]], order: dict[str, Any]) -> Floats:
    return np.array([outputs[digest] for digest in order], dtype=np.float64)


def _plain(reference: dict[str, Any]) -> Floats:
    return np.array(list(reference["outputs"]["plain"].values()))


def _score(rows: Floats, config: dict[str, Any]) -> Floats:
    """Add up the labels that count as explicit."""
    score: Floats = rows[:, [config["labels"].index(label) for label in config["explicit_labels"]]].sum(axis=1)
    return score


def _share(hits: npt.NDArray[np.bool_]) -> str:
    count, n = int(hits.sum()), len(hits)
    return percent({"count": count, "n": n, "interval_95": clopper_pearson(count, n)})


def _own_resize(reference: dict[str, Any], config: dict[str, Any]) -> str:
    """Compare nsfwjs's own resizing with ours, both in the float original."""
    ours = _plain(reference)
    theirs = _rows(reference["own_resize"], reference["outputs"]["plain"])
    mine, other = _score(ours, config), _score(theirs, config)
    moved = np.abs(mine - other)
    rows = [
        (
            "difference of the score, mean / p99 / max",
            f"{moved.mean():.4f} / {np.quantile(moved, 0.99):.3f} / {moved.max():.3f}",
        ),
        ("most likely label agrees", _share(ours.argmax(axis=1) == theirs.argmax(axis=1))),
    ]
    for name, limit in config["thresholds"].items():
        rows.append((f"{name}, nsfwjs's resizing", _share(other >= limit)))
        rows.append((f"{name}, Safelight's", _share(mine >= limit)))
    return table(("float original, plain pictures", f"n = {len(ours)}"), rows)


def _thresholds_agree(reference: dict[str, Any], int8: dict[str, dict[str, Floats]], config: dict[str, Any]) -> str:
    original = _score(_plain(reference), config)
    rows = [
        (
            f"{name} (score ≥ {limit})",
            *(_share((_score(one["plain"], config) >= limit) == (original >= limit)) for one in int8.values()),
        )
        for name, limit in config["thresholds"].items()
    ]
    return table(("same side of the threshold, plain", *int8), rows)


def _sexy(reference: dict[str, Any], int8: dict[str, dict[str, Floats]], config: dict[str, Any]) -> str:
    """Count benign pictures on which the label "sexy" alone would say something."""
    label = config["labels"].index("sexy")
    original = _plain(reference)
    below = {"float original": original} | {runtime: one["plain"] for runtime, one in int8.items()}
    limit = config["thresholds"]["suggestive"]
    rows = [
        (f"sexy ≥ {_SEXY_LIMIT}", *(_share(rows[:, label] >= _SEXY_LIMIT) for rows in below.values())),
        (
            "of these, below `suggestive` by porn + hentai",
            *(
                str(int(((rows[:, label] >= _SEXY_LIMIT) & (_score(rows, config) < limit)).sum()))
                for rows in below.values()
            ),
        ),
        (
            f"porn + hentai + sexy ≥ {limit}",
            *(_share(rows[:, label] + _score(rows, config) >= limit) for rows in below.values()),
        ),
    ]
    return table(("plain pictures", *below), rows)


def _nearest(reference: dict[str, Any], config: dict[str, Any], picture_dir: Path) -> str:
    """Name the classes of the benign pictures that the float original scores highest."""
    known = {picture.sha256: picture.path.stem for picture in pictures.list_pictures(picture_dir)}
    digests = list(reference["outputs"]["plain"])
    score = _score(_plain(reference), config)
    parts = []
    for index in np.argsort(-score)[:_NEAREST_SHOWN]:
        named = _CLASS_IN_NAME.fullmatch(known[digests[index]])
        parts.append(f"{named[1].replace('_', ' ') if named else 'a picture'} {score[index]:.2f}")
    return ", ".join(parts)


def _golden_swap(model_dir: Path, config: dict[str, Any], golden: dict[str, Any]) -> int:
    """Return by how many steps swapped channels or axes move the golden answers at least."""
    model = Model(model_dir / config["file"], runtime=RUNTIMES[0])
    moved = []
    for case in golden["cases"]:
        mosaic = golden_input(tuple(config["input"]["shape"]), seed=case["seed"], cell_px=case["cell_px"])
        right = model.run(mosaic).astype(int)
        for swapped in (mosaic[..., ::-1], mosaic.transpose(0, 2, 1, 3)):
            moved.append(int(np.abs(model.run(np.ascontiguousarray(swapped)).astype(int) - right).max()))
    return min(moved)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of benign pictures")
    parser.add_argument("--work", type=Path, required=True, help="folder with the measurements")
    options = parser.parse_args()
    template = Template(_TEMPLATE.read_text(encoding="utf-8"))
    text = template.substitute(values(options.model, options.pictures, options.work))
    (options.model / "MODEL_CARD.md").write_text(text, encoding="utf-8", newline="\n")
    print(f"{len(text.splitlines())} lines")


if __name__ == "__main__":
    main()
