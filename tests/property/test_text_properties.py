"""Do the native text features equal the readable ones on whatever text, and do they stay within their bounds?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from reference import text as twin
from safelight import _text

# Alphabets that reach the interesting branches: lookalikes, leet, signs, kana with sound marks, emoji, marks.
SPICE = (
    "aeiIlst sS  kw01234578@$!|€'.,-/:#?😘🔒❤\u200b\u202e\u3099\u0301\u0430\u0435\u043e\u0441\u0456ｓéßıİ"
    "写真かカﾞが秘密ーصورةकी\ufdfa\n"
)
ODD_WORDS = (
    "secret s3cret pic5 m33t don't l'école mamá 14yo 5pm 17h30 €20 joe#1234 @joe a.b@c.de t.me/x discord.gg/abc "
    "内緒 写真を送って صورتك तुम्हारी haha kkkk u r b4 s.e.c.r.e.t hellooo 06 12 34 tkm x9 00 10000 <3 🤫"
)
WORDS = st.sampled_from(ODD_WORDS.split(" "))
UNICODE = st.text(st.characters(codec=None), max_size=60)  # lone surrogates included
SPICED = st.text(SPICE, max_size=60)
TEXTS = st.one_of(UNICODE, SPICED, st.lists(st.one_of(WORDS, SPICED), max_size=12).map(" ".join))
GAPS = st.one_of(st.none(), st.floats())


def _same(text: str | bytes, shown: str, **context: object) -> _text.TextFeatures:
    expected = twin.features(shown, **context)  # type: ignore[arg-type]
    got = _text.features(text, **context)  # type: ignore[arg-type]
    assert _text.normalised(text) == expected.normalised
    assert got.ids[: got.count].tolist() == expected.ids
    assert not got.ids[got.count :].any()
    assert got.dense.tolist() == expected.dense
    assert got.language == expected.language
    assert {flag for flag in _text.FLAGS if got.has(flag)} == expected.flags
    return got


@given(text=TEXTS, sender=st.sampled_from(_text.SENDERS), trust=st.sampled_from(_text.TRUSTS), gap_s=GAPS)
@example(text="", sender="other", trust="unknown", gap_s=None)
@example(text="s e c r e t", sender="self", trust="child", gap_s=float("inf"))
@example(text="\ufdfa" * 600, sender="other", trust="unknown", gap_s=-1.0)
@example(text="a." * 3000, sender="other", trust="unknown", gap_s=0.0)
@example(text="é " * 2500, sender="other", trust="unknown", gap_s=86400.0)
@example(text="x" * 4097, sender="other", trust="unknown", gap_s=float("nan"))
def test_native_equals_the_twin(text: str, sender: str, trust: str, gap_s: float | None) -> None:
    got = _same(text, text, sender=sender, trust=trust, gap_s=gap_s)
    assert got.ids.dtype == np.int32
    assert got.ids.shape == (_text.MAX_IDS,)
    assert got.dense.dtype == np.float32
    assert got.dense.min() >= 0
    assert got.dense.max() <= 1
    assert len(set(got.ids[: got.count].tolist())) == got.count
    assert got.ids.max() < _text.BUCKETS


@given(data=st.one_of(st.binary(max_size=80), TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass"))))
def test_bytes_are_read_as_utf_8_with_replacement(data: bytes) -> None:
    got = _same_bytes(data)
    assert got.count <= _text.MAX_IDS


def _same_bytes(data: bytes) -> _text.TextFeatures:
    shown = data.decode("utf-8", "replace")
    expected, got = twin.features(shown), _text.features(data)
    assert got.ids[: got.count].tolist() == expected.ids
    assert got.dense.tolist() == expected.dense
    assert _text.normalised(data) == expected.normalised
    return got


@given(texts=st.lists(TEXTS, max_size=5))
def test_a_batch_is_its_messages(texts: list[str]) -> None:
    ids, dense, counts, languages, flags = _text.features_batch(texts)
    for at, text in enumerate(texts):
        one = _text.features(text)
        assert np.array_equal(ids[at], one.ids)
        assert np.array_equal(dense[at], one.dense)
        assert (counts[at], _text.LANGUAGES[languages[at]], flags[at]) == (one.count, one.language, one.flags)


@pytest.mark.parametrize("text", ["a", "ab ", "写", "\ufdfa", "s e ", "1", "\ud800", "é", "...", "'", "😘 "])
def test_a_megabyte_is_cut_and_says_so(text: str) -> None:
    long = text * (1_000_000 // len(text))
    got = _same(long, long[: _text.MAX_INPUT + 1])
    assert got.has("truncated")
    assert _text.features(long.encode("utf-8", "surrogatepass")).has("truncated")


def test_what_is_no_message_raises() -> None:
    with pytest.raises(TypeError, match="str or UTF-8 bytes"):
        _text.features(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sender"):
        _text.features("a", sender="me")
    with pytest.raises(ValueError, match="trust"):
        _text.features("a", trust="known")
    with pytest.raises(ValueError, match="senders"):
        _text.features_batch(["a"], senders=[])
