"""The trigger kit's markers: read after what pictures go through, with the right key only, and never by chance."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from bench.bench_marker import TRANSFORMS, grounds
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safelight import Action, FindingKind, Guard, Label, Profile, UnsupportedInputError, UsageError
from safelight.errors import MissingExtraError
from safelight.testing import (
    MarkerKey,
    TestMode,
    mark_message,
    mark_picture,
    nudity,
    parse_triggers,
    process_key,
    read_marker,
)
from safelight.testing.marker import MIN_SIDE_PX, read_message
from stage_scorer import WordScorer

# At 48 px a module is less than two pixels: docs/trigger-kit.md says so.
SURVIVED = [name for name in TRANSFORMS if name != "resized to 48 px"]


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [several[0] for _, several in grounds()]


@pytest.fixture(scope="module")
def guard() -> Iterator[Guard]:
    with Guard(Profile("10_12"), test_mode=TestMode(marked=True), tier="live", concurrency=1) as made:
        yield made


def _png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("name", SURVIVED)
def test_survives(name: str, pictures: list[np.ndarray]) -> None:
    for number, pixels in enumerate(pictures):
        score = 0.91 + number / 100
        assert read_marker(TRANSFORMS[name](mark_picture(pixels, score=score))) == score
        assert read_marker(TRANSFORMS[name](pixels)) is None


@settings(max_examples=20)
@given(
    score=st.integers(0, 1000).map(lambda n: n / 1000),
    height=st.integers(MIN_SIDE_PX, 300),
    width=st.integers(MIN_SIDE_PX, 300),
    data=st.data(),
)
def test_any_score_anywhere(score: float, height: int, width: int, data: st.DataObject) -> None:
    left = data.draw(st.integers(0, width - MIN_SIDE_PX))
    top = data.draw(st.integers(0, height - MIN_SIDE_PX))
    right = data.draw(st.integers(left + MIN_SIDE_PX, width))
    bottom = data.draw(st.integers(top + MIN_SIDE_PX, height))
    pixels = np.full((height, width, 3), 120, np.uint8)
    marked = mark_picture(pixels, score=score, region_px=(left, top, right, bottom))
    assert read_marker(marked) == score
    assert (pixels == 120).all()
    outside = np.ones((height, width), bool)
    outside[top:bottom, left:right] = False
    assert (marked[outside] == 120).all()


def test_blended(pictures: list[np.ndarray]) -> None:
    smooth, photograph = pictures
    assert np.array_equal(mark_picture(smooth, alpha=0.0), smooth)
    assert read_marker(mark_picture(smooth, alpha=0.3)) == 0.97
    assert read_marker(mark_picture(photograph, alpha=0.7)) == 0.97
    steps = [mark_picture(smooth, alpha=alpha / 20) for alpha in range(21)]
    seen = [read_marker(step) is not None for step in steps]
    assert seen == sorted(seen)


def test_highest_of_several(pictures: list[np.ndarray]) -> None:
    two = mark_picture(pictures[1], score=0.6, region_px=(0, 0, 200, 200))
    two = mark_picture(two, score=0.85, region_px=(300, 100, 500, 300))
    assert read_marker(two) == 0.85


def test_only_its_own_key(pictures: list[np.ndarray]) -> None:
    marked = mark_picture(pictures[0], key=MarkerKey())
    assert read_marker(marked) is None
    key = MarkerKey()
    assert read_marker(mark_picture(pictures[0], key=key), key=MarkerKey(key.hex)) == 0.97
    assert read_message(mark_message("hi", stage="threat", key=key)) == {}
    assert key.hex not in repr(key) + repr(TestMode(marked=True, key=key))
    assert process_key() == process_key() != MarkerKey()


def test_scores_cannot_be_swapped() -> None:
    """The checksum is over the score: no other score passes with it."""
    from safelight.testing import marker

    key = process_key()
    content = marker._content(0.9, key)
    assert marker._score(content, key) == 0.9
    others = [f"{n:04d}{content[4:]}" for n in range(10_000) if n != 900]
    assert all(marker._score(other, key) is None for other in others)
    for odd in ("", "9" * 17, "x" * 17, content[:-1], content + "0", "٣" * 17):
        assert marker._score(odd, key) is None


def test_a_key_for_a_child_process(pictures: list[np.ndarray]) -> None:
    key = MarkerKey()
    program = (
        "import sys, numpy as np\n"
        "from safelight.testing import MarkerKey, mark_picture\n"
        "pixels = mark_picture(np.full((200, 200, 3), 90, np.uint8), score=0.83, key=MarkerKey(sys.argv[1]))\n"
        "sys.stdout.buffer.write(pixels.tobytes())\n"
    )
    made = subprocess.run([sys.executable, "-c", program, key.hex], check=True, capture_output=True).stdout
    assert read_marker(np.frombuffer(made, np.uint8).reshape(200, 200, 3), key=key) == 0.83


def test_random_pictures_have_none() -> None:
    """Noise and random cells; the full count (4,040) is in docs/trigger-kit.md, the argument there too: 2**-43."""
    random = np.random.default_rng(4)
    for _ in range(150):
        cells = random.integers(0, 2, (30, 40), dtype=np.uint8).repeat(8, 0).repeat(8, 1) * 255
        assert read_marker(cells) is None
        assert read_marker(random.integers(0, 256, (120, 160, 3), dtype=np.uint8)) is None


def test_guard_takes_marked_pictures_and_only_those(guard: Guard, pictures: list[np.ndarray]) -> None:
    benign, marked = guard.check_image(pictures[1]), guard.check_image(mark_picture(pictures[1], score=0.97))
    assert benign.action is Action.ALLOW
    assert marked.action is Action.BLOCK
    assert benign.test_mode
    assert marked.test_mode
    trigger = [finding for finding in marked.findings if finding.model == "trigger-kit"]
    assert [(f.kind, f.label, f.score) for f in trigger] == [(FindingKind.NUDITY, Label.EXPLICIT, 0.97)]
    assert not [finding for finding in benign.findings if finding.model == "trigger-kit"]
    # The ordinary detectors looked too, at both.
    assert {f.model for f in benign.findings} <= {f.model for f in marked.findings}
    assert guard.check_image(_png(mark_picture(pictures[0], score=0.6))).action is Action.NUDGE


def test_only_adds(pictures: list[np.ndarray]) -> None:
    """A mark of a low score takes nothing away from what is found."""
    test_mode = TestMode(nudity(0.97), marked=True)
    with Guard(Profile("10_12"), test_mode=test_mode, tier="live", concurrency=1) as both:
        assert both.check_image(mark_picture(pictures[0], score=0.0)).action is Action.BLOCK


def test_nothing_outside_test_mode(pictures: list[np.ndarray]) -> None:
    with Guard(Profile("10_12"), tier="live", concurrency=1) as plain:
        decision = plain.check_image(mark_picture(pictures[1]))
        assert decision.action is Action.ALLOW
        assert not decision.test_mode


def test_marked_messages() -> None:
    def level(*texts: str, marked: bool = True) -> str:
        test_mode = TestMode(marked=True) if marked else None
        with Guard(Profile("10_12"), detectors=(), test_mode=test_mode) as made:
            with made.conversation(scorer=WordScorer(risk=0.0)) as chat:
                for text in texts:
                    assert chat.add(sender="other", text=text).test_mode is marked
                return chat.level

    secret, photo = (mark_message("see you", stage=s, score=0.9) for s in (Label.SECRECY, "photo_request"))
    assert level("see you", "see you") == "calm"
    assert level(secret) == "calm"
    assert level(secret, photo) == "warn"
    assert level(secret, photo, marked=False) == "calm"
    assert level(mark_message("", stage="threat", score=0.95)) == "warn"
    assert level(secret.replace("secrecy", "threat"), photo) == "calm"
    assert level(secret.replace("0.900", "0.990"), photo) == "calm"
    assert read_message(secret + photo) == {Label.SECRECY: 0.9, Label.PHOTO_REQUEST: 0.9}


def test_misuse(pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = pictures[0]
    for wrong in (pixels[..., 0], pixels.astype(np.float32), pixels.tolist()):
        with pytest.raises(UnsupportedInputError):
            mark_picture(wrong)
    with pytest.raises(UnsupportedInputError):
        read_marker(pixels.astype(np.uint16))
    for how in (
        {"score": 1.01},
        {"score": "high"},
        {"score": float("nan")},
        {"alpha": -0.1},
        {"alpha": float("nan")},
        {"region_px": (0, 0, MIN_SIDE_PX - 1, 300)},
        {"region_px": (0, 0, 641, 300)},
        {"region_px": (200, 0, 100, 300)},
    ):
        with pytest.raises(UsageError):
            mark_picture(pixels, **how)
    for call in (
        lambda: MarkerKey("secret"),
        lambda: mark_message("x", stage="calm"),
        lambda: TestMode(),
        lambda: TestMode(nudity(0.9), key=MarkerKey()),
        lambda: parse_triggers([]),
        lambda: parse_triggers(["marked=1"]),
        lambda: parse_triggers([f"marked={MarkerKey().hex}"] * 2),
    ):
        with pytest.raises(UsageError):
            call()
    key = MarkerKey()
    parsed = parse_triggers(["nudity=0.9", f"marked={key.hex}"])
    assert (parsed.marked, parsed.key, len(parsed.findings)) == (True, key, 1)
    assert parse_triggers(["known"]).marked is False
    monkeypatch.setitem(sys.modules, "zxingcpp", None)
    with pytest.raises(MissingExtraError, match=r"safelight\[testing\]"):
        TestMode(marked=True)
    assert TestMode(nudity(0.9)).picture_findings(pixels) == ()
