"""Shared fixtures, and how hard the randomised tests try: HYPOTHESIS_PROFILE=ci (default) or soak."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from store_world import World

ROOT = Path(__file__).resolve().parents[1]

_slow_machine = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("ci", max_examples=100, **_slow_machine)
settings.register_profile("soak", max_examples=10_000, **_slow_machine)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def portrait() -> Path:
    """A portrait of an astronaut that ships in the repository."""
    return ROOT / "examples" / "pictures" / "portrait.jpg"


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A writable copy of the built-in data that the package reads from, for damaging."""
    from safelight import builtin_data
    from safelight.notices import builtin

    copy = tmp_path / "safelight"
    for name in builtin_data.builtin_files():
        source = builtin_data.builtin_path(name)
        target = copy / source.relative_to(builtin_data._PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    monkeypatch.setattr(builtin_data, "_PACKAGE", copy)
    builtin._catalogue.cache_clear()
    builtin._directory.cache_clear()
    yield copy
    builtin._catalogue.cache_clear()
    builtin._directory.cache_clear()


@pytest.fixture
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id at its least, for tests that try many PINs; nothing outside the tests can ask for it."""
    from nacl.pwhash import argon2id
    from safelight.store import pin

    monkeypatch.setattr(pin, "OPSLIMIT", argon2id.OPSLIMIT_MIN)
    monkeypatch.setattr(pin, "MEMLIMIT_BYTES", argon2id.MEMLIMIT_MIN)


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is such a place, for what waits for the disk at every change."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK):
        with tempfile.TemporaryDirectory(prefix="safelight-test-", dir=memory) as folder:
            yield Path(folder)
    else:
        yield tmp_path


@pytest.fixture
def world(quick_folder: Path, cheap_hashes: None) -> World:
    """A device with nothing on it yet."""
    return World(quick_folder / "device")
