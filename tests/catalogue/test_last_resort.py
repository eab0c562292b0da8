"""Question: is there still a notice, and still a way to help, when the data cannot be trusted?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from safelight.decision import Action, AgeBand, Event, HelpService
from safelight.errors import DataMissingError, DataTamperedError, UsageError
from safelight.notices import builtin
from safelight.notices.catalogue import Catalogue
from safelight.notices.select import CATALOGUE_UNVERIFIED, CHILD_HELPLINE_FINDER, last_resort, select_notice

SHOWN = (Action.NUDGE, Action.BLUR, Action.HOLD, Action.BLOCK)
Reader = Callable[[str], bytes]


@pytest.fixture(autouse=True)
def nothing_cached() -> Iterator[None]:
    kept = (builtin._structure, builtin._catalogue, builtin._directory)
    for cached in kept:
        cached.cache_clear()
    yield
    for cached in kept:
        cached.cache_clear()


@pytest.fixture
def from_tree(deterrence: Path) -> Reader:
    return lambda name: (deterrence.parent / name).read_bytes()


def failing(part: str, error: Exception, otherwise: Reader) -> Reader:
    def read(name: str) -> bytes:
        if part in name:
            raise error
        return otherwise(name)

    return read


def test_both_are_read_once(monkeypatch: pytest.MonkeyPatch, from_tree: Reader) -> None:
    asked: list[str] = []

    def read(name: str) -> bytes:
        asked.append(name)
        return from_tree(name)

    monkeypatch.setattr(builtin, "read_builtin", read)
    first, second = builtin.load_builtin(), builtin.load_builtin()
    assert first.reasons == () and first.catalogue is not None and first.directory
    assert second.catalogue is first.catalogue and second.directory is first.directory
    expected = ["deterrence/catalogue/en.json", "deterrence/help/helplines.json", "deterrence/structure.json"]
    assert sorted(asked) == expected


@pytest.mark.parametrize(
    "error",
    [
        DataMissingError("gone"),
        DataTamperedError("changed"),
        UsageError("not in this build"),
        OSError("disk"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("part", ["catalogue/", "structure", "help/", "deterrence/"])
@pytest.mark.parametrize("action", SHOWN, ids=str)
def test_unreadable_data_still_gives_words_and_help(
    monkeypatch: pytest.MonkeyPatch, from_tree: Reader, part: str, error: Exception, action: Action
) -> None:
    monkeypatch.setattr(builtin, "read_builtin", failing(part, error, from_tree))
    data = builtin.load_builtin()
    assert data.reasons == (CATALOGUE_UNVERIFIED,)
    notice = select_notice(
        catalogue=data.catalogue,
        directory=data.directory,
        trigger="picture_out_explicit",
        action=action,
        band=AgeBand.FROM_10_TO_12,
        event=Event.SEND,
        country="GB",
    )
    assert notice.title and notice.body and notice.why and notice.choices and notice.appeal and notice.help
    assert notice.id.startswith("last_resort.") == (part != "help/")
    if part in ("catalogue/", "structure"):
        assert notice.help[0].service == "Childline"
        assert notice.help[0].read_on is not None
    else:
        assert notice.help == (CHILD_HELPLINE_FINDER,)


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b'{"schema": 1, "lang": "en", "notices": []}'])
def test_bytes_of_another_format_count_as_unreadable(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(builtin, "read_builtin", lambda _name: data)
    assert builtin.load_builtin() == builtin.BuiltinNotices(None, (), (CATALOGUE_UNVERIFIED,))


def test_a_file_that_comes_back_is_used(monkeypatch: pytest.MonkeyPatch, from_tree: Reader) -> None:
    monkeypatch.setattr(builtin, "read_builtin", failing("catalogue/", DataMissingError("gone"), from_tree))
    assert builtin.load_builtin().catalogue is None
    monkeypatch.setattr(builtin, "read_builtin", from_tree)
    assert builtin.load_builtin().reasons == ()


def test_the_finder_in_code_is_the_row_of_the_table(directory: tuple[HelpService, ...]) -> None:
    assert CHILD_HELPLINE_FINDER in directory


@pytest.mark.parametrize("action", SHOWN, ids=str)
@pytest.mark.parametrize("band", AgeBand, ids=str)
def test_last_resort_without_any_data(action: Action, band: AgeBand) -> None:
    notice = last_resort(action=action, band=band)
    ids = [choice.id for choice in notice.choices]
    assert ids[0] in {"stop", "close", "keep_hidden"} and ids[-2:] == ["help", "appeal"]
    assert ("continue" in ids) == (action is Action.NUDGE)
    assert ("show" in ids) == (action is Action.BLUR)
    assert f"“{notice.choices[-1].label}”" in notice.appeal
    assert notice.help == (CHILD_HELPLINE_FINDER,)
    assert (notice.help[0].phone, notice.help[0].sms) == (None, None)


def test_last_resort_stands_in_for_a_catalogue_without_the_situation(
    catalogue: Catalogue, directory: tuple[HelpService, ...]
) -> None:
    partial = Catalogue(catalogue.structure, catalogue.texts, catalogue.notices[:1])
    notice = select_notice(
        catalogue=partial,
        directory=directory,
        trigger="known_match",
        action=Action.HOLD,
        band=AgeBand.ADULT,
        event=Event.VIEW,
        country="DE",
    )
    assert notice.id == "last_resort.hold/a" and notice.help


def test_allow_has_no_last_resort() -> None:
    with pytest.raises(UsageError, match="expected NUDGE or higher"):
        last_resort(action=Action.ALLOW, band=AgeBand.UNKNOWN)


def test_this_build_holds_readable_notices() -> None:
    assert builtin.load_builtin().reasons == (), "rebuild after an edit of deterrence/"
