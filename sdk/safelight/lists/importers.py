"""Sources of hashes, as others keep them, become a list.

| format | what it is |
|---|---|
| ``text`` | one hash a line, hexadecimal or base64 |
| ``threatexchange`` | threatexchange's local file: ``<type> <signal>`` a line; types ``pdq``, ``sha256``, ``vpdq`` |
| ``te-csv`` | the ``simple.PDQ.te`` cache of threatexchange's command line and of HMA: hash, id, date, labels |
| ``ncmec`` | NCMEC hash sharing v2: the XML of ``/v2/entries``, fingerprints ``pdq`` and ``sha256`` |
| ``stopncii`` | StopNCII v1: the JSON of ``FetchHashes``, one answer or several, one a line |

A file is read once, from front to back, in bounded memory; what counts of it are its hashes, ids, dates and
categories: 64 bytes a record. An error says in which source and line, and never what stands there.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, get_args
from xml.parsers import expat

import msgspec
import numpy as np

from safelight.errors import ListSourceError, MediaNotFoundError, UsageError
from safelight.hashing import MATCH_DISTANCE, PdqHash, PdqProfile, Sha256Hash
from safelight.lists.format import HASH_BYTES, KINDS, MAX_ENTRIES, NEGATIVE_KINDS, HashList, ListInfo, make_list

Format = Literal["text", "threatexchange", "te-csv", "ncmec", "stopncii"]
FORMATS: Final[tuple[str, ...]] = get_args(Format)

#: The longest line: a vPDQ of some four hours, one hash a second. A file without line breaks is no text.
MAX_LINE_BYTES: Final = 2 << 20
#: Of a JSON answer that is not one a line.
MAX_JSON_BYTES: Final = 64 << 20
#: Records with updates and withdrawals, before the last word about each is found.
MAX_RECORDS: Final = 10 * MAX_ENTRIES
_MAX_XML_DEPTH: Final = 32
_MAX_XML_TEXT: Final = 1 << 16
_PROGRESS_EVERY: Final = 10_000
_MIN_FRAME_QUALITY: Final = 50
_ID_MAX: Final = (1 << 64) - 1
_NOT_A_NAME: Final = re.compile(r"[^A-Za-z0-9 ._-]+")


@dataclass(frozen=True, slots=True)
class Source:
    """Where hashes come from.

    Attributes:
        file: a path or a binary file object.
        format: one of :data:`FORMATS`.
        kind: for ``text``: ``pdq`` or ``sha256``.
        category: name for entries whose source says none.
        profile: which PDQ profile made its hashes; most sources do not say and mean ``full``.
        min_quality: hashes whose source names a lower quality are left out: they match nothing.
    """

    file: str | os.PathLike[str] | BinaryIO
    format: Format = "text"
    kind: Literal["pdq", "sha256"] = "pdq"
    category: str | None = None
    profile: PdqProfile | str = PdqProfile.FULL
    min_quality: int = _MIN_FRAME_QUALITY

    def __post_init__(self) -> None:
        if self.format not in FORMATS or self.kind not in ("pdq", "sha256"):
            raise UsageError(f"source: expected a format of {', '.join(FORMATS)}, and kind pdq or sha256; choose one")


@dataclass(slots=True)
class SourceReport:
    """What became of one source.

    Attributes:
        records: read.
        hashes: taken.
        withdrawn: records that take something back.
        skipped: records of kinds that a list does not hold, by kind.
    """

    records: int = 0
    hashes: int = 0
    withdrawn: int = 0
    skipped: dict[str, int] = field(default_factory=dict)


def build_list(
    list_id: str,
    version: int,
    sources: Iterable[Source],
    *,
    negatives: Iterable[Source] = (),
    dihedral: bool = False,
    max_distance: int = MATCH_DISTANCE,
    previous: HashList | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[HashList, list[SourceReport]]:
    """Read sources into a list.

    Of several records about one entry the latest counts, and a withdrawal beats an entry of the same time. Without
    an id of its own an entry gets 64 bits of a hash of what it is, so that the same entry has the same id in every
    version and a delta stays small.

    Args:
        list_id: of the list.
        version: of the list.
        sources: of its entries.
        negatives: of hashes that must never match; ids and categories are not used.
        dihedral: see :class:`ListInfo`.
        max_distance: see :class:`ListInfo`.
        previous: the version before, whose category codes are kept.
        progress: called with the number of the source and of records read of it, now and then.

    Returns:
        The list, and a report for every source and then every negative source.

    Raises:
        ListSourceError: a source has a line that it should not have; names source and line.
        UsageError: sources of different PDQ profiles, or an argument out of its range.
        MediaNotFoundError: a source cannot be opened.
    """
    every = [*sources]
    refused = [*negatives]
    profiles = {PdqProfile(source.profile) for source in (*every, *refused)}
    if len(profiles) > 1:
        raise UsageError(
            f"profile: got {' and '.join(sorted(map(str, profiles)))}, expected one for the whole list; hashes of "
            "different profiles do not belong together: make a list for each"
        )
    names = _Categories(previous.info.categories if previous is not None else {})
    reports = [SourceReport() for _ in (*every, *refused)]
    rows = _Rows()
    for number, (source, report) in enumerate(zip(every, reports, strict=False), start=1):
        _read(number, source, report, rows, names, progress)
    negative_rows = _Rows()
    for number, (source, report) in enumerate(zip(refused, reports[len(every) :], strict=True), start=len(every) + 1):
        _read(number, source, report, negative_rows, _Categories({}), progress)
    entries = rows.entries()
    refused_entries = negative_rows.entries()
    info = ListInfo(
        list_id, version, profiles.pop() if profiles else PdqProfile.FULL, dihedral, max_distance, names.by_code()
    )
    made = make_list(
        info,
        entries=entries,
        negatives={kind: refused_entries[kind][0] for kind in NEGATIVE_KINDS},
    )
    return made, reports


# --- records ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Record:
    """One hash, or the withdrawal of an entry (no bits)."""

    kind: str
    bits: bytes | None
    entry_id: int
    time: int = 0
    category: str | None = None


class _Rows:
    """Records in arrays: 52 bytes each instead of an object each."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self._ids = array("Q")
        self._times = array("q")
        self._kinds = bytearray()
        self._codes = array("H")

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, record: _Record, code: int) -> None:
        self._bits += record.bits if record.bits is not None else bytes(HASH_BYTES)
        self._ids.append(record.entry_id)
        self._times.append(record.time)
        self._kinds.append(KINDS.index(record.kind) if record.bits is not None else 255)
        self._codes.append(code)

    def entries(self) -> dict[str, tuple[Any, Any, Any]]:
        """The last word about every entry."""
        bits = np.frombuffer(bytes(self._bits), np.uint8).reshape(-1, HASH_BYTES)
        ids = np.array(self._ids, np.uint64)
        times = np.array(self._times, np.int64)
        kinds = np.frombuffer(bytes(self._kinds), np.uint8)
        codes = np.array(self._codes, np.uint16)
        unique, inverse = np.unique(ids, return_inverse=True)
        latest = np.full(len(unique), np.iinfo(np.int64).min)
        np.maximum.at(latest, inverse, times)
        gone = np.zeros(len(unique), np.bool_)
        gone[inverse[(kinds == 255) & (times == latest[inverse])]] = True
        counts = (kinds != 255) & (times == latest[inverse]) & ~gone[inverse]
        result = {}
        for number, kind in enumerate(KINDS):
            chosen = counts & (kinds == number)
            result[kind] = (bits[chosen], ids[chosen], codes[chosen])
        return result


class _Categories:
    def __init__(self, known: Mapping[int, str]) -> None:
        self._codes = {name: code for code, name in known.items()}

    def code(self, name: str | None) -> int:
        if name is None:
            return 0
        clean = _NOT_A_NAME.sub("_", name.strip())[:64].lstrip("._- ")
        if not clean:
            return 0
        if clean not in self._codes:
            code = max(self._codes.values(), default=0) + 1
            if code > 1000:
                raise UsageError("category: got over 1,000 different names, expected a few; check the source's format")
            self._codes[clean] = code
        return self._codes[clean]

    def by_code(self) -> dict[int, str]:
        return {code: name for name, code in self._codes.items()}


def _derived_id(*parts: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(b"\0".join(parts), digest_size=8).digest(), "big")


@dataclass(slots=True)
class _Place:
    """Where in a source we are, for messages."""

    source: int
    line: int = 0
    what: str = "line"

    def error(self, got: str, expected: str, next_step: str) -> ListSourceError:
        return ListSourceError(
            f"source {self.source}, {self.what} {self.line}: got {got}, expected {expected}; {next_step}",
            source=self.source,
            line=self.line,
        )


def _read(
    number: int,
    source: Source,
    report: SourceReport,
    rows: _Rows,
    names: _Categories,
    progress: Callable[[int, int], None] | None,
) -> None:
    place = _Place(number)
    reader = _READERS[source.format]
    with ExitStack() as stack:
        stream: BinaryIO | None = None
        if isinstance(source.file, (str, os.PathLike)):
            with suppress(OSError):
                stream = stack.enter_context(Path(source.file).open("rb"))
            if stream is None:
                raise MediaNotFoundError(f"source {number}: got a path that cannot be read, expected a file; check it")
        else:
            stream = source.file
        for record in reader(stream, source, report, place):
            report.records += 1
            if record.bits is None:
                report.withdrawn += 1
            else:
                report.hashes += 1
            if len(rows) >= MAX_RECORDS:
                raise place.error(f"over {MAX_RECORDS} records", "fewer", "a device's list has a million entries")
            rows.add(record, names.code(record.category if record.category is not None else source.category))
            if progress is not None and report.records % _PROGRESS_EVERY == 0:
                progress(number, report.records)
    if progress is not None:
        progress(number, report.records)


def _skip(report: SourceReport, kind: str) -> None:
    name = _NOT_A_NAME.sub("_", kind)[:32] or "unnamed"
    if name not in report.skipped and len(report.skipped) >= 32:
        name = "other"
    report.skipped[name] = report.skipped.get(name, 0) + 1


def _lines(stream: BinaryIO, place: _Place) -> Iterator[bytes]:
    """Lines without their ends, numbered in ``place``."""
    while True:
        line = stream.readline(MAX_LINE_BYTES + 1)
        if not isinstance(line, bytes):
            raise UsageError("source: got a file opened as text, expected binary; open it with mode 'rb'")
        if not line:
            return
        place.line += 1
        if len(line) > MAX_LINE_BYTES:
            raise place.error(f"over {MAX_LINE_BYTES} bytes", "a shorter line", "check the source's format")
        if place.line == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        yield line.rstrip(b"\r\n")


def _text_of(line: bytes, place: _Place) -> str:
    text: str | None = None
    with suppress(UnicodeDecodeError):
        text = line.decode("utf-8")
    if text is None:
        raise place.error("bytes that are no UTF-8", "text", "check the source's format")
    return text


def _hash_bits(kind: str, text: str, place: _Place) -> bytes:
    bits: bytes | None = None
    with suppress(UsageError):
        bits = Sha256Hash.parse(text).bits if kind == "sha256" else PdqHash.parse(text).bits
    if bits is None:
        raise place.error(
            f"{len(text)} characters that are no {kind} hash", "64 hexadecimal or 44 base64 digits", "mend the line"
        )
    return bits


def _hash_record(kind: str, text: str, place: _Place, **more: Any) -> _Record:
    bits = _hash_bits(kind, text, place)
    entry_id = more.pop("entry_id", None)
    return _Record(kind, bits, entry_id if entry_id is not None else _derived_id(kind.encode(), bits), **more)


# --- formats ---------------------------------------------------------------------------------------------


def _read_text(stream: BinaryIO, source: Source, report: SourceReport, place: _Place) -> Iterator[_Record]:
    for line in _lines(stream, place):
        text = _text_of(line, place).strip()
        if text and not text.startswith("#"):
            yield _hash_record(source.kind, text.lower() if len(text) == 64 else text, place)


def _read_threatexchange(stream: BinaryIO, source: Source, report: SourceReport, place: _Place) -> Iterator[_Record]:
    for line in _lines(stream, place):
        text = _text_of(line, place).strip()
        if not text or text.startswith("#"):
            continue
        kind, _, signal = text.partition(" ")
        kind, signal = kind.lower(), signal.strip()
        if not signal:
            raise place.error("one word", "'<type> <signal>'", "mend the line, or use format text")
        if kind in ("pdq", "sha256"):
            yield _hash_record(kind, signal, place)
        elif kind == "vpdq":
            yield from _vpdq_records(signal, source, report, place)
        else:
            _skip(report, kind)


def _vpdq_records(signal: str, source: Source, report: SourceReport, place: _Place) -> Iterator[_Record]:
    """threatexchange's vPDQ: a JSON list of ``<hash>,<quality>,<seconds>``."""
    frames: list[str] | None = None
    with suppress(msgspec.DecodeError, UnicodeEncodeError):
        frames = msgspec.json.decode(signal.encode(), type=list[str])
    if frames is None:
        raise place.error(
            "a vpdq signal that is no list of texts", '["<hash>,<quality>,<seconds>", …]', "mend the line"
        )
    entry_id = _derived_id(b"vpdq", signal.encode())
    for frame in frames:
        parts = frame.split(",")
        if len(parts) != 3 or not parts[1].isdecimal() or int(parts[1]) > 100:
            raise place.error("a frame in another form", "'<hash>,<quality>,<seconds>'", "mend the line")
        bits = _hash_bits("pdq", parts[0], place)
        if int(parts[1]) < source.min_quality:
            _skip(report, "low_quality_frame")
            continue
        yield _Record("clip_frame", bits, entry_id)


def _read_te_csv(stream: BinaryIO, source: Source, report: SourceReport, place: _Place) -> Iterator[_Record]:
    texts = (_text_of(line, place) + "\n" for line in _lines(stream, place))
    rows = csv.reader(texts, strict=True)
    while True:
        row: list[str] | None = None
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error:
            row = None
        if row is None:
            raise place.error("a row that is not CSV", "hash, id, date, labels", "mend the row")
        if not row:
            continue
        entry_id: int | None = None
        if len(row) > 1 and row[1].strip():
            number = row[1].strip()
            if not number.isdecimal() or len(number) > 20 or int(number) > _ID_MAX:
                raise place.error("an id that is no number", "a whole number below 2**64", "mend the row")
            entry_id = int(number)
        yield _hash_record(source.kind, row[0].strip().lower(), place, entry_id=entry_id)


class _NcmecReader:
    """Streams the XML of ``/v2/entries``. Declarations of types and entities are refused, not resolved."""

    def __init__(self, source: Source, report: SourceReport, place: _Place) -> None:
        self._source, self._report, self._place = source, report, place
        self._path: list[str] = []
        self._text: list[str] = []
        self._length = 0
        self._entry: dict[str, str] = {}
        self._prints: list[tuple[str, str]] = []
        self.records: list[_Record] = []
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._data
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.EntityDeclHandler = self._refuse
        self.parser.ExternalEntityRefHandler = self._refuse

    def _error(self, got: str, expected: str, next_step: str) -> ListSourceError:
        self._place.line = self.parser.CurrentLineNumber
        return self._place.error(got, expected, next_step)

    def _refuse(self, *_: Any) -> int:
        raise self._error("a declaration of a document type or entity", "plain XML", "ask where the file is from")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        tag = name.rpartition(" ")[2]
        if not self._path and tag != "queryResult":
            raise self._error("another kind of XML", "a queryResult of NCMEC hash sharing v2", "check the format")
        self._path.append(tag)
        if len(self._path) > _MAX_XML_DEPTH:
            raise self._error(f"elements {_MAX_XML_DEPTH} deep", "fewer", "check the source's format")
        self._text, self._length = [], 0
        if len(self._path) == 3 and self._path[1] in ("images", "videos"):
            self._entry, self._prints = {}, []
        elif len(self._path) == 4 and tag == "member":
            self._entry["member"] = attributes.get("id", "")

    def _data(self, text: str) -> None:
        self._length += len(text)
        if self._length > _MAX_XML_TEXT:
            raise self._error(f"a text of over {_MAX_XML_TEXT} characters", "a shorter one", "check the format")
        self._text.append(text)

    def _end(self, name: str) -> None:
        tag, text = self._path.pop(), "".join(self._text).strip()
        self._text, self._length = [], 0
        depth = len(self._path)
        if depth < 2 or self._path[1] not in ("images", "videos"):
            return
        if depth == 3 and tag in ("id", "timestamp", "classification"):
            self._entry[tag] = text
        elif depth == 4 and self._path[3] == "fingerprints":
            self._prints.append((tag.lower(), text))
        elif depth == 2:
            self._finish(tag)

    def _finish(self, tag: str) -> None:
        entry = self._entry
        if not entry.get("id") or not entry.get("member"):
            raise self._error("an entry without id or member", "both", "get the page again")
        self._place.line = self.parser.CurrentLineNumber
        entry_id = _derived_id(b"ncmec", entry["member"].encode(), entry["id"].encode())
        when = _seconds(entry.get("timestamp", ""), self._place)
        if tag.lower().startswith("deleted"):
            self.records.append(_Record("pdq", None, entry_id, when))
            return
        if tag != "image":
            _skip(self._report, tag)
            return
        taken = False
        for kind, text in self._prints:
            if kind in ("pdq", "sha256") and text:
                taken = True
                self.records.append(
                    _hash_record(
                        kind,
                        text.lower() if len(text) == 64 else text,
                        self._place,
                        entry_id=entry_id,
                        time=when,
                        category=entry.get("classification") or None,
                    )
                )
            else:
                _skip(self._report, kind)
        if not taken:
            # Replaces what an older record of the entry said.
            self.records.append(_Record("pdq", None, entry_id, when))


def _read_ncmec(stream: BinaryIO, source: Source, report: SourceReport, place: _Place) -> Iterator[_Record]:
    reader = _NcmecReader(source, report, place)
    while True:
        chunk = stream.read(1 << 16)
        broken = False
        try:
            reader.parser.Parse(chunk, not chunk)
        except expat.ExpatError:
            broken = True
        if broken:
            place.line = reader.parser.CurrentLineNumber
            raise place.error("XML that is not well-formed", "a whole answer of /v2/entries", "get the page again")
        yield from reader.records
        reader.records.clear()
        if not chunk:
            return


def _seconds(text: str, place: _Place) -> int:
    if not text:
        return 0
    when: datetime | None = None
    with suppress(ValueError, OverflowError):
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if when is None:
        raise place.error("a timestamp that is none", "ISO 8601, e.g. 2026-01-31T12:00:00Z", "get the page again")
    return int((when if when.tzinfo is not None else when.replace(tzinfo=timezone.utc)).timestamp())


class _StopNciiRecord(msgspec.Struct):
    signalType: str  # noqa: N815 - the service's own names
    hashValue: str  # noqa: N815
    hashStatus: str = "Active"  # noqa: N815
    lastModtimestamp: int = 0  # noqa: N815


class _StopNciiAnswer(msgspec.Struct):
    hashRecords: Sequence[_StopNciiRecord]  # noqa: N815


_STOPNCII_ANSWERS: Final = msgspec.json.Decoder(_StopNciiAnswer | list[_StopNciiAnswer])
_STOPNCII_GONE: Final = frozenset({"Withdrawn", "Deleted"})


def _read_stopncii(stream: BinaryIO, source: Source, report: SourceReport, place: _Place) -> Iterator[_Record]:
    number = 0
    for line, data in _json_documents(stream, place):
        answers: Any = None
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            answers = _STOPNCII_ANSWERS.decode(data)
        if answers is None:
            place.what, place.line = "line", line
            raise place.error("JSON that is no answer of FetchHashes", '{"hashRecords": […]}', "get the page again")
        for answer in answers if isinstance(answers, list) else [answers]:
            for record in answer.hashRecords:
                number += 1
                place.what, place.line = "record", number
                if record.signalType != "ImagePDQ":
                    _skip(report, record.signalType)
                    continue
                made = _hash_record(
                    "pdq", record.hashValue.lower(), place, time=_bounded(record.lastModtimestamp, place)
                )
                yield _Record("pdq", None, made.entry_id, made.time) if record.hashStatus in _STOPNCII_GONE else made


def _json_documents(stream: BinaryIO, place: _Place) -> Iterator[tuple[int, bytes]]:
    """Documents one a line, or one over many lines; which it is, the first line that is not empty tells."""
    first = b""
    number = 0
    while not first:
        line = stream.readline(MAX_JSON_BYTES + 1)
        if not isinstance(line, bytes):
            raise UsageError("source: got a file opened as text, expected binary; open it with mode 'rb'")
        if not line:
            return
        number += 1
        first = line.removeprefix(b"\xef\xbb\xbf").strip()
    whole = False
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        msgspec.json.decode(first, type=msgspec.Raw)
        whole = True
    if not whole:
        first += b"\n" + stream.read(max(0, MAX_JSON_BYTES + 1 - len(first)))
    if len(first) > MAX_JSON_BYTES:
        place.what, place.line = "line", number
        raise place.error(f"over {MAX_JSON_BYTES} bytes", "an answer a line", "write the answers one a line")
    yield number, first
    while whole and (line := stream.readline(MAX_JSON_BYTES + 1)):
        number += 1
        if len(line) > MAX_JSON_BYTES:
            place.what, place.line = "line", number
            raise place.error(f"over {MAX_JSON_BYTES} bytes", "an answer a line", "write the answers one a line")
        if line.strip():
            yield number, line.strip()


def _bounded(seconds: int, place: _Place) -> int:
    if not 0 <= seconds < 1 << 48:
        raise place.error("a timestamp that is none", "seconds since 1970", "get the page again")
    return seconds


_READERS: Final[dict[str, Callable[[BinaryIO, Source, SourceReport, _Place], Iterator[_Record]]]] = {
    "text": _read_text,
    "threatexchange": _read_threatexchange,
    "te-csv": _read_te_csv,
    "ncmec": _read_ncmec,
    "stopncii": _read_stopncii,
}
