"""What a caller gives becomes pictures to look at, or a state that says why not.

The one place that coerces, and the one that faces hostile files: every decode is bounded, every failure
is a value. Names are loaded on first use, so that naming this package costs no numpy and no Pillow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safelight.media._options import Containers, MotionPhoto
    from safelight.media._sniff import DECODED_FORMATS, available_formats, is_media
    from safelight.media.frame import Frame, FrameFormat
    from safelight.media.image import Image, Loaded, NotJudged, Pictures
    from safelight.media.limits import Limits
    from safelight.media.load import ImageSource, load_image, read_content

__all__ = [
    "DECODED_FORMATS",
    "Containers",
    "Frame",
    "FrameFormat",
    "Image",
    "ImageSource",
    "Limits",
    "Loaded",
    "MotionPhoto",
    "NotJudged",
    "Pictures",
    "available_formats",
    "is_media",
    "load_image",
    "read_content",
]

_HOME = {
    "DECODED_FORMATS": "_sniff",
    "Containers": "_options",
    "Frame": "frame",
    "FrameFormat": "frame",
    "MotionPhoto": "_options",
    "available_formats": "_sniff",
    "is_media": "_sniff",
    "Image": "image",
    "ImageSource": "load",
    "Limits": "limits",
    "Loaded": "image",
    "NotJudged": "image",
    "Pictures": "image",
    "load_image": "load",
    "read_content": "load",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
