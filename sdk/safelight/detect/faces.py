"""Faces by BlazeFace: where they are and where their eyes, nose and mouth are. Nobody is recognised.

Source: Bazarevsky et al. 2019, "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs"; the decoding
follows the published single-shot scheme (one box and six keypoints an anchor).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from safelight import _image
from safelight.detect.ready import ReadyModel
from safelight.detect.tiers import Subject
from safelight.media import Image
from safelight.runtime import FaceManifest, expect_task

# Values of a raw box: centre x, centre y, width, height; then x, y of each keypoint.
_BOX_VALUES = 4
# Beyond this a float32 sigmoid is 0 or 1 anyway; the published decoder clips here too.
_LOGIT_LIMIT = 100.0


#: left, top, right, bottom
Box = tuple[float, float, float, float]

# Overlap from which the second look's face is the first look's.
_CONFIRM_IOU = 0.3
# A face may stand over a tile's border by this share of its side before it counts as cut.
_CUT_SLACK = 0.05


@dataclass(frozen=True, slots=True)
class Face:
    """One face, in pixels of the picture's ``pixels``.

    Attributes:
        box: left, top, right, bottom.
        score: in [0, 1].
        keypoints: name to (x, y); names are those of the model's manifest.
        confirmed: whether a second, closer look saw it too; its keypoints are then from that look.
    """

    box: Box
    score: float
    keypoints: dict[str, tuple[float, float]]
    confirmed: bool = False

    @property
    def side_px(self) -> float:
        """The longer side of the box."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])


class FaceFinder:
    """Finds faces in the whole picture and, when asked, in tiles of it too."""

    def __init__(self, model: ReadyModel, subject: Subject) -> None:
        self._model = model
        self._subject = subject

    def find(self, image: Image, *, tiles: bool) -> list[Face]:
        """Faces, best first, at most ``subject.max_faces``; each one looked at a second time.

        Args:
            image: any picture.
            tiles: look at overlapping tiles as well: small faces of a group photo are below what the model
                sees in the whole picture.

        Raises:
            ModelError: the model cannot be used or failed.
        """
        found = self._find_in(image, image.area_px)
        for tile in _tiles(image.area_px, self._subject) if tiles else ():
            found += [face for face in self._find_in(image, tile) if not _cut_by(face, tile, image.area_px)]
        manifest = expect_task(self._model.get().manifest, FaceManifest)
        merged = merge(found, overlap_iou=manifest.thresholds.overlap_iou)[: self._subject.max_faces]
        return [self._second_look(image, face) for face in merged]

    def _second_look(self, image: Image, face: Face) -> Face:
        half = self._subject.confirm_window * face.side_px / 2
        x, y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
        left, top, right, bottom = image.area_px
        window = (max(left, x - half), max(top, y - half), min(right, x + half), min(bottom, y + half))
        if window[2] - window[0] < 1 or window[3] - window[1] < 1:
            return face
        seen = [
            other
            for other in self._find_in(image, window)
            if other.score >= self._subject.confirm_score and _same(face.box, other.box, _CONFIRM_IOU)
        ]
        best = max(seen, key=lambda other: other.score, default=None)
        return face if best is None else Face(best.box, max(face.score, best.score), best.keypoints, confirmed=True)

    def _find_in(self, image: Image, crop: Box) -> list[Face]:
        model = self._model.get()
        manifest = expect_task(model.manifest, FaceManifest)
        canvas = manifest.preprocess.letterbox_px
        multiply, add = manifest.preprocess.multiply, manifest.preprocess.add
        tensor = _image.prepare(
            image.pixels,
            resize_px=canvas,
            crop=crop,
            filter="bilinear",
            letterbox=(0, 0, 0),
            dtype="float32",
            multiply=(multiply,) * 3,
            add=(add,) * 3,
        )
        raw_boxes, raw_scores = model.run(tensor)
        width, height = crop[2] - crop[0], crop[3] - crop[1]
        window = _image.letterbox_window(width, height, canvas)
        return decode(raw_boxes[0], raw_scores[0, :, 0], manifest, window, crop)


def decode(
    raw_boxes: npt.NDArray[np.float32],
    raw_scores: npt.NDArray[np.float32],
    manifest: FaceManifest,
    window: tuple[int, int, int, int],
    crop: Box,
) -> list[Face]:
    """Turn the model's raw outputs into faces in picture pixels.

    Args:
        raw_boxes: ``float32[anchors, 4 + 2 * keypoints]``, in input pixels relative to the anchors.
        raw_scores: ``float32[anchors]``, logits.
        manifest: of the model.
        window: left, top, width, height of the picture within the letterboxed input.
        crop: left, top, right, bottom of the picture part that was letterboxed.
    """
    scores = 1.0 / (1.0 + np.exp(-np.clip(raw_scores.astype(np.float64), -_LOGIT_LIMIT, _LOGIT_LIMIT)))
    kept = np.flatnonzero(scores >= manifest.thresholds.face)
    canvas = manifest.preprocess.letterbox_px
    centres = anchor_centres(manifest.anchors.strides, manifest.anchors.offset, canvas[0])[kept]
    values = raw_boxes[kept].astype(np.float64)
    scale_x, scale_y = (crop[2] - crop[0]) / window[2], (crop[3] - crop[1]) / window[3]

    def to_picture(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.stack([(x - window[0]) * scale_x + crop[0], (y - window[1]) * scale_y + crop[1]], axis=-1)

    centre_x, centre_y = values[:, 0] + centres[:, 0], values[:, 1] + centres[:, 1]
    half_width, half_height = values[:, 2] / 2, values[:, 3] / 2
    corners = np.concatenate(
        [
            to_picture(centre_x - half_width, centre_y - half_height),
            to_picture(centre_x + half_width, centre_y + half_height),
        ],
        axis=1,
    )
    points = to_picture(values[:, _BOX_VALUES::2] + centres[:, :1], values[:, _BOX_VALUES + 1 :: 2] + centres[:, 1:])
    faces = []
    for row, anchor in enumerate(kept):
        left, top, right, bottom = (float(v) for v in corners[row])
        if right > left and bottom > top:
            named = {name: (float(x), float(y)) for name, (x, y) in zip(manifest.keypoints, points[row], strict=True)}
            faces.append(Face((left, top, right, bottom), float(scores[anchor]), named))
    return faces


@lru_cache(maxsize=4)
def anchor_centres(strides: tuple[int, ...], offset: float, side_px: int) -> npt.NDArray[np.float64]:
    """Anchor centres in input pixels, ``float64[anchors, 2]``, in the model's order.

    Layers of the same stride share a grid: two anchors a layer at every cell, all of a cell together.
    """
    rows = []
    layer = 0
    while layer < len(strides):
        stride = strides[layer]
        together = 0
        while layer < len(strides) and strides[layer] == stride:
            together += 2
            layer += 1
        cells = side_px // stride
        grid = (np.arange(cells) + offset) * stride
        y, x = np.meshgrid(grid, grid, indexing="ij")
        rows.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), together, axis=0))
    return np.concatenate(rows)


def merge(faces: list[Face], *, overlap_iou: float) -> list[Face]:
    """One face for every group that overlaps: the score-weighted mean of the group, as BlazeFace proposes.

    Two detections also count as one when the smaller lies mostly inside the larger: a tile's border cuts
    faces, and the half that is left must not become a person of its own.
    """
    remaining = sorted(faces, key=lambda face: face.score, reverse=True)
    merged = []
    while remaining:
        best = remaining[0]
        group = [face for face in remaining if _same(best.box, face.box, overlap_iou)]
        remaining = [face for face in remaining[1:] if not any(face is member for member in group)]
        total = sum(face.score for face in group)

        def mean(of: list[float], total: float = total, group: list[Face] = group) -> float:
            return sum(value * face.score for value, face in zip(of, group, strict=True)) / total

        box = tuple(mean([face.box[i] for face in group]) for i in range(4))
        keypoints = {
            name: (mean([f.keypoints[name][0] for f in group]), mean([f.keypoints[name][1] for f in group]))
            for name in best.keypoints
        }
        merged.append(Face((box[0], box[1], box[2], box[3]), best.score, keypoints))
    return merged


# Share of the smaller box that must lie in the larger for the two to be one face. Tiles give many partial
# boxes of a large face; faces in a crowd overlap less than this.
_INSIDE = 0.4


def _same(a: tuple[float, ...], b: tuple[float, ...], overlap_iou: float) -> bool:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return False
    shared = width * height
    area_a, area_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    return shared / (area_a + area_b - shared) > overlap_iou or shared / min(area_a, area_b) > _INSIDE


def _tiles(area: Box, subject: Subject) -> Iterator[Box]:
    """Layers of overlapping tiles, each of which covers the whole area."""
    left, top, right, bottom = area
    for n in subject.tiles_per_side:
        step = 1.0 - subject.tile_overlap
        width, height = (right - left) / (1 + (n - 1) * step), (bottom - top) / (1 + (n - 1) * step)
        for row in range(n):
            for column in range(n):
                x, y = left + column * width * step, top + row * height * step
                yield x, y, min(x + width, right), min(y + height, bottom)


def _cut_by(face: Face, tile: Box, area: Box) -> bool:
    """Whether a border inside the picture cuts the face: a neighbouring tile has it whole."""
    slack = _CUT_SLACK * face.side_px
    return (
        (face.box[0] < tile[0] - slack and tile[0] > area[0])
        or (face.box[1] < tile[1] - slack and tile[1] > area[1])
        or (face.box[2] > tile[2] + slack and tile[2] < area[2])
        or (face.box[3] > tile[3] + slack and tile[3] < area[3])
    )
