"""A missing, truncated or bit-flipped file never allows, and always says which state it is."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from safelight import Action, FindingKind, Guard, Profile, State
from safelight.runtime import RUNTIMES
from safelight.runtime import model as model_module
from safelight.testing import TestMode, nudity

MODEL = "_data/models/open_nsfw_v1"
BANDS = ["under_10", "13_15", "unknown", "adult"]


def _remove(path: Path) -> None:
    path.unlink()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _flip_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    position = random.Random(7).randrange(len(data))
    data[position] ^= 1 << 3
    path.write_bytes(data)


@pytest.mark.parametrize("file", ["model.tflite", "config.json", "golden.json"])
@pytest.mark.parametrize("damage", [_remove, _truncate, _empty, _flip_bit])
@pytest.mark.parametrize(
    ("tier", "model"),
    [("full", "open_nsfw_v1"), ("full", "nsfwjs_mid_v1"), ("live", "nsfwjs_mobilenet_v2_v1")],
)
def test_a_damaged_model_never_allows(
    installation: Path, portrait: Path, tier: str, model: str, file: str, damage: Callable[[Path], None]
) -> None:
    damage(installation / "_data/models" / model / file)
    expected = State.NO_MODEL if damage is _remove else State.UNVERIFIED
    for band in BANDS:
        with Guard(Profile(band, country="GB"), tier=tier) as guard:
            decision = guard.check_image(portrait)
        assert decision.action >= Action.HOLD
        assert decision.reasons == (expected,)
        assert decision.notice is not None
        assert decision.notice.help


@pytest.mark.parametrize("model", ["blazeface_short_v1", "cydral_age_v1", "faceres_age_v1"])
def test_a_damaged_face_or_age_model_makes_the_subject_unsure(installation: Path, portrait: Path, model: str) -> None:
    """It costs a protected child nothing, and an adult's explicit picture is held."""
    _flip_bit(installation / "_data/models" / model / "model.tflite")
    with Guard(Profile("10_12")) as guard:
        decision = guard.check_image(portrait)
    assert decision.action is Action.ALLOW
    assert State.UNVERIFIED in {f.state for f in decision.findings if f.kind is FindingKind.AGE}
    with Guard(Profile("adult"), test_mode=TestMode(nudity(0.97))) as guard:
        decision = guard.check_image(portrait)
    assert (decision.action, decision.reasons[0]) == (Action.HOLD, "SUBJECT_UNSURE")


@pytest.mark.parametrize("damage", [_remove, _truncate, _empty, _flip_bit])
def test_damaged_tiers_never_allow(installation: Path, portrait: Path, damage: Callable[[Path], None]) -> None:
    damage(installation / "_data/models/tiers_v1.json")
    for band in BANDS:
        with Guard(Profile(band)) as guard:
            decision = guard.check_image(portrait)
        assert decision.action is Action.HOLD
        assert decision.reasons == ("NO_MODEL" if damage is _remove else "UNVERIFIED",)


def test_weights_swapped_for_other_valid_weights_never_allow(installation: Path, portrait: Path) -> None:
    """A file that any runtime would load, with its own digest written into config.json beside it."""
    import hashlib
    import json

    weights = installation / MODEL / "model.tflite"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 0xFF
    weights.write_bytes(data)
    config = installation / MODEL / "config.json"
    values = json.loads(config.read_text()) | {"sha256": hashlib.sha256(data).hexdigest()}
    config.write_text(json.dumps(values))
    with Guard(Profile("adult")) as guard:
        assert guard.check_image(portrait).reasons == ("UNVERIFIED",)


def test_no_runtime_is_a_state(monkeypatch: pytest.MonkeyPatch, portrait: Path) -> None:
    monkeypatch.setattr(model_module, "runtime_status", lambda name: model_module_status(name, installed=False))
    with Guard(Profile("adult")) as guard:
        decision = guard.check_image(portrait)
    assert (decision.action, decision.reasons) == (Action.HOLD, ("NO_MODEL",))


def model_module_status(name: str, *, installed: bool):  # type: ignore[no-untyped-def]
    from safelight.runtime import RuntimeStatus

    return RuntimeStatus(name, installed, None, ())


class _Wrong:
    """A runtime that loads, has the right tensors and computes nonsense."""

    def __init__(self, inner: object, how: str) -> None:
        self._inner, self._how, self._calls = inner, how, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def invoke(self) -> None:
        self._calls += 1
        if self._how == "crash" or (self._how == "crash later" and self._calls > 2):
            raise RuntimeError("delegate failed with /secret/path")
        self._inner.invoke()  # type: ignore[attr-defined]

    def get_tensor(self, index: int) -> object:
        values = self._inner.get_tensor(index)  # type: ignore[attr-defined]
        return (values + 40).astype(values.dtype) if self._how == "nonsense" else values

    def get_output_details(self) -> object:
        details = self._inner.get_output_details()  # type: ignore[attr-defined]
        if self._how == "other scale":
            details[0]["quantization"] = (0.5, 0)
        if self._how == "other shape":
            details[0]["shape"] = [1, 3]
        return details


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("crash", State.UNVERIFIED),
        ("crash later", State.DETECTOR_FAILED),
        ("nonsense", State.UNVERIFIED),
        ("other scale", State.UNVERIFIED),
        ("other shape", State.UNVERIFIED),
    ],
)
def test_a_runtime_that_misbehaves(
    monkeypatch: pytest.MonkeyPatch, portrait: Path, how: str, expected: State, caplog: pytest.LogCaptureFixture
) -> None:
    opened = model_module._open
    monkeypatch.setattr(model_module, "_open", lambda runtime, content: _Wrong(opened(runtime, content), how))
    with caplog.at_level("DEBUG"), Guard(Profile("16_17")) as guard:
        decision = guard.check_image(portrait)
    assert decision.action is Action.HOLD
    assert decision.reasons == (expected,)
    assert "/secret" not in caplog.text


def test_auto_takes_the_runtime_that_passes(monkeypatch: pytest.MonkeyPatch, portrait: Path) -> None:
    opened = model_module._open
    first = next(iter(RUNTIMES))
    monkeypatch.setattr(
        model_module,
        "_open",
        lambda runtime, content: _Wrong(opened(runtime, content), "nonsense" if runtime == first else "fine"),
    )
    with Guard() as guard:
        assert guard.check_image(portrait).action is Action.ALLOW
    with Guard(runtime=first) as guard:
        assert guard.check_image(portrait).reasons == ("UNVERIFIED",)


@pytest.mark.parametrize("file", ["_data/deterrence/catalogue/en.json", "_data/deterrence/help/helplines.json"])
@pytest.mark.parametrize("damage", [_remove, _truncate, _empty, _flip_bit])
def test_damaged_words_never_cost_the_block_or_the_help(
    installation: Path, file: str, damage: Callable[[Path], None]
) -> None:
    damage(installation / file)
    with Guard(Profile("10_12", country="GB"), detectors=[]) as guard:
        decision = guard.check_image(b"x")
    assert decision.action is Action.HOLD
    assert "CATALOGUE_UNVERIFIED" in decision.reasons
    assert decision.notice is not None
    assert decision.notice.body
    assert decision.notice.help


def test_damaged_rules_document_changes_nothing(installation: Path, portrait: Path) -> None:
    """The rules that act are compiled in; the document beside them is for reading."""
    (installation / "policy/default_rules.json").write_text("{}")
    with Guard(Profile("10_12")) as guard:
        assert guard.check_image(portrait).action is Action.ALLOW
        assert guard.check_image(b"x").action is Action.HOLD
