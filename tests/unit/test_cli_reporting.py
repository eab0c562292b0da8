"""``safelight outbox`` and ``safelight report``: what is shown, the second yes, exit status, and no traceback."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from reporting_server import Server, serving
from reporting_world import TOKEN, FakeCollector, match
from safelight.cli.main import cli
from safelight.cli.outbox import open_outbox
from safelight.decision import Action, AgeBand
from safelight.errors import SafelightError, UsageError
from safelight.notices.lint import banned, grade
from safelight.reporting import PERSON_CATEGORIES
from safelight.reporting.words import load_report_words


class Terminal:
    """The commands over one outbox and one store in a folder."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.outbox = folder / "outbox.sqlite"
        self.monkeypatch = monkeypatch

    def run(self, *arguments: str, status: int = 0, typed: str | None = None) -> Result:
        if typed is not None:
            self.monkeypatch.setattr("safelight.cli.report.asks_a_person", lambda: True)
        else:
            self.monkeypatch.setattr("safelight.cli.report.asks_a_person", lambda: False)
        result = CliRunner().invoke(cli, [*arguments, "--outbox", str(self.outbox)], input=typed)
        if isinstance(result.exception, SafelightError):
            # What `main` makes of it.
            assert status == (2 if isinstance(result.exception, UsageError) else 1)
        else:
            assert result.exit_code == status, result.output
        return result

    def json(self, *arguments: str, status: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", status=status).output.splitlines()[-1])

    def connect(self, collector: FakeCollector, url: str = "https://collector.example/in", *more: str) -> None:
        token = self.folder / "token"
        token.write_text(f"{TOKEN}\n")
        key = base64.b64encode(bytes(collector.private_key.public_key)).decode()
        self.run(
            "outbox", "connect", url, "--sealing-key", key, "--name", "Hotline", "--enrolment-file", str(token), *more
        )


@pytest.fixture
def terminal(quick_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(quick_folder, monkeypatch)


def test_off_at_first_and_help_all_the_same(terminal: Terminal) -> None:
    assert terminal.json("outbox", "status")["state"] == "OFF"
    assert "Nothing has left" in terminal.run("outbox", "ledger").output
    found = terminal.json("report", "--category", "not_sure", "--yes", "--country", "GB")
    assert found["queued"] is False
    assert found["state"] == "OFF"
    assert any(service["country"] == "GB" for service in found["services"])
    text = terminal.run("report", "--country", "GB").output
    assert "Nobody has set up a place" in text
    assert "Childline" in text or "IWF" in text
    assert terminal.json("outbox", "flush", "--store", str(terminal.folder / "s.sqlite"))["state"] == "OFF"
    assert not terminal.outbox.exists()


def test_nothing_is_kept_without_a_second_yes(terminal: Terminal) -> None:
    terminal.connect(FakeCollector())
    first = terminal.json("report", "--category", "pressure_or_threat")
    assert first["queued"] is False
    assert first["would_send"]["category"] == "pressure_or_threat"
    assert first["would_send"]["hash"] is None
    assert first["to"] == {"name": "Hotline", "host": "collector.example"}
    assert "Nothing was kept" in terminal.run("report", "--category", "pressure_or_threat").output
    assert "Nothing was kept" in terminal.run("report", typed="6\nn\n").output
    assert "Nothing was kept" in terminal.run("report", typed="6\n\n").output  # no answer is no
    assert terminal.json("outbox", "status")["waiting"] == 0


def test_a_person_reports_looks_it_up_and_takes_it_back(terminal: Terminal) -> None:
    terminal.connect(FakeCollector())
    text = terminal.run("report", typed="3\ny\n").output
    assert "You do not need to be sure" in text
    assert text.index("category: pressure_or_threat") < text.index("Shall it go?") < text.index("Thank you.")
    assert "Nobody can write back to you" in text
    status = terminal.json("outbox", "status")
    assert (status["state"], status["waiting"], status["collector"]) == ("OK", 1, "Hotline")
    (entry,) = [json.loads(line) for line in terminal.run("outbox", "ledger", "--json").output.splitlines()]
    assert entry["state"] == "queued"
    assert entry["left"] is False
    looked = terminal.json("report", "--receipt", entry["id"])
    assert looked["says"] == load_report_words().states["queued"]
    assert terminal.json("outbox", "purge", "--number", entry["id"])["erased"] == 1
    assert terminal.json("outbox", "purge", "--number", entry["id"])["erased"] == 0
    assert "took it back" in terminal.run("report", "--receipt", entry["id"]).output
    assert terminal.json("report", "--category", "not_sure", "--yes")["queued"] is True
    assert terminal.json("outbox", "purge", "--off")["erased"] == 1
    assert terminal.json("outbox", "status")["state"] == "OFF"


def test_a_file_that_a_person_names_is_only_hashed(terminal: Terminal, portrait: Path) -> None:
    collector = FakeCollector()
    terminal.connect(collector)
    shown = terminal.json("report", str(portrait), "--category", "image_of_me")
    assert len(shown["would_send"]["hash"]) == 64
    assert "portrait" not in json.dumps(shown)
    assert "Only name a file that is here already" in terminal.run("report", str(portrait), typed="1\nn\n").output
    assert terminal.json("report", str(portrait), "--category", "image_of_me", "--yes")["queued"] is True
    with open_outbox(terminal.outbox) as box:
        collector.collect(box)
    (record,) = collector.records.values()
    assert (record.hash_kind, record.hash) == ("pdq", shown["would_send"]["hash"])


def test_it_sends_and_says_what_arrived(terminal: Terminal) -> None:
    collector = FakeCollector()
    store = ("--store", str(terminal.folder / "store.sqlite"))
    with serving(Server(collector)) as server:
        terminal.connect(collector, server.url)
        terminal.json("report", "--category", "not_sure", "--yes")
        assert terminal.json("outbox", "flush", "--due", *store)["state"] == "NOTHING"
        assert terminal.json("outbox", "flush", *store)["acked"] == 1
        assert "0 arrived" in terminal.run("outbox", "flush", *store).output
    ledger = terminal.run("outbox", "ledger").output
    assert "acked" in ledger
    assert "entry_id" in ledger
    with open_outbox(terminal.outbox) as box:
        box.enqueue([match()], action=Action.HOLD)
    down = terminal.json("outbox", "flush", *store, status=1)
    assert down["state"] == "UNREACHABLE"
    assert down["retry_in_s"] is not None
    assert "1 sends failed" in terminal.run("outbox", "status").output
    assert terminal.json("outbox", "purge", "--matches")["erased"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "--category", "weather", "--yes"),
        ("report",),
        ("report", "--receipt", "zz"),
        ("report", "nosuchfile.jpg", "--category", "not_sure"),
        ("report", "--country", "Nowhere", "--category", "not_sure"),
        ("outbox", "purge", "--off", "--matches"),
        ("outbox", "connect", "ftp://x", "--sealing-key", "00" * 31 + "01"),
        ("outbox", "connect", "https://x", "--sealing-key", "zz"),
        ("outbox", "connect", "https://x"),
        ("outbox", "connect", "https://x", "--sealing-key", "00" * 31 + "01", "--certificate-sha256", "zz"),
        ("outbox", "nothing"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    terminal.connect(FakeCollector())
    result = terminal.run(*arguments, status=2)
    assert "Traceback" not in result.output
    assert str(terminal.folder) not in result.output


def test_a_damaged_outbox_can_be_put_aside(terminal: Terminal) -> None:
    terminal.connect(FakeCollector())
    terminal.outbox.write_bytes(b"garbage" * 2000)
    for suffix in ("-wal", "-shm"):
        terminal.outbox.with_name(terminal.outbox.name + suffix).unlink(missing_ok=True)
    assert terminal.json("outbox", "status", status=1)["state"] == "DAMAGED"
    result = terminal.run("outbox", "ledger", status=1)
    assert "--replace" in str(result.exception)
    assert terminal.json("outbox", "purge", "--replace") == {"aside": 1}
    assert terminal.json("outbox", "status")["state"] == "OFF"


def test_the_words_keep_the_rules_of_the_catalogue() -> None:
    words = load_report_words()
    texts = [words.title, words.intro, words.ask_category, words.lines, words.file, words.would_send, words.to]
    texts += [words.ask, words.not_kept, words.off, words.kept, words.receipt]
    texts += [*words.next, *words.categories.values(), *words.states.values()]
    for text in texts:
        assert banned(text, AgeBand) == (), text
    assert grade(" ".join(texts)) <= 5  # an eleven-year-old reads it
    assert set(words.categories) == {str(one) for one in PERSON_CATEGORIES}
    assert all("{" not in line for line in words.what_next("Hotline"))
