"""Same evidence, same decision in every face: the vectors that C++ and C assert too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from safelight.decision import AgeBand, Event, Finding, FindingKind, Label, State
from safelight.policy import Rules, decide


def _rows(root: Path) -> list[list[str]]:
    text = (root / "tests/golden/policy_v1.tsv").read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]


def _finding(text: str) -> Finding:
    kind, state, label, score = text.split(":")
    return Finding(
        FindingKind(kind),
        State(state),
        None if label == "-" else Label(label),
        None if score == "-" else float(score),
    )


def test_every_golden_row(root: Path) -> None:
    rows = _rows(root)
    assert len(rows) >= 300
    for band, event, text, action, reasons in rows:
        findings = [] if text == "-" else [_finding(item) for item in text.split(" ")]
        verdict = decide(findings, band=AgeBand(band), event=Event(event), rules=Rules.default())
        assert (verdict.action.name, " ".join(verdict.reasons) or "-") == (action, reasons), (band, event, text)


def test_the_stored_vectors_are_what_the_readable_twin_says(root: Path) -> None:
    script = root / "tests/golden/make_policy_v1.py"
    made = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert made.stdout == (root / "tests/golden/policy_v1.tsv").read_text(encoding="utf-8")


def test_the_table_of_the_design(root: Path) -> None:
    """A reading of DESIGN's table by hand, apart from the document it was written into."""
    outgoing, incoming = ("capture", "upload", "send", "save"), ("receive", "view")
    expected = {
        ("under_10", outgoing): ("BLOCK", "HOLD"),
        ("10_12", outgoing): ("BLOCK", "NUDGE"),
        ("under_10", incoming): ("HOLD", "BLUR"),
        ("10_12", incoming): ("HOLD", "BLUR"),
        ("13_15", outgoing): ("BLOCK", "NUDGE"),
        ("unknown", outgoing): ("BLOCK", "NUDGE"),
        ("13_15", incoming): ("BLUR", "NUDGE"),
        ("unknown", incoming): ("BLUR", "NUDGE"),
        ("16_17", outgoing): ("BLOCK", "ALLOW"),
        ("16_17", incoming): ("BLUR", "ALLOW"),
        ("adult", outgoing + incoming): ("HOLD", "ALLOW"),  # no age detector: the subject is unsure
    }
    for (band, events), (explicit, suggestive) in expected.items():
        for event in events:
            for label, action in (("explicit", explicit), ("suggestive", suggestive), ("none", "ALLOW")):
                finding = Finding(FindingKind.NUDITY, State.OK, Label(label), 0.5, "m")
                verdict = decide([finding], band=AgeBand(band), event=Event(event), rules=Rules.default())
                assert verdict.action.name == action, (band, event, label)
