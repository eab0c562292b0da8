"""Question: is the format as described, refused when broken, and in step with its schema and its tools?"""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from safelight.notices.catalogue import Catalogue, CatalogueError, load_catalogue


def tool(deterrence: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, deterrence / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def raw(deterrence: Path) -> Any:
    return json.loads((deterrence / "catalogue" / "en.json").read_text(encoding="utf-8"))


def test_schemas_are_in_step_with_the_types(deterrence: Path) -> None:
    for name, data in tool(deterrence, "make_schema").schemas().items():
        stored = json.loads((deterrence / "schema" / name).read_text(encoding="utf-8"))
        assert stored == json.loads(data), f"{name}: run deterrence/tools/make_schema.py"


def test_the_format_leaves_room_for_more_wordings_and_a_short_form(raw: Any) -> None:
    first = raw["notices"][0]["variants"][0]
    raw["notices"][0]["variants"].append({**first, "id": "b", "review": "native-reviewed", "short": "Stop here?"})
    second = load_catalogue(json.dumps(raw).encode()).notices[0].variants[1]
    assert (second.id, second.review, second.short) == ("b", "native-reviewed", "Stop here?")


def break_nothing_else(raw: Any, where: str) -> None:
    notice = raw["notices"][0]
    variant = notice["variants"][0]
    match where:
        case "unknown field":
            variant["colour"] = "red"
        case "empty text":
            variant["body"] = ""
        case "no choice":
            variant["choices"] = []
        case "no variant":
            notice["variants"] = []
        case "no help":
            notice["help"] = []
        case "unknown band":
            notice["bands"] = ["teenager"]
        case "unknown trigger":
            notice["cell"] = "picture_sideways"
        case "ALLOW":
            notice["actions"] = ["ALLOW"]
        case "unknown review state":
            variant["review"] = "perfect"
        case "other schema":
            raw["schema"] = 2
        case "entry twice":
            raw["notices"].append({**notice, "events": ["view"]})
        case "variant twice":
            notice["variants"].append(variant)
        case "two entries for one situation":
            raw["notices"].append({**notice, "id": notice["id"] + ".again"})
        case _:
            raise AssertionError(where)


@pytest.mark.parametrize(
    "where",
    [
        "unknown field",
        "empty text",
        "no choice",
        "no variant",
        "no help",
        "unknown band",
        "unknown trigger",
        "ALLOW",
        "unknown review state",
        "other schema",
        "entry twice",
        "variant twice",
        "two entries for one situation",
    ],
)
def test_a_broken_catalogue_is_refused_as_a_whole(raw: Any, where: str) -> None:
    load_catalogue(json.dumps(raw).encode())
    break_nothing_else(raw, where)
    with pytest.raises(CatalogueError, match=r"got .*; expected .*; "):
        load_catalogue(json.dumps(raw).encode())


@pytest.mark.parametrize("data", [b"", b"null", b"{", b"\xff\xfe", b'{"schema": 1}'])
def test_bytes_that_are_no_catalogue_are_refused(data: bytes) -> None:
    with pytest.raises(CatalogueError):
        load_catalogue(data)


def test_one_label_and_one_meaning_for_a_choice(catalogue: Catalogue) -> None:
    known = {
        "stop",
        "close",
        "keep_hidden",
        "choose_another",
        "continue",
        "show",
        "tell_adult",
        "block_contact",
        "help",
        "appeal",
    }
    used = {c.id for entry in catalogue.notices for v in entry.variants for c in v.choices}
    assert used == known, "deterrence/README.md lists what a host does for each choice"


def test_the_readme_lists_every_choice_and_trigger(catalogue: Catalogue, deterrence: Path) -> None:
    readme = (deterrence / "README.md").read_text(encoding="utf-8")
    for entry in catalogue.notices:
        assert f"`{entry.cell}`" in readme
        for variant in entry.variants:
            for choice in variant.choices:
                assert f"`{choice.id}`" in readme


# --- the import tool

ROW = {
    "service": "A line",
    "organisation": "Someone",
    "country_iso2": "GB",
    "audience": "child|crisis",
    "languages": "en",
    "phone": "01 234",
    "web_url": "https://example.org/",
    "source": "https://example.org/about",
    "confidence": "read",
    "read_on": "2026-01-02",
    "checked_live": "no",
    "anonymous": "yes",
    "free": "unknown",
}


def write_table(path: Path, columns: tuple[str, ...], *rows: dict[str, str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_import_writes_the_same_bytes_again_and_checks_them(deterrence: Path, tmp_path: Path) -> None:
    importer = tool(deterrence, "import_helplines")
    table = write_table(tmp_path / "t.csv", importer.COLUMNS, ROW)
    target = tmp_path / "t.json"
    assert importer.main([str(table), str(target)]) == 0
    assert importer.main([str(table), str(target), "--check"]) == 0
    row = json.loads(target.read_bytes())["services"][0]
    assert (row["phone"], row["read_on"], row["anonymous"], row["free"]) == (
        "01 234",
        "2026-01-02",
        True,
        None,
    )
    target.write_bytes(target.read_bytes().replace(b"01 234", b"01 235"))
    assert importer.main([str(table), str(target), "--check"]) == 1
    assert b"01 235" in target.read_bytes(), "--check writes nothing"


def test_import_keeps_only_the_address_of_an_unverified_row(deterrence: Path, tmp_path: Path) -> None:
    importer = tool(deterrence, "import_helplines")
    doubtful = {**ROW, "confidence": "widely_known_unverified", "sms": "5", "hours": "call 01 234"}
    rows = importer.read_table(write_table(tmp_path / "t.csv", importer.COLUMNS, ROW, doubtful))
    row = importer.convert(rows)["services"][1]
    left = {key for key, value in row.items() if value is not None}
    assert left == {
        "service",
        "organisation",
        "country",
        "audience",
        "languages",
        "web_url",
        "confidence",
        "checked_live",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"web_url": ""},
        {"web_url": "http://example.org/"},
        {"audience": "everybody"},
        {"audience": ""},
        {"country_iso2": "gb"},
        {"confidence": "sure"},
        {"read_on": "yesterday"},
        {"read_on": ""},
        {"source": ""},
        {"checked_live": "maybe"},
    ],
    ids=str,
)
def test_import_refuses_a_row_and_names_its_line(
    deterrence: Path, tmp_path: Path, change: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    importer = tool(deterrence, "import_helplines")
    table = write_table(tmp_path / "t.csv", importer.COLUMNS, ROW, {**ROW, **change})
    target = tmp_path / "t.json"
    assert importer.main([str(table), str(target)]) == 1
    assert "line 3" in capsys.readouterr().err
    assert not target.exists()


def test_import_knows_the_audiences_of_the_loader(deterrence: Path) -> None:
    from safelight.notices.catalogue import AUDIENCES

    assert set(AUDIENCES) == tool(deterrence, "import_helplines").AUDIENCES
