"""Do the aggregates count right, and do they keep nothing but counts?"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PilImage
from safelight import Finding, FindingKind, Label, State
from safelight.cli.card_plot import Share, shares_of
from safelight.evaluate import (
    FACE_CROP_MIN_PX,
    HISTOGRAM_BINS,
    Tally,
    evaluate_face_crops,
    evaluate_pictures,
    share,
)
from safelight.media import Image, Limits


def nudity(label: str, score: float, model: str = "a") -> Finding:
    return Finding(FindingKind.NUDITY, State.OK, Label(label), score, model)


class Bright:
    id = "bright"
    kinds = (FindingKind.NUDITY,)

    def prepare(self) -> State:
        return State.OK

    def detect(self, image: Image) -> Sequence[Finding]:
        score = float(image.pixels.mean()) / 255
        return [nudity("explicit" if score > 0.9 else "none", score, self.id)]

    def close(self) -> None:
        pass


def test_what_decides_is_counted_once_a_picture() -> None:
    tally = Tally()
    tally.add([nudity("none", 0.1), nudity("suggestive", 0.6, "b")])
    tally.add([nudity("none", 0.1), Finding(FindingKind.NUDITY, State.NO_MODEL, model="b")])
    tally.add([nudity("explicit", 0.9), Finding(FindingKind.NUDITY, State.NO_MODEL, model="b")])
    tally.add([nudity("none", 0.2), Finding(FindingKind.AGE, State.NO_MODEL, model="c")])
    assert tally.pictures == 4
    assert dict(tally.decided) == {"suggestive": 1, "NO_MODEL": 1, "explicit": 1, "none": 1}
    assert dict(tally.by_model["b"]) == {"suggestive": 1, "NO_MODEL": 2}
    assert sum(tally.histogram["a"]) == 4
    assert tally.histogram["a"][int(0.9 * HISTOGRAM_BINS)] == 1


def test_files_that_cannot_be_decoded_are_counted_by_state(tmp_path: Path) -> None:
    for name, level in (("a.png", 10), ("b.png", 255), ("c.png", 30)):
        PilImage.new("RGB", (64, 64), (level,) * 3).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    tally = evaluate_pictures(sorted(tmp_path.iterdir()), Bright(), limits=Limits())
    assert dict(tally.decided) == {"none": 2, "explicit": 1, "NOT_MEDIA": 1}


def test_intervals_against_published_values() -> None:
    """Wilson intervals as worked in Agresti & Coull 1998 and by hand for 0 of n: z²/(n + z²)."""
    assert share(0, 20)["interval_95"] == pytest.approx([0.0, 0.161], abs=5e-4)
    assert share(10, 20)["interval_95"] == pytest.approx([0.299, 0.701], abs=5e-4)
    assert share(5, 0) == {"count": 5, "share": None, "interval_95": None}


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_intervals_hold_the_share(counts: tuple[int, int]) -> None:
    count, total = counts
    low, high = share(count, total)["interval_95"]
    assert 0.0 <= low <= count / total + 1e-6
    assert count / total - 1e-6 <= high <= 1.0


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "safelight", "models", *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture
def folder(tmp_path: Path, portrait: Path) -> Path:
    pictures = tmp_path / "pictures"
    for slice_name in ("portraits", "zq7sentinel-noise"):
        (pictures / slice_name).mkdir(parents=True)
    (pictures / "portraits" / "zq7sentinel.jpg").write_bytes(portrait.read_bytes())
    noise = np.random.default_rng(1).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    PilImage.fromarray(noise).save(pictures / "zq7sentinel-noise" / "n.png")
    return pictures


def test_the_command_prints_aggregates_and_no_file_name(folder: Path) -> None:
    done = _run("evaluate", str(folder), "--tier", "live", "--json")
    assert done.returncode == 0, done.stderr
    (row,) = (json.loads(line) for line in done.stdout.splitlines())
    assert (row["slice"], row["pictures"], row["tier"]) == ("all", 2, "live")
    assert row["decided"]["none"]["interval_95"]
    assert "zq7sentinel" not in done.stdout + done.stderr


def test_slices_and_a_drawing(folder: Path, tmp_path: Path) -> None:
    plot = tmp_path / "scores.svg"
    done = _run("evaluate", str(folder), "--tier", "live", "--slices", "--plot", str(plot))
    assert done.returncode == 0, done.stderr
    assert "portraits: 1 pictures" in done.stdout
    assert "<svg" in plot.read_text(encoding="utf-8")


def test_face_crops_are_a_row_of_their_own(folder: Path) -> None:
    done = _run("evaluate", str(folder), "--tier", "live", "--face-crops", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["slice"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert rows["face crops"]["pictures"] == 1  # the portrait has one face, the noise none
    assert "zq7sentinel" not in done.stdout + done.stderr


def test_a_face_crop_is_a_square_around_the_face(portrait: Path) -> None:
    seen: list[Image] = []

    class Keeps(Bright):
        def detect(self, image: Image) -> Sequence[Finding]:
            seen.append(image)
            return super().detect(image)

    tally = evaluate_face_crops([portrait, portrait], Keeps(), limits=Limits())
    assert tally.pictures == 2
    (crop, again) = seen
    assert crop.view == "face_crop"
    assert np.array_equal(crop.pixels, again.pixels)
    assert 0.9 < crop.width_px / crop.height_px < 1.1
    assert FACE_CROP_MIN_PX <= crop.width_px < 512


def test_an_empty_folder_is_wrong_usage(tmp_path: Path) -> None:
    done = _run("evaluate", str(tmp_path))
    assert done.returncode == 2
    assert "expected pictures" in done.stderr


def test_bench_times_every_model_and_both_tiers() -> None:
    rows = [json.loads(line) for line in _run("bench", "--rounds", "3", "--json").stdout.splitlines()]
    assert {row["what"] for row in rows} >= {"open_nsfw_v1", "tier live, 640×480", "tier full, 640×480"}
    assert all(row["min"] <= row["median"] <= row["max"] for row in rows)


def test_a_card_is_drawn_from_its_own_tables(tmp_path: Path) -> None:
    table = "| of | share |\n| --- | --- |\n| a | 1 of 200 = 0.5 % (0.1 to 2.8 %) |\n"
    card = f"## One\n\n{table}\n## Two\n\n| x |\n| --- |\n| 3 |\n"
    assert list(shares_of(card)) == [Share("One", "a, share", 0.5, 0.1, 2.8)]
    plot = tmp_path / "card.svg"
    assert _run("card", "open_nsfw_v1", "--plot", str(plot)).returncode == 0
    assert "<svg" in plot.read_text(encoding="utf-8")
    refused = _run("card", "blazeface_short_v1", "--plot", str(plot))
    assert refused.returncode == 1
    assert "without --plot" in refused.stderr


def test_card_prints_what_was_measured() -> None:
    assert "false alarms" in _run("card", "open_nsfw_v1").stdout.lower()
    assert json.loads(_run("card", "open_nsfw_v1", "--json").stdout)["model"] == "open_nsfw_v1"
