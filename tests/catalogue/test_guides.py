"""Question: do dialogues end with people, does the removal guide send nothing, is there a pack for every reader?"""

from __future__ import annotations

import hashlib
import io
import json
from datetime import date

import pytest
from PIL import Image
from safelight.decision import AgeBand, HelpService, State
from safelight.errors import UsageError
from safelight.hashing import pdq
from safelight.notices.catalogue import MAX_DIALOGUE_STEPS, Catalogue
from safelight.notices.dialogue import Dialogue, Position, Step, dialogue_for
from safelight.notices.education import education_pack, education_packs, redress_text
from safelight.notices.removal import (
    REPORT_REMOVE,
    STOP_NCII,
    TAKE_IT_DOWN,
    picture_codes,
    removal_guide,
    removal_services,
)

TODAY = date(2026, 11, 21)


def talk(catalogue: Catalogue, directory: tuple[HelpService, ...], band: AgeBand, country: str | None) -> Dialogue:
    return Dialogue(
        catalogue, dialogue_for(catalogue, band), directory=directory, country=country, languages=("en",), today=TODAY
    )


def every_path(dialogue: Dialogue, step: Step) -> list[list[Step]]:
    if step.is_end:
        return [[step]]
    return [
        [step, *rest]
        for button in step.buttons
        for rest in every_path(dialogue, dialogue.press(step.position, button.id))
    ]


@pytest.mark.parametrize("country", ["GB", "JP", None])
@pytest.mark.parametrize("band", AgeBand, ids=str)
def test_every_path_ends_with_help_after_at_most_five_steps(
    catalogue: Catalogue, directory: tuple[HelpService, ...], band: AgeBand, country: str | None
) -> None:
    for services in (directory, ()):
        dialogue = talk(catalogue, services, band, country)
        paths = every_path(dialogue, dialogue.start())
        assert len(paths) >= 5
        for path in paths:
            assert len(path) <= MAX_DIALOGUE_STEPS
            assert [step.position.number for step in path] == list(range(1, len(path) + 1))
            assert path[-1].help and path[-1].is_end
            assert json.loads(json.dumps(path[-1].to_dict()))["end"] is True


def test_one_can_leave_at_the_first_step(catalogue: Catalogue) -> None:
    for shape in catalogue.structure.dialogues:
        dialogue = Dialogue(catalogue, shape.id)
        assert any(dialogue.press(dialogue.start().position, b.id).is_end for b in dialogue.start().buttons)


def test_only_an_established_adult_gets_the_dialogue_for_adults(catalogue: Catalogue) -> None:
    for band in AgeBand:
        assert dialogue_for(catalogue, band).startswith("adult") == (band is AgeBand.ADULT)


def test_a_position_survives_a_host_and_nonsense_is_refused(catalogue: Catalogue) -> None:
    dialogue = Dialogue(catalogue, "child_pressured.13_17")
    step = dialogue.press(dialogue.start().position, "bad")
    given = step.to_dict()["position"]
    assert dialogue.at(Position(**given)) == step
    for position in (
        Position("adult_at_risk.adult", "how"),
        Position("child_pressured.13_17", "nowhere"),
        Position("child_pressured.13_17", "how", 6),
        Position("child_pressured.13_17", "how", 0),
    ):
        with pytest.raises(UsageError, match="start it again"):
            dialogue.at(position)
    with pytest.raises(UsageError, match="expected one of"):
        dialogue.press(step.position, "shout")
    with pytest.raises(UsageError, match="expected one of"):
        Dialogue(catalogue, "chat")


def test_an_unfinished_language_talks_english(catalogue: Catalogue) -> None:
    import msgspec

    raw = json.loads(msgspec.json.encode(catalogue.texts))
    raw.update(lang="de", variants=0, dialogues={}, education={}, redress={}, removal={}, removal_services={})
    from safelight.notices.catalogue import load_catalogue

    german = load_catalogue(catalogue.structure, json.dumps(raw).encode(), fallback=catalogue)
    assert Dialogue(german, "adult_at_risk.adult", fallback=catalogue).start().lang == "en"
    assert education_pack(german, "carers", fallback=catalogue).lang == "en"
    assert redress_text(german, AgeBand.UNKNOWN, fallback=catalogue)
    assert removal_guide(german, under_18=True, fallback=catalogue).lang == "en"
    with pytest.raises(UsageError):
        Dialogue(german, "adult_at_risk.adult")
    with pytest.raises(UsageError):
        redress_text(german, AgeBand.UNKNOWN)


# --- image removal


@pytest.mark.parametrize(
    ("under_18", "country", "expected"),
    [
        (True, "GB", ["report_remove", "take_it_down"]),
        (True, "uk", ["report_remove", "take_it_down"]),
        (True, "DE", ["take_it_down"]),
        (True, None, ["take_it_down"]),
        (False, "GB", ["stop_ncii"]),
        (False, None, ["stop_ncii"]),
    ],
)
def test_the_service_for_age_and_country(under_18: bool, country: str | None, expected: list[str]) -> None:
    assert [one.id for one in removal_services(under_18=under_18, country=country)] == expected


def test_the_services_are_in_the_directory(directory: tuple[HelpService, ...]) -> None:
    addresses = {service.web_url for service in directory}
    for one in (TAKE_IT_DOWN, REPORT_REMOVE, STOP_NCII):
        assert one.web_url in addresses


def picture() -> bytes:
    image = Image.linear_gradient("L").resize((300, 200)).convert("RGB")
    image.paste((200, 30, 40), (20, 30, 150, 120))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_codes_are_those_of_the_picked_file() -> None:
    import numpy as np

    content = picture()
    codes = picture_codes(content)
    assert codes.state is State.OK
    assert codes.pdq == pdq(np.asarray(Image.open(io.BytesIO(content)))).hex()
    assert codes.sha256 == hashlib.sha256(content).hexdigest()
    assert codes.md5 == hashlib.md5(content, usedforsecurity=False).hexdigest()
    for code in (codes.pdq, codes.sha256, codes.md5):
        assert code is not None and code not in repr(codes)


def test_a_file_that_is_no_picture_still_has_its_file_codes() -> None:
    codes = picture_codes(b"not a picture")
    assert codes.pdq is None and codes.state is State.NOT_MEDIA and codes.sha256
    with pytest.raises(UsageError, match="0 bytes"):
        picture_codes(b"")


def test_the_guide_shows_everything_and_sends_nothing(catalogue: Catalogue, directory: tuple[HelpService, ...]) -> None:
    codes = picture_codes(picture())
    guide = removal_guide(catalogue, under_18=True, country="GB", codes=codes, directory=directory, today=TODAY)
    data = guide.to_dict()
    assert data["sent"] == 0
    assert data["would_send"] == codes.to_dict()
    assert catalogue.texts.removal["not_sent"] in data["closing"]
    assert guide.help and codes.pdq not in repr(guide)
    before = removal_guide(catalogue, under_18=False, country="GB", directory=directory, today=TODAY)
    assert before.to_dict()["would_send"] is None and before.help


# --- to read


@pytest.mark.parametrize("band", AgeBand, ids=str)
def test_every_reader_has_a_pack_with_every_section_and_help(
    catalogue: Catalogue, directory: tuple[HelpService, ...], band: AgeBand
) -> None:
    names = education_packs(catalogue, band)
    assert names
    for name in names:
        for country in ("GB", "ZZ"):
            pack = education_pack(catalogue, name, directory=directory, country=country, today=TODAY)
            assert [section.id for section in pack.sections] == ["what", "risks", "report", "next", "roles"]
            assert pack.help
            assert json.dumps(pack.to_dict())
    assert redress_text(catalogue, band)


def test_an_unknown_pack_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises(UsageError, match="expected one of"):
        education_pack(catalogue, "everybody")
