"""HEIC and AVIF: is every picture that a viewer may open looked at, upright, and measured before it is decoded?"""

from __future__ import annotations

import io
import struct
import sys
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage
from PIL import ImageOps
from safelight.decision import State
from safelight.media import Limits, NotJudged, Pictures, _codec_size, load_image
from safelight.media._refuse import Refused, Steps
from unit.media.helpers import (
    HeifItem,
    avif,
    blocks,
    box,
    curve,
    distance,
    encode,
    exif,
    full_box,
    heic,
    heif_file,
    heif_items,
    icc,
    inverting_profile,
    look,
    needs,
    only,
    pattern,
)

CODECS = ["HEIF", "AVIF"]


def coded(codec: str, *pictures: np.ndarray, **options: Any) -> bytes:
    needs(codec)
    return heic(*pictures, **options) if codec == "HEIF" else avif(*pictures, **options)


def item(codec: str, picture: np.ndarray) -> HeifItem:
    return heif_items(coded(codec, picture))[0]


def built(codec: str, *items: HeifItem, **options: Any) -> bytes:
    return heif_file(items, brand=b"heic" if codec == "HEIF" else b"avif", **options)


def state_of(data: bytes, **options: Any) -> tuple[State, str]:
    images, failure = look(data, **options)
    assert not images
    assert failure is not None
    return failure.state, failure.detail_id


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [(96, 64), (97, 71), (64, 64)])
def test_round_trip(codec: str, size: tuple[int, int]) -> None:
    picture = pattern(*size)
    data = coded(codec, picture)
    image = only(data)
    assert distance(image.pixels, picture) < 4
    loaded = load_image(data)
    assert isinstance(loaded, Pictures)
    assert (loaded.format, loaded.frame_count, loaded.width_px, loaded.height_px) == (codec, 1, *size)


@pytest.mark.parametrize("codec", CODECS)
def test_alpha(codec: str) -> None:
    needs(codec)
    rgba = np.dstack([pattern(96, 64), np.linspace(0, 255, 96, dtype=np.uint8)[None].repeat(64, 0)])
    images, failure = look(heic(rgba) if codec == "HEIF" else avif(rgba))
    assert failure is None
    assert [image.view for image in images] == ["over_white", "over_black", "under_alpha"]
    assert distance(images[2].pixels, rgba[..., :3]) < 5
    assert distance(images[0].pixels[:, :8], np.full((64, 8, 3), 255)) < 12


def test_heic_of_several_pictures() -> None:
    needs("HEIF")
    pictures = [pattern(96, 64), pattern(64, 96, seed=1), pattern(80, 64, seed=2)]
    images, failure = look(heic(*pictures))
    assert failure is None
    assert [image.frame for image in images] == [0, 1, 2]
    for image, picture in zip(images, pictures, strict=True):
        assert distance(image.pixels, picture) < 4


@pytest.mark.parametrize("codec", CODECS)
def test_primary_first_whatever_its_place(codec: str) -> None:
    a, b = pattern(96, 64), pattern(64, 80, seed=1)
    images, failure = look(built(codec, item(codec, a), item(codec, b), primary=2))
    assert failure is None
    assert [(i.width_px, i.height_px) for i in images] == [(64, 80), (96, 64)]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirror", [None, 0, 1])
def test_turned_and_mirrored(codec: str, turns: int, mirror: int | None) -> None:
    """Against Pillow's and pillow-heif's own understanding of the same file."""
    picture = pattern(96, 64)
    it = item(codec, picture).add(b"irot", bytes([turns]), True)
    expected = np.rot90(picture, turns)
    if mirror is not None:
        it = it.add(b"imir", bytes([mirror]), True)
        expected = expected[:, ::-1] if mirror else expected[::-1]
    data = built(codec, it)
    image = only(data)
    assert image.pixels.shape == expected.shape
    assert distance(image.pixels, expected) < 4
    loaded = load_image(data)
    assert (loaded.height_px, loaded.width_px) == expected.shape[:2]  # type: ignore[union-attr]
    if codec == "AVIF":
        with PilImage.open(io.BytesIO(data)) as theirs:
            shown = np.asarray(ImageOps.exif_transpose(theirs).convert("RGB"))
    else:
        import pillow_heif

        opened = pillow_heif.open_heif(io.BytesIO(data))[0]
        shown = np.asarray(PilImage.frombytes("RGB", opened.size, opened.data, "raw", "RGB", opened.stride))
    assert np.abs(shown.astype(int) - image.pixels).max() <= 2


@pytest.mark.parametrize("codec", CODECS)
def test_exif_orientation_does_not_count(codec: str) -> None:
    picture = pattern(96, 64)
    block = HeifItem(b"Exif", bytes(4) + exif(6), [], {b"cdsc": [1]})
    assert only(built(codec, item(codec, picture), block)).pixels.shape == picture.shape


def aperture(width: int, height: int, x: int, y: int) -> bytes:
    return struct.pack(">4I4i", width, 1, height, 1, x, 1, y, 1)


@pytest.mark.parametrize("codec", CODECS)
def test_clean_aperture_is_looked_at_and_what_it_cuts_off_too(codec: str) -> None:
    picture = pattern(96, 64)
    it = item(codec, picture)
    images, failure = look(built(codec, it.add(b"clap", aperture(32, 32, 0, 0), True)))
    assert failure is None
    assert [image.view for image in images] == ["plain", "whole/plain"]
    assert distance(images[0].pixels, picture[16:48, 32:64]) < 4
    assert distance(images[1].pixels, picture) < 4
    moved = look(built(codec, it.add(b"clap", aperture(32, 32, -32, -16), True)))[0]
    assert distance(moved[0].pixels, picture[:32, :32]) < 4
    # An encoder's padding is too narrow to see anything in; one that lies outside is ignored, as viewers do.
    assert only(built(codec, it.add(b"clap", aperture(94, 63, 0, 0), True))).width_px == 94
    for body in (aperture(200, 10, 0, 0), aperture(90, 60, 50, 0), aperture(0, 0, 0, 0), b"short", bytes(32)):
        assert only(built(codec, it.add(b"clap", body, True))).width_px == 96


def test_grid() -> None:
    needs("HEIF")
    picture = pattern(300, 260)
    data = heic(picture, tile_size=128)
    if b"grid" not in data:
        pytest.skip("this encoder makes no tiles")
    assert distance(only(data).pixels, picture) < 4


def grid_of(codec: str, tiles: list[np.ndarray], columns: int, size: tuple[int, int]) -> list[HeifItem]:
    parts = [item(codec, tile) for tile in tiles]
    for part in parts:
        part.hidden = True
    ispe = (b"ispe", bytes(4) + struct.pack(">II", *size), False)
    pixi = next(p for p in parts[0].properties if p[0] == b"pixi")
    content = struct.pack(">4B2H", 0, 0, len(tiles) // columns - 1, columns - 1, *size)
    return [HeifItem(b"grid", content, [ispe, pixi], {b"dimg": list(range(2, 2 + len(tiles)))}), *parts]


@pytest.mark.parametrize("codec", CODECS)
def test_grid_of_our_own(codec: str) -> None:
    picture = pattern(128, 128)
    tiles = [picture[y : y + 64, x : x + 64].copy() for y in (0, 64) for x in (0, 64)]
    image = only(built(codec, *grid_of(codec, tiles, 2, (128, 128))))
    assert distance(image.pixels, picture) < 5


@pytest.mark.parametrize("codec", CODECS)
def test_tiles_of_a_grid_that_is_not_shown_are_looked_at(codec: str) -> None:
    a, b = pattern(64, 64), blocks(3, 64, 64)
    main = item(codec, a)
    hidden_grid = HeifItem(b"grid", struct.pack(">4B2H", 0, 0, 0, 0, 64, 64), main.properties[:1], {b"dimg": [3]}, True)
    images, failure = look(built(codec, main, hidden_grid, item(codec, b)))
    assert failure is None
    assert any(distance(image.pixels, b) < 12 for image in images)


@pytest.mark.parametrize("codec", CODECS)
def test_thumbnail_and_gain_map_are_looked_at(codec: str) -> None:
    main, small, gain = item(codec, pattern(96, 64)), item(codec, pattern(72, 64)), item(codec, pattern(80, 64))
    small.references, small.hidden = {b"thmb": [1]}, True
    gain.references = {b"auxl": [1]}
    gain = gain.add(b"auxC", bytes(4) + b"urn:com:apple:photo:2020:aux:hdrgainmap\0", False)
    images, failure = look(built(codec, main, small, gain))
    assert failure is None
    assert [(i.view, i.width_px) for i in images] == [("plain", 96), ("thumbnail/plain", 72), ("gain_map/plain", 80)]


@pytest.mark.parametrize("codec", CODECS)
def test_depth_is_not_looked_at(codec: str) -> None:
    depth = item(codec, pattern(80, 64))
    depth.references = {b"auxl": [1]}
    depth = depth.add(b"auxC", bytes(4) + b"urn:mpeg:mpegB:cicp:systems:auxiliary:depth\0", False)
    assert only(built(codec, item(codec, pattern(96, 64)), depth)).width_px == 96


@pytest.mark.parametrize("codec", CODECS)
def test_tone_map_item_means_both_of_its_parts(codec: str) -> None:
    base, gain = item(codec, pattern(96, 64)), item(codec, pattern(80, 64))
    tone = HeifItem(b"tmap", b"\0" * 62, base.properties[:1], {b"dimg": [1, 2]})
    images, failure = look(built(codec, base, gain, tone))
    assert failure is None
    assert [image.width_px for image in images] == [96, 80]


@pytest.mark.parametrize("codec", CODECS)
def test_an_item_of_another_codec_is_a_state_after_the_rest(codec: str) -> None:
    main = item(codec, pattern(96, 64))
    for kind in (b"jpeg", b"avc1", b"vvc1", b"j2k1", b"unci"):
        other = HeifItem(kind, b"x", main.properties[:2])
        images, failure = look(built(codec, main, other))
        assert len(images) == 1
        assert failure == NotJudged(State.NO_DECODER, "heif_item")
        assert state_of(built(codec, other)) == (State.NO_DECODER, "heif_item")


@pytest.mark.parametrize("codec", CODECS)
def test_exif_thumbnail(codec: str) -> None:
    thumbnail = encode(blocks(5, 40, 28), "JPEG", quality=95)
    block = HeifItem(b"Exif", bytes(4) + exif(1) + thumbnail, [], {b"cdsc": [1]})
    images, failure = look(built(codec, item(codec, pattern(96, 64)), block))
    assert failure is None
    assert [(i.view, i.width_px) for i in images] == [("plain", 96), ("exif_thumbnail/plain", 40)]


@pytest.mark.parametrize("codec", CODECS)
def test_profile(codec: str) -> None:
    pytest.importorskip("PIL.ImageCms")
    picture = pattern(96, 64)
    it = item(codec, picture)
    images, _ = look(built(codec, it.add(b"colr", b"prof" + inverting_profile())))
    assert [image.view for image in images] == ["plain", "icc/plain"]
    assert distance(images[1].pixels, 255 - picture) < 6
    assert only(built(codec, it.add(b"colr", b"prof" + icc(curve([0, 1]), curve([0, 1]))[:60]))).view == "plain"


def test_avif_sequence() -> None:
    needs("AVIF")
    frames = [blocks(n, 96, 64) for n in range(4)]
    data = avif(*frames)
    images, failure = look(data)
    assert failure is None
    # The still that stands for the sequence, and then all of it.
    assert [image.view for image in images] == ["plain"] + ["sequence/plain"] * 4
    for image, frame in zip(images[1:], frames, strict=True):
        assert distance(image.pixels, frame) < 12
    loaded = load_image(data)
    assert loaded.frame_count == 5  # type: ignore[union-attr]
    for limits in (Limits(max_frames=3), Limits(max_animation_pixels=96 * 64 - 1)):
        assert state_of(data, limits=limits)[0] is State.TOO_LARGE


def test_avif_sequence_whose_first_brand_says_still() -> None:
    needs("AVIF")
    frames = [blocks(n, 96, 64) for n in range(3)]
    data = avif(*frames)
    assert data[8:12] == b"avis"
    images, failure = look(data[:8] + b"avif" + data[12:])
    assert failure is None
    assert len(images) == 4


def test_heic_sequence_is_a_state() -> None:
    needs("HEIF")
    track = box(b"trak", box(b"mdia", full_box(b"hdlr", 0, 0, bytes(4) + b"pict" + bytes(13))))
    images, failure = look(heic(pattern(96, 64)) + box(b"moov", track))
    assert len(images) == 1
    assert failure == NotJudged(State.NO_DECODER, "heif_sequence")


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("clip", ["mpvd", "appended", "behind a trailer"])
def test_motion_photo(codec: str, clip: str) -> None:
    film = box(b"ftyp", b"mp42" + bytes(4) + b"isommp42") + box(b"mdat", bytes(500))
    data = coded(codec, pattern(96, 64))
    data += {"mpvd": box(b"mpvd", film), "appended": film, "behind a trailer": b"MotionPhoto_Data" + film}[clip]
    images, failure = look(data)
    assert len(images) == 1
    assert failure == NotJudged(State.NO_DECODER, "motion_photo_clip")
    assert look(data, motion_photo="still_only")[1] is None


# --- hostile files ------------------------------------------------------------------------------------------


def claims(codec: str, width: int, height: int) -> HeifItem:
    it = item(codec, pattern(96, 64))
    it.properties = [
        (kind, bytes(4) + struct.pack(">II", width, height) if kind == b"ispe" else body, essential)
        for kind, body, essential in it.properties
    ]
    return it


@pytest.mark.parametrize("codec", CODECS)
def test_claimed_size_is_refused_at_once(codec: str) -> None:
    started = time.perf_counter()
    for size in ((50_000, 50_000), (0xFFFFFFFF, 1), (32_768, 16), (10_000, 6_000)):
        assert state_of(built(codec, claims(codec, *size)))[0] is State.TOO_LARGE
    assert state_of(built(codec, claims(codec, 8, 8)))[0] in (State.TOO_SMALL, State.DECODE_FAILED)
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("codec", CODECS)
def test_bitstream_larger_than_claimed_is_measured_by_the_bitstream(codec: str) -> None:
    it = item(codec, pattern(320, 240))
    small = claims(codec, 96, 64)
    it.properties = [
        small.properties[[p[0] for p in small.properties].index(b"ispe")],
        *(p for p in it.properties if p[0] != b"ispe"),
    ]
    data = built(codec, it)
    assert state_of(data, limits=Limits(max_heif_pixels=320 * 240 - 1))[0] is State.TOO_LARGE


def test_grid_bombs() -> None:
    needs("HEIF")
    items = grid_of("HEIF", [pattern(64, 64)] * 4, 2, (128, 128))
    huge = HeifItem(b"grid", struct.pack(">4B2I", 0, 1, 1, 1, 60_000, 60_000), items[0].properties, items[0].references)
    assert state_of(built("HEIF", huge, *items[1:]))[0] is State.TOO_LARGE
    many = HeifItem(
        b"grid", struct.pack(">4B2H", 0, 0, 255, 255, 128, 128), items[0].properties, {b"dimg": [2] * 65_535}
    )
    assert state_of(built("HEIF", many, *items[1:]))[0] is State.DECODE_FAILED  # one short of 256 x 256
    many = HeifItem(
        b"grid", struct.pack(">4B2H", 0, 0, 254, 254, 128, 128), items[0].properties, {b"dimg": [2] * 65_025}
    )
    assert state_of(built("HEIF", many, *items[1:]))[0] is State.TOO_LARGE
    loop = HeifItem(b"iden", b"", items[0].properties[:1], {b"dimg": [1]})
    assert look(built("HEIF", loop))[1] is not None
    deep = [HeifItem(b"iden", b"", items[0].properties[:1], {b"dimg": [n + 2]}) for n in range(8)]
    assert look(built("HEIF", *deep, items[1]))[1] is not None


def test_items_that_share_their_bytes_are_bounded_by_bytes() -> None:
    needs("HEIF")
    data = bytearray(heic(pattern(300, 260), tile_size=128))
    if b"grid" not in data:
        pytest.skip("this encoder makes no tiles")
    limits = Limits(max_bytes=len(data))
    assert look(bytes(data), limits=limits)[1] is None
    # Every tile spans the whole file.
    at = data.index(b"iloc")
    assert data[at + 4 : at + 8] == b"\1\0\0\0"
    for n in range(10):
        entry = at + 12 + 20 * n
        if data[entry + 3] == 0:  # in the file, not in the meta box
            data[entry + 6 : entry + 20] = struct.pack(">IHII", 0, 1, 0, 0)
    assert look(bytes(data), limits=limits)[1] == NotJudged(State.TOO_LARGE, "heif_bytes")


@pytest.mark.parametrize("codec", CODECS)
def test_ambiguous_or_protected_files_are_refused(codec: str) -> None:
    main = item(codec, pattern(96, 64))
    good = built(codec, main)
    start = good.index(b"meta") - 4
    length = int.from_bytes(good[start : start + 4], "big")
    assert state_of(good[: start + length] + good[start:])[0] is State.DECODE_FAILED  # two meta boxes
    ispe = next(p for p in main.properties if p[0] == b"ispe")
    assert state_of(built(codec, main.add(*ispe)))[0] is State.DECODE_FAILED
    alpha = item(codec, pattern(96, 64)).add(b"auxC", bytes(4) + b"urn:mpeg:hevc:2015:auxid:1\0")
    alpha.references = {b"auxl": [1]}
    assert state_of(built(codec, main, alpha, alpha))[0] is State.DECODE_FAILED  # which of two counts?
    main.protected = True
    assert state_of(built(codec, main)) == (State.NO_DECODER, "heif_protected")
    main.protected = False
    assert state_of(built(codec, main.add(b"wild", b"", True))) == (State.NO_DECODER, "heif_variant")
    assert look(built(codec, main.add(b"wild", b"", False)))[1] is None
    assert state_of(built(codec, main.add(b"lsel", b"\0\1", True))) == (State.NO_DECODER, "heif_variant")
    assert state_of(good, limits=Limits(max_blocks=5))[0] is State.TOO_LARGE


def test_extents_outside_the_file() -> None:
    needs("HEIF")
    data = heic(pattern(96, 64))
    for end in (len(data) - 1, data.index(b"mdat") + 4):
        assert state_of(data[:end]) == (State.DECODE_FAILED, "heif_truncated")


def test_missing_decoders_are_a_state(monkeypatch: pytest.MonkeyPatch) -> None:
    for codec, module, word in (
        ("HEIF", "pillow_heif", "heic_not_installed"),
        ("AVIF", "PIL.AvifImagePlugin", "avif_not_built"),
    ):
        data = coded(codec, pattern(96, 64))
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            patch.delattr("PIL.AvifImagePlugin", raising=False)
            from safelight.media import available_formats

            assert codec not in available_formats()
            assert state_of(data) == (State.NO_DECODER, word)


def test_no_metadata_reaches_the_decoder() -> None:
    """What a decoder is given holds neither EXIF nor names nor the other pictures."""
    needs("HEIF")
    import pillow_heif

    given: list[bytes] = []
    original = pillow_heif.open_heif
    secret = b"sentinel-7f3a"
    data = heic(pattern(96, 64), pattern(64, 64), exif=b"Exif\0\0" + exif(1, secret), xmp=secret)
    assert secret in data
    pillow_heif.open_heif = lambda file, **options: given.append(file.getvalue()) or original(file, **options)  # type: ignore[func-returns-value]
    try:
        images, failure = look(data)
    finally:
        pillow_heif.open_heif = original
    assert failure is None
    assert len(images) == len(given) == 2
    assert not any(secret in file for file in given)
    assert all(len(file) < len(data) for file in given)


# --- sizes in bitstreams ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(96, 64), (97, 71), (300, 260), (200, 120)])
def test_sizes_in_bitstreams(size: tuple[int, int]) -> None:
    needs("HEIF")
    body = next(b for kind, b, _ in item("HEIF", pattern(*size)).properties if kind == b"hvcC")
    _, units = _codec_size.hevc_configuration(body)
    [(width, height)] = [found for found in map(_codec_size.hevc_size, units) if found is not None]
    assert size[0] <= width < size[0] + 64
    assert size[1] <= height < size[1] + 64
    needs("AVIF")
    [found] = list(_codec_size.av1_sizes(item("AVIF", pattern(*size)).content, Steps(Limits())))
    assert found == size


def test_bitstreams_that_are_none() -> None:
    with pytest.raises(Refused):
        _codec_size.hevc_configuration(b"\1" * 30)
    with pytest.raises(Refused):
        list(_codec_size.hevc_units(b"\0\0\0\x09abc", 4, Steps(Limits())))
    with pytest.raises(Refused):
        list(_codec_size.av1_sizes(b"\x0a\xff\xff\xff\xff\xff\xff", Steps(Limits())))
    with pytest.raises(Refused):
        list(_codec_size.av1_sizes(b"\x0a\x01\x00", Steps(Limits())))
    assert _codec_size.hevc_size(b"\x40\x01\x0c") is None
