"""Are faces found where they are, whole, in tiles, and once each?"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image as PilImage
from safelight.detect.faces import Face, FaceFinder, anchor_centres, decode, merge
from safelight.detect.ready import ReadyModel
from safelight.detect.tiers import load_tiers
from safelight.media import Image
from safelight.runtime import FaceManifest, expect_task, load_manifest

# Where the astronaut's face is in the portrait, by eye, to a dozen pixels.
FACE = (175.0, 75.0, 275.0, 180.0)


def _image(picture: PilImage.Image) -> Image:
    pixels: npt.NDArray[np.uint8] = np.asarray(picture.convert("RGB"))
    return Image(pixels, picture.width, picture.height, (0.0, 0.0, float(picture.width), float(picture.height)))


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder(ReadyModel("blazeface_short_v1", runtime="auto"), load_tiers().subject)


@pytest.fixture(scope="module")
def photo(portrait: Path) -> PilImage.Image:
    return PilImage.open(portrait).convert("RGB")


def _iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def test_the_face_of_the_portrait(finder: FaceFinder, photo: PilImage.Image) -> None:
    (face,) = finder.find(_image(photo), tiles=False)
    assert _iou(face.box, FACE) > 0.7
    left_eye, right_eye = face.keypoints["image_left_eye"], face.keypoints["image_right_eye"]
    nose, mouth = face.keypoints["nose"], face.keypoints["mouth"]
    assert left_eye[0] < nose[0] < right_eye[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < mouth[1]


@pytest.mark.parametrize("size", [(512, 512), (640, 512), (512, 640)])
def test_letterboxing_keeps_the_place(finder: FaceFinder, photo: PilImage.Image, size: tuple[int, int]) -> None:
    canvas = PilImage.new("RGB", size)
    left, top = size[0] - 512, size[1] - 512
    canvas.paste(photo, (left, top))
    (face,) = finder.find(_image(canvas), tiles=False)
    assert _iou(face.box, (FACE[0] + left, FACE[1] + top, FACE[2] + left, FACE[3] + top)) > 0.65


def test_tiles_find_small_faces_and_count_each_once(finder: FaceFinder, photo: PilImage.Image) -> None:
    """A drawn group of twelve: each face some 55 px in a picture of 1,000."""
    head = photo.crop((100, 0, 370, 300)).resize((150, 166))
    canvas = PilImage.new("RGB", (1000, 750), (120, 130, 140))
    places = [(40 + 240 * column, 40 + 240 * row) for row in range(3) for column in range(4)]
    for place in places:
        canvas.paste(head, place)
    found = finder.find(_image(canvas), tiles=True)
    assert len(found) == len(places)
    assert len(finder.find(_image(canvas), tiles=False)) < len(places)


def test_nothing_where_nobody_is(finder: FaceFinder) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    assert finder.find(_image(PilImage.fromarray(noise)), tiles=True) == []


def test_anchors_are_the_published_grid() -> None:
    anchors = anchor_centres((8, 16, 16, 16), 0.5, 128)
    assert anchors.shape == (896, 2)
    assert anchors[:4].tolist() == [[4, 4], [4, 4], [12, 4], [12, 4]]
    assert anchors[512:519].tolist() == [[8, 8]] * 6 + [[24, 8]]


def _reference(root: Path) -> ModuleType:
    path = root / "models/recipes/blazeface/reference_decode.py"
    spec = importlib.util.spec_from_file_location("reference_decode", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_overlapping_detections_become_their_weighted_mean() -> None:
    def face(left: float, score: float) -> Face:
        return Face((left, 0.0, left + 10.0, 10.0), score, {"nose": (left, 5.0)})

    merged = merge([face(0, 0.9), face(1, 0.6), face(40, 0.8)], overlap_iou=0.3)
    assert [round(f.box[0], 3) for f in merged] == [0.4, 40.0]
    assert [f.score for f in merged] == [0.9, 0.8]


def test_a_face_cut_by_a_tile_is_not_another_person() -> None:
    whole = Face((0.0, 0.0, 100.0, 100.0), 0.9, {})
    half = Face((0.0, 0.0, 45.0, 90.0), 0.8, {})
    assert len(merge([whole, half], overlap_iou=0.3)) == 1


def test_degenerate_raw_boxes_give_no_faces() -> None:
    manifest = expect_task(load_manifest("blazeface_short_v1"), FaceManifest)
    boxes = np.zeros((896, 16), np.float32)
    scores = np.full(896, 100.0, np.float32)
    assert decode(boxes, scores, manifest, (0, 0, 128, 128), (0.0, 0.0, 128.0, 128.0)) == []
    assert decode(boxes + 1, scores * np.float32("nan"), manifest, (0, 0, 128, 128), (0.0, 0.0, 9.0, 9.0)) == []
