"""Is what the README shows what happens? Its captures are compared with a run, its example is run.

`python tests/unit/test_readme.py` rewrites the captures.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_CAPTURE = re.compile(r"<!-- capture: safelight (.*?) -->\n```\n(.*?)```", re.S)


def _run(arguments: str) -> str:
    command = [sys.executable, "-m", "safelight", *arguments.split()]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


def _comparable(text: str) -> str:
    """Without what differs between machines: times, scores' last digits, and the line breaks they move."""
    words = re.sub(r"[\s│]+", " ", text)
    return re.sub(r"\b0\.\d\d\b", "SCORE", re.sub(r"\b\d+ ms\b", "TIME", words))


def test_the_captures_are_real() -> None:
    found = _CAPTURE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(found) == 2
    for arguments, shown in found:
        assert _comparable(shown) == _comparable(_run(arguments))


def test_the_example_runs() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.S)
    done = subprocess.run([sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "go ahead\n"


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), (page.name, target)


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(
        _CAPTURE.sub(
            lambda m: f"<!-- capture: safelight {m[1]} -->\n```\n{_run(m[1])}```", readme.read_text(encoding="utf-8")
        ),
        encoding="utf-8",
    )
