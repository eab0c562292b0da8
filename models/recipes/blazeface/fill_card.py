"""Fill the face detector's card with measured figures, so that no figure is typed by hand.

python -m blazeface.fill_card --model ../blazeface_short_v1 --work WORK
"""

from __future__ import annotations

import argparse
from pathlib import Path
from string import Template
from typing import Any, Final

from common import files
from common.add_goldens import GOLDEN_FILE
from common.fill_card import latency, table
from common.latency import LATENCY_FILE

from blazeface.measure import MEASURED_FILE, TILES_PER_SIDE

TEMPLATE: Final = Path(__file__).with_name("MODEL_CARD.template.md")


def values(model_dir: Path, work: Path) -> dict[str, str]:
    """Collect every figure that the template names."""
    config = files.read_json(model_dir / "config.json")
    golden = files.read_json(model_dir / GOLDEN_FILE)
    measured = files.read_json(work / MEASURED_FILE)
    timed = files.read_json(work / LATENCY_FILE)
    upstream = measured["upstream"]
    return {
        "id": config["id"],
        "sha256": config["sha256"],
        "size_bytes": f"{config['size_bytes']:,}",
        "size_mb": f"{config['size_bytes'] / 1e6:.2f}",
        "pictures_n": str(measured["pictures"]["n"]),
        "pictures_sha256": measured["pictures"]["sha256_of_list"],
        "measured_with": ", ".join(f"{name} {version}" for name, version in measured["versions"].items()),
        "astronaut_overlap": f"{upstream['astronaut']['overlap']:.5f}",
        "astronaut_keypoints": f"{upstream['astronaut']['keypoints_max_px']:.0e}",
        "same_count": str(upstream["pictures"]["same_count"]),
        "faces": str(upstream["pictures"]["faces"]),
        "median_overlap": f"{upstream['pictures']['median_overlap']:.3f}",
        "overlap_above_95": str(upstream["pictures"]["overlap_above_95"]),
        "runtimes_max_difference": f"{measured['runtimes_max_difference']:.1e}".replace("0.0e+00", "0"),
        "group": _group(measured["group"]),
        "counts": _counts(measured["counts"]),
        "cpu": timed["cpu"],
        "latency": latency(timed),
        "golden_cases": ", ".join(f"seed {case['seed']} with {case['cell_px']} px" for case in golden["cases"]),
        "golden_picks": str(sum(len(pick) for case in golden["cases"] for pick in case["pick"])),
        "tolerance_abs": str(golden["tolerance_abs"]),
    }


def _group(rows: list[dict[str, Any]]) -> str:
    """Draw the table of recall in the drawn group pictures, by face size and tiles."""
    lines = []
    for face_px in sorted({row["face_px"] for row in rows}):
        chosen = [row for row in rows if row["face_px"] == face_px]
        found = (f"{row['found']}" + (f" (+{row['elsewhere']})" if row["elsewhere"] else "") for row in chosen)
        lines.append((str(face_px), str(chosen[0]["n"]), *found))
    return table(("face, px", "faces", "no tiles", *(f"{n} a side" for n in TILES_PER_SIDE[1:])), lines)


def _counts(rows: list[dict[str, Any]]) -> str:
    """Draw the table of what is found in the benign pictures, human and other."""
    looks = [name for name in rows[0] if name not in ("tiles_per_side", "score")]
    head = ("tiles a side", "score from", *(_look(name) for name in looks))
    lines = [
        (
            "none" if row["tiles_per_side"] == 1 else str(row["tiles_per_side"]),
            str(row["score"]),
            *(f"{row[name][0]} / {row[name][1]}" for name in looks),
        )
        for row in rows
    ]
    return table(head, lines)


def _look(name: str) -> str:
    first, _, window = name.partition("_")
    return f"second look, {window}×" if window else f"{first} look"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--work", type=Path, required=True, help="folder with the measurements")
    options = parser.parse_args()
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(values(options.model, options.work))
    (options.model / "MODEL_CARD.md").write_text(text, encoding="utf-8", newline="\n")
    print(f"{len(text.splitlines())} lines")


if __name__ == "__main__":
    main()
