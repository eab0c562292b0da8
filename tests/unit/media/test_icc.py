"""Is a picture looked at through its colour profile exactly where the profile changes what is seen?"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image as PilImage
from safelight.decision import State
from safelight.media import NotJudged, _icc
from unit.media.helpers import (
    avif,
    chunk,
    curve,
    distance,
    encode,
    gamma_curve,
    icc,
    inverting_profile,
    look,
    needs,
    pattern,
    rgb_png,
    segment,
    srgb_curve,
    with_segments,
)

ImageCms = pytest.importorskip("PIL.ImageCms")

P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
PROPHOTO = ((0.79767, 0.28804, 0.0), (0.13518, 0.71188, 0.0), (0.03134, 0.00009, 0.82491))


def parametric(kind: int, *values: float) -> bytes:
    return b"para" + bytes(4) + struct.pack(f">HH{len(values)}i", kind, 0, *(round(v * 65_536) for v in values))


SRGB_PARAMETERS = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
NEAR = {
    "sRGB": icc(srgb_curve()),
    "sRGB, parametric": icc(parametric(3, *SRGB_PARAMETERS)),
    "sRGB, parametric with offsets": icc(parametric(4, *SRGB_PARAMETERS, 0, 0)),
    "Display P3": icc(parametric(3, *SRGB_PARAMETERS), columns=P3),
    "Adobe RGB": icc(gamma_curve(2.199), columns=ADOBE),
    "gamma 2.2, parametric": icc(parametric(0, 2.2)),
    "gamma 2.2 from an offset": icc(parametric(1, 2.2, 1.0, 0.0)),
    "gamma 2.2 and an offset": icc(parametric(2, 2.2, 1.0, 0.0, 0.0)),
    "grey": icc(gamma_curve(2.2), space=b"GRAY"),
}
FAR = {
    "inverted": inverting_profile(),
    "one channel inverted": icc(srgb_curve(), curve(list(np.linspace(1, 0, 256))), srgb_curve()),
    "gamma 1": icc(gamma_curve(1)),
    "identity table": icc(curve([])),
    "gamma 6": icc(gamma_curve(6)),
    "channels exchanged": icc(srgb_curve(), columns=(P3[1], P3[0], P3[2])),
    "ProPhoto": icc(gamma_curve(1.8), columns=PROPHOTO),
    "grey, inverted": icc(curve(list(np.linspace(1, 0, 256))), space=b"GRAY"),
    "a spike between two values": icc(
        curve([*np.linspace(0, 1, 512)[:300] ** 2.2, *[0] * 12, *np.linspace(0.6, 1, 200) ** 2.2])
    ),
}


@pytest.mark.parametrize("name", NEAR)
def test_profiles_of_ordinary_photos_need_one_look(name: str) -> None:
    images, failure = look(encode(pattern(), "PNG", icc_profile=NEAR[name]))
    assert failure is None
    assert [image.view for image in images] == ["plain"]


def test_pillows_own_srgb_profile_is_near() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert [i.view for i in look(encode(pattern(), "PNG", icc_profile=profile))[0]] == ["plain"]


@pytest.mark.parametrize("name", FAR)
def test_profiles_that_change_the_picture_are_a_second_look(name: str) -> None:
    picture = pattern()
    images, failure = look(encode(picture, "PNG", icc_profile=FAR[name]))
    assert failure is None
    assert [image.view for image in images] == ["plain", "icc/plain"]
    assert np.array_equal(images[0].pixels, picture)
    assert distance(images[1].pixels, picture) > 3


def containers() -> dict[str, Callable[[np.ndarray, bytes], bytes]]:
    def multi_segment(picture: np.ndarray, profile: bytes) -> bytes:
        half = len(profile) // 2
        parts = [
            segment(0xE2, b"ICC_PROFILE\0\2\2" + profile[half:]),
            segment(0xE2, b"ICC_PROFILE\0\1\2" + profile[:half]),
        ]
        return with_segments(encode(picture, "JPEG", quality=95), *parts)

    return {
        "JPEG": lambda picture, profile: encode(picture, "JPEG", quality=95, icc_profile=profile),
        "JPEG, profile in two segments": multi_segment,
        "PNG": lambda picture, profile: encode(picture, "PNG", icc_profile=profile),
        "WEBP": lambda picture, profile: encode(picture, "WEBP", icc_profile=profile),
        "AVIF": lambda picture, profile: avif(picture, icc_profile=profile),
    }


@pytest.mark.parametrize("name", containers())
def test_every_format_with_profiles(name: str) -> None:
    picture = pattern(64, 48)
    images, failure = look(containers()[name](picture, inverting_profile()))
    assert failure is None
    assert [image.view for image in images] == ["plain", "icc/plain"]
    assert distance(images[1].pixels, 255 - picture) < 5


def test_pil_image_with_a_profile() -> None:
    source = PilImage.fromarray(pattern())
    source.info["icc_profile"] = inverting_profile()
    assert [image.view for image in look(source)[0]] == ["plain", "icc/plain"]


def test_alpha_is_kept() -> None:
    rgba = np.dstack([pattern(), np.full((28, 40), 128, np.uint8)])
    views = [image.view for image in look(encode(rgba, "PNG", icc_profile=inverting_profile()))[0]]
    assert views == ["over_white", "over_black", "under_alpha", "icc/over_white", "icc/over_black", "icc/under_alpha"]


def test_grey_profile_on_a_grey_jpeg() -> None:
    grey = pattern()[..., 0]
    data = encode(PilImage.fromarray(grey), "JPEG", quality=95, icc_profile=FAR["grey, inverted"])
    images, _ = look(data)
    assert [image.view for image in images] == ["plain", "icc/plain"]
    assert images[1].pixels[14, 3].mean() > images[1].pixels[14, 36].mean()


def cmyk_profile() -> bytes:
    """Four inks through a small table: no ink is black, all ink is white. Nothing like a printer."""
    grid = 2
    nodes = np.indices((grid,) * 4).reshape(4, -1).T
    lightness = nodes.sum(axis=1) / 4
    table = (
        np.stack([lightness * 255, np.full(len(nodes), 128), np.full(len(nodes), 128)], axis=1).round().astype(np.uint8)
    )
    linear = bytes(range(256))
    body = b"mft1" + bytes(4) + bytes([4, 3, grid, 0])
    body += struct.pack(">9i", *(65_536 if n % 4 == 0 else 0 for n in range(9)))
    body += linear * 4 + table.tobytes() + linear * 3
    head = icc(srgb_curve())[:128]
    head = head[:12] + b"prtr" + b"CMYK" + b"Lab " + head[24:]
    tags = {b"A2B0": body, b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", 63_190, 65_536, 54_061)}
    start = 132 + 12 * len(tags)
    listing, bodies = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        listing += struct.pack(">4sII", name, start + len(bodies), len(content))
        bodies += content + bytes(-len(content) % 4)
    whole = head + listing + bodies
    return struct.pack(">I", len(whole)) + whole[4:]


def test_cmyk_jpeg_through_its_profile() -> None:
    picture = PilImage.fromarray(pattern(64, 48)).convert("CMYK")
    images, failure = look(encode(picture, "JPEG", quality=95, icc_profile=cmyk_profile()))
    assert failure is None
    assert [image.view for image in images] == ["plain", "icc/plain"]
    inks = np.asarray(picture).astype(float).mean(axis=2)
    assert np.corrcoef(inks.ravel(), images[1].pixels.mean(axis=2).ravel())[0, 1] > 0.9


@pytest.mark.parametrize(
    "profile",
    [
        b"",
        b"x",
        bytes(200),
        icc(srgb_curve())[:140],
        inverting_profile()[:-900],
        bytes(36) + b"acsp" + b"\xff" * 400,
        inverting_profile().replace(b"RGB ", b"Luv "),
        inverting_profile().replace(b"acsp", b"nope"),
        icc(b"curv" + bytes(4) + b"\xff\xff\xff\xff"),
        icc(b"para" + bytes(4) + b"\0\x09\0\0"),
    ],
)
def test_profiles_that_nobody_can_read_are_ignored(profile: bytes) -> None:
    picture = pattern()
    for data in (
        rgb_png(picture, chunk(b"iCCP", b"name\0\0" + zlib.compress(profile))),
        encode(picture, "WEBP", icc_profile=profile or b"\0"),
    ):
        images, failure = look(data)
        assert failure is None
        assert images[0].view == "plain"
        assert np.array_equal(images[0].pixels, picture)


@pytest.mark.parametrize("body", [b"", b"\0", b"name", b"name\0\0not deflate", b"n" * 200, b"name\0"])
def test_damaged_png_profile_chunks_are_ignored(body: bytes) -> None:
    assert len(look(rgb_png(pattern(), chunk(b"iCCP", body)))[0]) == 1


def test_a_profile_too_large_to_be_one_is_a_state() -> None:
    huge = inverting_profile() + bytes(_icc.MAX_PROFILE_BYTES)
    assert look(rgb_png(pattern(), chunk(b"iCCP", b"name\0\0" + zlib.compress(huge))))[1] == NotJudged(
        State.TOO_LARGE, "icc"
    )


def test_without_a_colour_engine_it_is_a_state(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    data = encode(pattern(), "PNG", icc_profile=inverting_profile())
    monkeypatch.setitem(sys.modules, "PIL.ImageCms", None)
    monkeypatch.delattr("PIL.ImageCms")
    images, failure = look(data)
    assert len(images) == 1
    assert failure == NotJudged(State.NO_DECODER, "icc_not_built")


def test_near_and_far_agree_with_littlecms() -> None:
    """What is called near is near in the engine's own numbers too, on the colours of a smooth picture."""
    needs("PNG")
    picture = PilImage.fromarray(pattern(64, 48))
    srgb = ImageCms.createProfile("sRGB")
    for name, profile in NEAR.items():
        if name == "grey":
            continue
        shown = ImageCms.profileToProfile(
            picture, ImageCms.ImageCmsProfile(io.BytesIO(profile)), srgb, outputMode="RGB"
        )
        assert shown is not None
        luma = np.abs(np.asarray(shown.convert("L")).astype(int) - np.asarray(picture.convert("L")))
        assert luma.mean() < 12, name
