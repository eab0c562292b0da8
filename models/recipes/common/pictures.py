"""Benign pictures for calibration and evaluation: listed, split, and prepared as the SDK does.

Only benign pictures are ever read here, and only numbers leave: no path and no pixel is written.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

Pixels = npt.NDArray[np.uint8]

_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})

#: Changes that push benign pictures away from what a net was trained on, so that more scores fall
#: between 0 and 1, where a quantised net can differ from its float original.
VARIANTS: Final = ("plain", "centre", "warm", "dark", "grey", "turned", "coarse")

_WARM_GAIN: Final = (1.25, 1.0, 0.75)  # red, green, blue: the cast of a tungsten lamp
_DARK_GAIN: Final = 0.4
_COARSE_PX: Final = 24  # the side to which "coarse" shrinks a picture before enlarging it again


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture file, known by its content."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Preprocess:
    """What happens to a picture before the model, as in ``config.json``."""

    resize_px: tuple[int, int]
    crop_px: tuple[int, int]


def list_pictures(folder: Path) -> list[Picture]:
    """List the pictures in a folder, each content once, sorted by sha256.

    Raises:
        ValueError: The folder holds no picture.
    """
    found = {
        (digest := hashlib.sha256(path.read_bytes()).hexdigest()): Picture(path, digest)
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in _SUFFIXES
    }
    if not found:
        raise ValueError("got a folder without pictures, expected .jpg, .jpeg, .png or .webp files")
    return [found[digest] for digest in sorted(found)]


def split(calibration: Path, evaluation: Path, *, seed: int) -> tuple[list[Picture], list[Picture]]:
    """Choose calibration and evaluation pictures that never overlap.

    One folder given twice is halved, in an order made from the seed and each picture's content, so
    that neither file names nor the listing order matter. Of two folders all is used.

    Args:
        calibration: Folder for calibration.
        evaluation: Folder for evaluation; may be the same.
        seed: Chooses the halves.

    Returns:
        Calibration pictures and evaluation pictures.

    Raises:
        ValueError: Two folders share a picture, or a folder is empty.
    """
    first = list_pictures(calibration)
    if calibration.resolve() == evaluation.resolve():
        first.sort(key=lambda p: hashlib.sha256(f"{seed}:{p.sha256}".encode()).digest())
        half = len(first) // 2
        return first[:half], first[half:]
    second = list_pictures(evaluation)
    shared = {p.sha256 for p in first} & {p.sha256 for p in second}
    if shared:
        raise ValueError(
            f"got {len(shared)} picture(s) in both folders, expected none: "
            "a model must not be evaluated on what calibrated it"
        )
    return first, second


def set_digest(pictures: list[Picture]) -> str:
    """Return one sha256 that names a set of pictures: over their sorted sha256, one a line."""
    lines = "".join(f"{digest}\n" for digest in sorted(p.sha256 for p in pictures))
    return hashlib.sha256(lines.encode()).hexdigest()


def load(picture: Picture) -> Image.Image:
    """Decode one picture in full (no DCT scaling) as upright RGB."""
    with Image.open(picture.path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def to_input(image: Image.Image, preprocess: Preprocess) -> Pixels:
    """Resize the whole picture, cut out the centre.

    Args:
        image: RGB picture of any size.
        preprocess: Sizes, each (width, height) in pixels.

    Returns:
        ``uint8[1, height, width, 3]`` RGB.
    """
    width, height = preprocess.crop_px
    left = (preprocess.resize_px[0] - width) // 2
    top = (preprocess.resize_px[1] - height) // 2
    resized = image.resize(preprocess.resize_px, Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + width, top + height)))[np.newaxis]


def jpeg_round_trip(pixels: Pixels) -> Pixels:
    """Encode and decode ``uint8[1, h, w, 3]`` RGB as JPEG with Pillow's defaults."""
    with BytesIO() as buffer:
        Image.fromarray(pixels[0]).save(buffer, format="JPEG")
        with Image.open(buffer) as image:
            return np.asarray(image)[np.newaxis]


def variant(image: Image.Image, name: str) -> Image.Image:
    """Return a picture changed as one of ``VARIANTS`` says.

    Raises:
        ValueError: The name is not one of ``VARIANTS``.
    """
    width, height = image.size
    match name:
        case "plain":
            return image
        case "centre":
            return image.crop((width // 4, height // 4, width - width // 4, height - height // 4))
        case "warm":
            return _gain(image, _WARM_GAIN)
        case "dark":
            return _gain(image, (_DARK_GAIN, _DARK_GAIN, _DARK_GAIN))
        case "grey":
            return image.convert("L").convert("RGB")
        case "turned":
            return image.transpose(Image.Transpose.ROTATE_90)
        case "coarse":
            small = image.resize((_COARSE_PX, _COARSE_PX), Image.Resampling.BILINEAR)
            return small.resize(image.size, Image.Resampling.NEAREST)
    raise ValueError(f"got variant {name!r}, expected one of {', '.join(VARIANTS)}")


def _gain(image: Image.Image, gain: tuple[float, float, float]) -> Image.Image:
    scaled = np.asarray(image).astype(np.float32) * np.array(gain, dtype=np.float32)
    return Image.fromarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))
