"""Can anything hide behind transparency?"""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image as PilImage
from safelight.media import Image
from unit.media.helpers import chunk, encode, gif, gif_frame, header, look, pattern, png, rows


def by_view(source: object) -> dict[str, Image]:
    images, failure = look(source)
    assert failure is None
    return {image.view: image for image in images}


def over(rgba: np.ndarray, ground: int) -> np.ndarray:
    alpha = rgba[..., 3:].astype(float) / 255
    return np.round(rgba[..., :3] * alpha + ground * (1 - alpha))


def with_alpha(alpha: np.ndarray | int) -> np.ndarray:
    picture = pattern()
    return np.dstack([picture, np.broadcast_to(np.uint8(alpha), picture.shape[:2])])


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "PIL", "ARRAY"])
def test_three_views_of_a_picture_with_hidden_colours(kind: str) -> None:
    rgba = with_alpha(np.linspace(0, 255, 40)[None, :].repeat(28, 0).astype(np.uint8))
    source = {"PIL": PilImage.fromarray(rgba), "ARRAY": rgba}.get(kind)
    seen = by_view(encode(rgba, kind) if source is None else source)
    assert list(seen) == ["over_white", "over_black", "under_alpha"]
    assert np.abs(seen["over_white"].pixels - over(rgba, 255)).max() <= 1
    assert np.abs(seen["over_black"].pixels - over(rgba, 0)).max() <= 1
    assert np.array_equal(seen["under_alpha"].pixels, rgba[..., :3])


def test_a_whole_picture_under_alpha_0() -> None:
    seen = by_view(encode(with_alpha(0), "PNG"))
    assert (seen["over_white"].pixels == 255).all()
    assert (seen["over_black"].pixels == 0).all()
    assert np.array_equal(seen["under_alpha"].pixels, pattern())


def test_a_faint_picture_is_seen_in_full() -> None:
    assert np.array_equal(by_view(encode(with_alpha(3), "PNG"))["under_alpha"].pixels, pattern())


def test_opaque_alpha_is_one_view() -> None:
    assert list(by_view(encode(with_alpha(255), "PNG"))) == ["plain"]


def test_one_hidden_pixel_is_enough() -> None:
    rgba = with_alpha(255)
    rgba[5, 5] = (200, 10, 10, 0)
    assert "under_alpha" in by_view(encode(rgba, "PNG"))


def test_nothing_hidden_is_two_views() -> None:
    rgba = with_alpha(255)
    rgba[:9] = 0
    assert list(by_view(encode(rgba, "PNG"))) == ["over_white", "over_black"]


def test_grey_with_alpha() -> None:
    grey = pattern()[..., 0]
    la = PilImage.fromarray(grey)
    la.putalpha(PilImage.new("L", la.size, 0))
    assert np.array_equal(by_view(encode(la, "PNG"))["under_alpha"].pixels[..., 2], grey)


def test_png_palette_with_alpha_in_every_depth() -> None:
    for depth in (1, 2, 4, 8):
        values = np.zeros((20, 24), np.uint8)
        per_byte = 8 // depth
        packed = values.reshape(20, -1, per_byte)[..., 0]
        data = png(
            header(24, 20, depth, 3),
            chunk(b"PLTE", b"\x0a\x14\x1e" * 2),
            chunk(b"tRNS", b"\x00"),
            chunk(b"IDAT", rows(packed)),
        )
        seen = by_view(data)
        assert (seen["under_alpha"].pixels == (10, 20, 30)).all()
        assert (seen["over_white"].pixels == 255).all()


@pytest.mark.parametrize(("colour", "key"), [(0, (7,)), (2, (7, 8, 9))])
def test_png_colour_key(colour: int, key: tuple[int, ...]) -> None:
    values = np.full((20, 24, len(key)), 100, np.uint8)
    values[:10] = key
    data = png(
        header(24, 20, 8, colour),
        chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)),
        chunk(b"IDAT", rows(values.reshape(20, -1))),
    )
    seen = by_view(data)
    assert (seen["over_white"].pixels[:10] == 255).all()
    assert (seen["over_white"].pixels[10:] == 100).all()
    assert (seen["under_alpha"].pixels[:10] == (key * 3)[:3]).all()


def test_png_colour_key_at_low_depth() -> None:
    data = png(header(24, 20, 2, 0), chunk(b"tRNS", b"\0\2"), chunk(b"IDAT", rows(np.full((20, 6), 0xAA, np.uint8))))
    seen = by_view(data)
    assert (seen["over_black"].pixels == 0).all()
    assert (seen["under_alpha"].pixels == 170).all()


def test_gif_transparent_ground_is_white_and_black() -> None:
    indices = np.ones((28, 40), np.uint8)
    indices[:, :20] = 0
    data = gif(gif_frame(indices, transparent=0), palette=[(1, 2, 3), (200, 10, 10)])
    seen = by_view(data)
    assert (seen["over_white"].pixels[:, :20] == 255).all()
    assert (seen["over_black"].pixels[:, :20] == 0).all()
    assert (seen["over_white"].pixels[:, 20:] == (200, 10, 10)).all()


def test_gamma_and_alpha_together() -> None:
    rgba = with_alpha(128)
    data = png(
        header(40, 28, 8, 6),
        chunk(b"gAMA", struct.pack(">I", 10_000)),
        chunk(b"IDAT", rows(rgba.reshape(28, -1))),
    )
    assert list(by_view(data)) == [
        "over_white",
        "over_black",
        "under_alpha",
        "gamma/over_white",
        "gamma/over_black",
        "gamma/under_alpha",
    ]
