"""Write ``policy_v1.tsv``: golden decisions from the readable twin, asserted by Python, C++ and C alike.

python tests/golden/make_policy_v1.py > tests/golden/policy_v1.tsv
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from reference.policy import LABELS, LEVELS, STATES, decide  # noqa: E402

BANDS = ["under_10", "10_12", "13_15", "16_17", "adult", "unknown"]
EVENTS = ["capture", "upload", "send", "receive", "view", "save", "message", "search", "use"]
SCORES = {"none": "0.0625", "suggestive": "0.625", "explicit": "0.96875"}  # exact in 32-bit floats


def rows() -> list[tuple[str, str, str]]:
    """``(band, event, findings)``: the whole table, then states, subjects, matches and mixtures."""
    found = [
        (band, event, f"nudity:OK:{level}:{SCORES[level]}")
        for band, event, level in itertools.product(BANDS, EVENTS, LEVELS)
    ]
    for band in BANDS:
        found.append((band, "upload", "-"))
        found += [(band, "upload", f"nudity:{state}:-:-") for state in STATES[1:]]
        found.append((band, "view", "media:DECODE_FAILED:-:-"))
        found.append((band, "view", "media:OK:-:-"))
        found.append((band, "send", "nudity:OK:none:1.5"))
        found.append((band, "send", "nudity:OK:minor:0.5"))
        found.append((band, "send", "nudity:OK:explicit:-"))
        found.append((band, "save", "nudity:OK:none:0.0625 known:OK:match:1"))
        found.append((band, "save", "nudity:OK:none:0.0625 known:OK:no_match:0"))
        found.append((band, "capture", "nudity:OK:explicit:0.96875 nudity:UNVERIFIED:-:- known:OK:match:1"))
        for subject, score in (("no_face", "0"), ("adult", "0.0625"), ("unsure", "0.5"), ("minor", "0.96875")):
            found.append((band, "view", f"nudity:OK:explicit:0.96875 age:OK:{subject}:{score}"))
        found.append((band, "view", "nudity:OK:explicit:0.875 age:OK:minor:0.96875"))
        found.append((band, "view", "nudity:OK:explicit:0.96875 age:OK:adult:0.0625 age:OK:minor:0.625"))
        found.append((band, "receive", "nudity:OK:explicit:0.96875 age:NO_MODEL:-:-"))
        found.append((band, "receive", "nudity:OK:suggestive:0.625 nudity:TOO_SMALL:-:-"))
        found += [
            (band, event, f"{kind}:OK:{label}:1")
            for kind, event in (
                ("grooming", "message"),
                ("conversation", "message"),
                ("query", "search"),
                ("site", "search"),
                ("consent", "use"),
                ("consent", "capture"),
                ("time", "use"),
            )
            for label in LABELS[kind]
        ]
        found += [(band, event, "-") for event in ("message", "search", "use")]
        found.append((band, "message", "conversation:UNKNOWN_LANGUAGE:-:-"))
        found.append((band, "message", "conversation:OK:danger:0.96875 nudity:OK:explicit:0.96875"))
        found.append((band, "message", "conversation:OK:calm:0.0625 media:DECODE_FAILED:-:-"))
        found.append((band, "message", "conversation:OK:danger:0.96875 conversation:OK:help:1"))
        found.append((band, "message", "conversation:OK:help:1 nudity:OK:explicit:0.96875"))
        found.append((band, "capture", "conversation:OK:calm:0.0625 settings:NO_STORE:-:-"))
        found.append((band, "search", "query:NO_LIST:-:- site:OK:match:1"))
        found.append((band, "search", "query:OK:match:1 site:OK:help:1 time:OK:spent:1"))
        found.append((band, "use", "time:CLOCK_UNCONFIRMED:-:- consent:OK:given:1"))
        found.append((band, "use", "time:OK:spent:1 consent:OK:missing:1 site:OK:help:1"))
        found.append((band, "capture", "consent:OK:missing:1 site:OK:help:1 nudity:OK:none:0.0625"))
        found.append((band, "use", "settings:STORE_DAMAGED:-:-"))
    return found


def parse(text: str) -> list[SimpleNamespace]:
    """The findings of a row."""
    if text == "-":
        return []
    findings = []
    for item in text.split(" "):
        kind, state, label, score = item.split(":")
        findings.append(
            SimpleNamespace(
                kind=kind,
                state=state,
                label=None if label == "-" else label,
                score=None if score == "-" else float(score),
            )
        )
    return findings


def main() -> None:
    """Print the table."""
    rules = json.loads((ROOT / "sdk/safelight/policy/default_rules.json").read_text(encoding="utf-8"))
    print("# band\tevent\tfindings (kind:state:label:score …)\taction\treasons, most severe first")
    for band, event, text in rows():
        action, reasons = decide(parse(text), band, event, rules)
        print(band, event, text, action, " ".join(reasons) or "-", sep="\t")


if __name__ == "__main__":
    main()
