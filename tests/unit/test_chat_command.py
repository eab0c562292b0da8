"""What does ``safelight chat`` print, and with which exit status?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from safelight import Action, ClosedError, Event, Guard, Profile, UsageError
from safelight.cli.main import cli
from safelight.decision import Label, State
from safelight.detect import grooming
from safelight.detect.conversation import ConversationRules
from stage_scorer import WORDS, WordScorer

BENIGN = "words about nothing in particular, long enough not to be taken for a piece"
SECRECY, AGE = WORDS[Label.SECRECY], WORDS[Label.AGE_PROBE]


@pytest.fixture(autouse=True)
def _words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in model is replaced by one that knows stages by neutral words."""
    for name in ("id", "state_shape"):
        monkeypatch.setattr(grooming.GroomingDetector, name, getattr(WordScorer, name))
    monkeypatch.setattr(grooming.GroomingDetector, "rules", ConversationRules())
    scorer = WordScorer()
    monkeypatch.setattr(
        grooming.GroomingDetector, "score", lambda self, *values, language: scorer.score(*values, language=language)
    )


def _chat(text: str | bytes, *options: str) -> tuple[int, list[dict[str, Any]]]:
    result = CliRunner().invoke(cli, ["chat", "-", "--json", *options], input=text)
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]


def _line(text: str, sender: str = "other", **more: object) -> str:
    return json.dumps({"sender": sender, "text": text, **more}) + "\n"


def test_one_decision_a_line() -> None:
    status, lines = _chat(_line(BENIGN) + "\n" + _line(f"{AGE} {BENIGN}") + _line(f"{SECRECY} {BENIGN}", at=5))
    assert status == 3
    assert [line["index"] for line in lines] == [0, 1, 2]
    assert {"index", "action", "risk", "stages", "reasons", "notice"} <= set(lines[0])
    assert [line["action"] for line in lines] == ["ALLOW", "ALLOW", "BLUR"]
    assert lines[2]["stages"] == {"secrecy": 0.8}
    assert lines[2]["messages"] == [1, 2]
    assert "CONVERSATION_WARN" in lines[2]["reasons"]
    assert lines[2]["notice"]["title"]
    assert lines[0]["notice"] is None


def test_calm_exits_0_and_a_contact_that_is_known_is_context() -> None:
    assert _chat(_line(BENIGN, at="2026-01-01T10:00:00Z"))[0] == 0
    text = _line(f"{AGE} {BENIGN}") + _line(f"{SECRECY} {BENIGN}")
    assert _chat(text)[0] == 3
    assert _chat(text, "--contact", "known", "--trust", "guardian")[0] == 0


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[]",
        '{"text": "a"}',
        '{"sender": "me", "text": "a"}',
        '{"sender": "other", "text": 5}',
        '{"sender": "other", "text": "a", "at": "soon"}',
        "[" * 100_000,
    ],
)
def test_a_line_that_is_no_message_is_a_state_and_the_rest_is_judged(line: str) -> None:
    status, lines = _chat(line + "\n" + _line(f"{SECRECY} {AGE} {BENIGN}"))
    assert lines[0]["states"] == ["MALFORMED"]
    assert lines[0]["action"] == "NUDGE"
    assert lines[1]["stages"] == {"age_probe": 0.8, "secrecy": 0.8}
    assert status == 3
    assert _chat(line + "\n")[0] == 1


def test_lone_surrogates_and_bytes_that_are_no_utf_8_are_read() -> None:
    status, lines = _chat(b'{"sender": "other", "text": "\\ud800 x"}\n{"sender": "other", "text": "\xff y"}\n')
    assert status == 0
    assert [line["states"] for line in lines] == [[], []]


def test_text_is_not_shown_again(tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    file.write_text(_line(f"sentinel {AGE} {BENIGN}") + _line(f"sentinel {SECRECY} {BENIGN}") + "sentinel\n")
    for options in ([], ["--json"]):
        result = CliRunner().invoke(cli, ["chat", str(file), *options])
        assert result.exit_code == 3
        assert "sentinel" not in result.output


def test_a_file_that_is_not_there() -> None:
    result = CliRunner().invoke(cli, ["chat", "nowhere.jsonl"])
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert "nowhere" not in result.output


def test_without_a_model_every_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(grooming, "grooming_model", lambda: None)
    status, lines = _chat(_line(BENIGN))
    assert (status, lines[0]["states"], lines[0]["action"]) == (0, ["NO_MODEL"], "NUDGE")


def test_the_guard_hands_out_conversations() -> None:
    with Guard(Profile("10_12"), detectors=()) as guard:
        with guard.conversation(scorer=WordScorer()) as chat:
            assert chat.add(sender="other", text=f"{AGE} {BENIGN}").action is Action.ALLOW
            decision = chat.add(sender="other", text=f"{SECRECY} {BENIGN}")
            assert (decision.action, decision.event, chat.level) == (Action.HOLD, Event.MESSAGE, "warn")
            assert decision.findings[0].message_indices == (0, 1)
            chat.fine()
            assert chat.level == "warn"
            assert State.MALFORMED in {finding.state for finding in chat.unreadable().findings}
            assert (chat.messages, "messages=3" in repr(chat)) == (3, True)
        with pytest.raises(ClosedError):
            chat.add(sender="other", text="a")
        with pytest.raises(UsageError, match="contact"):
            guard.conversation("stranger")
        open_chat = guard.conversation(scorer=WordScorer())
    with pytest.raises(ClosedError):
        open_chat.add(sender="other", text="a")
    with pytest.raises(ClosedError):
        guard.conversation()
