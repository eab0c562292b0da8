"""What a reader needs to know of the call it serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from safelight.media.limits import DEFAULT, Limits

#: What becomes of a PDF, ZIP, office document or gzip; see ``load_image``.
Containers = Literal["not_media", "look_inside"]
#: What becomes of a photo that carries a clip; see ``load_image``.
MotionPhoto = Literal["hold", "still_only"]


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of ``load_image`` after they were checked."""

    limits: Limits = DEFAULT
    short_side_px: int | None = None
    containers: Containers = "not_media"
    motion_photo: MotionPhoto = "hold"
