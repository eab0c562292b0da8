"""The chips that calibrate and evaluate an age model, from benign pictures.

No chip leaves the work folder, and none says who is in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from blazeface.measure import FACES_SEEN, holds
from blazeface.reference_decode import Run
from common import files, pictures
from common.runtimes import RUNTIMES, Model

from age import chips

Pixels = npt.NDArray[np.uint8]

#: Changed copies of each chip. 15 make some 300 of the calibration half's 20 or so faces.
CALIBRATION_COPIES: Final = 15
EVALUATION_COPIES: Final = 6

CHIPS_FILE: Final = "evaluation_chips.npz"


@dataclass(frozen=True, slots=True)
class Chips:
    """Chips of one half of the pictures.

    Attributes:
        plain: ``uint8[n, size, size, 3]``, as aligned.
        varied: ``uint8[n * copies, size, size, 3]``, changed copies, the first chip's first.
        human: ``bool[n]``: was a human face seen there by eye. What the detector takes for a face also
            includes animals, dolls and things.
    """

    plain: Pixels
    varied: Pixels
    human: npt.NDArray[np.bool_]


class Detector:
    """The face detector of a model folder, finding the faces that chips are cut of."""

    def __init__(self, model_dir: Path) -> None:
        self.config: dict[str, Any] = files.read_json(model_dir / "config.json")
        self.run: Run = Model(model_dir / self.config["file"], runtime=RUNTIMES[0]).run_all

    def chips(self, chosen: list[pictures.Picture], chip: dict[str, Any], *, copies: int, seed: int) -> Chips:
        """Find, align and cut the faces of some pictures.

        Args:
            chosen: The pictures, in order.
            chip: ``chip`` of the age model's ``config.json``.
            copies: Changed copies of each chip.
            seed: Chooses the changes.
        """
        seen = files.read_json(FACES_SEEN)["pictures"]
        generator = np.random.default_rng(seed)
        size_px = chip["size_px"]
        plain, varied, human = [], [], []
        for picture in chosen:
            image = pictures.load(picture)
            centres = np.array(seen.get(picture.sha256, []), dtype=np.float64).reshape(-1, 2) * image.size
            for face in chips.faces_of(image, self.run, self.config):
                similarity = chips.align(face.keypoints, self.config["keypoints"], chip)
                plain.append(chips.cut(image, similarity, size_px=size_px))
                varied += [
                    chips.cut_varied(image, similarity, size_px=size_px, generator=generator) for _ in range(copies)
                ]
                human.append(holds(face, centres))
        return Chips(np.concatenate(plain), np.concatenate(varied), np.array(human))


def save(path: Path, chosen: Chips) -> None:
    """Keep the chips in the work folder, for ``measure``, which runs in another environment."""
    np.savez(path, plain=chosen.plain, varied=chosen.varied, human=chosen.human)


def load(path: Path) -> Chips:
    """Read what :func:`save` wrote."""
    with np.load(path) as stored:
        return Chips(stored["plain"], stored["varied"], stored["human"])
