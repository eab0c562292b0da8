"""What an operator installs: the wheel, the units, the container's recipe."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import tomllib
from collector_world import ROOT

FOLDER = ROOT / "examples" / "collector"
UNITS = sorted((FOLDER / "systemd").glob("*.*"))


def test_the_wheel_holds_every_module_every_migration_and_the_page(tmp_path: Path):
    source = tmp_path / "source"
    shutil.copytree(FOLDER, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {
        path.relative_to(FOLDER / "src").as_posix()
        for path in (FOLDER / "src" / "safelight_collector").rglob("*")
        if path.suffix in (".py", ".html", ".typed")
    }
    assert packed == wanted


def test_what_it_imports_is_what_it_declares_and_what_the_tests_install():
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    declared = {_name(one) for one in project["dependencies"]}
    imported = set()
    for path in (FOLDER / "src").rglob("*.py"):
        imported |= set(re.findall(r"^\s*(?:from|import) ([a-z_0-9]+)", path.read_text(), re.MULTILINE))
    names = {"nacl": "pynacl", "prometheus_client": "prometheus-client"}
    foreign = {names.get(one, one) for one in imported} - set(sys.stdlib_module_names) - {"safelight_collector"}
    # anyio comes with Starlette, whose streams are made of it.
    assert foreign - {"anyio"} == declared
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    everything = {_name(one) for one in [*ours["dependencies"], *ours["optional-dependencies"]["dev"]]}
    assert declared - {"safelight"} <= everything


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9-]+", requirement)
    assert found is not None
    return found[0].lower()


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_the_units_are_understood(unit: Path, tmp_path: Path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    program = tmp_path / "safelight-collector"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for one in UNITS:
        content = one.read_text().replace("=safelight-collector ", f"={program} ")
        (tmp_path / one.name).write_text(content)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name)], capture_output=True, text=True
    )
    # A machine may lack units that ours are ordered after; what it says of ours is what counts.
    assert [line for line in done.stderr.splitlines() if "safelight-collector" in line] == []


@pytest.mark.parametrize("name", ["safelight-collector.service", "safelight-collector-retention.service"])
def test_the_services_are_closed_in(name: str):
    lines = (FOLDER / "systemd" / name).read_text().splitlines()
    assert {
        "DynamicUser=yes",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "MemoryDenyWriteExecute=yes",
        "RestrictNamespaces=yes",
        "SystemCallFilter=@system-service",
        "LimitCORE=0",
        "UMask=0077",
    } <= set(lines)


def test_the_container_runs_as_nobody_special_and_copies_no_secret():
    """No engine builds it here; what can be read is checked: form, order, user."""
    text = re.sub(r"\\\n", " ", (FOLDER / "Containerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    words = [line.split()[0] for line in lines]
    assert set(words) <= {"FROM", "RUN", "COPY", "USER", "ENV", "VOLUME", "EXPOSE", "HEALTHCHECK", "CMD"}
    assert words[0] == "FROM"
    assert words.count("CMD") == 1
    assert words.index("USER") < words.index("CMD")
    assert [line for line in lines if line.startswith("USER")] == ["USER 10600"]
    assert not re.search(r"\.key|token|password", text.lower())
