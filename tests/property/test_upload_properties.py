"""Whatever is sent: what the app's parser will see is exactly what was checked, and nothing benign is lost."""

from __future__ import annotations

import base64
import gzip
import importlib.util
import json
import quopri
import zlib
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safelight.errors import UploadError
from safelight.gates.upload.body import form_values
from upload_parsers import Part, all_agree, check, django_parts
from upload_world import BAD, exchange, gate, picture

FORM = "multipart/form-data; boundary=b0"

_names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)
_contents = st.one_of(
    st.binary(max_size=300),
    st.sampled_from([b"\r\n--b0", b"\r\n--b0--\r\n", b"--", b"\r", b"\n", b"\r\n", b"x" * 70_000, b"\r\n" * 40_000]),
)
_values = st.text(st.characters(exclude_categories=["Cs"]), max_size=90)
_parts = st.lists(st.tuples(_names, st.none() | _names, _contents), max_size=8)
_chunk_bytes = st.sampled_from([1, 2, 7, 64, 4_096, 1 << 20])


def _body(parts: list[Part], boundary: str) -> bytes:
    out = b""
    for name, filename, content in parts:
        line = f'Content-Disposition: form-data; name="{_quoted(name)}"'
        if filename is not None:
            line += f'; filename="{_quoted(filename)}"\r\nContent-Type: application/octet-stream'
        out += f"--{boundary}\r\n{line}\r\n\r\n".encode() + content + b"\r\n"
    return out + f"--{boundary}--\r\n".encode()


def _quoted(text: str | None) -> str:
    return (text or "").replace("\\", "\\\\").replace('"', '\\"')


def _chunks(body: bytes, size: int) -> list[bytes]:
    size = max(size, len(body) // 3_000)
    return [body[at : at + size] for at in range(0, len(body), size)]


@given(parts=_parts, size=_chunk_bytes)
@example(parts=[("a\\", 'b"', b"--b0"), ('"', "\\\\", b"")], size=1)
def test_a_form_goes_through_as_it_is(parts: list[Part], size: int) -> None:
    boundary = "b7f3a"  # no content of the strategy holds it
    body = _body(parts, boundary)
    if not parts:
        return
    checked, content_type, sent = check(f"multipart/form-data; boundary={boundary}", _chunks(body, size))
    assert checked == parts
    all_agree(parts, str(content_type), sent)
    new = str(content_type).partition("boundary=")[2]
    assert sent == _body(parts, new)


@given(parts=st.lists(st.tuples(st.from_regex(r"[a-z]{1,9}", fullmatch=True), st.booleans(), _contents), max_size=6))
def test_django_sees_it_too(parts: list[tuple[str, bool, bytes]]) -> None:
    body = _body([(name, "f.bin" if is_file else None, content) for name, is_file, content in parts], "b7f3a")
    if not parts:
        return
    _, content_type, sent = check("multipart/form-data; boundary=b7f3a", [body])
    fields, files = django_parts(str(content_type), sent)
    # Django groups by name; the order within a name is kept.
    order = sorted({name for name, _, _ in parts})
    assert [(n, v) for o in order for n, v in fields if n == o] == [
        (n, c.decode("utf-8", "replace")) for o in order for n, is_file, c in parts if n == o and not is_file
    ]
    assert [(n, v) for o in order for n, v in files if n == o] == [
        (n, c) for o in order for n, is_file, c in parts if n == o and is_file
    ]


@given(content=_contents, way=st.sampled_from(["base64", "quoted-printable", "binary"]), size=_chunk_bytes)
def test_transfer_encodings_are_undone_once(content: bytes, way: str, size: int) -> None:
    coded = {"base64": base64.encodebytes(content), "quoted-printable": quopri.encodestring(content)}.get(way, content)
    body = (
        b'--b7f3a\r\nContent-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: '
        + way.encode() + b"\r\n\r\n" + coded + b"\r\n--b7f3a--\r\n"
    )  # fmt: skip
    parts, content_type, sent = check("multipart/form-data; boundary=b7f3a", _chunks(body, size))
    expected = quopri.decodestring(coded) if way == "quoted-printable" else content
    assert parts == [("a", None, expected)]
    all_agree(parts, str(content_type), sent)


@given(body=st.binary(max_size=3_000), size=_chunk_bytes)
def test_any_bytes_as_a_form_are_taken_apart_or_refused(body: bytes, size: int) -> None:
    try:
        parts, content_type, sent = check(FORM, _chunks(body, size))
    except UploadError:
        return
    if parts:
        all_agree(parts, str(content_type), sent)


@given(body=st.binary(max_size=3_000), size=_chunk_bytes, kind=st.none() | st.sampled_from(["a/b", "text/plain;x=y"]))
def test_a_bare_body_goes_through_byte_for_byte(body: bytes, size: int, kind: str | None) -> None:
    parts, content_type, sent = check(kind, _chunks(body, size))  # type: ignore[arg-type]
    assert (sent, content_type) == (body, kind)
    assert b"".join(content for _, _, content in parts) == body


@given(header=st.text(st.characters(max_codepoint=255), max_size=80))
@example(header="multipart/form-data; boundary=b0;")
@example(header='multipart/form-data; boundary="b\\0"')
def test_any_content_type_is_understood_or_refused(header: str) -> None:
    try:
        parts, content_type, sent = check(header, [_body([("a", None, b"x")], "b0")])
    except UploadError:
        return
    if content_type is not None and content_type.startswith("multipart/"):
        all_agree(parts, content_type, sent)


@given(
    body=st.binary(max_size=2_000),
    packed=st.sampled_from(["gzip", "deflate"]),
    cut=st.integers(0, 40),
    size=_chunk_bytes,
)
def test_a_packed_body_is_unpacked_whole_or_refused(body: bytes, packed: str, cut: int, size: int) -> None:
    data = gzip.compress(body) if packed == "gzip" else zlib.compress(body)
    data = data[: len(data) - cut] if cut else data
    try:
        _, _, sent = check("a/b", _chunks(data, size), packed)
    except UploadError:
        assert cut
        return
    assert sent == body and not cut


@given(fields=st.lists(st.tuples(_values, _values), max_size=9))
def test_every_value_of_a_plain_form_is_looked_at(fields: list[tuple[str, str]]) -> None:
    data = urlencode(fields).encode()
    assert parse_qsl(data.decode(), keep_blank_values=True) == fields
    looked_at = b"\0".join(form_values(data))
    for pair in fields:
        for text in pair:
            assert text.encode() in looked_at


@given(
    place=st.integers(0, 6),
    level=st.sampled_from([10, BAD]),
    way=st.sampled_from(["file", "field", "base64 field", "json field", "base64 part", "named as text"]),
)
@settings(max_examples=40)
def test_a_bad_picture_is_found_at_every_place(place: int, level: int, way: str) -> None:
    data = picture(level)
    head = 'Content-Disposition: form-data; name="x"'
    special = {
        "file": (head + '; filename="x.png"\r\nContent-Type: image/png', data),
        "named as text": (head + '; filename="x.txt"\r\nContent-Type: text/plain; charset=utf-7', data),
        "field": (head, data),
        "base64 field": (head, base64.b64encode(data)),
        "json field": (head, json.dumps({"x": [base64.b64encode(data).decode()]}).encode()),
        "base64 part": (head + "\r\nContent-Transfer-Encoding: BASE64", base64.encodebytes(data)),
    }[way]
    parts = [(f'Content-Disposition: form-data; name="f{n}"; filename="f.png"', picture(n)) for n in range(6)]
    parts.insert(place, special)
    body = b"".join(f"--b0\r\n{line}\r\n\r\n".encode() + content + b"\r\n" for line, content in parts) + b"--b0--\r\n"
    with gate(concurrency=1) as upload_gate:
        seen = exchange(upload_gate, body, content_type=FORM)
    assert seen.passed == (level != BAD)
    assert seen.status == (200 if level != BAD else 422)


def test_mutated_forms(root: Path, request: pytest.FixtureRequest) -> None:
    """A few rounds of what ``make fuzz`` does for longer."""
    spec = importlib.util.spec_from_file_location("fuzz_multipart", root / "tests" / "fuzz" / "fuzz_multipart.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rounds = 30_000 if settings.default is not None and settings.default.max_examples > 100 else 300
    count, taken = module.run(runs=rounds, seconds=3_600, seed=20_261_122)
    assert count == rounds
    assert rounds // 10 < taken < rounds
