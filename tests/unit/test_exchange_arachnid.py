"""Question: do our look-up and the service's own client say the same to the same server and understand the same?"""

from __future__ import annotations

import base64
import json
import logging
import re
from importlib import reload
from typing import Any

import pytest
from loopback import Answer, Request, serve
from safelight.errors import (
    ExchangeAnswerError,
    ExchangeRefusedError,
    ExchangeUnavailableError,
    UnsupportedInputError,
    UsageError,
)
from safelight.exchange import ArachnidShield, Secret
from safelight.hashing import PdqHash, sha256

HASHES = [PdqHash.from_bits(bytes([number]) * 32) for number in range(4)]
NEAR = {
    "timestamp": 0.0,
    "sha1_base32": "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
    "sha256_hex": "ab" * 32,
    "classification": "harmful-abusive-material",
}
PASSWORD = "pass-word-that-nobody-sees"


def service(request: Request) -> Answer:
    """As the client's models describe it: known are the hashes of 01… and of 02…."""
    if request.method != "POST" or request.path != "/v1/pdq/":
        return Answer(404, {"detail": "not here"})
    if request.headers.get("authorization") != "Basic " + base64.b64encode(f"user:{PASSWORD}".encode()).decode():
        return Answer(401, {"detail": "who are you"})
    if set(request.json) != {"hashes"}:
        return Answer(400, {"detail": "unknown field"})
    known = {
        HASHES[1].base64(): {"classification": "csam", "match_type": "near", "near_match_details": NEAR},
        HASHES[2].base64(): {
            "classification": "harmful-abusive-material",
            "match_type": "near",
            "near_match_details": None,
        },
    }
    none = {"classification": "no-known-match", "match_type": None, "near_match_details": None}
    return Answer(value={"scanned_hashes": {text: known.get(text, none) for text in request.json["hashes"]}})


def test_the_services_own_client_sends_the_same_and_understands_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    client_module = pytest.importorskip("arachnid_shield_sdk.api.client")
    v1 = pytest.importorskip("arachnid_shield_sdk.api.v1")
    from arachnid_shield_sdk.models import ScanMediaFromPdq

    with serve(service) as server:
        # Its client reads the variable once, when it is imported; ours at every start.
        monkeypatch.setenv("ARACHNID_SHIELD_URL", server.url + "/")
        reload(client_module)
        reload(v1)
        theirs_client = v1.ArachnidShield(username="user", password=PASSWORD)
        theirs = theirs_client.scan_pdq_hashes(ScanMediaFromPdq([one.base64() for one in HASHES]))
        theirs_client._ArachnidShield__client.close()
        with ArachnidShield("user", PASSWORD) as shield:
            ours = shield.lookup(HASHES)
    first, second = server.requests
    assert (first.method, first.path, first.json) == (second.method, second.path, second.json)
    for name in ("authorization", "content-type"):
        assert first.headers[name] == second.headers[name]
    for result in ours:
        their = theirs.scanned_hashes[result.hash.base64()]
        if result.match is None:
            assert their.classification == "no-known-match"
        else:
            assert their.classification == result.match.classification
            if their.near_match_details is not None:
                assert result.match.sha256_hex == their.near_match_details.sha256_hex
                assert result.match.sha1_base32 == their.near_match_details.sha1_base32
    assert [result.match is not None for result in ours] == [False, True, True, False]


def test_the_url_comes_from_the_argument_then_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(service) as named, serve(service) as other:
        monkeypatch.setenv("ARACHNID_SHIELD_URL", other.url)
        ArachnidShield("user", PASSWORD, url=named.url).lookup(HASHES[:1])
        assert (len(named.requests), len(other.requests)) == (1, 0)
        ArachnidShield("user", PASSWORD).lookup(HASHES[:1])
        assert (len(named.requests), len(other.requests)) == (1, 1)


def test_a_hash_is_asked_about_once_and_large_questions_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safelight.exchange.arachnid.MAX_BATCH", 3)
    with serve(service) as server:
        results = ArachnidShield("user", PASSWORD, url=server.url).lookup([*HASHES, HASHES[1]])
    assert [len(request.json["hashes"]) for request in server.requests] == [3, 1]
    assert [result.hash for result in results] == HASHES


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, None),
        ({"classification": None, "match_type": None, "near_match_details": None}, None),
        ({"classification": None, "match_type": "near", "near_match_details": NEAR}, "unnamed"),
        ({"classification": "something-new", "match_type": "near", "near_match_details": None}, "something-new"),
    ],
)
def test_null_is_no_match_and_a_new_word_is_one(found: Any, expected: str | None) -> None:
    text = HASHES[0].base64()
    with serve(lambda request: Answer(value={"scanned_hashes": {text: found}})) as server:
        (result,) = ArachnidShield("user", PASSWORD, url=server.url).lookup(HASHES[:1])
    assert (result.match.classification if result.match is not None else None) == expected


def test_nothing_but_usable_hashes_can_be_given(portrait: Any) -> None:
    with serve(service) as server:
        shield = ArachnidShield("user", PASSWORD, url=server.url)
        picture = portrait.read_bytes()
        for wrong in ([picture], picture, [portrait], [picture.hex()], ["ab" * 32], [bytearray(32)], [sha256(b"x")]):
            with pytest.raises(UnsupportedInputError):
                shield.lookup(wrong)
        with pytest.raises(UsageError, match="LOW_QUALITY"):
            shield.lookup([PdqHash.from_bits(bytes(32), quality=3)])
        with pytest.raises(UsageError, match="profile"):
            shield.lookup([PdqHash.from_bits(bytes(32), profile="near512")])
    assert server.requests == []


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Answer(401, {"detail": PASSWORD}), ExchangeRefusedError),
        (Answer(400, {"detail": "x"}), ExchangeRefusedError),
        (Answer(302, headers={"Location": "http://127.0.0.1:1/"}), ExchangeRefusedError),
        (Answer(503), ExchangeUnavailableError),
        (Answer(0), ExchangeUnavailableError),
        (Answer(raw=b"<html>"), ExchangeAnswerError),
        (Answer(value={"scanned_hashes": {}}), ExchangeAnswerError),
        (Answer(value={"scanned_hashes": {HASHES[0].base64(): {"classification": 3}}}), ExchangeAnswerError),
    ],
)
def test_errors_are_typed_and_say_no_secret_and_no_hash(
    reply: Answer, error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    waits: list[float] = []
    with serve(lambda request: reply) as server:
        shield = ArachnidShield("user", PASSWORD, url=server.url, sleep=waits.append)
        with pytest.raises(error) as caught:
            shield.lookup(HASHES[:1])
    said = f"{caught.value!r} {caught.value} {shield!r} {vars(shield)!r} {caplog.text}"
    assert caught.value.__cause__ is None
    for secret in (PASSWORD, base64.b64encode(PASSWORD.encode()).decode(), HASHES[0].hex(), HASHES[0].base64()):
        assert secret not in said
    assert all(0 <= wait <= 4 for wait in waits)
    assert len(waits) == (3 if error is ExchangeUnavailableError else 0)


def test_retry_after_is_honoured() -> None:
    replies = iter([Answer(429, headers={"Retry-After": "17"}), Answer(503, headers={"Retry-After": "3"})])
    waits: list[float] = []
    with serve(lambda request: next(replies, None) or service(request)) as server:
        ArachnidShield("user", PASSWORD, url=server.url, sleep=waits.append).lookup(HASHES[:1])
        assert waits == [17.0, 3.0]
        assert len(server.requests) == 3
    with serve(lambda request: Answer(429, headers={"Retry-After": "86400"})) as server:
        with pytest.raises(ExchangeUnavailableError, match="86400 s") as caught:
            ArachnidShield("user", PASSWORD, url=server.url, sleep=waits.append).lookup(HASHES[:1])
    assert caught.value.retry_after_s == 86400
    assert waits == [17.0, 3.0], "it came back to the program instead of sleeping for a day"


@pytest.mark.parametrize(
    "url",
    [
        "http://shield.example/",
        "ftp://shield.example/",
        "https://user:secret@shield.example/",
        "https://shield.example/?key=1",
        "https://shield.example/#x",
        "https://",
        "shield.example",
        "https://shield.example:99999/",
        " https://shield.example/",
        "",
    ],
)
def test_an_address_must_be_tls_or_this_machine(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        ArachnidShield("user", PASSWORD, url=url or "x")
    assert "secret" not in str(caught.value)


def test_the_environment_sends_nothing_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n", "utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with serve(lambda request: Answer(500)) as proxy, serve(service) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        ArachnidShield("user", PASSWORD, url=server.url).lookup(HASHES[:1])
        assert (len(proxy.requests), len(server.requests)) == (0, 1)


def test_the_documented_example_runs(root: Any, portrait: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (root / "docs/exchange.md").read_text("utf-8"), re.S)

    def both(request: Request) -> Answer:
        if request.path.startswith("/c/bank/SAFELIGHT"):
            return Answer(value={"id": 1, "signals": request.json})
        none = {"classification": "no-known-match", "match_type": None, "near_match_details": None}
        return Answer(value={"scanned_hashes": dict.fromkeys(request.json["hashes"], none)})

    with serve(both) as server:
        names = {"PICTURE": portrait, "SHIELD_USER": "u", "SHIELD_PASSWORD": "p", "SENT_FILE": tmp_path / "sent.db"}
        names |= {"HMA_URL": server.url, "ARACHNID_SHIELD_URL": server.url, "EXPORT_FOLDER": tmp_path}
        for name, value in names.items():
            monkeypatch.setenv(name, str(value))
        exec(compile(example, "docs/exchange.md", "exec"), {})
    assert [request.path for request in server.requests] == ["/v1/pdq/", "/c/bank/SAFELIGHT/signal"]
    assert (tmp_path / "simple.HASH_PDQ.te").read_bytes().count(b"\n") == 1


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret(PASSWORD)
    assert PASSWORD not in f"{secret} {secret!r} {[secret]} {{'a': {secret!r}}}"
    with pytest.raises(UsageError):
        Secret("two\nlines")
    with pytest.raises(TypeError):
        json.dumps(secret)
