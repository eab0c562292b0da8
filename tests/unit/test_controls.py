"""Is every claim about levers and principles backed by something that exists, and is every gap named?"""

from __future__ import annotations

import json
import runpy
from functools import reduce
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner
from safelight.accountability.documents import Problem, check_evidence
from safelight.capabilities import capabilities
from safelight.cli.main import cli
from safelight.controls import Control, coverage, load_controls

FOUND = load_controls()


@pytest.mark.parametrize("control", FOUND.controls, ids=lambda control: control.id)
def test_a_control_is_something_that_exists_and_uses_known_words(control: Control) -> None:
    module, _, name = control.where.partition(":")
    assert callable(reduce(getattr, name.split("."), import_module(module)))
    assert control.levers and set(control.levers) <= set(FOUND.levers)
    known = {framework.id: set(framework.principles) for framework in FOUND.frameworks}
    assert set(control.serves) <= set(known)
    for framework, principles in control.serves.items():
        assert principles and set(principles) <= known[framework]


@pytest.mark.parametrize("control", FOUND.controls, ids=lambda control: control.id)
def test_a_claim_names_a_test_or_a_file_that_exists(control: Control, root: Path) -> None:
    problems: list[Problem] = []
    check_evidence(control.evidence, root, control.id, problems)
    assert not problems, problems
    assert any(name.startswith("tests/") for name in control.evidence), "a claim that no test shows is none"


def test_what_stays_open_is_served_all_the_same() -> None:
    covered = coverage()
    gaps = {(gap.framework, gap.principle) for gap in FOUND.gaps}
    said = [(row.framework, row.principle) for row in FOUND.open]
    assert len(set(said)) == len(said)
    assert not set(said) & gaps
    assert all(covered[framework][principle] for framework, principle in said)
    assert {principle for framework, principle in said if framework == "safety_by_design"} == {"1", "2", "3"}


def test_every_lever_is_pulled_and_every_principle_is_served_or_a_gap() -> None:
    assert set(FOUND.levers) == {"effort", "risk", "reward", "provocation", "excuse"}
    covered = coverage()
    assert all(covered["levers"].values())
    gaps = {(gap.framework, gap.principle) for gap in FOUND.gaps}
    assert len(gaps) == len(FOUND.gaps)
    for framework in FOUND.frameworks:
        for principle in framework.principles:
            served = bool(covered[framework.id][principle])
            assert served is not ((framework.id, principle) in gaps), "served, or a gap that says why; not both"
    assert {framework.id: len(framework.principles) for framework in FOUND.frameworks} == {
        "safety_by_design": 3,
        "voluntary_principles": 11,
    }
    assert len({control.id for control in FOUND.controls}) == len(FOUND.controls)


def test_the_page_is_in_step(root: Path) -> None:
    assert runpy.run_path(str(root / "docs/make_coverage.py"))["main"](["--check"]) == 0


def test_capabilities_prints_the_coverage_with_its_gaps() -> None:
    assert capabilities()["coverage"] == coverage()
    shown = CliRunner().invoke(cli, ["capabilities", "--json"])
    assert json.loads(shown.stdout)["coverage"]["gaps"]
    text = CliRunner().invoke(cli, ["capabilities"]).stdout
    assert "voluntary principles" in text
    assert text.count("gap:") == len(FOUND.gaps)
    assert text.count("open:") == len(FOUND.open)


def test_a_damaged_table_is_said(installation: Path) -> None:
    (installation / "policy" / "controls.json").write_text("{}", encoding="utf-8")
    load_controls.cache_clear()
    try:
        assert capabilities()["coverage"] == {"state": "UNVERIFIED"}
        assert "UNVERIFIED" in CliRunner().invoke(cli, ["capabilities"]).stdout
    finally:
        load_controls.cache_clear()
