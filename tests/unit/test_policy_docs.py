"""Do the examples of docs/policy.md run, and do its tables say what the rules say?"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from safelight.policy import Rules
from safelight.policy.layers import action_names


def test_the_examples_run(root: Path) -> None:
    text = (root / "docs/policy.md").read_text(encoding="utf-8")
    settings, age = re.findall(r"```python\n(.*?)```", text, re.S)
    done = subprocess.run([sys.executable, "-c", settings], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["()", "looser"]
    done = subprocess.run([sys.executable, "-c", age], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "13_15"
    assert "platform_guardian" in done.stdout


def test_the_table_of_defaults_is_the_rules(root: Path) -> None:
    text = (root / "docs/policy.md").read_text(encoding="utf-8")
    actions = action_names(Rules.default().table.effective)
    columns = [["under_10", "10_12"], ["13_15", "unknown"], ["16_17"], ["adult"]]
    rows = {
        "conversation: watch / warn / danger": [
            ("conversation", "watch"),
            ("conversation", "warn"),
            ("conversation", "danger"),
        ],
        "search word on a list": [("query", "match")],
        "site on a list": [("site", "match")],
        "no consent": [("consent", "missing")],
        "time spent, or not the time": [("time", "spent")],
    }
    for title, cells in rows.items():
        (line,) = (line for line in text.splitlines() if line.startswith(f"| {title} |"))
        shown = [column.strip() for column in line.split("|")[2:-1]]
        for bands, column in zip(columns, shown, strict=True):
            for band in bands:
                assert column == " / ".join(actions[f"{kind}/{band}/{word}"] for kind, word in cells), (title, band)


def test_the_decision_records_are_short(root: Path) -> None:
    for number in ("0013", "0014"):
        (record,) = (root / "docs/adr").glob(f"{number}-*.md")
        assert len(record.read_text(encoding="utf-8").splitlines()) <= 70


def test_docstring_examples_of_the_policy_run() -> None:
    import doctest
    from importlib import import_module

    for name in (
        "policy.age_assurance",
        "policy.compare",
        "policy.profile_document",
        "lookup.hosts",
        "lookup.words",
        "guard",
    ):
        module = import_module(f"safelight.{name}")
        assert doctest.testmod(module).failed == 0, name
