"""Colour profiles: a second look where one changes what is seen.

A viewer that manages colour shows the picture *through* its profile, one that does not shows the bare numbers,
and a profile can be built that makes one harmless and the other not: inverted, or a picture drawn in tones that
only the profile tells apart. So where a profile is far from sRGB both readings are looked at.

Nearly every profile in a photo is not far: sRGB, Display P3, Adobe RGB are three curves close to sRGB's and a
matrix that changes saturation a little. Those are recognised here, by reading the curves and the matrix and
nothing else; no colour engine is started for them. For the rest LittleCMS, through Pillow, makes the second reading.

A profile that LittleCMS refuses is ignored, as viewers do. PNG's ``cICP`` and the transfer curves of HDR are not
applied: they are fixed, monotone and the same for the whole picture, so they brighten or darken and hide nothing.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage

from safelight.decision import State
from safelight.media._refuse import Refused
from safelight.media.views import Rendered, strips

if TYPE_CHECKING:
    from PIL import ImageCms

#: CMYK press profiles have 0.5 to 3 MB; a larger one is refused rather than ignored.
MAX_PROFILE_BYTES: Final = 4 << 20
_MAX_TAGS: Final = 100
_PROBE: Final[npt.NDArray[np.float64]] = np.arange(256) / 255  # every value that an 8-bit picture can have
_PARAMETERS: Final = (1, 3, 4, 5, 7)  # of a parametric curve, by its kind

#: How far a curve may be from sRGB's, in code values of 1, for the two readings to be the same picture: gamma
#: 2.2 (Adobe RGB) is 0.03 away, gamma 1.8 is 0.11.
_CURVE_TOLERANCE: Final = 0.06
#: Into linear sRGB: Display P3 has 1.22 and -0.22, Adobe RGB 1.40 and -0.40.
_DIAGONAL: Final = (0.8, 1.5)
_OFF_DIAGONAL: Final = 0.45
# From sRGB's primaries, adapted to D50 as its profile states them.
_TO_SRGB: Final = np.linalg.inv(
    np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
)


def inflate(packed: bytes | memoryview) -> bytes:
    """The profile in a PNG's ``iCCP`` chunk body, or nothing if there is none.

    Raises:
        Refused: ``TOO_LARGE`` when it is larger than :data:`MAX_PROFILE_BYTES`.
    """
    start = bytes(packed[:81]).find(b"\0") + 2  # a name of 1-79 bytes, zero, method
    if start < 3:
        return b""
    try:
        profile = zlib.decompressobj().decompress(packed[start:], MAX_PROFILE_BYTES + 1)
    except zlib.error:
        return b""
    return check_profile(profile)


def check_profile(profile: bytes) -> bytes:
    """``profile``, or nothing if it does not begin as one: that is ignored by everybody.

    Raises:
        Refused: ``TOO_LARGE`` when it is larger than :data:`MAX_PROFILE_BYTES`.
    """
    if profile[36:40] != b"acsp":
        return b""
    if len(profile) > MAX_PROFILE_BYTES:
        raise Refused(State.TOO_LARGE, "icc")
    return profile


class Readings:
    """The readings of one file's pictures; a profile is judged and made ready once, not for every frame."""

    def __init__(self) -> None:
        self._profile = b""
        self._transform: ImageCms.ImageCmsTransform | None = None

    def of(self, rendered: Rendered) -> Iterator[Rendered]:
        """``rendered``, and once more through its profile if that changes what is seen.

        Raises:
            Refused: ``NO_DECODER`` when that takes LittleCMS and this Pillow was built without it.
        """
        yield rendered
        profile = rendered.profile
        if profile[16:20] not in (b"RGB ", b"GRAY"):  # a profile of another space belongs to other numbers
            return
        if profile != self._profile:
            self._transform = None if _is_near_srgb(profile) else _transform(profile)
            self._profile = profile
        if self._transform is not None:
            reading = f"{rendered.reading}/icc" if rendered.reading else "icc"
            yield replace(rendered, picture=_apply(self._transform, rendered.picture), reading=reading)


def cmyk_through(profile: bytes, picture: PilImage.Image) -> PilImage.Image | None:
    """A CMYK picture as a profile for it means it; ``None`` when it is not for CMYK or nobody can read it.

    Raises:
        Refused: as :meth:`Readings.of`.
    """
    transform = _transform(profile) if profile[16:20] == b"CMYK" else None
    return None if transform is None else _apply(transform, picture)


def _transform(profile: bytes) -> ImageCms.ImageCmsTransform | None:
    """From the profile's space to sRGB, or ``None`` when LittleCMS refuses the profile: then so do viewers."""
    mode = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}[profile[16:20]]
    try:
        from PIL import ImageCms

        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except ImportError:
        raise Refused(State.NO_DECODER, "icc_not_built") from None
    except Exception:  # noqa: BLE001 - LittleCMS refuses it, with one error or another
        return None


def _apply(transform: ImageCms.ImageCmsTransform, picture: PilImage.Image) -> PilImage.Image:
    out = PilImage.new("RGBA" if picture.mode == "RGBA" else "RGB", picture.size)
    for top, _, strip in strips(picture):
        colours = strip.getchannel(0) if transform.input_mode == "L" else strip
        if colours.mode == "RGBA":
            colours = colours.convert("RGB")
        shown = transform.apply(colours)
        if picture.mode == "RGBA":
            shown.putalpha(strip.getchannel("A"))
        out.paste(shown, (0, top))
    return out


# --- is it near sRGB? ---------------------------------------------------------------------------------------


def _is_near_srgb(profile: bytes) -> bool:
    """Whether it is three curves and a matrix (or one grey curve) that show the same picture as sRGB."""
    try:
        with np.errstate(all="ignore"):  # a curve may be anything; what is no number is not near
            return _near(profile)
    except (KeyError, ValueError, struct.error):
        return False  # not understood is not near


def _near(profile: bytes) -> bool:
    tags = _tags(profile)
    if any(name[:3] in (b"A2B", b"D2B") for name in tags):
        return False  # tables count before curves
    if profile[16:20] == b"GRAY":
        return _near_curve(tags[b"kTRC"])
    if profile[16:20] != b"RGB " or profile[20:24] != b"XYZ ":
        return False
    columns = [_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    matrix = _TO_SRGB @ np.array(columns).T
    diagonal = np.diag(matrix)
    rest = np.abs(matrix - np.diag(diagonal)).max()
    if diagonal.min() < _DIAGONAL[0] or diagonal.max() > _DIAGONAL[1] or rest > _OFF_DIAGONAL:
        return False
    return all(_near_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC"))


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    if count > _MAX_TAGS:
        raise ValueError
    tags: dict[bytes, bytes] = {}
    for n in range(count):
        name, at, length = struct.unpack_from(">4sII", profile, 132 + 12 * n)
        if name in tags or at + length > len(profile):
            raise ValueError
        tags[name] = profile[at : at + length]
    return tags


def _xyz(tag: bytes) -> tuple[float, ...]:
    if tag[:4] != b"XYZ ":
        raise ValueError
    return tuple(v / 65_536 for v in struct.unpack_from(">3i", tag, 8))


def _near_curve(tag: bytes) -> bool:
    linear = _curve(tag)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)
    return bool(np.abs(encoded - _PROBE).max() <= _CURVE_TOLERANCE)


def _curve(tag: bytes) -> npt.NDArray[np.float64]:
    """Linear light at the probe's code values.

    Raises:
        ValueError, struct.error: a kind of curve that is not read here.
    """
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        values = np.frombuffer(tag, ">u2", offset=12, count=count).astype(np.float64)
        if count == 0:
            return _PROBE
        if count == 1:
            return np.asarray(_PROBE ** (values[0] / 256))
        return np.asarray(np.interp(_PROBE, np.linspace(0, 1, count), values / 65_535))
    if tag[:4] == b"para":
        (kind,) = struct.unpack_from(">H", tag, 8)
        if kind >= len(_PARAMETERS):
            raise ValueError
        given = [v / 65_536 for v in struct.unpack_from(f">{_PARAMETERS[kind]}i", tag, 12)]
        if kind == 0:
            return np.asarray(_PROBE ** given[0])
        power = np.maximum(given[1] * _PROBE + given[2], 0) ** given[0]
        if kind <= 2:
            return np.asarray(power + (given[3] if kind == 2 else 0))
        above, below = given[5:] if kind == 4 else (0, 0)
        return np.where(given[4] <= _PROBE, power + above, given[3] * _PROBE + below)
    raise ValueError
