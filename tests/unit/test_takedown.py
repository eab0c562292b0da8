"""Question: does a notice need two yeses of a person, say only what it may, and name a hotline that was read?"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from safelight.cli import takedown as command
from safelight.cli.main import cli
from safelight.errors import SafelightError, UnsupportedInputError, UsageError
from safelight.exchange import Category, SignOff, SiteType, TakedownDraft, hotline_for
from safelight.exchange.takedown import ListEntry
from safelight.hashing import PdqHash, sha256
from safelight.notices import load_builtin
from safelight.signing import OperatorSecret

TODAY = date(2026, 11, 22)
DIRECTORY = load_builtin().directory
URL = "https://images.example/gallery/1?page=2"
WORDS = ["--url", URL, "--category", "child_sexual_abuse_material", "--jurisdiction", "gb", "--seen-on", "2026-11-21"]


def draft(**changes: object) -> TakedownDraft:
    values: dict[str, object] = {
        "url": URL,
        "category": Category.CSAM,
        "jurisdiction": "GB",
        "seen_on": TODAY,
        "site_type": SiteType.IMAGE_HOST,
        "hashes": (PdqHash.from_bits(b"a" * 32), sha256(b"x")),
        "entries": (ListEntry("partners-2026", 7, 12),),
        **changes,
    }
    return TakedownDraft(**values)  # type: ignore[arg-type]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    def invoke(*words: str, answers: str | None = None) -> Result:
        monkeypatch.setattr(command, "asks_a_person", lambda: answers is not None)
        return CliRunner().invoke(cli, ["takedown", *WORDS, *words], input=answers)

    return invoke


def test_two_yeses_write_it_and_nothing_less(run: Callable[..., Result]) -> None:
    done = run(answers="yes\nyes\n")
    assert done.exit_code == 0, done.output
    assert "# Request to assess and remove" in done.stdout
    assert f"`{URL}`" in done.stdout
    for answers in ("yes\nno\n", "no\n", "yes\n\n", "y\nyes\n", "yes\nye\n", "\n"):
        refused = run(answers=answers)
        assert isinstance(refused.exception, SafelightError), answers
        assert "# Request" not in refused.output


def test_nobody_at_a_terminal_is_refused(run: Callable[..., Result]) -> None:
    refused = run()
    assert refused.exit_code == 2
    assert "--sign-off" in refused.stderr
    assert refused.stdout == ""


def test_a_signed_off_file_stands_for_the_person(run: Callable[..., Result], tmp_path: Path) -> None:
    key, other = OperatorSecret.new(), OperatorSecret.new()
    key.save(tmp_path / "me.key")
    file = tmp_path / "yes.json"
    made = run("--sign", str(tmp_path / "me.key"), "--out", str(file), answers="yes\nyes\n")
    assert made.exit_code == 0, made.output
    (tmp_path / "me.pub").write_text(key.public.text + " me\n", "utf-8")
    for trust in (key.public.text, str(tmp_path / "me.pub")):
        done = run("--sign-off", str(file), "--trust", trust, "--json")
        assert done.exit_code == 0, done.output
        notice = json.loads(done.stdout)
        assert notice["url"] == URL
        assert notice["confirmed_by_a_person_on"] == date.today().isoformat()
    for words, said in (
        (["--trust", other.public.text], "no trusted key"),
        (["--trust", key.public.text, "--hosted-in", "NL"], "for another notice"),
        ([], "expected both"),
    ):
        refused = run("--sign-off", str(file), *words)
        assert refused.exit_code == 2
        assert said in refused.stderr
        assert refused.stdout == ""


def test_a_sign_off_cannot_be_changed() -> None:
    key = OperatorSecret.new()
    signed = SignOff.sign(draft(), key, confirmed_on=TODAY)
    assert SignOff.read(signed.write()) == signed
    draft().confirm(signed, trust=[key.public])
    for changed in (
        SignOff(signed.digest, date(2027, 1, 1), key=signed.key, signature=signed.signature),
        SignOff(signed.digest, TODAY, key=signed.key, signature="00" * 64),
        SignOff(signed.digest, TODAY, key=signed.key),
        SignOff(signed.digest, TODAY),
    ):
        with pytest.raises(UsageError, match="no trusted key"):
            draft().confirm(changed, trust=[key.public.text])
    with pytest.raises(UsageError, match="another notice"):
        draft(category=Category.NOT_SURE).confirm(signed, trust=[key.public])
    with pytest.raises(UsageError, match="no trusted key"):
        draft().confirm(signed, trust=[])
    for content in (b"", b"{}", b"[" * 100_000, signed.write()[:-5], b'{"digest": "x"}'):
        with pytest.raises(UsageError, match="another form"):
            SignOff.read(content)


def test_every_form_says_the_same_and_accuses_nobody() -> None:
    notice = draft().confirm(SignOff(draft().digest, TODAY))
    hotlines = hotline_for(DIRECTORY, jurisdiction="GB")
    text, page, data = notice.to_text(hotlines), notice.to_markdown(hotlines), notice.to_dict(hotlines)
    for said in (text, page, json.dumps(data)):
        for part in (notice.reference, URL, "partners-2026", "61" * 32, "suspected", "iwf.org.uk/report"):
            assert part in said
        assert not re.search(r"offender|predator|perpetrator|pervert|child porn|paedo|victim's name", said, re.I)
        assert "No picture is attached" in said
    assert f"]({URL}" not in page and f"<{URL}" not in page, "no link to open by accident"
    assert URL not in repr(notice) and "61" * 32 not in repr(notice)


def test_there_is_no_place_for_a_picture_or_a_text(portrait: Path) -> None:
    with pytest.raises(UnsupportedInputError):
        draft(hashes=(portrait.read_bytes(),))
    with pytest.raises(UnsupportedInputError):
        draft(entries=("somebody did it",))
    with pytest.raises(TypeError):
        draft(note="a name")
    texts = {name for name, kind in TakedownDraft.__annotations__.items() if "str" in str(kind)}
    assert texts == {"url", "jurisdiction", "hosted_in"}, "free text would let a picture or an accusation in"


@pytest.mark.parametrize(
    "url",
    [
        "example.com",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "file:///home/x.jpg",
        "https://user:pass@example.com/",
        "https://exa mple.com/",
        "https://example.com/`x`",
        "https://example.com/\n# heading",
        "https://example.com/<b>",
        "https://",
        "https://example.com/" + "x" * 2048,
    ],
)
def test_only_web_addresses(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        draft(url=url)
    assert url not in str(caught.value)


@given(st.text(max_size=60))
def test_an_address_cannot_break_out_of_its_cell(tail: str) -> None:
    try:
        one = draft(url="https://example.com/" + tail)
    except UsageError:
        return
    page = one.confirm(SignOff(one.digest, TODAY)).to_markdown(())
    (row,) = (line for line in page.splitlines() if line.startswith("| address |"))
    assert row.count("|") == 3
    assert row.count("`") == 2


def test_the_hotline_is_the_countrys_own_and_was_read_or_says_so() -> None:
    assert hotline_for(DIRECTORY, jurisdiction="GB")[0].service == "IWF report"
    assert hotline_for(DIRECTORY, jurisdiction="NL")[0].organisation == "Offlimits"
    for country in ("LU", "PL", "XX"):
        assert {one.country for one in hotline_for(DIRECTORY, jurisdiction=country)} == {"INT"}
    spanish = draft(jurisdiction="ES")
    text = spanish.confirm(SignOff(spanish.digest, TODAY)).to_text(hotline_for(DIRECTORY, jurisdiction="ES"))
    assert "(not checked by us)" in text
    assert "inhope.org" in draft().confirm(SignOff(draft().digest, TODAY)).to_text(())


def test_a_file_is_never_overwritten(run: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "notice.txt"
    words = ("--out", str(out), "--format", "text")
    assert run(*words, answers="yes\nyes\n").exit_code == 0
    before = out.read_bytes()
    assert out.stat().st_mode & 0o077 == 0
    assert run(*words, answers="yes\nyes\n").exit_code == 1
    assert out.read_bytes() == before


def test_wrong_words_are_usage_errors(run: Callable[..., Result]) -> None:
    for words in (
        ("--pdq", "xyz"),
        ("--sha256", "00"),
        ("--entry", "x"),
        ("--entry", "list:1:99"),
        ("--hosted-in", "GBR"),
        ("--seen-on", "2999-01-01"),
    ):
        assert run(*words, answers="yes\nyes\n").exit_code == 2, words


def test_the_command_completes_the_same_words() -> None:
    assert tuple(one.value for one in Category) == command.CATEGORIES
    assert tuple(one.value for one in SiteType) == command.SITE_TYPES
