"""Is the PAN12 harness right on small made-up files of the documented shape, and does it keep everything to itself?"""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner
from safelight.cli.main import cli
from safelight.decision import Label, State
from safelight.detect import grooming
from safelight.detect.conversation import ConversationRules
from safelight.errors import MediaNotFoundError, UnsupportedInputError
from safelight.pan12 import evaluate_pan12, latency_penalty, read_conversations, read_truth
from stage_scorer import WORDS, WordScorer

BENIGN = "words about nothing in particular, long enough not to be taken for a piece"
SIGNS = [f"{WORDS[stage]} {BENIGN}" for stage in (Label.AGE_PROBE, Label.SECRECY)]


def _conversation(*turns: tuple[str, str, str]) -> str:
    messages = "".join(
        f'<message line="{n}"><author>{author}</author><time>{time}</time><text>{text}</text></message>'
        for n, (author, time, text) in enumerate(turns, 1)
    )
    return f'<conversation id="sentinel-id">{messages}</conversation>'


def _corpus(*conversations: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?><conversations>{"".join(conversations)}</conversations>'.encode()


CORPUS = _corpus(
    _conversation(  # found: two signs by the author of the truth list, at the third message
        ("sentinel-a", "23:50", BENIGN), ("sentinel-b", "23:58", SIGNS[0]), ("sentinel-b", "00:10", SIGNS[1])
    ),
    _conversation(("sentinel-c", "10:00", BENIGN), ("sentinel-d", "10:01", f"&lt;{BENIGN}&gt;")),  # rightly silent
    _conversation(("sentinel-e", "", SIGNS[0]), ("sentinel-e", "", SIGNS[1])),  # wrongly warned
    _conversation(("sentinel-b", "11:00", BENIGN), ("sentinel-f", "11:00", BENIGN)),  # missed
    _conversation(),
)  # fmt: skip
TRUTH = frozenset({"sentinel-b", "sentinel-absent"})


def test_counts_of_conversations_and_authors() -> None:
    result = evaluate_pan12(io.BytesIO(CORPUS), TRUTH, WordScorer()).to_dict()
    assert result["messages"] == 9
    counts = result["conversations"]
    assert [counts[name] for name in ("true_positive", "false_positive", "false_negative", "true_negative")] == [
        1,
        1,
        1,
        2,
    ]
    assert (counts["precision"], counts["recall"], counts["f1"], counts["f0_5"]) == (0.5, 0.5, 0.5, 0.5)
    assert result["authors"]["true_positive"] == 1
    assert result["authors"]["false_positive"] == 1
    assert result["authors"]["false_negative"] == 0
    assert result["median_messages_before_warning"] == 3
    assert result["f_latency"] == pytest.approx(0.5 * (1 - latency_penalty(3)))


def test_level_and_f_scores() -> None:
    assert evaluate_pan12(io.BytesIO(CORPUS), TRUTH, WordScorer(), warn_at=Label.DANGER).to_dict()["f_latency"] == 0
    nothing = evaluate_pan12(io.BytesIO(_corpus(_conversation())), TRUTH, WordScorer()).to_dict()
    assert nothing["conversations"]["precision"] == 0.0
    assert nothing["median_messages_before_warning"] is None


def test_latency_penalty_is_that_of_the_paper() -> None:
    assert latency_penalty(1) == 0
    assert latency_penalty(1 + round(math.log(3) / 0.0078)) == pytest.approx(0.5, abs=0.01)
    assert latency_penalty(100_000) == pytest.approx(1.0)


def test_conversations_stream() -> None:
    """A corpus far larger than a chunk is read as it comes, and a conversation at a time."""
    many = io.BytesIO(_corpus(*[_conversation(("a", "10:00", BENIGN))] * 5000))
    first = next(read_conversations(many))
    assert first[0].minute == 600
    assert many.tell() < 1 << 17


@pytest.mark.parametrize(
    "corpus",
    [
        b"",
        b"no xml",
        b"<conversations><conversation>",
        b"<other/>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><conversations><conversation/></conversations>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><conversations/>',
        b"<conversations>\xff</conversations>",
    ],
)
def test_what_is_no_corpus_is_said(corpus: bytes) -> None:
    with pytest.raises(UnsupportedInputError):
        list(read_conversations(io.BytesIO(corpus)))


def test_truth(tmp_path: Path) -> None:
    good, bad = tmp_path / "truth.txt", tmp_path / "bad.txt"
    good.write_text("a\nb\n\n")
    assert read_truth(good) == {"a", "b"}
    for content in (b"", b"<xml>", b"two words\n", b"\xff"):
        bad.write_bytes(content)
        with pytest.raises(UnsupportedInputError):
            read_truth(bad)
    with pytest.raises(MediaNotFoundError):
        read_truth(tmp_path / "absent")


def test_the_command_prints_aggregates_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = WordScorer()
    monkeypatch.setattr(grooming.GroomingDetector, "prepare", lambda self: State.OK)
    monkeypatch.setattr(grooming.GroomingDetector, "state_shape", scorer.state_shape)
    monkeypatch.setattr(grooming.GroomingDetector, "rules", ConversationRules())
    monkeypatch.setattr(
        grooming.GroomingDetector, "score", lambda self, *values, language: scorer.score(*values, language=language)
    )
    corpus, truth = tmp_path / "corpus.xml", tmp_path / "truth.txt"
    corpus.write_bytes(CORPUS)
    truth.write_text("\n".join(sorted(TRUTH)))
    command = ["models", "evaluate-pan12", str(corpus), "--truth", str(truth)]
    result = CliRunner().invoke(cli, [*command, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["conversations"]["f1"] == 0.5
    assert "sentinel" not in result.output
    shown = CliRunner().invoke(cli, command)
    assert "F_latency" in shown.output
    assert "sentinel" not in shown.output
    corpus.unlink()
    missing = CliRunner().invoke(cli, command)
    assert missing.exit_code == 1
    assert "sentinel" not in missing.output
