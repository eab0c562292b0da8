"""Does the fast hash equal the readable one on whatever picture, and do turns of a picture form their group?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from reference import pdq as twin
from safelight import _hash
from safelight.hashing import PdqHash, pdq, pdq_dihedral

SIDES = st.integers(5, 300)
SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(autouse=True)
def _fastest_again() -> Iterator[None]:
    yield
    _hash.set_kernel("auto")


def _noise(height: int, width: int, seed: int, *, grey: bool) -> npt.NDArray[np.uint8]:
    """Noise over a smooth picture, so that no frequency is nearly 0."""
    noise = np.random.default_rng(seed).integers(-40, 41, (height, width, 3))
    image = np.clip(twin.picture(width, height, seed) + noise, 0, 255).astype(np.uint8)
    return image[..., 1] if grey else image


@given(height=SIDES, width=SIDES, seed=SEEDS, grey=st.booleans())
@example(height=128, width=256, seed=1, grey=False)
@example(height=5, width=700, seed=1, grey=False)
@example(height=1100, width=33, seed=1, grey=True)
def test_native_equals_the_twin(height: int, width: int, seed: int, grey: bool) -> None:
    assume(not twin.ties(height, width))
    image = _noise(height, width, seed, grey=grey)
    hashes, quality = twin.pdq_dihedral(image)
    results = pdq_dihedral(image)
    assert [result.bits for result in results] == hashes
    assert pdq(image) == results[0]
    assert results[0].quality is not None
    assert abs(results[0].quality - quality) <= 1


@given(height=st.integers(5, 700), width=st.integers(500, 700), seed=SEEDS)
def test_near512_equals_the_twin(height: int, width: int, seed: int) -> None:
    assume(width > 512 or not twin.ties(height, width))
    image = twin.picture(width, height, seed)
    result = pdq(image, profile="near512")
    assert result.bits == twin.pdq(image, profile="near512")[0]
    assert result.bits == pdq(np.ascontiguousarray(twin.near512(image))).bits


@given(height=SIDES, width=SIDES, seed=SEEDS, grey=st.booleans(), padding=st.integers(0, 70))
def test_kernels_and_strides_change_nothing(height: int, width: int, seed: int, grey: bool, padding: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = np.ascontiguousarray(image[..., 0]) if grey else image
    wide = np.empty((height, width + padding, *image.shape[2:]), np.uint8)
    wide[:, :width] = image
    _hash.set_kernel("scalar")
    expected = pdq_dihedral(image)
    for name in _hash.kernels()["available"]:
        _hash.set_kernel(name)
        assert pdq_dihedral(wide[:, :width]) == expected


def _matrix(result: PdqHash) -> npt.NDArray[np.uint8]:
    """Bits as [row frequency, column frequency]."""
    return np.unpackbits(np.frombuffer(result.bits, np.uint8))[::-1].reshape(16, 16)


@given(side=SIDES, seed=SEEDS)
def test_the_eight_form_the_dihedral_group(side: int, seed: int) -> None:
    assume(not twin.ties(side, side))
    image = _noise(side, side, seed, grey=True)
    eight = pdq_dihedral(image)
    # Transposition commutes with everything that PDQ does.
    assert pdq_dihedral(np.ascontiguousarray(image.T))[0] == eight[6]
    for original, transposed in ((0, 6), (1, 5), (2, 7), (3, 4)):
        assert (_matrix(eight[original]) == _matrix(eight[transposed]).T).all()
    assert len({one.quality for one in eight}) == 1


@given(seed=SEEDS)
def test_at_64_px_turning_the_picture_is_turning_the_hash(seed: int) -> None:
    image = _noise(64, 64, seed, grey=False)
    eight = pdq_dihedral(image)
    turned = [
        image, np.rot90(image), np.rot90(image, 2), np.rot90(image, 3),
        image[::-1], image[:, ::-1], image.swapaxes(0, 1), np.rot90(image, 2).swapaxes(0, 1),
    ]  # fmt: skip
    assert [pdq(np.ascontiguousarray(other)).bits for other in turned] == [one.bits for one in eight]


@given(left=st.binary(min_size=32, max_size=32), right=st.binary(min_size=32, max_size=32))
def test_distance_is_a_metric_on_bits(left: bytes, right: bytes) -> None:
    one, other = PdqHash.from_bits(left), PdqHash.from_bits(right)
    expected = sum(bin(a ^ b).count("1") for a, b in zip(left, right, strict=True))
    assert one.distance(other) == other.distance(one) == expected
    assert PdqHash.parse(one.hex()) == PdqHash.parse(one.base64()) == one


@given(
    height=st.integers(5, 400),
    width=st.integers(5, 400) | st.integers(900, 1300),
    factor=st.sampled_from([2, 4, 8]),
    grey=st.booleans(),
    kernel=st.sampled_from(_hash.kernels()["available"]),
    seed=SEEDS,
)
@example(height=5, width=7, factor=8, grey=True, kernel="scalar", seed=1)
@example(height=300, width=64, factor=2, grey=False, kernel="scalar", seed=1)
def test_a_reduced_picture_is_hashed_as_its_blocks(
    height: int, width: int, factor: int, grey: bool, kernel: str, seed: int
) -> None:
    small = _noise(-(-height // factor), -(-width // factor), seed, grey=grey)
    spread = np.repeat(np.repeat(small, factor, axis=0), factor, axis=1)[:height, :width]
    _hash.set_kernel(kernel)
    assert pdq(small, reduced_from=(width, height)) == pdq(np.ascontiguousarray(spread))
    eight = pdq_dihedral(small, reduced_from=(width, height))
    assert eight == pdq_dihedral(np.ascontiguousarray(spread))
