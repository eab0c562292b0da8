"""Same picture, same hash, same matches in every face: the vectors that C asserts too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from reference import pdq as twin
from safelight.hashing import HashIndex, PdqHash, pdq

NAMES = ("pdq_v1.tsv", "hash_index_v1.bin", "hash_index_v1.tsv")


def _rows(path: Path) -> list[list[str]]:
    lines = path.read_text(encoding="ascii").splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


def test_every_golden_picture(root: Path) -> None:
    rows = _rows(root / "tests/golden/pdq_v1.tsv")
    assert len(rows) == 10
    for width, height, seed, quality, text in rows:
        result = pdq(twin.picture(int(width), int(height), int(seed)))
        assert (result.quality, result.hex()) == (int(quality), text)


def test_every_golden_look_up(root: Path) -> None:
    rows = _rows(root / "tests/golden/hash_index_v1.tsv")
    assert len(rows) >= 20
    with HashIndex.open(root / "tests/golden/hash_index_v1.bin") as index:
        index.verify()
        for text, max_distance, expected in rows:
            found = index.query(PdqHash.parse(text, profile="near512"), max_distance=int(max_distance))
            cells = " ".join(f"{match.entry_id}:{match.distance}:{match.category}" for match in found)
            assert (cells or "-") == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_stored_vectors_are_what_the_readable_twin_says(root: Path, tmp_path: Path, name: str) -> None:
    subprocess.run([sys.executable, str(root / "tests/golden/make_hash_v1.py"), str(tmp_path)], check=True)
    assert (tmp_path / name).read_bytes() == (root / "tests/golden" / name).read_bytes()
