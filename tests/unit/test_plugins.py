"""Third-party detectors: installed like any package, used only by name, and held to the contract."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safelight import Action, Finding, FindingKind, Guard, Label, Profile, State, UsageError
from safelight.capabilities import capabilities
from safelight.detect import VisionDetector
from safelight.detect.plugins import PluginError, create_plugin, installed_plugins
from safelight.errors import ClosedError
from safelight.media import Image
from safelight.testing.contract import ContractError, check_detector

_MODULE = """
from safelight import Finding, FindingKind, Label, State
from safelight.detect.plugins import DetectorPlugin
from safelight.errors import ClosedError

class Bright:
    id = "acme_bright_v3"
    kinds = (FindingKind.NUDITY,)
    closed = False
    def prepare(self):
        return State.OK
    def detect(self, image):
        if self.closed:
            raise ClosedError("closed")
        score = float(image.pixels.mean()) / 255
        label = Label.EXPLICIT if score > 0.9 else Label.NONE
        return [Finding(FindingKind.NUDITY, State.OK, label, score, self.id)]
    def close(self):
        self.closed = True

def fail():
    raise OSError("no licence key")

good = DetectorPlugin(Bright, (FindingKind.NUDITY,), "Looks for brightness", uses_network=False)
remote = DetectorPlugin(Bright, (FindingKind.NUDITY,), "Asks a server", uses_network=True)
broken = DetectorPlugin(fail, (FindingKind.NUDITY,), "Cannot start", uses_network=False)
empty = DetectorPlugin(object, (FindingKind.NUDITY,), "Is not a detector", uses_network=False)
wrong = "not a plug-in"
"""


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with several plug-ins, installed the way pip leaves one behind."""
    (tmp_path / "acme_detectors.py").write_text(_MODULE)
    info = tmp_path / "acme_detectors-3.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-detectors\nVersion: 3.1\n")
    names = ["good", "remote", "broken", "empty", "wrong"]
    points = [f"acme-{name} = acme_detectors:{name}" for name in names] + ["acme-gone = acme_detectors:gone"]
    (info / "entry_points.txt").write_text("\n".join(["[safelight.detectors]", *points, ""]))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "acme_detectors", raising=False)


@pytest.mark.usefixtures("acme")
def test_installing_changes_nothing_and_shows_in_capabilities() -> None:
    with Guard() as guard:
        assert [detector.id for detector in guard.detectors] == ["vision_full"]
    listed = {plugin["name"]: plugin for plugin in capabilities()["plugins"]}
    assert listed["acme-good"]["package"] == "acme-detectors"
    assert listed["acme-good"]["kinds"] == ("nudity",)
    assert listed["acme-remote"]["uses_network"] is True
    assert listed["acme-wrong"]["problem"]
    assert {plugin.name for plugin in installed_plugins() if plugin.problem} == {"acme-wrong", "acme-gone"}


@pytest.mark.usefixtures("acme")
def test_a_named_plugin_looks_too(portrait: Path) -> None:
    import numpy as np

    white = np.full((64, 64, 3), 255, np.uint8)
    with Guard(Profile("10_12"), plugins=["acme-good"]) as guard:
        decision = guard.check_image(white)
        assert decision.action is Action.BLOCK
        assert "acme_bright_v3" in {finding.model for finding in decision.findings}
        assert guard.check_image(portrait).action is Action.ALLOW


@pytest.mark.usefixtures("acme")
def test_one_that_uses_the_network_must_be_allowed_in_words() -> None:
    with pytest.raises(UsageError, match="allow_network=True"):
        Guard(plugins=["acme-remote"])
    with Guard(plugins=["acme-remote"], allow_network=True) as guard:
        assert len(guard.detectors) == 2


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("name", ["acme-broken", "acme-empty", "acme-wrong", "acme-gone"])
def test_one_that_cannot_be_used_says_so(name: str) -> None:
    with pytest.raises(PluginError, match=name):
        create_plugin(name)


@pytest.mark.usefixtures("acme")
def test_a_good_plugin_passes_the_contract() -> None:
    check_detector(lambda: create_plugin("acme-good"))


@pytest.mark.parametrize("tier", ["live", "full"])
def test_our_own_detectors_pass_the_same_contract(tier: str) -> None:
    check_detector(lambda: VisionDetector(tier))  # type: ignore[arg-type]


class _Base:
    id = "x"
    kinds = (FindingKind.NUDITY,)
    closed = False

    def prepare(self) -> State:
        return State.OK

    def detect(self, image: Image) -> list[Finding]:
        if self.closed:
            raise ClosedError("closed")
        return [Finding(FindingKind.NUDITY, State.OK, Label.NONE, 0.5, "x")]

    def close(self) -> None:
        self.closed = True


class _OtherKind(_Base):
    kinds = (FindingKind.AGE,)


class _BadScore(_Base):
    def detect(self, image: Image) -> list[Finding]:
        super().detect(image)
        return [Finding(FindingKind.NUDITY, State.OK, Label.NONE, 1.5, "x")]


class _Nothing(_Base):
    def detect(self, image: Image) -> list[Finding]:
        super().detect(image)
        return []


class _Reopens(_Base):
    def close(self) -> None:
        pass


class _Forgetful(_Base):
    calls = 0

    def detect(self, image: Image) -> list[Finding]:
        super().detect(image)
        self.calls += 1
        return [Finding(FindingKind.NUDITY, State.OK, Label.NONE, 0.5 if self.calls % 2 else 0.25, "x")]


class _ScoredFailure(_Base):
    def detect(self, image: Image) -> list[Finding]:
        super().detect(image)
        return [Finding(FindingKind.NUDITY, State.NO_MODEL, Label.NONE, 0.0, "x")]


def test_a_minimal_detector_passes() -> None:
    check_detector(_Base)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_OtherKind, "one of the detector's kinds"),
        (_BadScore, "scores in"),
        (_Nothing, "one finding or more"),
        (_Reopens, "raises ClosedError"),
        (_Forgetful, "same findings"),
        (_ScoredFailure, "no score or label"),
    ],
)
def test_the_contract_catches(make: Callable[[], _Base], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        check_detector(make)
