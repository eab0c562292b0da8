"""From a picture to a model's input size. A native kernel replaces this; the numbers stay."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage

from safelight.errors import UsageError
from safelight.media.image import Image
from safelight.media.views import to_array

_FILTERS = {
    "bilinear": PilImage.Resampling.BILINEAR,
    "box": PilImage.Resampling.BOX,
    "bicubic": PilImage.Resampling.BICUBIC,
}


def fit(
    image: Image,
    *,
    resize_px: tuple[int, int],
    crop_px: tuple[int, int],
    filter: Literal["bilinear", "box", "bicubic"] = "bilinear",
) -> npt.NDArray[np.uint8]:
    """Resize the whole picture to a fixed size, keep its centre.

    The aspect is not kept: the models were validated on the whole picture squeezed, and so edges count.

    Args:
        image: any :class:`Image`.
        resize_px: width and height that the whole picture is squeezed into, each at least 1.
        crop_px: width and height of the centre that is kept, each 1 to that of ``resize_px``.
        filter: antialiased (its support grows with the reduction), as Pillow does it.

    Returns:
        ``uint8[crop_px[1], crop_px[0], 3]``, RGB, 0-255, C-contiguous, read-only.

    Raises:
        UsageError: a size or a filter is out of range.

    Example:
        >>> import numpy as np
        >>> from safelight.media import fit, load_image
        >>> with load_image(np.zeros((480, 640, 3), np.uint8)) as pictures:
        ...     fit(next(iter(pictures)), resize_px=(256, 256), crop_px=(224, 224)).shape
        (224, 224, 3)
    """
    if filter not in _FILTERS:
        raise UsageError(f"filter: got an unknown name, expected one of {sorted(_FILTERS)}; choose one of them")
    for name, size in (("resize_px", resize_px), ("crop_px", crop_px)):
        if len(size) != 2 or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in size):
            raise UsageError(f"{name}: expected (width, height), whole numbers above 0; give two positive ints")
    left, top = (resize_px[0] - crop_px[0]) // 2, (resize_px[1] - crop_px[1]) // 2
    if left < 0 or top < 0:
        raise UsageError(
            f"crop_px: got {crop_px[0]}x{crop_px[1]}, expected at most resize_px = {resize_px[0]}x{resize_px[1]}; "
            "make it smaller"
        )
    whole = PilImage.fromarray(image.pixels).resize(resize_px, _FILTERS[filter], box=image.area_px)
    return to_array(whole.crop((left, top, left + crop_px[0], top + crop_px[1])))
