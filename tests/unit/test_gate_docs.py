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


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("receiving.md", ["shown: 68052 bytes\n", "True\n"]),
        ("chat.md", ["hi, see you at practice\nsend 68052 bytes\n"]),
    ],
)
def test_the_examples_run(root: Path, page: str, said: list[str]) -> None:
    blocks = _blocks(root / "docs" / page)
    # One process for all of them: starting Python and its models takes longer than the examples.
    together = "\nprint('--')\n".join(blocks)
    assert _output(root, together).split("--\n") == said


@pytest.mark.parametrize("name", ["receive", "chat"])
def test_docstring_examples_run(name: str) -> None:
    assert doctest.testmod(import_module(f"safelight.gates.{name}")).failed == 0


def test_the_decision_record_is_short(root: Path) -> None:
    (record,) = (root / "docs/adr").glob("0020-*.md")
    assert len(record.read_text(encoding="utf-8").splitlines()) <= 70
