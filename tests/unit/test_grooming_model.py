"""The built-in model of conversations, for real: does it load, warn, stay calm, and agree between runtimes?"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from safelight import Guard, Profile, _text
from safelight.decision import Action, FindingKind, Label, State
from safelight.detect.grooming import GroomingDetector
from safelight.runtime import RUNTIMES, Model, runtime_status
from safelight.runtime.manifest import GroomingManifest

# Not from the training phrasings; at the level of what prevention leaflets print.
WORRYING = [
    "You seem so much more grown-up than the others at your school.",
    "Are your parents at home right now?",
    "Please don't tell anyone that we talk, it has to stay our secret.",
    "Can you send me a photo of you?",
    "Delete these messages afterwards.",
    "Let's write on another app where nobody sees it.",
]
ORDINARY = [
    "did you do the maths homework",
    "no, i forgot. page 12?",
    "practice is at five, bring water",
    "ok see you there",
    "the new episode was so good",
    "don't tell me how it ends!",
]


def _levels(messages: list[str]) -> list[Label | None]:
    with Guard(Profile(age_band="10_12"), detectors=()) as guard, guard.conversation("unknown") as chat:
        decisions = [chat.add(sender="other", text=text) for text in messages]
    return [next(f.label for f in d.findings if f.kind is FindingKind.CONVERSATION) for d in decisions]


def test_the_model_is_ready() -> None:
    assert GroomingDetector().prepare() is State.OK


def test_a_worrying_chat_warns_and_an_ordinary_one_does_not() -> None:
    assert _levels(WORRYING)[-1] in (Label.WARN, Label.DANGER)
    assert set(_levels(ORDINARY)) == {Label.CALM}


def test_a_message_names_its_stage() -> None:
    with Guard(Profile(age_band="13_15"), detectors=()) as guard, guard.conversation("unknown") as chat:
        decision = chat.add(sender="other", text="Please don't tell anyone that we talk, it has to stay our secret.")
    stages = {f.label for f in decision.findings if f.kind is FindingKind.GROOMING}
    assert Label.SECRECY in stages
    assert decision.action < Action.HOLD  # one sign is no warning


def test_the_runtimes_agree_over_a_conversation() -> None:
    installed = [name for name in RUNTIMES if runtime_status(name).installed]
    if len(installed) < 2:
        pytest.skip("one runtime is installed here")
    outputs = []
    for name in installed:
        state, rows = np.zeros((1, 64), np.float32), []
        with Model("grooming_v3", runtime=name) as model:
            for text in WORRYING + ORDINARY:
                features = _text.features(text)
                stages, risk, state = model.run(features.ids[None], features.dense[None], state)
                rows.append(np.concatenate([stages[0], risk[0], state[0]]))
        outputs.append(np.array(rows))
    assert np.abs(outputs[0] - outputs[1]).max() < 1e-4


def test_the_command_judges_a_file() -> None:
    lines = "".join(json.dumps({"sender": "other", "text": text}) + "\n" for text in WORRYING)
    done = subprocess.run(
        [sys.executable, "-m", "safelight", "chat", "-", "--age-band", "10_12", "--json"],
        input=lines, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    decisions = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(decisions) == len(WORRYING)
    assert decisions[-1]["risk"] is not None
    assert not any(text in done.stdout for text in WORRYING)


def test_calibrating_all_scores_at_once_is_calibrating_each() -> None:
    scores = np.linspace(0.0, 1.0, 2001, dtype=np.float32)
    manifest = Model("grooming_v3").manifest
    assert isinstance(manifest, GroomingManifest)
    for scale in manifest.calibration.values():
        each = np.array([scale.apply(float(score)) for score in scores], np.float32)
        np.testing.assert_allclose(scale.apply_each(scores), each, rtol=0, atol=1e-6)
    assert np.isnan(manifest.calibration["default"].apply_each(np.array([np.nan], np.float32))).all()
