"""Which models look at a picture, and how closely: ``models/tiers_v1.json``, read strictly."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import msgspec

from safelight.builtin_data import read_builtin
from safelight.decision import State
from safelight.errors import DataMissingError, DataTamperedError, ModelError

Tier = Literal["live", "full"]


class Agreement(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Two opinions that agree: explicit when every nudity model of a tier with several reaches this."""

    each_at_least: float


class CloserLook(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """When the highest score lies in [from_score, below_score): tiles and turns of the picture too.

    Of the further looks it takes ``looks_needed`` to say the same: one alone is as often noise.
    Tiles are squares of ``tile_share`` of each side, ``tile_step`` of the side apart.
    """

    from_score: float
    below_score: float
    looks_needed: int
    tile_share: float
    tile_step: float
    turns_degrees: tuple[Literal[90, 180, 270], ...]


class Quality(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What can be judged. Luma is 0-255; the detail ratio is that of detail to contrast, see quality.py."""

    min_side_px: int
    dark_below_luma: float
    brighten_below_luma: float
    blurred_below_detail_ratio: float
    contrast_from_luma_deviation: float


class Subject(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How faces are found and when one counts as an adult's: all of these lean to "minor".

    ``tiles_per_side`` gives one layer of overlapping tiles a number: 3 means 9 tiles. A find is confirmed by a
    second look at a window ``confirm_window`` times its side, from ``confirm_score``: in 400 benign
    pictures the first look found 17 people and 100 animals and things (card of blazeface_short_v1).
    """

    min_face_px: int
    confirm_window: float
    confirm_score: float
    max_faces: int
    tiles_per_side: tuple[int, ...]
    tile_overlap: float
    adult_below_p_under_18: float
    adult_from_age_years: float
    minor_from_p_under_18: float


class AgeModel(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An age model, and over how many slightly shifted crops of a face its answers are averaged."""

    model: str
    crops: Literal[1, 5]


class TierModels(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The models of one tier."""

    nudity: tuple[str, ...]
    faces: str
    age: tuple[AgeModel, ...]
    look_closer: bool

    @property
    def age_ids(self) -> tuple[str, ...]:
        """Ids of the age models."""
        return tuple(age.model for age in self.age)

    @property
    def all_ids(self) -> tuple[str, ...]:
        """Ids of every model of the tier, nudity models first."""
        return (*self.nudity, self.faces, *self.age_ids)


class Tiers(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The whole document."""

    schema: Literal[1]
    id: str
    tiers: dict[Tier, TierModels]
    agreement: Agreement
    closer_look: CloserLook
    quality: Quality
    subject: Subject


def load_tiers() -> Tiers:
    """Read the document that ships.

    Raises:
        ModelError: it is missing (``NO_MODEL``) or not what was built (``UNVERIFIED``).
    """
    try:
        return _decoded(read_builtin("models/tiers_v1.json"))
    except DataMissingError as error:
        raise ModelError(str(error), state=State.NO_MODEL) from None
    except (DataTamperedError, msgspec.DecodeError) as error:
        raise ModelError(str(error), state=State.UNVERIFIED) from None


@lru_cache(maxsize=1)
def _decoded(data: bytes) -> Tiers:
    return msgspec.json.decode(data, type=Tiers)
