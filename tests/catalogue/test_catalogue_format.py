"""Question: is the format as described, refused when broken, and in step with its schema and its tools?"""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from safelight.notices.catalogue import Catalogue, CatalogueError, Structure, load_catalogue, load_structure


def tool(deterrence: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, deterrence / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def shapes(deterrence: Path) -> Any:
    return json.loads((deterrence / "structure.json").read_text(encoding="utf-8"))


@pytest.fixture
def texts(deterrence: Path) -> Any:
    return json.loads((deterrence / "catalogue" / "en.json").read_text(encoding="utf-8"))


def read(shapes: Any, texts: Any) -> Catalogue:
    return load_catalogue(load_structure(json.dumps(shapes).encode()), json.dumps(texts).encode())


def break_structure(shapes: Any, where: str) -> None:
    notice = shapes["notices"][0]
    dialogue = shapes["dialogues"][0]
    match where:
        case "unknown field":
            notice["colour"] = "red"
        case "no choice":
            notice["choices"]["BLOCK"] = []
        case "choices for another action":
            notice["choices"]["HOLD"] = notice["choices"].pop("BLOCK")
        case "no help":
            notice["help"] = []
        case "unknown band":
            notice["bands"] = ["teenager"]
        case "unknown trigger":
            notice["cell"] = "picture_sideways"
        case "ALLOW":
            notice["actions"] = ["ALLOW"]
        case "asked for and decided":
            notice["asked"] = True
        case "other schema":
            shapes["schema"] = 1
        case "entry twice":
            shapes["notices"].append({**notice, "events": ["view"]})
        case "two entries for one situation":
            shapes["notices"].append({**notice, "id": notice["id"] + ".again"})
        case "a dialogue that leads nowhere":
            dialogue["steps"][0]["buttons"][0]["to"] = "nowhere"
        case "a dialogue without an end":
            dialogue["steps"][0]["buttons"][0]["to"] = dialogue["start"]
        case "a step that nothing leads to":
            dialogue["steps"].append({"id": "island", "buttons": [], "help": ["child"]})
        case "an end without help":
            next(step for step in dialogue["steps"] if not step["buttons"])["help"] = []
        case "a step twice":
            dialogue["steps"].append(dialogue["steps"][0])
        case _:
            raise AssertionError(where)


@pytest.mark.parametrize(
    "where",
    [
        "unknown field",
        "no choice",
        "choices for another action",
        "no help",
        "unknown band",
        "unknown trigger",
        "ALLOW",
        "asked for and decided",
        "other schema",
        "entry twice",
        "two entries for one situation",
        "a dialogue that leads nowhere",
        "a dialogue without an end",
        "a step that nothing leads to",
        "an end without help",
        "a step twice",
    ],
)
def test_a_broken_structure_is_refused_as_a_whole(shapes: Any, where: str) -> None:
    load_structure(json.dumps(shapes).encode())
    break_structure(shapes, where)
    with pytest.raises(CatalogueError, match=r"got .*; expected .*; "):
        load_structure(json.dumps(shapes).encode())


def break_texts(texts: Any, where: str) -> None:
    name, notice = next(iter(texts["notices"].items()))
    match where:
        case "unknown field":
            notice["colour"] = "red"
        case "empty text":
            notice["short"] = ""
        case "no variant":
            notice["variants"] = {}
        case "fewer variants than declared":
            notice["variants"].popitem()
        case "unknown review state":
            notice["variants"]["a"]["review"] = "perfect"
        case "other schema":
            texts["schema"] = 1
        case "an entry missing":
            del texts["notices"][name]
        case "an entry too many":
            texts["notices"]["generic.smile"] = notice
        case "a label missing":
            del texts["labels"]["stop"]
        case "a reason missing":
            del texts["why"]["check"]
        case "a button of a dialogue missing":
            texts["dialogues"]["adult_at_risk.adult"]["how"]["buttons"].popitem()
        case "a step missing":
            texts["dialogues"]["adult_at_risk.adult"].popitem()
        case "a section missing":
            texts["education"]["carers"]["sections"].popitem()
        case "a placeholder lost":
            texts["appeal"]["look"] = "Press the button."
        case "a placeholder too many":
            notice["short"] += " {name}"
        case "a brace left open":
            notice["short"] += " {"
        case _:
            raise AssertionError(where)


@pytest.mark.parametrize(
    "where",
    [
        "unknown field",
        "empty text",
        "no variant",
        "fewer variants than declared",
        "unknown review state",
        "other schema",
        "an entry missing",
        "an entry too many",
        "a label missing",
        "a reason missing",
        "a button of a dialogue missing",
        "a step missing",
        "a section missing",
        "a placeholder lost",
        "a placeholder too many",
        "a brace left open",
    ],
)
def test_a_broken_language_is_refused_as_a_whole(shapes: Any, texts: Any, where: str) -> None:
    read(shapes, texts)
    break_texts(texts, where)
    with pytest.raises(CatalogueError, match=r"got .*; expected .*; "):
        read(shapes, texts)


@pytest.mark.parametrize("data", [b"", b"null", b"{", b"\xff\xfe", b'{"schema": 2}'])
def test_bytes_that_are_no_catalogue_are_refused(structure: Structure, data: bytes) -> None:
    with pytest.raises(CatalogueError):
        load_structure(data)
    with pytest.raises(CatalogueError):
        load_catalogue(structure, data)


def test_an_unfinished_language_shows_english_where_it_has_nothing(catalogue: Catalogue, texts: Any) -> None:
    first, second = list(texts["notices"])[:2]
    texts.update(lang="de", variants=0, dialogues={}, education={}, redress={}, removal={}, removal_services={})
    texts["notices"] = {first: texts["notices"][first]}
    found = load_catalogue(catalogue.structure, json.dumps(texts).encode(), fallback=catalogue)
    by_id = {entry.id: entry.lang for entry in found.notices}
    assert (by_id[first], by_id[second]) == ("de", "en")
    assert len(by_id) == len(catalogue.notices)


def test_the_readme_lists_every_choice_and_trigger(catalogue: Catalogue, deterrence: Path) -> None:
    readme = (deterrence / "README.md").read_text(encoding="utf-8")
    for entry in catalogue.notices:
        assert f"`{entry.cell}`" in readme
        for choices in entry.shape.choices.values():
            for choice in choices:
                assert f"`{choice.id}`" in readme, choice.id


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
