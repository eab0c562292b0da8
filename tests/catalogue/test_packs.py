"""Question: whose words are believed, and what answers when they are not?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from safelight import Guard, Profile
from safelight.errors import SafelightError, UsageError
from safelight.notices.builtin import load_builtin
from safelight.notices.catalogue import CatalogueError
from safelight.notices.pack import PACK_REFUSED, PackError, load_notices, make_pack, read_pack
from safelight.signing import OperatorSecret


@pytest.fixture(scope="module")
def secret() -> OperatorSecret:
    return OperatorSecret.new()


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    folder = Path(__file__).resolve().parents[2] / "deterrence"
    return {
        "en": (folder / "catalogue" / "en.json").read_bytes(),
        "structure": (folder / "structure.json").read_bytes(),
        "helplines": (folder / "help" / "helplines.json").read_bytes(),
    }


def own_words(files: dict[str, bytes], title: str = "Our own words") -> bytes:
    raw = json.loads(files["en"])
    for entry in raw["notices"].values():
        entry["variants"]["a"]["title"] = title
    return json.dumps(raw).encode()


@pytest.fixture(scope="module")
def pack(secret: OperatorSecret, files: dict[str, bytes]) -> bytes:
    return make_pack(
        secret,
        version="1.2.3",
        catalogues={"en": own_words(files)},
        structure=files["structure"],
        helplines=files["helplines"],
    )


def test_a_signed_pack_is_used(pack: bytes, secret: OperatorSecret) -> None:
    found = read_pack(pack, trust=[secret.public])
    assert (found.version, found.key) == ("1.2.3", secret.public)
    words = load_notices(pack, trust=[secret.public.text], languages=("fr", "en"))
    assert words.reasons == ()
    assert words.catalogue is not None
    assert {entry.variants[0].title for entry in words.catalogue.notices} == {"Our own words"}


def test_words_alone_keep_the_builtin_services(secret: OperatorSecret, files: dict[str, bytes]) -> None:
    content = make_pack(secret, version="1.0.0", catalogues={"en": own_words(files)})
    words = read_pack(content, trust=[secret.public]).notices()
    assert words.directory == load_builtin().directory
    assert words.reasons == ()


def changed(pack: bytes, **values: Any) -> bytes:
    return msgspec.json.encode({**msgspec.json.decode(pack), **values})


def test_every_flipped_bit_of_payload_or_signature_is_refused(pack: bytes, secret: OperatorSecret) -> None:
    import base64

    raw = msgspec.json.decode(pack)
    for part in ("payload", "signature"):
        value = bytearray(base64.b64decode(raw[part]))
        for place in (0, len(value) // 2, len(value) - 1):
            value[place] ^= 1
            with pytest.raises(PackError):
                read_pack(changed(pack, **{part: base64.b64encode(bytes(value)).decode()}), trust=[secret.public])
            value[place] ^= 1


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"null", b"\xff", b'{"safelight_pack": 2, "payload": "", "signature": ""}']
)
def test_what_is_no_pack_is_refused(content: bytes, secret: OperatorSecret) -> None:
    with pytest.raises(PackError, match=r"got .*; expected .*; "):
        read_pack(content, trust=[secret.public])


def test_strangers_and_unsigned_packs_are_refused(pack: bytes) -> None:
    with pytest.raises(PackError, match="none of the 1 trusted keys"):
        read_pack(pack, trust=[OperatorSecret.new().public])
    with pytest.raises(PackError):
        read_pack(changed(pack, signature=""), trust=[OperatorSecret.new().public])
    with pytest.raises(UsageError, match="no key"):
        read_pack(pack, trust=[])


def test_an_older_pack_is_refused(pack: bytes, secret: OperatorSecret) -> None:
    assert read_pack(pack, trust=[secret.public], at_least="1.2.3").version == "1.2.3"
    with pytest.raises(PackError, match=r"1\.10\.0 or later"):
        read_pack(pack, trust=[secret.public], at_least="1.10.0")


def test_a_pack_that_leaves_a_situation_without_words_is_not_made(
    secret: OperatorSecret, files: dict[str, bytes]
) -> None:
    shapes, texts = json.loads(files["structure"]), json.loads(files["en"])
    shapes["notices"] = [entry for entry in shapes["notices"] if entry["id"] != "generic.block.adult"]
    del texts["notices"]["generic.block.adult"]
    with pytest.raises(PackError, match="'generic' notice for adult, BLOCK"):
        make_pack(
            secret,
            version="1.0.0",
            catalogues={"en": json.dumps(texts).encode()},
            structure=json.dumps(shapes).encode(),
        )
    with pytest.raises(PackError, match="no English"):
        make_pack(secret, version="1.0.0", catalogues={"de": files["en"]})
    with pytest.raises(PackError, match="own tag"):
        make_pack(secret, version="1.0.0", catalogues={"en": files["en"], "de": files["en"]})
    with pytest.raises(CatalogueError):
        make_pack(secret, version="1.0.0", catalogues={"en": b"{}"})
    with pytest.raises(PackError):
        make_pack(secret, version="one", catalogues={"en": files["en"]})


@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_the_builtin_words_answer_and_say_so(content: bytes | None, secret: OperatorSecret) -> None:
    words = load_notices(content, trust=[secret.public])
    assert words.reasons == (PACK_REFUSED,)
    assert words.catalogue == load_builtin().catalogue and words.directory
    assert load_notices(content).reasons == (PACK_REFUSED,), "no key at all is no reason to show nothing"


def test_a_guard_with_a_pack(pack: bytes, secret: OperatorSecret) -> None:
    profile = Profile("10_12", country="GB")
    with Guard(profile, detectors=(), notice_pack=pack, trust=[secret.public]) as guard:
        decision = guard.check_image(b"not a picture")
        assert decision.notice is not None and decision.notice.title == "Our own words"
        assert PACK_REFUSED not in decision.reasons
    with Guard(profile, detectors=(), notice_pack=pack + b" broken", trust=[secret.public]) as guard:
        decision = guard.check_image(b"not a picture")
        assert decision.notice is not None and decision.notice.title != "Our own words"
        assert decision.reasons == ("NOT_MEDIA", PACK_REFUSED)
        assert decision.notice.help and guard.help()


def test_errors_show_nothing_of_the_pack(pack: bytes, secret: OperatorSecret) -> None:
    with pytest.raises(SafelightError) as caught:
        read_pack(pack.replace(b"1", b"2"), trust=[secret.public])
    assert "Our own words" not in str(caught.value)
