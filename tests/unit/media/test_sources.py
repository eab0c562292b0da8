"""Does every kind of source give the same picture, and is the source left alone?"""

from __future__ import annotations

import io
import pathlib

import numpy as np
import pytest
from PIL import Image as PilImage
from safelight.decision import State
from safelight.errors import ClosedError
from safelight.media import Image, NotJudged, Pictures, load_image
from unit.media.helpers import blocks, encode, encode_frames, look, only, pattern


@pytest.fixture
def picture() -> np.ndarray:
    return pattern()


def test_path_bytes_file_and_arrays_agree(picture: np.ndarray, tmp_path: pathlib.Path) -> None:
    data = encode(picture, "PNG")
    path = tmp_path / "misleading.txt"
    path.write_bytes(data)
    sources = [
        path,
        str(path),
        data,
        bytearray(data),
        memoryview(data),
        memoryview(data + data)[: len(data)],
        io.BytesIO(data),
        PilImage.fromarray(picture),
        PilImage.open(io.BytesIO(data)),
        picture,
    ]
    for source in sources:
        assert np.array_equal(only(source).pixels, picture), type(source)


def test_non_contiguous_memoryview(picture: np.ndarray) -> None:
    data = encode(picture, "PNG")
    spread = bytearray(2 * len(data))
    spread[::2] = data
    assert np.array_equal(only(memoryview(spread)[::2]).pixels, picture)


@pytest.mark.parametrize("at", [0, 5, 10_000])
@pytest.mark.parametrize("buffering", [0, -1])
def test_file_object_is_read_whole_and_put_back(
    picture: np.ndarray, tmp_path: pathlib.Path, at: int, buffering: int
) -> None:
    path = tmp_path / "p"
    path.write_bytes(encode(picture, "PNG"))
    with open(path, "rb", buffering=buffering) as file:
        file.seek(at)
        assert np.array_equal(only(file).pixels, picture)
        assert file.tell() == at
        assert not file.closed


def test_file_object_is_put_back_when_it_is_refused() -> None:
    file = io.BytesIO(b"no picture at all")
    file.seek(3)
    assert look(file)[1] == NotJudged(State.NOT_MEDIA, "unknown_content")
    assert file.tell() == 3


def test_array_orders_and_channels(picture: np.ndarray) -> None:
    assert np.array_equal(only(picture[..., ::-1], color="BGR").pixels, picture)
    grey = picture[..., 0]
    assert np.array_equal(only(grey).pixels, np.stack([grey] * 3, axis=-1))
    opaque = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    assert np.array_equal(only(opaque).pixels, picture)
    assert np.array_equal(only(opaque[..., (2, 1, 0, 3)], color="BGR").pixels, picture)


def test_array_strides(picture: np.ndarray) -> None:
    wide = np.repeat(np.repeat(picture, 2, axis=0), 2, axis=1)
    for view in (
        wide[::2, ::2],
        np.asfortranarray(picture),
        picture[::-1, ::-1][::-1, ::-1],
        np.ascontiguousarray(picture.transpose(2, 0, 1)).transpose(1, 2, 0),
    ):
        assert np.array_equal(only(view).pixels, picture)
    assert np.array_equal(only(picture[::-1, ::-1]).pixels, picture[::-1, ::-1])
    broadcast = np.broadcast_to(np.uint8(7), (20, 30, 3))
    assert (only(broadcast).pixels == 7).all()


def test_array_is_copied_not_aliased(picture: np.ndarray) -> None:
    before = picture.copy()
    with load_image(picture) as pictures:  # type: ignore[union-attr]
        picture[:] = 0
        [image] = pictures
    assert isinstance(image, Image)
    assert np.array_equal(image.pixels, before)
    assert not np.shares_memory(image.pixels, picture)
    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0, 0, 0] = 1


def test_bytearray_is_copied(picture: np.ndarray) -> None:
    data = bytearray(encode(picture, "PNG"))
    with load_image(data) as pictures:  # type: ignore[union-attr]
        data[:] = bytes(len(data))
        [image] = pictures
    assert isinstance(image, Image)
    assert np.array_equal(image.pixels, picture)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "I"])
def test_pil_image_is_not_changed(picture: np.ndarray, mode: str) -> None:
    source = PilImage.fromarray(picture)
    if mode in ("I;16", "I"):
        source = PilImage.fromarray(picture[..., 0].astype(np.uint16) * 257)
        source = source.convert("I") if mode == "I" else source
    else:
        source = source.convert(mode)
    source.info["comment"] = "kept"
    before = (source.mode, source.size, source.tobytes(), dict(source.info), source.getpalette())
    images, failure = look(source)
    assert failure is None
    assert images
    assert (source.mode, source.size, source.tobytes(), dict(source.info), source.getpalette()) == before
    source.putpixel((0, 0), source.getpixel((1, 1)))  # still open and writable


def test_pil_16_bit_is_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 40 * 28).reshape(28, 40).astype(np.uint16)
    expected = np.round(ramp / 257).astype(int)
    for source in (PilImage.fromarray(ramp), PilImage.fromarray(ramp.astype(np.int32))):
        got = only(source).pixels[..., 0].astype(int)
        assert np.abs(got - expected).max() <= 1


@pytest.mark.parametrize("mode", ["F", "LAB"])
def test_pil_modes_without_a_known_range_are_not_guessed(mode: str) -> None:
    _, failure = look(PilImage.new(mode, (40, 28)))
    assert failure is not None
    assert failure.state is State.NO_DECODER


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_pil_animation_is_looked_at_whole_and_put_back(kind: str) -> None:
    pictures = [blocks(n) for n in range(4)]
    source = PilImage.open(io.BytesIO(encode_frames(pictures, kind)))
    source.seek(2)
    images, failure = look(source)
    assert failure is None
    for expected in pictures:
        assert any(np.array_equal(image.pixels, expected) for image in images)
    assert source.tell() == 2


def test_pil_image_that_cannot_be_loaded_is_a_state(picture: np.ndarray) -> None:
    source = PilImage.open(io.BytesIO(encode(picture, "PNG")[:-200]))
    _, failure = look(source)
    assert failure is not None
    assert failure.state is State.DECODE_FAILED


def test_iterating_again_decodes_again(picture: np.ndarray) -> None:
    with load_image(encode(picture, "PNG")) as pictures:  # type: ignore[union-attr]
        first, second = list(pictures), list(pictures)
    assert np.array_equal(first[0].pixels, second[0].pixels)  # type: ignore[union-attr]


def test_closed_pictures_raise() -> None:
    pictures = load_image(encode_frames([blocks(0), blocks(1)], "GIF"))
    assert isinstance(pictures, Pictures)
    running = iter(pictures)
    next(running)
    pictures.close()
    pictures.close()
    with pytest.raises(ClosedError):
        next(running)
    with pytest.raises(ClosedError):
        iter(pictures)


def test_sizes_are_told_before_decoding() -> None:
    pictures = load_image(encode_frames([blocks(0), blocks(1)], "GIF"))
    assert isinstance(pictures, Pictures)
    assert (pictures.format, pictures.width_px, pictures.height_px, pictures.frame_count) == ("GIF", 40, 28, 2)
