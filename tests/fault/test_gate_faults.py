"""A detector that crashes, leaves or hangs behind a gate: its picture is held, and what comes after keeps its order."""

from __future__ import annotations

import contextlib
import io
import sys

import numpy as np
import pytest
from fault.isolation_stubs import Do
from PIL import Image as PilImage
from safelight import Action, FindingKind, Guard, Profile
from safelight.detect.isolated import Backoff, DetectorSpec, IsolatedDetector
from safelight.gates import ChatGate, ReceiveGate
from stage_scorer import WordScorer

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="isolation is for Linux")


def _picture(do: Do) -> bytes:
    pixels = np.full((32, 32, 3), 90, np.uint8)
    pixels[0, 0, 0] = do
    buffer = io.BytesIO()
    PilImage.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("do", "state"), [(Do.SEGFAULT, "DETECTOR_FAILED"), (Do.EXIT, "DETECTOR_FAILED"), (Do.SPIN, "TIMED_OUT")]
)
def test_order_outlives_a_detector(do: Do, state: str) -> None:
    spec = DetectorSpec("fault.isolation_stubs:Stub", "stub", (FindingKind.NUDITY,), {"id": "stub", "kind": "nudity"})
    isolated = IsolatedDetector(
        spec, processes=1, timeout_ms=2_000 if do is Do.SPIN else 60_000, restart_backoff=Backoff(free_restarts=1000)
    )
    left: list[int] = []
    with contextlib.closing(isolated), Guard(Profile("16_17"), detectors=[isolated]) as guard, ChatGate(guard) as gate:
        chat = gate.conversation(scorer=WordScorer())
        said = [
            {"text": "one"},
            {"picture": _picture(do)},
            {"text": "two"},
            {"picture": _picture(Do.FINE)},
            {"text": "three"},
        ]
        futures = [chat.submit_incoming(**message) for message in said]  # type: ignore[arg-type]
        for number, future in enumerate(futures):
            future.add_done_callback(lambda _, number=number: left.append(number))
        found = [future.result(60) for future in futures]
        assert left == sorted(left)
        assert [found[number].action for number in (0, 2, 4)] == [Action.ALLOW] * 3
        assert (found[1].action, found[1].picture) == (Action.HOLD, None)
        assert state in found[1].decision.reasons
        if do is not Do.SPIN:  # a busy machine may need more than the two seconds to start anew
            assert found[3].picture == _picture(Do.FINE)
            # It is looked at again, not remembered.
            assert state in ReceiveGate(guard).view(_picture(do)).decision.reasons
