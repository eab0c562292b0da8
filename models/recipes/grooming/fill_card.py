"""Fill the card from what ``measure`` found.

python -m grooming.fill_card --model ../grooming_v3 --work WORK
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from string import Template
from typing import Any

from common.runtimes import RUNTIMES, cpu_name

from grooming import corpora, phrasings


def percent(row: dict[str, Any], digits: int = 1) -> str:
    """``k of n = p % (a to b %)``, as every card writes a share."""
    low, high = (100 * end for end in row["interval_95"])
    share = 100 * row["hits"] / row["of"]
    return f"{row['hits']} of {row['of']} = {share:.{digits}f} % ({low:.{digits}f} to {high:.{digits}f} %)"


def table(rows: list[list[str]]) -> str:
    """Rows of a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Write MODEL_CARD.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--unseen", default="without_b")
    options = parser.parse_args()
    config = json.loads((options.model / "config.json").read_text(encoding="utf-8"))
    record = json.loads((options.work / "conversion.json").read_text(encoding="utf-8"))
    unseen, shipped = (
        json.loads((options.work / f"measured_{name}_{RUNTIMES[0]}_test.json").read_text(encoding="utf-8"))
        for name in (options.unseen, options.model.name)
    )
    book = phrasings.read()
    near, chats, numbers = unseen["lines"]["near_negatives"], unseen["conversations"], config["conversation"]
    use = {True: "measurement only", False: "training, thresholds, measurement (split by text)"}
    values = {
        "id": config["id"],
        "phrasings": len(book.phrasings),
        "writers": len({phrasing.writer for phrasing in book.phrasings}),
        "corpora": table(
            [
                [c.name, c.origin, c.licence, use[c.held_out], f"`{record['corpora_sha256'][c.name][:16]}…`"]
                for c in corpora.CORPORA
            ]
        ),
        "size": f"{config['size_bytes']:,}",
        "sha256": config["sha256"],
        "feature_version": config["features"]["version"],
        "made_with": ", ".join(f"{name} {version}" for name, version in record["made_with"].items()),
        "recall": table([[lang, percent(row)] for lang, row in unseen["lines"]["recall"].items()]),
        "by_stage": table([[stage, percent(row)] for stage, row in unseen["lines"]["recall_by_stage"].items()]),
        "near": table([[kind, percent(row), str(row["warned"])] for kind, row in near.items()]),
        "conversations": table(
            [
                [
                    name.replace("_", " "),
                    percent(row),
                    str(row["danger"]),
                    f"{row['median_cues_before_warning']:g}" if row.get("median_cues_before_warning") else "–",
                ]
                for name, row in chats.items()
            ]
        ),
        "benign": table(
            [
                [
                    name,
                    {True: "yes", False: "no"}.get(row.get("held_out"), ""),  # type: ignore[arg-type]
                    percent(row, digits=2),
                    str(row["danger"]),
                    str(row["watch"] - row["hits"]) if "watch" in row else "",
                    f"{row['stage_messages']} of {row['messages']}" if "messages" in row else "",
                ]
                for name, row in shipped["benign"].items()
            ]
        ),
        "evasion": table(
            [
                [name.replace("_", " "), percent(row)]
                for name, row in [("none", unseen["lines"]["recall"]["all"]), *unseen["evasion_recall"].items()]
            ]
        ),
        "runtime_messages": shipped["runtimes"]["messages"],
        "runtime_difference": f"{shipped['runtimes']['largest_difference']:.4f}",
        "latency": shipped["latency"]["features_and_model_us"],
        "model_latency": shipped["latency"]["model_us"],
        "cpu": cpu_name(),
        "threshold": numbers["default_threshold"],
        "watch_risk": numbers["watch_risk"],
        "warn_evidence": numbers["warn_evidence"],
        "warn_risk": numbers["warn_risk"],
        "strong_threat": numbers["strong_threat"],
        "near_share": f"{100 * near['all']['share']:.0f} % of single lines",
        "near_chats": f"{100 * chats['near_negative_chats']['share']:.0f} %",
    }
    template = Template((Path(__file__).parent / "MODEL_CARD.template.md").read_text(encoding="utf-8"))
    (options.model / "MODEL_CARD.md").write_text(template.substitute(values), encoding="utf-8")


if __name__ == "__main__":
    main()
