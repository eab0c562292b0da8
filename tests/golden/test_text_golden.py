"""Same bytes, same features: the golden vectors in Python; C++ and C read the same file."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import pytest
from safelight import _text

FILE = Path(__file__).with_name("text_v2.tsv")
ROWS = [line.split("\t") for line in FILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("number", range(len(ROWS)))
def test_golden_vectors(number: int) -> None:
    raw, sender, trust, gap, language, flags, eighths, ids, tokens = ROWS[number]
    data = bytes.fromhex(raw)
    found = _text.features(data, sender=sender, trust=trust, gap_s=None if gap == "-" else float(gap))
    assert found.language == language
    assert found.flags == int(flags)
    assert "".join(str(round(value * 8)) for value in found.dense.tolist()) == eighths
    assert " ".join(map(str, found.ids[: found.count].tolist())) == ids
    assert _text.normalised(data) == tokens


def test_the_vectors_reach_every_flag_and_language() -> None:
    flags = 0
    for row in ROWS:
        flags |= int(row[5])
    assert flags == (1 << (len(_text.FLAGS) - 1)) - 1  # all but sexualised: no such word stands in a test
    assert {row[4] for row in ROWS} == set(_text.LANGUAGES)


def test_the_build_compiled_these_data_files(root: Path) -> None:
    spec = importlib.util.spec_from_file_location("text_tables", root / "native/tools/text_tables.py")
    assert spec is not None
    assert spec.loader is not None
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    assert tables.data_sha256() == _text.DATA_SHA256


def test_a_word_of_the_keyed_list_raises_the_flag_and_leaves_no_word(root: Path) -> None:
    """The list is hashes; a clinical word of it stands in for the rest."""
    found = _text.features("the word sex in a lesson")
    assert found.has("sexualised")
    assert found.dense[12] == 1
    assert "<SEX>" in _text.normalised("the word sex in a lesson")
    text = (root / "native/data/text_v2/explicit.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    assert all(kind in ("key", "word") and len(bytes.fromhex(value)) in (8, 16) for kind, value in rows)


def test_one_digest_pins_the_spec() -> None:
    """A change of any vector is a new version of the features: models are trained on one."""
    assert _text.FEATURE_VERSION == 2
    assert hashlib.sha256(FILE.read_bytes()).hexdigest().startswith("df2d476560c2d5e8")
