"""Sources as others keep them: what is taken, what is passed over, and which line is at fault."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safelight import MediaNotFoundError, UsageError
from safelight.errors import ListSourceError
from safelight.lists import HashList, Source, build_list
from safelight.lists.importers import MAX_LINE_BYTES, SourceReport
from simulator import hashes

A, B, C = (bytes(row).hex() for row in hashes(3, 5))


def _build(text: str | bytes, format: str = "text", **more: Any) -> tuple[HashList, SourceReport]:
    data = text.encode() if isinstance(text, str) else text
    made, (report, *_) = build_list("alpha", 1, [Source(io.BytesIO(data), format, **more)])  # type: ignore[arg-type]
    return made, report


def _hex(made: HashList, kind: str = "pdq") -> set[str]:
    return {bytes(row).hex() for row in made.sections[kind].hashes}


def _fault(text: str | bytes, format: str = "text", **more: Any) -> ListSourceError:
    with pytest.raises(ListSourceError) as caught:
        _build(text, format, **more)
    message = str(caught.value)
    assert "; " in message
    assert A not in message
    assert B not in message
    return caught.value


# --- plain text ------------------------------------------------------------------------------------------


def test_text() -> None:
    import base64

    made, report = _build(
        f"\ufeff# ours\n\n{A}\r\n  {B.upper()}  \n{base64.b64encode(bytes.fromhex(C)).decode()}\n{A}\n"
    )
    assert _hex(made) == {A, B, C}
    assert report.records == 4
    assert _hex(_build(A, kind="sha256")[0], "sha256") == {A}


def test_the_same_hash_has_the_same_id_in_every_version() -> None:
    first, second = _build(f"{A}\n{B}")[0], _build(f"{C}\n{B}\n{A}")[0]
    ids = {
        bytes(h).hex(): int(i) for h, i in zip(second.sections["pdq"].hashes, second.sections["pdq"].ids, strict=True)
    }
    for row, entry_id in zip(first.sections["pdq"].hashes, first.sections["pdq"].ids, strict=True):
        assert ids[bytes(row).hex()] == entry_id


@pytest.mark.parametrize("line", [A[:-1], A + "0", "zz" * 32, "hello", A + " " + B, "ü" * 64])
def test_a_faulty_line_is_named_and_not_shown(line: str) -> None:
    error = _fault(f"{A}\n# fine\n{line}\n{B}\n")
    assert (error.source, error.line) == (1, 3)
    assert "source 1, line 3" in str(error)
    assert line not in str(error)


def test_bytes_that_are_no_text() -> None:
    assert _fault(f"{A}\n".encode() + b"\xff\xfe\n").line == 2


def test_a_file_without_line_breaks_costs_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.BytesIO):
        given = 0

        def readline(self, size: int | None = -1) -> bytes:
            assert size is not None
            assert 0 < size <= MAX_LINE_BYTES + 1
            Endless.given += size
            return b"0" * size

    with pytest.raises(ListSourceError, match="over"):
        build_list("alpha", 1, [Source(Endless())])
    assert Endless.given <= MAX_LINE_BYTES + 1


# --- threatexchange --------------------------------------------------------------------------------------


def test_threatexchange_local_file() -> None:
    frames = json.dumps([f"{A},100,0.0", f"{B},50,1.0", f"{C},49,2.0"])
    text = f"pdq {A}\nPDQ {B}\nsha256 {C}\nvideo_md5 {A[:32]}\nurl https://example.org/a b\nvpdq {frames}\n# note\n\n"
    made, report = _build(text, "threatexchange")
    assert _hex(made) == {A, B}
    assert _hex(made, "sha256") == {C}
    assert _hex(made, "clip_frame") == {A, B}
    assert len(set(made.sections["clip_frame"].ids.tolist())) == 1
    assert report.skipped == {"video_md5": 1, "url": 1, "low_quality_frame": 1}


@pytest.mark.parametrize(
    "line",
    [
        "pdq",
        "pdq " + A[:10],
        "vpdq {}",
        "vpdq [1]",
        f'vpdq ["{A}"]',
        f'vpdq ["{A},x,0"]',
        f'vpdq ["{A},101,0"]',
        "vpdq [",
    ],
)
def test_faulty_threatexchange_lines(line: str) -> None:
    assert _fault(f"pdq {A}\n{line}\n", "threatexchange").line == 2


def test_te_csv() -> None:
    text = f"{A},1234567890123,2026-01-02T00:00:00+0000,one two\r\n{B},,,\n{C}\n\n"
    made, _ = _build(text, "te-csv")
    ids = {bytes(h).hex(): int(i) for h, i in zip(made.sections["pdq"].hashes, made.sections["pdq"].ids, strict=True)}
    assert ids[A] == 1234567890123
    assert set(ids) == {A, B, C}


@pytest.mark.parametrize("row", [f"{B},x", f"{B},{2**64}", f"{B},-1", "notahash,1", f'"{B}'])
def test_faulty_csv_rows(row: str) -> None:
    assert _fault(f"{A},1\n{row}\n", "te-csv").line == 2


# --- NCMEC -----------------------------------------------------------------------------------------------


def _entry(tag: str, entry_id: str, when: str, inside: str = "", member: int = 42) -> str:
    return (
        f'<{tag}><member id="{member}">Example</member><timestamp>{when}</timestamp><id>{entry_id}</id>{inside}</{tag}>'
    )


def _prints(**kinds: str) -> str:
    return "<fingerprints>" + "".join(f"<{k}>{v}</{k}>" for k, v in kinds.items()) + "</fingerprints>"


def _page(*entries: str, videos: str = "") -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        '<queryResult xmlns="https://hashsharing.ncmec.org/hashsharing/v2">\n'
        '<images count="2" maxTimestamp="2026-01-09T00:00:00Z">\n' + "\n".join(entries) + "\n</images>\n"
        f'<videos count="0" maxTimestamp="2026-01-09T00:00:00Z">{videos}</videos>\n'
        "<paging><next>/v2/entries?from=a&amp;start=2001</next></paging></queryResult>"
    )


EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def test_ncmec() -> None:
    one = _entry(
        "image",
        "image1",
        EARLY,
        "<classification>A1</classification>"
        + _prints(md5="a1" * 16, sha1="a1" * 20, pdna="a1", pdq=A, sha256=B)
        + '<feedback><affirmativeFeedback type="Md5"><members><member id="7">x</member></members></affirmativeFeedback>'
        "</feedback>",
    )
    made, report = _build(_page(one, videos=_entry("video", "v1", EARLY, _prints(md5="b1" * 16))), "ncmec")
    assert _hex(made) == {A}
    assert _hex(made, "sha256") == {B}
    # One entry, one id, whichever of its fingerprints matches.
    assert made.sections["pdq"].ids.tolist() == made.sections["sha256"].ids.tolist()
    assert made.info.categories == {1: "A1"}
    assert report.skipped == {"md5": 1, "sha1": 1, "pdna": 1, "video": 1}


def test_ncmec_pages_come_in_any_order_and_the_last_word_counts(tmp_path: Path) -> None:
    pages = [
        _page(_entry("image", "changed", LATE, _prints(pdq=B)), _entry("deletedImage", "gone", LATE)),
        _page(
            _entry("image", "changed", EARLY, _prints(pdq=A)),
            _entry("image", "gone", EARLY, _prints(pdq=C)),
            _entry("image", "gone", EARLY, _prints(pdq=C), member=43),
        ),
    ]
    for order in (pages, pages[::-1]):
        made, reports = build_list("alpha", 1, [Source(io.BytesIO(page.encode()), "ncmec") for page in order])
        # Entry "gone" of another member is another entry.
        assert _hex(made) == {B, C}
        assert sum(report.withdrawn for report in reports) == 1


def test_ncmec_an_entry_that_lost_its_fingerprint() -> None:
    made, _ = _build(
        _page(_entry("image", "x", EARLY, _prints(pdq=A)), _entry("image", "x", LATE, _prints(md5="0" * 32))), "ncmec"
    )
    assert len(made) == 0


BOMB = '<?xml version="1.0"?>\n<!DOCTYPE q [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]>\n<queryResult>&b;</queryResult>'
EXTERNAL = '<?xml version="1.0"?>\n<!DOCTYPE q SYSTEM "file:///etc/passwd">\n<queryResult/>'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (BOMB, 2),
        (EXTERNAL, 2),
        ("<other/>", 1),
        ("<queryResult>\n<images>\n<image>", 3),
        ("", 1),
        (_page(_entry("image", "x", EARLY, _prints(pdq="zz"))), 4),
        (_page(_entry("image", "x", "yesterday", _prints(pdq=A))), 4),
        (_page(_entry("image", "", EARLY, _prints(pdq=A))), 4),
        (_page("<image><id>x</id></image>"), 4),
        ("<queryResult>" + "<a>" * 40, 1),
        ("<queryResult><images><image><id>" + "x" * 70_000, 1),
    ],
)
def test_faulty_ncmec(text: str, line: int) -> None:
    assert _fault(text, "ncmec").line == line


def test_ncmec_is_streamed() -> None:
    """No more than a chunk is asked for at a time, and entries come out as they are read."""

    class Slow(io.BytesIO):
        largest = 0

        def read(self, size: int | None = -1) -> bytes:
            assert size is not None
            Slow.largest = max(Slow.largest, size)
            return super().read(size)

    rows = [bytes(row).hex() for row in hashes(3000, 8)]
    page = _page(*(_entry("image", str(n), EARLY, _prints(pdq=row)) for n, row in enumerate(rows)))
    made, _ = build_list("alpha", 1, [Source(Slow(page.encode()), "ncmec")])
    assert len(made) == 3000
    assert 0 < Slow.largest <= 1 << 16


# --- StopNCII --------------------------------------------------------------------------------------------


def _record(value: str, when: int, status: str = "Active", kind: str = "ImagePDQ", **more: Any) -> dict[str, Any]:
    return {
        "lastModtimestamp": when,
        "hashValue": value,
        "hashStatus": status,
        "caseNumbers": {"27664732": status},
        "signalType": kind,
        **more,
    }


def _answer(*records: dict[str, Any]) -> dict[str, Any]:
    return {
        "count": len(records),
        "nextSetTimestamp": 1625175071,
        "nextPageToken": "x",
        "hasMoreRecords": True,
        "hashRecords": list(records),
    }


@pytest.mark.parametrize("form", ["lines", "pretty", "array", "pretty array"])
def test_stopncii(form: str) -> None:
    answers = [
        _answer(_record(A, 10), _record(B, 10), _record("x", 10, kind="VideoMD5")),
        _answer(_record(B, 20, "Withdrawn"), _record(C.upper(), 5, hashRegions=["UK"], CSPFeedbacks=[])),
    ]
    if form == "lines":
        text = "\n".join(json.dumps(answer) for answer in answers)
    elif form == "pretty":
        text = json.dumps(_answer(*(record for answer in answers for record in answer["hashRecords"])), indent=1)
    else:
        text = json.dumps(answers, indent=1 if form == "pretty array" else None)
    made, report = _build(text, "stopncii")
    assert _hex(made) == {A, C}
    assert report.skipped == {"VideoMD5": 1}
    assert report.withdrawn == 1


def test_stopncii_a_hash_that_came_back() -> None:
    text = json.dumps(_answer(_record(A, 10, "Deleted"), _record(A, 20, "Active")))
    assert _hex(_build(text, "stopncii")[0]) == {A}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", 1),
        ("nothing", 1),
        ('{"hashRecords": 1}', 1),
        ('{"hashRecords": [{"hashValue": 1, "signalType": "ImagePDQ"}]}', 1),
        (json.dumps(_answer(_record(A, 1))) + "\n{}", 2),
        (json.dumps(_answer(_record(A, 1), _record("short", 1))), 2),
        (json.dumps(_answer(_record(A, -1))), 1),
        ("[" * 5000, 1),
    ],
)
def test_faulty_stopncii(text: str, line: int) -> None:
    assert _fault(text, "stopncii").line == line


# --- all of them -----------------------------------------------------------------------------------------


def test_profiles_are_never_mixed() -> None:
    with pytest.raises(UsageError, match="full and near512"):
        build_list("alpha", 1, [Source(io.BytesIO(b"")), Source(io.BytesIO(b""), profile="near512")])
    with pytest.raises(UsageError, match="make a list for each"):
        build_list("alpha", 1, [Source(io.BytesIO(b""))], negatives=[Source(io.BytesIO(b""), profile="near512")])
    made, _ = build_list("alpha", 1, [Source(io.BytesIO(A.encode()), profile="near512")])
    assert made.info.profile == "near512"


def test_category_codes_stay_from_version_to_version() -> None:
    first, _ = build_list("alpha", 1, [Source(io.BytesIO(A.encode()), category="zebra")])
    second, _ = build_list(
        "alpha",
        2,
        [Source(io.BytesIO(B.encode()), category="ant"), Source(io.BytesIO(A.encode()), category="zebra")],
        previous=first,
    )
    assert first.info.categories == {1: "zebra"}
    assert second.info.categories == {1: "zebra", 2: "ant"}


def test_negatives_and_progress() -> None:
    seen: list[tuple[int, int]] = []
    rows = "\n".join(bytes(row).hex() for row in hashes(25_000, 6))
    made, reports = build_list(
        "alpha",
        1,
        [Source(io.BytesIO(rows.encode()))],
        negatives=[Source(io.BytesIO(A.encode())), Source(io.BytesIO(B.encode()), kind="sha256")],
        progress=lambda source, records: seen.append((source, records)),
    )
    assert made.counts == {"pdq": 25_000, "sha256": 0, "clip_frame": 0, "negative_pdq": 1, "negative_sha256": 1}
    assert [report.hashes for report in reports] == [25_000, 1, 1]
    assert seen[:3] == [(1, 10_000), (1, 20_000), (1, 25_000)]


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "zq7sentinel.txt"
    with pytest.raises(MediaNotFoundError) as caught:
        build_list("alpha", 1, [Source(path)])
    assert "sentinel" not in f"{caught.value!r} {caught.value.__context__!r}"
    path.write_text(A)
    assert len(build_list("alpha", 1, [Source(path)])[0]) == 1
    with pytest.raises(UsageError, match="opened as text"), path.open() as text:
        build_list("alpha", 1, [Source(text)])  # type: ignore[arg-type]


def test_wrong_words() -> None:
    with pytest.raises(UsageError, match="format"):
        Source(io.BytesIO(), "xml")  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        build_list("Not An Id", 1, [])
    with pytest.raises(UsageError):
        build_list("alpha", 0, [])


def test_too_many_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safelight.lists.importers.MAX_RECORDS", 2)
    assert _fault(f"{A}\n{B}\n{C}\n").line == 3
    monkeypatch.setattr("safelight.lists.format.MAX_ENTRIES", 1)
    with pytest.raises(UsageError, match="a device takes 1"):
        _build(f"{A}\n{B}\n")


def test_an_id_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="the same id"):
        _build(f"{A},5\n{B},5\n", "te-csv")


def test_ids_are_unsigned(root: Path) -> None:
    made, _ = _build(f"{A},{2**64 - 1}\n", "te-csv")
    assert made.sections["pdq"].ids.dtype == np.uint64
    assert int(made.sections["pdq"].ids[0]) == 2**64 - 1
