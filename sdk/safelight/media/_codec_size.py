"""How large the pictures in an HEVC or AV1 bitstream are, read from their sequence headers.

A container states a size, and the bitstream inside states another. Decoders allocate by the second. Only as
much is read as stands before the size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from safelight.media._refuse import Steps, broken

_HEVC_SPS: Final = 33
_AV1_SEQUENCE_HEADER: Final = 1
_SPS_HEAD_BYTES: Final = 256  # the size stands within the first 100 bytes


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise broken("heif_codec")
        return (self._value >> self._left) & ((1 << count) - 1)

    def unsigned(self) -> int:
        """An Exp-Golomb number (HEVC's ``ue(v)``, AV1's ``uvlc()``)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 32:
                raise broken("heif_codec")
        return (1 << zeros) - 1 + self.take(zeros)


def hevc_configuration(body: bytes) -> tuple[int, list[bytes]]:
    """``hvcC``: how many bytes the length of a NAL unit takes, and the NAL units in it."""
    if len(body) < 23:
        raise broken("heif_codec")
    units = []
    at = 23
    for _ in range(body[22]):
        count = int.from_bytes(body[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            length = int.from_bytes(body[at : at + 2], "big")
            if at + 2 + length > len(body):
                raise broken("heif_codec")
            units.append(body[at + 2 : at + 2 + length])
            at += 2 + length
    return (body[21] & 3) + 1, units


def hevc_units(data: bytes, length_bytes: int, steps: Steps) -> Iterator[bytes]:
    """The head of every NAL unit of an item."""
    at = 0
    while at < len(data):
        steps.take()
        length = int.from_bytes(data[at : at + length_bytes], "big")
        at += length_bytes
        if length == 0 or at + length > len(data):
            raise broken("heif_codec")
        yield data[at : at + min(length, _SPS_HEAD_BYTES)]
        at += length


def hevc_size(unit: bytes) -> tuple[int, int] | None:
    """Width and height that a NAL unit sets, if it is a sequence parameter set of the base layer."""
    if len(unit) < 3 or (unit[0] >> 1) & 0x3F != _HEVC_SPS or ((unit[0] & 1) << 5 | unit[1] >> 3):
        return None
    bits = _Bits(unit[2:_SPS_HEAD_BYTES].replace(b"\0\0\3", b"\0\0"))
    bits.take(4)
    sub_layers = bits.take(3)
    bits.take(1 + 96)
    present = [(bits.take(1), bits.take(1)) for _ in range(sub_layers)]
    if sub_layers:
        bits.take(2 * (8 - sub_layers))
    for profile, level in present:
        bits.take(88 * profile + 8 * level)
    bits.unsigned()
    if bits.unsigned() == 3:
        bits.take(1)
    return bits.unsigned(), bits.unsigned()


def av1_sizes(data: bytes, steps: Steps) -> Iterator[tuple[int, int]]:
    """The largest width and height that each sequence header in ``data`` allows."""
    at = 0
    while at < len(data):
        steps.take()
        head = data[at]
        at += 2 if head & 4 else 1
        if head & 2:
            length, shift = 0, 0
            while True:
                if at >= len(data) or shift > 28:
                    raise broken("heif_codec")
                length |= (data[at] & 0x7F) << shift
                at, shift = at + 1, shift + 7
                if not data[at - 1] & 0x80:
                    break
        else:
            length = len(data) - at
        if length < 0 or at + length > len(data):
            raise broken("heif_codec")
        if (head >> 3) & 15 == _AV1_SEQUENCE_HEADER:
            yield _av1_size(data[at : at + min(length, _SPS_HEAD_BYTES)])
        at += length


def _av1_size(header: bytes) -> tuple[int, int]:
    bits = _Bits(header)
    bits.take(3)
    bits.take(1)
    reduced = bits.take(1)
    if reduced:
        bits.take(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    width, height = bits.take(width_bits) + 1, bits.take(height_bits) + 1
    # Without the short header every frame may state a size of its own, in as many bits.
    return (width, height) if reduced else (1 << width_bits, 1 << height_bits)


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):
            bits.unsigned()
        if bits.take(1):  # decoder model
            delay_bits = bits.take(5) + 1
            bits.take(32 + 5 + 5)
    display_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if display_delay and bits.take(1):
            bits.take(4)
