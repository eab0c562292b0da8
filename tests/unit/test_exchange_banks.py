"""Question: does every hash reach a bank once, also when lines break and programs die; and do others load our files?"""

from __future__ import annotations

import csv
import io
import json
import logging
import subprocess
import sys
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from loopback import Answer, Loopback, Request, serve
from safelight.errors import (
    ExchangeError,
    ExchangeRefusedError,
    ExchangeUnavailableError,
    UnsupportedInputError,
    UsageError,
)
from safelight.exchange import HmaBank, SentMemory, export_te_csv, export_te_file
from safelight.exchange._http import Limits
from safelight.exchange.threatexchange import CSV_NAME
from safelight.hashing import PdqHash, Sha256Hash, sha256
from safelight.lists import Source, build_list

TOKEN = "token-that-nobody-sees"
HASHES = [PdqHash.from_bits(bytes((number * 37 + place * 11) % 256 for place in range(32))) for number in range(5)]


class Hma:
    """As the real one answers: any kind it knows, unknown ones 400, no memory of repeats."""

    def __init__(self) -> None:
        self.contents: list[tuple[str, str]] = []
        self.cut = False
        self.status = 0

    def __call__(self, request: Request) -> Answer:
        if self.status:
            return Answer(self.status)
        if request.path != "/c/bank/SAFELIGHT/signal" or request.method != "POST":
            return Answer(404, {"message": "bank not found"})
        signals: dict[str, str] = request.json
        for kind, text in signals.items():
            if kind not in ("pdq", "sha256") or len(text) != 64 or text != text.lower():
                return Answer(400, {"message": f"No such signal type {kind}"})
        self.contents += signals.items()
        return Answer(0) if self.cut else Answer(value={"id": len(self.contents), "signals": signals})


def bank(server: Loopback, memory: SentMemory, **options: Any) -> HmaBank:
    return HmaBank(server.url, "SAFELIGHT", memory=memory, sleep=lambda seconds: None, **options)


def test_a_hash_is_put_in_once_in_one_call_in_many_and_by_two_programs(tmp_path: Path) -> None:
    hma = Hma()
    with serve(hma) as server, SentMemory(tmp_path / "sent.db") as memory:
        first = bank(server, memory, token=TOKEN).add([*HASHES, HASHES[0], sha256(b"x"), sha256(b"x")])
        assert (first.added, first.known, first.unsure) == (6, 0, 0)
        assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
        assert server.requests[0].json == {"pdq": HASHES[0].hex()}
        again = bank(server, memory).add(HASHES)
        assert (again.added, again.known, again.unsure) == (0, 5, 0)
        with SentMemory(tmp_path / "sent.db") as other:
            assert bank(server, other).add(HASHES[:1]).known == 1
        assert len(hma.contents) == len(set(hma.contents)) == 6


def test_what_broke_on_the_way_is_unsure_until_somebody_looked(tmp_path: Path) -> None:
    hma = Hma()
    with serve(hma) as server, SentMemory(tmp_path / "sent.db") as memory:
        hma.cut = True
        assert bank(server, memory).add(HASHES[:1]).unsure == 1
        assert len(hma.contents) == 1, "it arrived, and nobody here knows"
        hma.cut = False
        assert bank(server, memory).add(HASHES[:2]) == type(bank(server, memory).add([]))(1, 0, 1)
        assert len(hma.contents) == 2
        assert bank(server, memory).add(HASHES[:1], resend_unsure=True).added == 1
        assert bank(server, memory).add(HASHES[:1], resend_unsure=True).known == 1


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_server_that_failed_may_have_taken_it(tmp_path: Path, status: int) -> None:
    hma = Hma()
    hma.status = status
    with serve(hma) as server, SentMemory(tmp_path / "sent.db") as memory:
        assert bank(server, memory).add(HASHES[:1]).unsure == 1
        assert len(server.requests) == 1, "not sent again"


def test_what_was_turned_away_is_sent_again(tmp_path: Path) -> None:
    hma = Hma()
    hma.status = 503
    with serve(hma) as server, SentMemory(tmp_path / "sent.db") as memory:
        with pytest.raises(ExchangeUnavailableError):
            bank(server, memory).add(HASHES)
        assert len(server.requests) == Limits().attempts
        hma.status = 0
        assert bank(server, memory).add(HASHES).added == 5
    with SentMemory(tmp_path / "sent.db") as memory:
        closed = HmaBank(server.url, "OTHER", memory=memory, sleep=lambda seconds: None)
        with pytest.raises(ExchangeUnavailableError, match="no connection"):
            closed.add(HASHES[:1])
    with serve(hma) as server, SentMemory(tmp_path / "sent.db") as memory:
        with pytest.raises(ExchangeRefusedError, match="404") as caught:
            HmaBank(server.url, "NOT_THERE", memory=memory).add(HASHES[:1])
        assert caught.value.status == 404


def test_a_program_that_dies_between_writing_and_sending_sends_nothing_twice(tmp_path: Path) -> None:
    """Killed at every moment around the one request: at most one content ever, and never a silent loss."""
    script = """
import os, sys
from safelight.exchange import HmaBank, SentMemory
from safelight.exchange._http import Client
from safelight.hashing import PdqHash
moment, url, path = sys.argv[1:]
post, finish = Client.post, SentMemory.finish
def die(*a, **k): os.kill(os.getpid(), 9)
if moment == "before": Client.post = die
if moment == "after": SentMemory.finish = die
with SentMemory(path) as memory:
    report = HmaBank(url, "SAFELIGHT", memory=memory).add([PdqHash.from_bits(b"a" * 32)])
print(report.added, report.known, report.unsure)
"""
    for moment, arrived in (("before", 0), ("after", 1)):
        hma = Hma()
        path = str(tmp_path / f"{moment}.db")
        with serve(hma) as server:
            command = [sys.executable, "-c", script, moment, server.url, path]
            assert subprocess.run(command, capture_output=True, check=False).returncode == -9
            command[3] = "not at all"
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["0", "0", "1"], "it says that it does not know"
        assert len(hma.contents) == arrived


def test_without_a_memory_nothing_is_sent(tmp_path: Path) -> None:
    (tmp_path / "sent.db").write_bytes(b"no database at all, and long enough to be looked at" * 20)
    with pytest.raises(ExchangeError, match="cannot be used"):
        SentMemory(tmp_path / "sent.db")
    with pytest.raises(ExchangeError) as caught:
        SentMemory(tmp_path / "nowhere" / "sent.db")
    assert "nowhere" not in str(caught.value)
    hma = Hma()
    with serve(hma) as server:
        memory = SentMemory(tmp_path / "other.db")
        memory.close()
        with pytest.raises(ExchangeError):
            bank(server, memory).add(HASHES)
        full = SentMemory(tmp_path / "full.db")
        assert full._database is not None
        full._database.execute("PRAGMA query_only = ON")
        with pytest.raises(ExchangeError, match="disk"):
            bank(server, full).add(HASHES)
        full.close()
    assert hma.contents == []


def test_the_memory_holds_no_hash_and_nothing_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serve(Hma()) as server, SentMemory(tmp_path / "sent.db") as memory:
        one = bank(server, memory, token=TOKEN)
        one.add(HASHES)
        said = f"{one!r} {vars(one)!r} {memory!r} {caplog.text}"
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for pdq in HASHES:
        assert pdq.bits not in content and pdq.hex().encode() not in content
        assert pdq.hex() not in said
    assert TOKEN not in said


def test_only_hashes_and_only_bank_names(tmp_path: Path, portrait: Path) -> None:
    with serve(Hma()) as server, SentMemory(tmp_path / "sent.db") as memory:
        for wrong in (portrait, portrait.read_bytes(), "ab" * 32, object()):
            with pytest.raises(UnsupportedInputError):
                bank(server, memory).add([wrong])  # type: ignore[list-item]
        for name in ("lower", "A/B", "", "..", "A\n", "A?x=1"):
            with pytest.raises(UsageError):
                HmaBank(server.url, name, memory=memory)
        assert server.requests == []


# --- files ---------------------------------------------------------------------------------------------


@pytest.fixture
def golden(root: Path) -> Path:
    return root / "tests" / "golden" / "exchange_v1"


def test_the_files_are_those_that_threatexchange_1_2_17_loaded(golden: Path) -> None:
    made = export_te_csv([*HASHES, HASHES[0]], added_on=date(2026, 11, 22), labels=["safelight", "media_priority_s0"])
    assert made == (golden / CSV_NAME).read_bytes()
    assert export_te_file([*HASHES, sha256(b"example"), HASHES[1]]) == (golden / "hashes.te.txt").read_bytes()


@pytest.mark.skipif(find_spec("threatexchange") is None, reason="threatexchange (with faiss) is not installed")
def test_threatexchange_itself_loads_both(golden: Path, tmp_path: Path) -> None:
    from threatexchange.cli.dataset.simple_serialization import CliIndicatorSerialization

    rows = list(CliIndicatorSerialization.load(golden))
    assert [row.indicator for row in rows] == [one.hex() for one in HASHES]
    assert {row.indicator_type for row in rows} == {"HASH_PDQ"}
    assert rows[0].rollup.labels == {"safelight", "media_priority_s0"}

    def command(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "threatexchange", *words],
            capture_output=True,
            text=True,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin", "PYTHONPATH": ":".join(sys.path)},
            check=True,
        )
        return done.stdout

    command("config", "collab", "edit", "local_file", "--create", "x", "--filename", str(golden / "hashes.te.txt"))
    command("fetch")
    assert "pdq: 5" in command("dataset")
    assert command("match", "--hashes", "photo", "--", HASHES[3].hex()).startswith("pdq 0 ")


def test_our_own_lists_read_them_back(golden: Path) -> None:
    for name, form in ((CSV_NAME, "te-csv"), ("hashes.te.txt", "threatexchange")):
        made, (report,) = build_list("back", 1, [Source(golden / name, form)])  # type: ignore[arg-type]
        assert report.hashes == (5 if form == "te-csv" else 6)
        assert report.skipped == {}
        assert made.info.version == 1


def test_ids_are_the_callers_or_always_the_same() -> None:
    given = export_te_csv(HASHES[:2], added_on=date(2026, 1, 2), ids={HASHES[0].hex(): 7})
    rows = list(csv.reader(io.StringIO(given.decode())))
    assert rows[0] == [HASHES[0].hex(), "7", "2026-01-02", ""]
    assert (
        rows[1][1] == next(csv.reader(io.StringIO(export_te_csv([HASHES[1]], added_on=date(2026, 1, 2)).decode())))[1]
    )
    for wrong in ({"labels": ["two words"]}, {"labels": ["a,b"]}, {"ids": {HASHES[0].hex(): -1}}):
        with pytest.raises(UsageError):
            export_te_csv(HASHES, added_on=date(2026, 1, 2), **wrong)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedInputError):
        export_te_csv([Sha256Hash(bytes(32))], added_on=date(2026, 1, 2))  # type: ignore[list-item]
    assert json.loads(json.dumps(export_te_file([]).decode())) == ""
