"""PDQ (Meta, 2017): a picture's 16x16 lowest frequencies, one bit each. The work is done by ``native/src/hash``."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from safelight import _hash
from safelight.decision import State
from safelight.errors import UnsupportedInputError, UsageError
from safelight.hashing._text import DIGEST_BYTES, check_digest, from_text, to_base64

# At most this many of 256 bits differ between two copies of a picture (the reference's advice).
MATCH_DISTANCE = _hash.MATCH_DISTANCE

_BITS = 8 * DIGEST_BYTES
_BEST_QUALITY = 100
_FORMATS = {name: number for number, name in enumerate(_hash.FORMATS)}
_STATES = tuple(State(name) for name in _hash.STATES)
_CHANNELS = {"rgb": 3, "bgr": 3, "rgba": 4}

Pixels: TypeAlias = npt.NDArray[np.uint8]
Color: TypeAlias = Literal["rgb", "bgr", "rgba"]


class PdqProfile(str, Enum):
    """What happens to a picture before it is hashed. Hashes of different profiles do not belong together.

    They differ by about 9 bits of 256, at worst by more than twice what counts as a match.
    """

    FULL = "full"
    """Nothing: pdqhash, threatexchange, HMA, Java, Rust."""
    THUMB512 = "thumb512"
    """Pillow's ``thumbnail((512, 512))``: the pure-Python reference."""
    NEAR512 = "near512"
    """Nearest neighbour to 512x512 when a side is above 512: the C++ command line, WASM."""

    def __str__(self) -> str:
        return str(self.value)


_PROFILES = {PdqProfile(name): number for number, name in enumerate(_hash.PROFILES)}


class ProfileMismatchError(UsageError):
    """Two hashes of different profiles were compared without asking for it."""


@dataclass(frozen=True, slots=True)
class PdqHash:
    """A picture's PDQ hash, or the reason why there is none.

    Make one with :func:`pdq`, :func:`pdq_dihedral` or :meth:`parse`.

    Attributes:
        state: ``OK``; ``LOW_QUALITY``: the bits are of a picture without features and match nothing;
            ``TOO_SMALL``: a side is under 5 px and there are no bits.
        profile: which pre-resize the bits were made with.
        quality: 0-100, how much happens in the picture; ``None`` for a parsed hash whose text did not say.
    """

    state: State
    profile: PdqProfile
    quality: int | None
    _bits: bytes | None = field(repr=False)

    @property
    def usable(self) -> bool:
        """Whether the hash may be matched."""
        return self.state is State.OK

    @property
    def bits(self) -> bytes:
        """The 256 bits, in the order of PDQ's text: the highest frequencies (word 15) first.

        Raises:
            UsageError: the state is ``TOO_SMALL``; an empty hash would match other empty hashes.
        """
        if self._bits is None:
            raise UsageError(f"bits: got a hash in state {self.state}, expected one with bits; look at .state first")
        return self._bits

    def hex(self) -> str:
        """PDQ's own text: 64 lower-case hexadecimal digits, word 15 first."""
        return self.bits.hex()

    def base64(self) -> str:
        """The same bytes as 44 base64 digits."""
        return to_base64(self.bits)

    def distance(self, other: PdqHash, *, mixed_profiles: bool = False) -> int:
        """Number of bits that differ, 0-256; about 128 for unrelated pictures.

        Args:
            other: the hash to compare with.
            mixed_profiles: compare although the profiles differ, knowing that the resize alone costs up to 72 bits.

        Raises:
            ProfileMismatchError: the profiles differ.
            UsageError: one of the two has no bits.
        """
        if not isinstance(other, PdqHash):
            raise UnsupportedInputError(f"other: got {type(other).__name__}, expected PdqHash; use PdqHash.parse")
        if self.profile is not other.profile and not mixed_profiles:
            raise ProfileMismatchError(
                f"other: got profile {other.profile}, expected {self.profile}; hash both alike, "
                "or pass mixed_profiles=True"
            )
        return (int.from_bytes(self.bits, "big") ^ int.from_bytes(other.bits, "big")).bit_count()

    def matches(self, other: PdqHash, *, max_distance: int = MATCH_DISTANCE, mixed_profiles: bool = False) -> bool:
        """Whether both are usable and at most ``max_distance`` bits differ. Featureless pictures never match."""
        if isinstance(other, PdqHash) and not (self.usable and other.usable):
            return False
        return self.distance(other, mixed_profiles=mixed_profiles) <= max_distance

    @classmethod
    def from_bits(
        cls, bits: bytes, *, profile: PdqProfile | str = PdqProfile.FULL, quality: int | None = None
    ) -> PdqHash:
        """Make a hash of 32 bytes in the order of :attr:`bits`.

        Raises:
            UsageError: not 32 bytes, an unknown profile, or a quality outside 0-100.
        """
        check_digest(bits)
        if quality is not None and not 0 <= quality <= _BEST_QUALITY:
            raise UsageError(f"quality: got {quality}, expected 0 to {_BEST_QUALITY}; leave it out if it is unknown")
        low = quality is not None and quality < _hash.MIN_USABLE_QUALITY
        return cls(State.LOW_QUALITY if low else State.OK, to_profile(profile), quality, bits)

    @classmethod
    def parse(cls, text: str, *, profile: PdqProfile | str = PdqProfile.FULL, quality: int | None = None) -> PdqHash:
        """Read hexadecimal (PDQ's own text) or base64.

        >>> PdqHash.parse("0f" * 32).distance(PdqHash.parse("00" * 32))
        128

        Args:
            text: 64 hexadecimal or 44 base64 digits.
            profile: which one the list was made with; most say nothing and mean ``full``.
            quality: as the list says it, if it does.

        Raises:
            UsageError: the text is neither, or see :meth:`from_bits`. The message does not carry the text.
        """
        return cls.from_bits(from_text(text), profile=profile, quality=quality)


# What the generated __init__ of a frozen class does, three times as fast: eight hashes would take longer to wrap than
# to make.
_set_state, _set_profile, _set_quality, _set_bits = (
    getattr(PdqHash, name).__set__ for name in ("state", "profile", "quality", "_bits")
)


def _made(state: State, profile: PdqProfile, quality: int, bits: bytes) -> PdqHash:
    made = object.__new__(PdqHash)
    _set_state(made, state)
    _set_profile(made, profile)
    _set_quality(made, quality)
    _set_bits(made, None if state is State.TOO_SMALL else bits)
    return made


def pdq(
    image: Pixels,
    *,
    profile: PdqProfile | Literal["full", "thumb512", "near512"] = "full",
    color: Color = "rgb",
    reduced_from: tuple[int, int] | None = None,
) -> PdqHash:
    """Hash a picture that is in memory.

    Takes decoded pixels only. A file is decoded by the caller, upright or not: a turned picture has another hash
    (see :func:`pdq_dihedral`). For ``thumb512`` of a JPEG file exactly as the pure-Python reference, let Pillow
    open the file and ``thumbnail((512, 512))`` it: it then decodes at a smaller scale. What is not larger than
    512 px is not resized again.

    >>> import numpy as np
    >>> pdq(np.zeros((64, 64, 3), np.uint8)).state
    <State.LOW_QUALITY: 'LOW_QUALITY'>

    Args:
        image: uint8[H, W, 3], uint8[H, W, 4] with ``color="rgba"`` (alpha is ignored), or grey or luma uint8[H, W].
            Rows may lie any distance apart; other views are copied.
        profile: what to do before hashing, recorded in the hash.
        color: order of the channels; not read for [H, W].
        reduced_from: (width, height) of the full picture when ``image`` is it at 1/2, 1/4 or 1/8, each pixel the mean
            of a block: ``full`` is then computed as if every pixel were spread over its block again. For a large JPEG,
            ``picture.draft("L", (1, 1))`` before it is loaded gives such a luma plane in a tenth of the time; how far
            the hash is from the full one's is in docs/performance.md.

    Returns:
        The hash; ``state`` says whether it may be matched. The same pixels give the same bits on every machine.

    Raises:
        UnsupportedInputError: not uint8, or another shape.
        UsageError: an unknown profile or color, a side above 32767 px, or ``reduced_from`` does not fit the picture.
    """
    (result,) = _run(image, profile, color, reduced_from, dihedral=False)
    return result


def pdq_dihedral(
    image: Pixels,
    *,
    profile: PdqProfile | Literal["full", "thumb512", "near512"] = "full",
    color: Color = "rgb",
    reduced_from: tuple[int, int] | None = None,
) -> tuple[PdqHash, ...]:
    """The hashes of all eight turns and mirrors, for the price of one.

    To find a picture however it was turned, compare each of the eight with the list.

    Args:
        image: as for :func:`pdq`.
        profile: as for :func:`pdq`.
        color: as for :func:`pdq`.
        reduced_from: as for :func:`pdq`.

    Returns:
        As it is; turned counter-clockwise by 90, 180 and 270 degrees; upside down; mirrored left to right;
        transposed; transposed along the other diagonal (the reference's order).
        They are exact for the 64x64 samples: hashing a picture that was turned differs by a few bits.

    Raises:
        UnsupportedInputError: as for :func:`pdq`.
        UsageError: as for :func:`pdq`.
    """
    return _run(image, profile, color, reduced_from, dihedral=True)


def luma_plane(
    data: bytes | bytearray | memoryview | npt.NDArray[Any], *, width: int, height: int, stride: int | None = None
) -> Pixels:
    """The luma of a planar YUV frame (NV21, NV12, I420), without copying and without making RGB of it.

    >>> frame = bytes(640 * 480 * 3 // 2)
    >>> pdq(luma_plane(frame, width=640, height=480)).state
    <State.LOW_QUALITY: 'LOW_QUALITY'>

    Args:
        data: the frame's bytes from the first luma sample on; chroma may follow and is not read.
        width: pixels.
        height: pixels.
        stride: bytes from one row to the next; ``width`` when left out.

    Returns:
        A view uint8[height, width] for :func:`pdq` and :func:`pdq_dihedral`.

    Raises:
        UnsupportedInputError: the buffer is not of dense bytes.
        UsageError: the sizes do not fit the buffer.
    """
    distance = width if stride is None else stride
    try:
        flat = np.frombuffer(data, dtype=np.uint8)
    except (ValueError, TypeError, BufferError):
        raise UnsupportedInputError(
            f"data: got {type(data).__name__} without dense bytes in it, expected a frame's bytes; copy it first"
        ) from None
    needed = distance * (height - 1) + width
    if width < 1 or height < 1 or distance < width or needed > flat.size:
        raise UsageError(
            f"width, height, stride: got {width}x{height} with stride {distance} in {flat.size} bytes, expected "
            f"{needed} bytes or more and stride >= width >= 1; give the frame's own numbers"
        )
    return np.lib.stride_tricks.as_strided(flat, (height, width), (distance, 1), writeable=False)


def to_profile(profile: PdqProfile | str) -> PdqProfile:
    """The profile of that name."""
    try:
        return PdqProfile(profile)
    except ValueError:
        names = ", ".join(PdqProfile)
        raise UsageError(f"profile: got an unknown name, expected one of {names}; choose one of them") from None


def _run(
    image: Pixels,
    profile: PdqProfile | str,
    color: str,
    reduced_from: tuple[int, int] | None,
    *,
    dihedral: bool,
) -> tuple[PdqHash, ...]:
    chosen = to_profile(profile)
    rows = _dense_rows(_checked(image, color))
    reduction, width, height = (1, 0, 0) if reduced_from is None else _reduction(rows, chosen, reduced_from)
    if chosen is PdqProfile.THUMB512 and max(rows.shape[:2]) > _hash.PRE_RESIZE_PX:
        rows = _thumbnail(rows)
        color = "rgb" if color == "rgba" else color
    format_name = "grey" if rows.ndim == 2 else color
    answers = _hash.pdq(rows, _FORMATS[format_name], _PROFILES[chosen], dihedral, reduction, width, height)
    return tuple([_made(_STATES[state], chosen, quality, bits) for state, quality, bits in answers])


def _reduction(rows: Pixels, profile: PdqProfile, reduced_from: tuple[int, int]) -> tuple[int, int, int]:
    """(factor, full width, full height)."""
    width, height = (operator.index(side) for side in reduced_from)
    if profile is not PdqProfile.FULL:
        raise UsageError(f"profile: got {profile} with reduced_from, expected full; hash the whole picture for others")
    for factor in (1, 2, 4, 8):
        if (-(-width // factor), -(-height // factor)) == (rows.shape[1], rows.shape[0]):
            return (1, 0, 0) if factor == 1 else (factor, width, height)
    raise UsageError(
        f"reduced_from: got {width}x{height} for a picture of {rows.shape[1]}x{rows.shape[0]}, expected sides that are "
        "1, 2, 4 or 8 times as long, rounded up; give the size before the reduction"
    )


def _checked(image: Pixels, color: str) -> Pixels:
    if color not in _CHANNELS:
        raise UsageError(f"color: got an unknown name, expected one of {', '.join(_CHANNELS)}; choose one of them")
    if not isinstance(image, np.ndarray):
        raise UnsupportedInputError(
            f"image: got {type(image).__name__}, expected a numpy array of pixels; decode files and convert pictures "
            "first, for instance with numpy.asarray(picture.convert('RGB'))"
        )
    if image.dtype != np.uint8:
        raise UnsupportedInputError(
            f"image: got dtype {image.dtype}, expected uint8; scale the values to 0-255 and convert them"
        )
    if image.ndim != 2 and not (image.ndim == 3 and image.shape[2] == _CHANNELS[color]):
        raise UnsupportedInputError(
            f"image: got shape {image.shape}, expected [height, width, {_CHANNELS[color]}] for color={color!r}, or "
            "[height, width]; say which color it is"
        )
    if image.size == 0:
        raise UsageError(f"image: got shape {image.shape}, expected at least one pixel; check the crop before")
    if max(image.shape[:2]) > _hash.MAX_SIDE_PX:
        raise UsageError(f"image: got shape {image.shape}, expected sides up to {_hash.MAX_SIDE_PX}; shrink it first")
    return image


def _dense_rows(image: Pixels) -> Pixels:
    """The same pixels, with those of a row next to each other and rows one after the other."""
    pixel_bytes = image.shape[2] if image.ndim == 3 else 1
    dense = (
        image.strides[1] == pixel_bytes and image.strides[-1] == 1 and image.strides[0] >= image.shape[1] * pixel_bytes
    )
    return image if dense or image.flags.c_contiguous else np.ascontiguousarray(image)


def _thumbnail(rows: Pixels) -> Pixels:
    """Pillow's thumbnail; the order of three channels does not matter to it, and alpha would."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(rows[..., :3] if rows.ndim == 3 else rows))
    picture.thumbnail((_hash.PRE_RESIZE_PX, _hash.PRE_RESIZE_PX))
    return np.asarray(picture)
