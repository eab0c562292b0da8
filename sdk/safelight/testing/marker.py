"""Markers: benign pictures and messages that a test-mode guard takes for the real thing, with any chosen score.

A marked picture carries a QR code (version 1, error correction H: up to 30 % of it may be wrong) of seventeen digits:
the score in thousandths and a keyed checksum (BLAKE2b, 43 bits) over it. A marked message carries a short token of the
same kind. The key is random in every process, so no picture or text of anybody's can set it off, and a marker that was
made elsewhere does nothing; :attr:`MarkerKey.hex` hands a key to a child process. What a marker survives is measured in
docs/trigger-kit.md. Reading and making need the extra ``[testing]``; messages do not.

    >>> from safelight import Guard, Profile
    >>> from safelight.testing import TestMode
    >>> from safelight.testing.marker import mark_picture
    >>> with Guard(Profile("10_12"), test_mode=TestMode(marked=True)) as guard:  # doctest: +SKIP
    ...     guard.check_image(mark_picture(pixels, score=0.97)).action
    <Action.BLOCK: 4>
"""

from __future__ import annotations

import re
import secrets
from functools import lru_cache
from hashlib import blake2b
from hmac import compare_digest
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from safelight.decision import Label
from safelight.detect.conversation import STAGES
from safelight.errors import MissingExtraError, UnsupportedInputError, UsageError

_KEY_BYTES: Final = 32
_CHECK: Final = 10**13  # of the checksum's numbers; with four digits of score the most that the smallest code holds
_MODULES: Final = 21  # a side of a QR code of version 1
_QUIET: Final = 2  # light modules around it: the standard asks for 4, readers need 1
_SIDE: Final = _MODULES + 2 * _QUIET
#: Of the marker's side: below two pixels a module not even a lossless picture is read reliably.
MIN_SIDE_PX: Final = 2 * _SIDE
# Inside the limited range of video, so that no conversion clips them.
_DARK: Final = 24
_LIGHT: Final = 232

_TOKEN = re.compile(r"\[\[safelight-test:([a-z_]{1,20}):([01]\.[0-9]{3}):([0-9a-f]{16})\]\]")


class MarkerKey:
    """Whose markers count. Made at random, or from the ``hex`` of another process's key.

    Args:
        value: 64 hexadecimal digits; random when left out.

    Raises:
        UsageError: another form.
    """

    __slots__ = ("_bytes",)

    def __init__(self, value: str | None = None) -> None:
        if value is None:
            self._bytes = secrets.token_bytes(_KEY_BYTES)
            return
        if not isinstance(value, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", value):
            raise UsageError("key: got something else, expected 64 hexadecimal digits; take them from MarkerKey().hex.")
        self._bytes = bytes.fromhex(value)

    @property
    def hex(self) -> str:
        """The key itself, to be handed to a child process."""
        return self._bytes.hex()

    def checksum(self, what: bytes, *, size_bytes: int = 8) -> bytes:
        """Keyed checksum of ``what``."""
        return blake2b(what, key=self._bytes, digest_size=size_bytes, person=b"safelight-marker").digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MarkerKey) and compare_digest(self._bytes, other._bytes)

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __repr__(self) -> str:
        return "<MarkerKey>"


@lru_cache(maxsize=1)
def process_key() -> MarkerKey:
    """This process's own key, which is meant where none is given."""
    return MarkerKey()


def mark_picture(
    pixels: npt.NDArray[np.uint8],
    *,
    score: float = 0.97,
    region_px: tuple[int, int, int, int] | None = None,
    alpha: float = 1.0,
    key: MarkerKey | None = None,
) -> npt.NDArray[np.uint8]:
    """A copy of a benign picture that a test-mode guard with ``TestMode(marked=True)`` takes for a nude one.

    Args:
        pixels: ``uint8[H, W, 3]``, RGB (or BGR: the marker is grey).
        score: in [0, 1], of the nudity finding, kept to a thousandth: explicit from 0.8, suggestive from 0.5.
        region_px: left, top, right, bottom of where the marker is put, as the largest square that fits, in the
            middle; the whole picture when left out. At least :data:`MIN_SIDE_PX` each way.
        alpha: how much of the marker is mixed in, in [0, 1], for slow fades. On smooth ground it is read from about
            0.2, on a detailed picture from about 0.7; see docs/trigger-kit.md.
        key: whose marker it is; this process's own when left out.

    Returns:
        ``uint8[H, W, 3]``.

    Raises:
        UnsupportedInputError: an array of another shape or dtype.
        UsageError: an argument is out of its range.
        MissingExtraError: without the extra ``[testing]``.
    """
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise UnsupportedInputError("pixels: expected uint8[H, W, 3]; convert to 8 bits, channels last.")
    height, width = pixels.shape[:2]
    left, top, right, bottom = region_px if region_px is not None else (0, 0, width, height)
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise UsageError("region_px: expected left, top, right, bottom inside the picture, left < right, top < bottom.")
    module_px = min(right - left, bottom - top) // _SIDE
    if module_px < 2:
        raise UsageError(f"region_px: got under {MIN_SIDE_PX} px, expected that much or more each way; enlarge it.")
    if not 0.0 <= alpha <= 1.0:
        raise UsageError(f"alpha: got {alpha!r}, expected a number in [0, 1].")
    cells = _cells(_content(score, key if key is not None else process_key()))
    marker = cells.repeat(module_px, 0).repeat(module_px, 1)[..., np.newaxis]
    side = marker.shape[0]
    x, y = left + (right - left - side) // 2, top + (bottom - top - side) // 2
    marked = pixels.copy()
    under = marked[y : y + side, x : x + side]
    mixed = under + np.float32(alpha) * (marker - under.astype(np.float32))
    under[...] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return marked


def read_marker(pixels: npt.NDArray[np.uint8], *, key: MarkerKey | None = None) -> float | None:
    """The highest score of the markers in a picture, or ``None`` when it has none of this key.

    Args:
        pixels: ``uint8[H, W, 3]`` or ``uint8[H, W]``.
        key: whose markers count; this process's own when left out.

    Raises:
        UnsupportedInputError: an array of another shape or dtype.
        MissingExtraError: without the extra ``[testing]``.
    """
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        raise UnsupportedInputError("pixels: expected uint8[H, W, 3] or uint8[H, W]; convert to 8 bits, channels last.")
    zxing = _zxing()
    found = zxing.read_barcodes(np.ascontiguousarray(pixels), formats=zxing.QRCode, text_mode=zxing.TextMode.Plain)
    scores = [_score(code.text, key if key is not None else process_key()) for code in found]
    return max((score for score in scores if score is not None), default=None)


def mark_message(text: str, *, stage: Label | str, score: float = 0.97, key: MarkerKey | None = None) -> str:
    """A benign message with a token that a test-mode guard with ``TestMode(marked=True)`` takes for a stage.

    Args:
        text: anything harmless.
        stage: of :data:`safelight.detect.conversation.STAGES`, e.g. ``secrecy``. Whether one message, or several of
            different stages, warn, is up to the rules of the conversation.
        score: in [0, 1], kept to a thousandth.
        key: whose token it is; this process's own when left out.

    Raises:
        UsageError: an unknown stage, or a score out of its range.
    """
    if stage not in STAGES:
        raise UsageError(f"stage: got {str(stage)!r}, expected one of {', '.join(STAGES)}.")
    body = f"{Label(stage).value}:{_thousandths(score) / 1000:.3f}"
    token = f"[[safelight-test:{body}:{_token_check(body, key)}]]"
    return f"{text} {token}" if text else token


def read_message(text: str, *, key: MarkerKey | None = None) -> dict[Label, float]:
    """Stages and scores of the tokens of this key in a message."""
    scores: dict[Label, float] = {}
    for stage, score, check in _TOKEN.findall(text):
        if stage in STAGES and float(score) <= 1.0 and compare_digest(check, _token_check(f"{stage}:{score}", key)):
            scores[Label(stage)] = max(float(score), scores.get(Label(stage), 0.0))
    return scores


def require_reader() -> None:
    """Make sure that markers can be read.

    Raises:
        MissingExtraError: without the extra ``[testing]``.
    """
    _zxing()


def _zxing() -> Any:
    try:
        import zxingcpp
    except ImportError:
        raise MissingExtraError(
            "markers: zxing-cpp is not installed, expected it for reading and making them; install safelight[testing]."
        ) from None
    return zxingcpp


def _thousandths(score: float) -> int:
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0.0 <= score <= 1.0:
        raise UsageError("score: expected a number in [0, 1].")
    return round(score * 1000)


def _check(thousandths: int, key: MarkerKey) -> int:
    return int.from_bytes(key.checksum(b"picture:%d" % thousandths), "big") % _CHECK


def _content(score: float, key: MarkerKey) -> str:
    thousandths = _thousandths(score)
    return f"{thousandths:04d}{_check(thousandths, key):013d}"


def _score(content: str, key: MarkerKey) -> float | None:
    if len(content) != 17 or not content.isascii() or not content.isdigit():
        return None
    thousandths = int(content[:4])
    return thousandths / 1000 if thousandths <= 1000 and int(content[4:]) == _check(thousandths, key) else None


def _token_check(body: str, key: MarkerKey | None) -> str:
    return (key if key is not None else process_key()).checksum(b"message:" + body.encode()).hex()


@lru_cache(maxsize=64)
def _cells(content: str) -> npt.NDArray[np.float32]:
    """``float32[25, 25]``: the code with its quiet zone, one number a module."""
    zxing = _zxing()
    code = np.array(zxing.create_barcode(content, zxing.QRCode, ec_level="H").to_image(scale=1, add_quiet_zones=False))
    if code.shape != (_MODULES, _MODULES):
        raise MissingExtraError("markers: zxing-cpp made a code of another size; install zxing-cpp 3.1 or newer.")
    cells = np.full((_SIDE, _SIDE), _LIGHT, np.float32)
    cells[_QUIET:-_QUIET, _QUIET:-_QUIET] = np.where(code < 128, _DARK, _LIGHT)
    cells.setflags(write=False)
    return cells
