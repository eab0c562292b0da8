"""Do the examples in the guides of the gates run, and say what they say?"""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest


def _blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)


def _output(root: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_examples_run(root: Path) -> None:
    # One process for all of them: starting Python and its models takes longer than the examples.
    blocks = [block for page in ("receiving.md", "chat.md") for block in _blocks(root / "docs" / page)]
    said = _output(root, "\nprint('--')\n".join(blocks)).split("--\n")
    assert said == ["shown: 68052 bytes\n", "True\n", "hi, see you at practice\nsend 68052 bytes\n"]


def test_the_tour_runs_from_top_to_bottom(root: Path) -> None:
    pytest.importorskip("zxingcpp")
    pytest.importorskip("requests")
    said = _output(root, "\n".join(_blocks(root / "docs/tour.md"))).splitlines()
    wanted = [
        "ALLOW ()",
        "HOLD DECODE_FAILED",
        "True",
        "them: hi, see you at practice",
        "This picture stops here",
        "1 sent",
        "Hidden until you decide",
        "1 shown: (256, 256)",
        "help: Childline",
    ]
    assert [line for line in said if line in wanted] == wanted


def test_the_tour_s_commands_exist(root: Path) -> None:
    from click.testing import CliRunner
    from safelight.cli.main import cli

    text = (root / "docs/tour.md").read_text(encoding="utf-8")
    blocks = re.findall(r"\n\n```\n(.*?)```", text, re.S)
    commands = [line.split()[1] for block in blocks for line in block.splitlines()]
    assert commands == ["install", "doctor"]
    assert CliRunner().invoke(cli, ["doctor", "--help"]).exit_code == 0


@pytest.mark.parametrize("name", ["receive", "chat"])
def test_docstring_examples_run(name: str) -> None:
    assert doctest.testmod(import_module(f"safelight.gates.{name}")).failed == 0


def test_the_decision_record_is_short(root: Path) -> None:
    (record,) = (root / "docs/adr").glob("0020-*.md")
    assert len(record.read_text(encoding="utf-8").splitlines()) <= 70
