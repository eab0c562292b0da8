"""Question: does every language that is there hold to the rules, as far as it says it is complete?"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import msgspec
import pytest
from safelight.decision import Action, AgeBand, Event
from safelight.notices.builtin import best_language
from safelight.notices.catalogue import TRIGGERS, Catalogue, load_catalogue
from safelight.notices.lint import banned, lint_catalogue
from safelight.notices.select import SHORT, select_notice

FOLDER = Path(__file__).resolve().parents[2] / "deterrence" / "catalogue"
LANGUAGES = sorted(path.stem for path in FOLDER.glob("*.json"))
RIGHT_TO_LEFT = {"ar", "fa", "he", "ur"}


@pytest.fixture(scope="module", params=LANGUAGES)
def language(request: pytest.FixtureRequest, catalogue: Catalogue) -> Catalogue:
    lang = str(request.param)
    return load_catalogue(catalogue.structure, (FOLDER / f"{lang}.json").read_bytes(), fallback=catalogue)


def test_the_linter_finds_no_error(language: Catalogue) -> None:
    assert [str(problem) for problem in lint_catalogue(language) if problem.level == "error"] == []


def test_english_has_no_notes_either(catalogue: Catalogue) -> None:
    assert [str(problem) for problem in lint_catalogue(catalogue)] == []
    assert catalogue.texts.variants >= 3


def test_file_name_and_direction(language: Catalogue) -> None:
    assert language.lang in LANGUAGES
    assert (language.texts.direction == "rtl") == (language.lang.split("-")[0] in RIGHT_TO_LEFT)


def test_review_states_are_honest(language: Catalogue) -> None:
    # Raise a state only with a line in deterrence/CHANGELOG.md that says who reviewed; then adapt this test.
    assert language.texts.review == "written"
    assert {v.review for entry in language.notices for v in entry.variants} == {"written"}


def test_every_situation_has_words(language: Catalogue) -> None:
    assert len(language.notices) == len(language.structure.notices)
    for trigger, action, band, event in itertools.product(TRIGGERS, Action, AgeBand, Event):
        if action is not Action.ALLOW:
            notice = select_notice(
                catalogue=language, directory=(), trigger=trigger, action=action, band=band, event=event
            )
            assert not notice.id.startswith("last_resort"), notice.id
            assert notice.help
            assert notice.id.endswith(f"/{SHORT}") == (notice.lang != "en")
            assert f"{language.texts.labels['appeal']}" in notice.appeal or notice.lang != language.lang


def spoiled(catalogue: Catalogue, place: str, text: str) -> Catalogue:
    raw = json.loads(msgspec.json.encode(catalogue.texts))
    *path, last = place.split("/")
    value = raw
    for part in path:
        value = value[part]
    value[last] = text
    return load_catalogue(catalogue.structure, json.dumps(raw).encode())


@pytest.mark.parametrize(
    ("place", "text", "rule"),
    [
        (
            "notices/generic.block.under_10/short",
            "The police know. You did nothing wrong, grown-up.",
            "banned word",
        ),
        ("notices/generic.block.under_10/short", "You did nothing wrong. Wait 10, then ask a grown-up.", "number"),
        ("notices/generic.block.under_10/short", "This stops here. Ask a grown-up.", "reassurance"),
        ("notices/generic.block.under_10/short", "You did nothing wrong.", "adult"),
        (
            "notices/generic.block.under_10/short",
            "Notwithstanding considerable institutional deliberation, not your fault, adult.",
            "reading level",
        ),
        ("notices/generic.block.10_12/short", "You did nothing wrong. Ask an adult.", "feeling"),
        ("notices/generic.hold.13_15/short", "You did nothing wrong.", "held"),
        ("notices/adult_search.adult/short", "This is a crime. It harms children. Help exists.", "elements"),
        (
            "notices/adult_search.adult/short",
            "Help exists. This is a crime, harms children and has consequences.",
            "elements",
        ),
        (
            "notices/adult_search.adult/short",
            "This is a crime. It harms children and has consequences. Help exists.",
            "crisis",
        ),
        ("notices/generic.block.adult/short", "word " * 70 + "end", "length"),
        ("labels/stop", "Stop what was going to happen now", "length"),
        ("notices/generic.block.adult/variants/b/title", "This stops here", "same again"),
        ("help/web", "Look in 30 seconds", "number"),
        ("education/under_10/title", "Naked facts", "banned word"),
        ("dialogues/child_pressured.under_12/how/text", "This is illegal.", "banned word"),
        ("redress/adult", "Two  spaces", "space"),
    ],
)
def test_the_linter_can_fail(catalogue: Catalogue, place: str, text: str, rule: str) -> None:
    assert rule in {problem.rule for problem in lint_catalogue(spoiled(catalogue, place, text))}


@pytest.mark.parametrize(
    ("lang", "text"),
    [
        ("de", "Die Polizei weiß davon"),
        ("es", "pornografía"),
        ("fr", "un prédateur"),
        ("it", "la polizia"),
        ("pt", "a polícia"),
        ("nl", "de politie"),
        ("pl", "policja"),
        ("tr", "polis geldi"),
        ("ar", "الشرطة"),
        ("hi", "पुलिस"),
        ("ja", "警察"),
    ],
)
def test_banned_words_of_other_languages(lang: str, text: str) -> None:
    assert banned(text, {AgeBand.ADULT}, lang)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (("pt-BR",), "pt"),
        (("xx", "de-AT"), "de"),
        (("DE",), "de"),
        (("en_GB",), "en"),
        (("xx",), None),
        ((), None),
    ],
)
def test_the_readers_order_decides(wanted: tuple[str, ...], expected: str | None) -> None:
    assert best_language(wanted, ("en", "de", "pt")) == expected
