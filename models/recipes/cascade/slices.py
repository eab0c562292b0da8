"""Write "False alarms by slice" into the nudity models' cards, from what ``safelight models evaluate`` printed.

    safelight models evaluate PICTURES --slices --face-crops --tier full --json > WORK/pictures_full.jsonl
    safelight models evaluate FACES --face-crops --tier full --json > WORK/faces_full.jsonl      (and both for live)
    python -m cascade.slices --models .. --evaluated WORK/*.jsonl

PICTURES has one folder a slice. FACES holds pictures of faces that ship with packages; see README.md.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Final

from safelight.evaluate import share

NUDITY_MODELS: Final = ("open_nsfw_v1", "nsfwjs_mid_v1", "nsfwjs_mobilenet_v2_v1")
HEADING: Final = "## False alarms by slice"
BEFORE: Final = "## Thresholds"

Counts = dict[tuple[str, str], list[int]]  # (model, slice) → pictures, explicit, suggestive


def read(paths: list[Path]) -> Counts:
    """Add up the slices of several runs; the row "all" repeats what the slices say."""
    counts: Counts = defaultdict(lambda: [0, 0, 0])
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["slice"] == "all":
                continue
            for model, answers in row["by_model"].items():
                cell = counts[model, row["slice"].replace("_", " ")]
                cell[0] += sum(answer["count"] for answer in answers.values())
                cell[1] += answers.get("explicit", {}).get("count", 0)
                cell[2] += answers.get("suggestive", {}).get("count", 0)
    return counts


def section(model: str, counts: Counts) -> str:
    """The section for one model's card."""
    rows = [
        f"| {name} | {_share(explicit, total)} | {_share(explicit + suggestive, total)} |"
        for (of, name), (total, explicit, suggestive) in counts.items()
        if of == model
    ]
    return "\n".join(
        [
            HEADING,
            "",
            "Benign pictures as the product sees them, closer look included, by what they show; Wilson 95 % intervals.",
            "Half of the pictures calibrated the int8 model. Faces: every confirmed face, cut out with its",
            "surroundings, of 146 pictures that ship with eight packages and of the benign pictures; few people,",
            "several of them more than once (`cascade/README.md`).",
            "",
            "| slice | explicit | suggestive or explicit |",
            "| --- | --- | --- |",
            *rows,
            "",
            "**`python -m cascade.slices`**",
            "",
            "",
        ]
    )


def _share(count: int, total: int) -> str:
    values = share(count, total)
    low, high = values["interval_95"]
    return f"{count} of {total} = {values['share']:.1%} ({low:.1%} to {high:.1%})".replace("%", " %").replace(
        " % to", " to"
    )


def main() -> None:
    """Write the section into every card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--evaluated", type=Path, nargs="+", required=True)
    options = parser.parse_args()
    counts = read(options.evaluated)
    for model in NUDITY_MODELS:
        path = options.models / model / "MODEL_CARD.md"
        card = re.sub(rf"{HEADING}\n.*?(?={BEFORE})", "", path.read_text(encoding="utf-8"), flags=re.S)
        if BEFORE not in card:
            raise SystemExit(f"{model}: got a card without '{BEFORE}', expected one made by its recipe; fill it first.")
        path.write_text(card.replace(BEFORE, section(model, counts) + BEFORE, 1), encoding="utf-8")


if __name__ == "__main__":
    main()
