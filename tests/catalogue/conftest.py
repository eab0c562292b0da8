"""The data of this source tree, so that an edited text is tested before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest
from safelight.decision import HelpService
from safelight.notices.catalogue import Catalogue, Structure, load_catalogue, load_structure
from safelight.notices.directory import load_directory

DETERRENCE = Path(__file__).resolve().parents[2] / "deterrence"


@pytest.fixture(scope="session")
def deterrence() -> Path:
    return DETERRENCE


@pytest.fixture(scope="session")
def structure() -> Structure:
    return load_structure((DETERRENCE / "structure.json").read_bytes())


@pytest.fixture(scope="session")
def catalogue(structure: Structure) -> Catalogue:
    return load_catalogue(structure, (DETERRENCE / "catalogue" / "en.json").read_bytes())


@pytest.fixture(scope="session")
def directory() -> tuple[HelpService, ...]:
    return load_directory((DETERRENCE / "help" / "helplines.json").read_bytes())
