"""Measure how much an age model's answer hangs on where its chip is cut.

    python -m age.alignment --model ../cydral_age_v1 --faces ../blazeface_short_v1 --pictures PICTURES --work WORK

Each confirmed human face is cut as ``config.json`` says, and then wrongly on purpose. Nothing here says which cut is
right: that takes faces of known age. "Ten" are five crops (the chip, and shifted by 5 % towards each corner) and their
mirror images, averaged.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from blazeface.measure import FACES_SEEN, holds
from blazeface.reference_decode import Face, find_faces, look_again
from common import files, pictures
from common.runtimes import RUNTIMES, Model
from PIL import Image

from age import chips
from age.answers import expected_years, probabilities
from age.chip_sets import Detector
from age.measure import answers

ALIGNMENT_FILE: Final = "alignment.json"

#: Name, and the change of a chip: scale, turn in degrees, shift right and down in chip sides.
CHANGES: Final = {
    "10 % tighter": (1 / 1.1, 0.0, 0.0, 0.0),
    "10 % looser": (1.1, 0.0, 0.0, 0.0),
    "25 % looser": (1.25, 0.0, 0.0, 0.0),
    "50 % looser": (1.5, 0.0, 0.0, 0.0),
    "turned by 10°": (1.0, 10.0, 0.0, 0.0),
    "5 % to the right": (1.0, 0.0, 0.05, 0.0),
    "5 % up": (1.0, 0.0, 0.0, -0.05),
    "5 % down": (1.0, 0.0, 0.0, 0.05),
}
FIRST_LOOK: Final = "keypoints of the first look"
#: Scale, turn, shift: the chip itself, and shifted towards each corner.
FIVE_CROPS: Final = (
    (1.0, 0.0, 0.0, 0.0),
    *((1.0, 0.0, right, down) for right in (-0.05, 0.05) for down in (-0.05, 0.05)),
)
#: A chip whose side covers this many picture pixels counts as large: its face is about as wide.
LARGE_PX: Final = 64


def change(similarity: chips.Similarity, size_px: int, by: tuple[float, float, float, float]) -> chips.Similarity:
    """Scale, turn and shift a chip about its middle."""
    scale, degrees, right, down = by
    turned = scale * np.exp(1j * math.radians(degrees))
    matrix = similarity.matrix @ np.array([[turned.real, -turned.imag], [turned.imag, turned.real]])
    centre = similarity.matrix @ np.full(2, size_px / 2) + similarity.offset
    shift = similarity.matrix @ np.array([right, down]) * size_px
    return chips.Similarity(matrix, centre + shift - matrix @ np.full(2, size_px / 2))


class Estimator:
    """Expected ages from chips of one face.

    Args:
        model_dir: The age model's folder.
    """

    def __init__(self, model_dir: Path) -> None:
        self.config: dict[str, Any] = files.read_json(model_dir / "config.json")
        self._model = Model(model_dir / self.config["file"], runtime=RUNTIMES[0])

    def one(self, picture: Image.Image, similarity: chips.Similarity) -> float:
        """Return the expected age from one chip."""
        return self._years([chips.cut(picture, similarity, size_px=self.config["chip"]["size_px"])])

    def ten(self, picture: Image.Image, similarity: chips.Similarity) -> float:
        """Return the expected age from the mean over five crops and their mirror images."""
        size_px = self.config["chip"]["size_px"]
        cut = [chips.cut(picture, change(similarity, size_px, by), size_px=size_px) for by in FIVE_CROPS]
        return self._years([*cut, *(chip[:, :, ::-1] for chip in cut)])

    def _years(self, cut: list[npt.NDArray[np.uint8]]) -> float:
        shares = probabilities(answers(self._model, np.concatenate(cut)), self.config["output"])
        (years,) = expected_years(shares.mean(axis=0, keepdims=True), self.config["ages_years"])
        return float(years)


def moved(estimator: Estimator, picture: Image.Image, looks: tuple[Face, Face], names: list[str]) -> list[list[float]]:
    """Return, for one chip and for ten, how far each change moves the expected age, in years.

    Args:
        estimator: Of the age model.
        picture: RGB, upright.
        looks: The face as a second look and as the first look found it.
        names: The detector's ``keypoints``.
    """
    chip = estimator.config["chip"]
    right, first = (chips.align(face.keypoints, names, chip) for face in looks)
    ways = [*(change(right, chip["size_px"], by) for by in CHANGES.values()), first]
    return [
        [abs(estimate(picture, way) - estimate(picture, right)) for way in ways]
        for estimate in (estimator.one, estimator.ten)
    ]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--faces", type=Path, required=True, help="model folder of the face detector")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of benign pictures")
    parser.add_argument("--work", type=Path, required=True, help="folder for measurements")
    options = parser.parse_args()
    estimator, detector = Estimator(options.model), Detector(options.faces)
    seen = files.read_json(FACES_SEEN)["pictures"]
    results: dict[str, list[list[list[float]]]] = {"large": [], "small": []}
    for picture in (p for p in pictures.list_pictures(options.pictures) if p.sha256 in seen):
        image = pictures.load(picture)
        centres = np.array(seen[picture.sha256], dtype=np.float64) * image.size
        for face in find_faces(image, detector.run, detector.config, tiles_per_side=chips.TILES_PER_SIDE):
            again = look_again(image, face, detector.run, detector.config, window=chips.AGAIN_WINDOW)
            if again is None or again.score < chips.AGAIN_SCORE or not holds(again, centres):
                continue
            names, chip = detector.config["keypoints"], estimator.config["chip"]
            covered_px = chips.align(again.keypoints, names, chip).shrink * chip["size_px"]
            size = "large" if covered_px >= LARGE_PX else "small"
            results[size].append(moved(estimator, image, (again, face), names))
    means = {size: np.mean(values, axis=0).tolist() for size, values in results.items()}
    rows = [
        {
            "change": name,
            **{f"{size}_{chips_n}": means[size][i][k] for size in means for i, chips_n in enumerate((1, 10))},
        }
        for k, name in enumerate((*CHANGES, FIRST_LOOK))
    ]
    counts = {f"{size}_n": len(values) for size, values in results.items()}
    files.write_json(options.work / ALIGNMENT_FILE, {**counts, "rows": rows})
    print(counts)
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
