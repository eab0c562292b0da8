"""BlazeFace, from a picture to faces, in short and readable numpy: to compare other code with.

Every position is in pixels of the picture, x to the right and y down, with (0, 0) at the outer
corner of the first pixel. Nothing here knows who is in a picture: boxes and six points, no more.

The steps are those of MediaPipe's face detection graph (Apache-2.0; ``ssd_anchors_calculator``,
``tensors_to_detections_calculator``, ``non_max_suppression_calculator``), written anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
#: Runs the model: ``float32[1, 128, 128, 3]`` in, regressors and classificators out.
Run = Callable[[Floats], list[Floats]]

#: Raw scores beyond this change no sigmoid that float32 can tell apart, and overflow ``exp``.
_SCORE_LIMIT: Final = 80.0


@dataclass(frozen=True, slots=True)
class Face:
    """One face.

    Attributes:
        score: 0 to 1.
        box: ``float64[4]``: left, top, right, bottom.
        keypoints: ``float64[6, 2]``: x and y, in the order of ``config.json``.
    """

    score: float
    box: npt.NDArray[np.float64]
    keypoints: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a window of the picture lies in the model's square input.

    Attributes:
        pixels: ``uint8[side, side, 3]`` RGB, black beside the window.
        scale: Input pixels per picture pixel, the same in x and y.
        origin: Position of the input's first corner in the picture, in pixels, x and y; where there
            is a black border it lies outside.
    """

    pixels: Pixels
    scale: float
    origin: tuple[int, int]


def letterbox(picture: Image.Image, window: tuple[int, int, int, int], *, side_px: int) -> Letterbox:
    """Put a window of the picture in the middle of a black square, then resize that to the input.

    In this order nothing is rounded but the border's width. Resizing first and padding afterwards stretches
    the window by up to half an input pixel, which is enough to change weak detections.

    Args:
        picture: RGB, upright.
        window: Left, top, right, bottom, inside the picture or not.
        side_px: Side of the input.

    Returns:
        The input's pixels and where they come from.
    """
    left, top, right, bottom = window
    side = max(right - left, bottom - top)
    left, top = left - (side - (right - left)) // 2, top - (side - (bottom - top)) // 2
    square = picture.crop((left, top, left + side, top + side))  # black outside the picture
    pixels = np.asarray(square.resize((side_px, side_px), Image.Resampling.BILINEAR))
    return Letterbox(pixels, side_px / side, (left, top))


def to_input(pixels: Pixels, preprocess: dict[str, Any]) -> Floats:
    """Return ``float32[1, h, w, 3]``: each byte times ``multiply`` plus ``add``, in float32."""
    return (pixels.astype(np.float32) * np.float32(preprocess["multiply"]) + np.float32(preprocess["add"]))[np.newaxis]


def anchors(strides: list[int], *, side_px: int, offset: float) -> Floats:
    """Make the anchors' centres, as fractions of the input.

    Layers of the same stride that follow each other share one grid, with two anchors a layer in each cell.

    Returns:
        ``float32[n, 2]``, x and y; for strides 8, 16, 16, 16 and side 128: 16·16·2 + 8·8·6 = 896.
    """
    centres: list[tuple[float, float]] = []
    layer = 0
    while layer < len(strides):
        stride, first = strides[layer], layer
        while layer < len(strides) and strides[layer] == stride:
            layer += 1
        cells = side_px // stride
        for row in range(cells):
            for column in range(cells):
                centres += [((column + offset) / cells, (row + offset) / cells)] * (2 * (layer - first))
    return np.array(centres, dtype=np.float32)


def decode(regressors: Floats, classificators: Floats, config: dict[str, Any], view: Letterbox) -> list[Face]:
    """Turn the model's two outputs into faces at or above the threshold, best first, not yet merged.

    Args:
        regressors: ``float32[1, n, 16]``, in input pixels from the anchor: centre x, y of the box;
            its width, height; then x, y of six keypoints.
        classificators: ``float32[1, n, 1]``, raw scores.
        config: ``config.json``.
        view: What the model was shown.

    Returns:
        Faces in picture pixels.
    """
    side_px = config["preprocess"]["letterbox_px"][0]
    centres = anchors(config["anchors"]["strides"], side_px=side_px, offset=config["anchors"]["offset"])
    points = regressors[0].astype(np.float64).reshape(len(centres), -1, 2)
    raw = np.clip(classificators[0, :, 0].astype(np.float64), -_SCORE_LIMIT, _SCORE_LIMIT)
    scores = 1.0 / (1.0 + np.exp(-raw))

    def to_picture(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return xy / view.scale + view.origin

    faces = []
    for i in np.argsort(-scores, kind="stable"):
        if scores[i] < config["thresholds"]["face"]:
            break
        anchor = centres[i] * side_px
        centre, half = anchor + points[i, 0], points[i, 1] / 2.0
        if (half > 0.0).all():
            box = to_picture(np.stack([centre - half, centre + half])).reshape(4)
            faces.append(Face(float(scores[i]), box, to_picture(anchor + points[i, 2:])))
    return faces


def overlap(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Return the intersection over union of two boxes, 0 to 1."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    if (sides <= 0.0).any():
        return 0.0
    shared = float(sides.prod())
    return shared / float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared)


def merge(faces: list[Face], *, overlap_iou: float) -> list[Face]:
    """Merge what overlaps, as MediaPipe's weighted suppression does.

    The best face takes every other that overlaps *it* by more than ``overlap_iou``. Box and
    keypoints become the mean of the group, weighted by score; the score stays the best one.

    Args:
        faces: Best first.
        overlap_iou: Intersection over union.

    Returns:
        Merged faces, best first.
    """
    merged, rest = [], list(faces)
    while rest:
        best = rest[0]
        group = [face for face in rest if face is best or overlap(face.box, best.box) > overlap_iou]
        rest = [face for face in rest if face is not best and overlap(face.box, best.box) <= overlap_iou]
        scores = [face.score for face in group]
        box, keypoints = (
            np.average([getattr(face, name) for face in group], axis=0, weights=scores) for name in ("box", "keypoints")
        )
        merged.append(Face(best.score, box, keypoints))
    return merged


def tiles(width: int, height: int, *, per_side: int) -> Iterator[tuple[int, int, int, int]]:
    """Cut a picture into square tiles that overlap by half or more.

    Args:
        width: Of the picture, in pixels.
        height: Of the picture, in pixels.
        per_side: A tile's side is the picture's longer side divided by this, or the shorter side if that is less.

    Yields:
        Left, top, right, bottom.
    """
    side = min(math.ceil(max(width, height) / per_side), width, height)
    for top in _starts(height, side):
        for left in _starts(width, side):
            yield left, top, left + side, top + side


def _starts(length: int, side: int) -> list[int]:
    """Spread tiles evenly, neighbours at most half a side apart."""
    steps = math.ceil((length - side) / (side / 2))
    return [(length - side) * i // steps for i in range(steps + 1)] if steps else [0]


def find_faces(picture: Image.Image, run: Run, config: dict[str, Any], *, tiles_per_side: int = 1) -> list[Face]:
    """Find the faces in a picture, best first.

    The whole picture is always looked at. With tiles, a face that a tile's inner border cuts is left to the
    neighbour, which holds it whole (tiles overlap by half); of faces that overlap across views only the best stays.
    Weighted merging happens within a view only: a mean over views would blur a sharp box with a coarse one.

    Args:
        picture: RGB, upright.
        run: Runs the model.
        config: ``config.json``.
        tiles_per_side: 1 for no tiles, else as in :func:`tiles`.
    """
    width, height = picture.size
    windows = [(0, 0, width, height)]
    if tiles_per_side > 1:
        windows += list(tiles(width, height, per_side=tiles_per_side))
    limit = config["thresholds"]["overlap_iou"]
    found: list[Face] = []
    for window in windows:
        view = letterbox(picture, window, side_px=config["preprocess"]["letterbox_px"][0])
        regressors, classificators = run(to_input(view.pixels, config["preprocess"]))
        faces = merge(decode(regressors, classificators, config, view), overlap_iou=limit)
        found += [face for face in faces if not _cut(face, window, (width, height))]
    kept: list[Face] = []
    for face in sorted(found, key=lambda f: -f.score):
        if all(overlap(face.box, other.box) <= limit for other in kept):
            kept.append(face)
    return kept


def look_again(picture: Image.Image, face: Face, run: Run, config: dict[str, Any], *, window: float) -> Face | None:
    """Look at one face once more, in the middle of a square window of its own.

    What is no face at one scale is seldom one at another, so this drops most false finds; and the six points of
    a real one become sharper, because it now fills more of the input.

    Args:
        picture: RGB, upright.
        face: From :func:`find_faces`.
        run: Runs the model.
        config: ``config.json``.
        window: Side of the window, in longer sides of the face's box.

    Returns:
        The best face at or above the threshold that overlaps the given one, or None.
    """
    middle, half = (face.box[:2] + face.box[2:]) / 2, window * float((face.box[2:] - face.box[:2]).max()) / 2
    left, top, right, bottom = (math.floor(value + 0.5) for value in (*(middle - half), *(middle + half)))
    view = letterbox(picture, (left, top, right, bottom), side_px=config["preprocess"]["letterbox_px"][0])
    limit = config["thresholds"]["overlap_iou"]
    regressors, classificators = run(to_input(view.pixels, config["preprocess"]))
    faces = merge(decode(regressors, classificators, config, view), overlap_iou=limit)
    return next((other for other in faces if overlap(other.box, face.box) > limit), None)


def _cut(face: Face, window: tuple[int, int, int, int], size: tuple[int, int]) -> bool:
    """Say whether a border of the window that lies inside the picture cuts the face's box."""
    left, top, right, bottom = window
    return bool(
        (left > 0 and face.box[0] < left)
        or (top > 0 and face.box[1] < top)
        or (right < size[0] and face.box[2] > right)
        or (bottom < size[1] and face.box[3] > bottom)
    )
