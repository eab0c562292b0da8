"""What the conversation model gets wrong, in the open: each line is still missed or still mistaken.

When one of them comes right, take it out of ``grooming.jsonl`` and say so in ``models/CHANGELOG.md``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safelight import Guard, Profile
from safelight.decision import FindingKind

LINES = [json.loads(line) for line in (Path(__file__).parent / "grooming.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line['lang']}-{line['expected']}-{line['id']}")
def test_it_is_still_wrong(line: dict[str, str]) -> None:
    with Guard(Profile(age_band="13_15"), detectors=()) as guard, guard.conversation("unknown") as chat:
        decision = chat.add(sender="other", text=line["text"])
    named = {f.label.value for f in decision.findings if f.kind is FindingKind.GROOMING and f.label is not None}
    right = named <= {"none"} if line["expected"] == "none" else line["expected"] in named
    assert not right, "it comes right now: take it out of grooming.jsonl"
