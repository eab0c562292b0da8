"""Search words and addresses: what is found, what is never blocked, and what is said when nothing can be said.

The lists here are of harmless words and hosts: "marmalade" stands in for whatever a list is about.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safelight.builtin_data import read_builtin
from safelight.decision import Action, AgeBand, Label, State
from safelight.errors import (
    ClosedError,
    ListDamagedError,
    ListRollbackError,
    ListUntrustedError,
    UnsupportedInputError,
    UsageError,
)
from safelight.guard import Guard
from safelight.lookup import (
    HelpPhrases,
    LookupList,
    QueryChecker,
    SiteChecker,
    build_list,
    builtin_help_phrases,
    builtin_words,
    help_hosts,
    host_of,
    read_signed,
    sign_list,
)
from safelight.lookup.hosts import domains
from safelight.lookup.table import read_unsigned
from safelight.lookup.words import normal_words
from safelight.notices import load_builtin
from safelight.policy import Profile
from safelight.signing import OperatorSecret

KEY = bytes(range(16))
WORDS = ["marmalade", "two words", "mel\u00e4o", "ジャム", "果酱"]


def words_list(words: list[str] = WORDS, version: int = 1) -> bytes:
    return build_list(
        [" ".join(normal_words(word)) for word in words], list_id="stand_in", version=version, kind="words", key=KEY
    )


def hosts_list(*hosts: str) -> LookupList:
    return read_unsigned(build_list(hosts, list_id="hosts", version=1, kind="hosts", key=KEY))


@pytest.fixture(scope="module")
def checker() -> QueryChecker:
    phrases = HelpPhrases.of(["Childline", "Two Words Helpline", "puberty"])
    return QueryChecker([read_unsigned(words_list())], phrases=phrases)


@pytest.mark.parametrize(
    "text",
    [
        "marmalade",
        "buy MARMALADE now",
        "marm\u200balade",
        "\u202emarmalade",
        "ｍａｒｍａｌａｄｅ",
        "m\u00e1rm\u00e0lad\u00ea",
        "marmalade!!!",
        "m4rm4l4d3",
        "mаrmаlаde",
        "ᴍᴀʀᴍᴀʟᴀᴅᴇ",
        "ⓜⓐⓡⓜⓐⓛⓐⓓⓔ",
        "puberty mаrmalade",
        "m@rmalade",
        "marmaladeeeee",
        "mmmarmalade",
        "m a r m a l a d e",
        "m.a.r.m.a.l.a.d.e",
        "m-a-r-m-a-l-a-d-e recipe",
        "_marmalade_",
        "Two  Words",
        "two-words",
        "big two words please",
        "meläo",
        "MELA\u0308O",
        "おいしいジャムください",
        "一瓶果酱",
        "childline marmalade",
        "marmalade puberty",
        "puberty m@rmalade",
    ],
)
def test_a_word_is_found_however_it_is_written(checker: QueryChecker, text: str) -> None:
    (finding,) = checker.check(text)
    assert (finding.state, finding.label, finding.score, finding.model) == (State.OK, Label.MATCH, 1.0, "stand_in_v1")


@pytest.mark.parametrize("text", ["two", "words", "words two", "marmalades", "marma lade", "two big words", "m"])
def test_what_is_not_on_the_list_is_not_found(checker: QueryChecker, text: str) -> None:
    assert checker.check(text)[0].label is Label.NO_MATCH


@pytest.mark.parametrize("text", ["Childline", "childline phone", "two words helpline", "what is PUBERTY?"])
def test_the_name_of_help_is_help(checker: QueryChecker, text: str) -> None:
    assert checker.check(text)[0].label is Label.HELP


def test_words_on_either_side_of_a_name_are_no_neighbours(checker: QueryChecker) -> None:
    assert checker.check("two childline words")[0].label is Label.HELP


@pytest.mark.parametrize(
    ("text", "state"), [("", "NO_EVIDENCE"), (" \u200b?! ", "NO_EVIDENCE"), ("a" * 2049, "TOO_LONG")]
)
def test_what_cannot_be_looked_up_says_so(checker: QueryChecker, text: str, state: str) -> None:
    assert checker.check(text)[0].state.value == state


@given(st.text(max_size=60), st.sampled_from(WORDS), st.text(max_size=60))
def test_no_text_around_a_word_hides_it(before: str, word: str, after: str) -> None:
    lists = [read_unsigned(words_list())]
    phrases = HelpPhrases.of(["Childline", "puberty"])
    (finding,) = QueryChecker(lists, phrases=phrases).check(f"{before} | {word} | {after}")
    assert finding.label is Label.MATCH


@given(st.text(max_size=200))
def test_any_text_gets_exactly_one_answer(text: str) -> None:
    (finding,) = QueryChecker([read_unsigned(words_list())], phrases=HelpPhrases.of(["Childline"])).check(text)
    assert (finding.label is None) == (finding.state is not State.OK)
    try:
        (site,) = SiteChecker([hosts_list("a.example")], help_hosts=frozenset()).check(text)
    except ValueError:
        pytest.fail("an address is no reason for an exception")
    assert (site.label is None) == (site.state is not State.OK)


# Addresses ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://jam.example/",
        "jam.example",
        "JAM.EXAMPLE:8080/path",
        "//jam.example/x",
        "http://jam.example./",
        "http://shop.jam.example",
        "http://a.b.c.jam.example",
        "http://childline.org.uk@jam.example/",
        "http://user:pass@jam.example",
        "http:\\\\jam.example\\x",
        "http:jam.example",
        " https://jam.example ",
        "http://j%61m.example",
        "http://ｊａｍ.example",
        "http://jam。example",
        "http://j\u00adam.example",
        "ht\ntp://jam.example",
        "wss://jam.example/socket",
        "http://bücher.example",
        "http://xn--bcher-kva.example",
        "http://0x7f.1/",
        "http://2130706433",
        "http://[2001:db8::1]:80",
        "http://[2001:0db8:0:0::0001]",
    ],
)
def test_a_host_is_found_however_the_address_is_written(url: str) -> None:
    lists = [hosts_list("jam.example", "xn--bcher-kva.example", "127.0.0.1", "[2001:db8::1]")]
    (finding,) = SiteChecker(lists, help_hosts=frozenset()).check(url)
    assert finding.label is Label.MATCH, url


@pytest.mark.parametrize(
    "url",
    [
        "jam.example.org",
        "notjam.example",
        "example",
        "http://jam.example@other.org",
        "http://27.0.0.1",
        "other.org/jam.example",
    ],
)
def test_a_neighbour_is_not_found(url: str) -> None:
    (finding,) = SiteChecker([hosts_list("jam.example", "0.0.1", "127.0.0.1")], help_hosts=frozenset()).check(url)
    assert finding.label is Label.NO_MATCH


@pytest.mark.parametrize(
    "url", ["", "   ", "mailto:a@b.c", "javascript:alert(1)", "data:text/html,x", "http://", "about:blank"]
)
def test_an_address_that_goes_nowhere_says_so(url: str) -> None:
    (finding,) = SiteChecker([hosts_list("jam.example")], help_hosts=frozenset()).check(url)
    assert finding.state is State.MALFORMED


def test_the_domains_above_a_host() -> None:
    assert list(domains("a.b.co.uk")) == ["a.b.co.uk", "b.co.uk", "co.uk"]
    assert list(domains("10.0.0.1")) == ["10.0.0.1"]
    assert list(domains("localhost")) == ["localhost"]


def test_without_the_library_an_address_is_a_named_state(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ada_url", None)
    with Guard(Profile("13_15"), detectors=(), site_lists=[hosts_list("jam.example")]) as guard:
        decision = guard.check_url("https://jam.example")
    assert (decision.action, decision.reasons[0]) == (Action.NUDGE, "NO_DECODER")


# Help is never blocked ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("band", AgeBand, ids=str)
def test_no_list_blocks_a_way_to_help(band: AgeBand) -> None:
    """Whatever an operator lists: here every host and every name of the directory itself."""
    directory = load_builtin().directory
    hosts = help_hosts(directory)
    assert len(hosts) > 100
    names = sorted(
        {name for s in directory for name in (s.service, s.organisation) if len(" ".join(normal_words(name))) >= 4}
    )
    listed = [word for name in names for word in normal_words(name)]
    every = {top for host in hosts for top in domains(host)}
    with Guard(
        Profile(band), detectors=(), query_lists=[read_unsigned(words_list(listed))], site_lists=[hosts_list(*every)]
    ) as guard:
        for service in directory:
            for url in (service.web_url, service.chat_url, service.report_url):
                if url is not None:
                    decision = guard.check_url(url)
                    assert (decision.action, decision.reasons, decision.notice) == (Action.ALLOW, ("HELP",), None)
        for name in names:
            assert guard.check_query(name).reasons == ("HELP",), name
        for phrase in builtin_help_phrases().phrases:
            assert guard.check_query(" ".join(phrase)).action is Action.ALLOW
        assert guard.check_url("https://other.gov.br").reasons != ("HELP",)


# The guard ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("band", "query", "site"),
    [
        ("under_10", "BLOCK", "BLOCK"),
        ("10_12", "BLOCK", "BLOCK"),
        ("13_15", "BLUR", "BLOCK"),
        ("unknown", "BLUR", "BLOCK"),
        ("16_17", "NUDGE", "BLOCK"),
        ("adult", "ALLOW", "ALLOW"),
    ],
)
def test_what_a_match_means_by_default(band: str, query: str, site: str) -> None:
    with Guard(
        Profile(band), detectors=(), query_lists=[read_unsigned(words_list())], site_lists=[hosts_list("jam.example")]
    ) as guard:
        found = guard.check_query("marmalade")
        assert (found.action.name, found.event.value) == (query, "search")
        assert found.reasons == (("QUERY_MATCH",) if query != "ALLOW" else ())
        assert (found.notice is None) == (query == "ALLOW")
        went = guard.check_url("jam.example")
        assert (went.action.name, went.reasons) == (site, ("SITE_MATCH",) if site != "ALLOW" else ())
        assert guard.check_query("how to draw a horse").action is Action.ALLOW
        assert guard.check_url("https://draw.example").action is Action.ALLOW


async def _both(guard: Guard) -> tuple[str, ...]:
    return (await guard.acheck_query("marmalade")).reasons + (await guard.acheck_url("jam.example")).reasons


def test_the_same_from_asyncio_and_after_closing() -> None:
    import asyncio

    guard = Guard(detectors=(), query_lists=[read_unsigned(words_list())], site_lists=[hosts_list("jam.example")])
    assert asyncio.run(_both(guard)) == ("QUERY_MATCH", "SITE_MATCH")
    with pytest.raises(UnsupportedInputError, match="expected str"):
        guard.check_query(b"marmalade")  # type: ignore[arg-type]
    guard.close()
    with pytest.raises(ClosedError):
        guard.check_query("marmalade")
    with pytest.raises(ClosedError):
        guard.check_url("jam.example")


def test_without_a_list_the_answer_is_a_state_and_a_protected_user_is_told() -> None:
    with Guard(detectors=(), query_lists=()) as guard:
        assert (guard.check_query("marmalade").action, guard.check_query("marmalade").reasons) == (
            Action.NUDGE,
            ("NO_LIST",),
        )
        assert guard.check_url("jam.example").reasons == ("NO_LIST",)


def test_a_damaged_list_or_health_terms_are_states_too(installation: Path) -> None:
    (installation / "policy" / "query_words.list").write_bytes(b"SLLOOK1\n")
    (installation / "policy" / "health_terms.json").unlink()
    builtin_words.cache_clear()
    builtin_help_phrases.cache_clear()
    try:
        with Guard(detectors=()) as guard:
            assert guard.check_query("marmalade").reasons == ("UNVERIFIED",)
            assert guard.check_query("childline").reasons == ("HELP",)
        (installation / "policy" / "query_words.list").unlink()
        with Guard(detectors=()) as guard:
            assert guard.check_query("marmalade").reasons == ("NO_LIST",)
    finally:
        builtin_words.cache_clear()
        builtin_help_phrases.cache_clear()


def test_what_was_typed_is_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    sentinel = "zanzibarmarmalade"
    lists = [read_unsigned(words_list([sentinel]))]
    with caplog.at_level(logging.DEBUG), Guard(Profile("10_12"), detectors=(), query_lists=lists) as guard:
        decision = guard.check_query(f"{sentinel} {sentinel}")
        went = guard.check_url(f"https://{sentinel}.example/{sentinel}")
    assert decision.action is Action.BLOCK
    seen = caplog.text + repr(decision) + repr(went) + str(decision.to_dict()) + repr(lists) + repr(guard)
    assert sentinel not in seen
    assert sentinel.encode() not in words_list([sentinel])


def test_the_trigger_kit_reaches_every_answer() -> None:
    from safelight.testing import TestMode, conversation, nudity, query_match, site_match

    with Guard(Profile("10_12"), detectors=(), test_mode=TestMode(query_match(), site_match(), nudity(0.9))) as guard:
        decision = guard.check_query("how to draw a horse")
        assert (decision.action, decision.reasons) == (Action.BLOCK, ("SITE_MATCH", "QUERY_MATCH"))
        assert decision.test_mode
        assert guard.check_query("childline").action is Action.ALLOW, "not even the kit blocks help"
    assert conversation("danger").label is Label.DANGER
    with pytest.raises(UsageError, match="expected one of calm, watch, warn, danger"):
        conversation("none")


# The list that ships --------------------------------------------------------------------------------------------------


def test_the_list_that_ships_is_hashes_with_a_source() -> None:
    built = builtin_words()
    assert len(built) > 2000
    assert {"en", "de", "es", "fr", "it", "pt", "ja", "zh"} <= set(built.header.languages)
    assert [(s.name, s.licence) for s in built.header.sources] == [("LDNOOBW", "CC-BY-4.0")]
    body = read_builtin("policy/query_words.list")
    assert len(body) < 8 * len(built) + 1024


def test_the_list_that_ships_says_nothing_against_ordinary_words_and_health(root: Path) -> None:
    checker = QueryChecker([builtin_words()], phrases=HelpPhrases.of([]))
    ordinary = (
        "weather homework football minecraft pizza recipe train times birthday cake therapist essex analysis class "
        "assassin cockpit scunthorpe breast feeding cancer sex education nipple pain penis hygiene vagina anatomy"
    )
    for words in ordinary.split():
        assert checker.check(words)[0].label is Label.NO_MATCH, words
    catalogue = load_builtin().catalogue
    assert catalogue is not None
    for entry in catalogue.notices:
        for variant in entry.variants:
            assert checker.check(f"{variant.title} {variant.body}")[0].label is Label.NO_MATCH


# Trust ----------------------------------------------------------------------------------------------------------------


def test_a_list_is_the_same_bytes_again() -> None:
    assert words_list() == words_list(WORDS[::-1])
    assert len(read_unsigned(build_list([], list_id="none", version=1, kind="words", key=KEY))) == 0


def test_only_a_trusted_operators_bytes_are_read() -> None:
    pytest.importorskip("nacl")
    ours, theirs = OperatorSecret.new(), OperatorSecret.new()
    signed = sign_list(words_list(version=3), ours)
    assert read_signed(signed, trust=[ours.public]).id == "stand_in_v3"
    with pytest.raises(ListUntrustedError):
        read_signed(signed, trust=[theirs.public])
    with pytest.raises(ListUntrustedError):
        read_signed(sign_list(words_list(), theirs), trust=[ours.public])
    with pytest.raises(ListRollbackError, match="version 3"):
        read_signed(signed, trust=[ours.public], min_version=4)
    with pytest.raises(UsageError):
        read_signed(signed, trust=[])
    with pytest.raises(ListDamagedError):
        read_signed(words_list(), trust=[ours.public])
    for place in range(0, len(signed), 7):
        bent = bytearray(signed)
        bent[place] ^= 1
        with pytest.raises((ListUntrustedError, ListDamagedError)):
            read_signed(bytes(bent), trust=[ours.public])


@given(st.binary(max_size=64), st.integers(0, 400))
def test_bytes_that_are_no_list_are_refused(noise: bytes, cut: int) -> None:
    whole = words_list()
    for data in (noise, whole[:cut], whole + noise if noise else b""):
        if data == whole:
            continue
        with pytest.raises(ListDamagedError):
            read_unsigned(data)


def test_hashes_out_of_order_are_refused() -> None:
    whole = bytearray(words_list())
    whole[-16:] = whole[-8:] + whole[-16:-8]
    with pytest.raises(ListDamagedError):
        read_unsigned(bytes(whole))


@pytest.mark.parametrize(
    "change", [{"key": b"short"}, {"list_id": "No Spaces"}, {"version": 0}, {"entries": [""]}, {"entries": ["a " * 9]}]
)
def test_a_faulty_list_is_not_made(change: dict[str, object]) -> None:
    given_values = {"entries": ["a"], "list_id": "a", "version": 1, "kind": "words", "key": KEY} | change
    with pytest.raises(UsageError):
        build_list(given_values.pop("entries"), **given_values)  # type: ignore[arg-type]


def test_the_tool_leaves_out_suffixes_and_ways_to_help(tmp_path: Path, root: Path) -> None:
    import runpy

    tool = runpy.run_path(str(root / "deterrence/tools/make_lookup_list.py"))
    source = tmp_path / "hosts.txt"
    source.write_text("jam.example\nco.uk\ncom\norg.uk\nchildline.org.uk\n# a remark\nhttps://Jam.Example/x\n", "utf-8")
    out = tmp_path / "hosts.list"
    command = ["hosts", str(source), "--id", "ours", "--version", "2", "--out", str(out)]
    assert tool["main"](command) == 0
    made = read_unsigned(out.read_bytes())
    assert len(made) == 1
    assert made.contains_any(["jam.example"])
    folder = tmp_path / "words"
    folder.mkdir()
    (folder / "en.json").write_text('["Marmalade", "puberty", "x", "anatomy"]', "utf-8")
    (folder / "package.json").write_text('["not a language"]', "utf-8")
    (folder / "de").write_text("Konfitüre\n", "utf-8")
    command = ["words", str(folder), "--id", "ours", "--version", "2", "--out", str(out)]
    assert tool["main"]([*command, "--allow", str(root / "deterrence/tools/health_words.json")]) == 0
    made = read_unsigned(out.read_bytes())
    assert (len(made), made.header.languages) == (2, ("de", "en"))
    assert host_of("https://x.example") == "x.example"
