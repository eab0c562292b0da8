"""Reading a clip frame by frame: every frame of every track, with its time, and damage by its name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage
from safelight import MediaNotFoundError, State, UnsupportedInputError
from safelight.media import NotJudged, load_image
from safelight.media.animation import open_animation
from safelight.media.clip import ClipLimits
from safelight.media.clip_frames import ClipCover, ClipFrame, ClipGap, open_clip

pytest.importorskip("av")
from clip_world import Once, animate, encode, moving, scene, still


def read(source: Any, **limits: int) -> list[Any]:
    with open_clip(source, limits=ClipLimits(**limits)) as reader:
        return list(reader)


def shown(frame: ClipFrame) -> np.ndarray:
    loaded = load_image(frame.shown())
    assert not isinstance(loaded, NotJudged)
    with loaded as pictures:
        (picture,) = pictures
    assert not isinstance(picture, NotJudged)
    return picture.pixels


def close(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


@pytest.mark.parametrize(
    ("format", "codec"),
    [
        ("mp4", "libx264"),
        ("mp4", "libx265"),
        ("mov", "mpeg4"),
        ("matroska", "libx264"),
        ("webm", "libvpx-vp9"),
        ("avi", "mpeg4"),
        ("mpegts", "mpeg2video"),
        ("mpegts", "libx264"),
        ("flv", "libx264"),
    ],
)
def test_every_frame_with_its_time(format: str, codec: str) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    pictures = moving(12, step_px=3)
    data = encode(pictures, format=format, codec=codec, options=options)
    items = read(data)
    assert [type(item) for item in items] == [ClipFrame] * 12
    assert [item.timestamp_ms for item in items] == pytest.approx([40 * n for n in range(12)], abs=1)
    assert all(item.intact for item in items)
    for pixels, item in zip(pictures, read_and_show(data), strict=True):
        assert close(pixels, item) < 6


def read_and_show(data: bytes) -> list[np.ndarray]:
    with open_clip(data) as reader:
        return [shown(item) for item in reader if isinstance(item, ClipFrame)]


def test_durations() -> None:
    with open_clip(encode(moving(10))) as reader:
        assert len(list(reader)) == 10
        assert (reader.duration_ms, reader.end_ms(0)) == (400, 400)


def test_variable_frame_rate() -> None:
    times = [0, 10, 500, 501, 3000, 9000]
    items = read(encode(moving(6), times_ms=times, format="matroska"))
    assert [item.timestamp_ms for item in items] == times


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation(degrees: int) -> None:
    """A phone held upright: the file says by how much to turn, and so do we."""
    picture = scene(3)
    data = encode([picture] * 3, rotation=degrees)
    upright = np.rot90(picture, degrees // 90)  # counterclockwise, as FFmpeg counts
    for pixels in read_and_show(data):
        assert pixels.shape == upright.shape
        assert close(pixels, upright) < 6


@pytest.mark.parametrize("space", [1, 5])
@pytest.mark.parametrize("full", [False, True])
def test_colours_as_the_clip_says(space: int, full: bool) -> None:
    """Against the formulas of ITU-R BT.601 and BT.709, within what 8 bits and 4:2:0 leave."""
    import av

    kr, kb = {1: (0.2126, 0.0722), 5: (0.299, 0.114)}[space]
    rgb = np.array([200, 120, 60]) / 255
    y = kr * rgb[0] + (1 - kr - kb) * rgb[1] + kb * rgb[2]
    cb, cr = (rgb[2] - y) / (2 - 2 * kb), (rgb[0] - y) / (2 - 2 * kr)
    levels = [255 * y, 128 + 255 * cb, 128 + 255 * cr] if full else [16 + 219 * y, 128 + 224 * cb, 128 + 224 * cr]
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = space, 2 if full else 1
        for _ in range(3):
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane, level in zip(frame.planes, levels, strict=True):
                plane.update(bytes([round(level)]) * (plane.line_size * plane.height))
            frame.colorspace, frame.color_range = space, 2 if full else 1
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    for pixels in read_and_show(out.getvalue()):
        assert pixels.reshape(-1, 3).mean(axis=0) == pytest.approx([200, 120, 60], abs=3)


def test_pixels_that_are_not_square() -> None:
    import av

    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.codec_context.sample_aspect_ratio = 2
        for pixels in moving(3):
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    assert {pixels.shape for pixels in read_and_show(out.getvalue())} == {(60, 160, 3)}


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv420p10le", "yuv422p", "gray"])
def test_other_pixel_formats(pix_fmt: str) -> None:
    picture = scene(2)
    found = read_and_show(encode([picture] * 3, pix_fmt=pix_fmt))
    assert len(found) == 3
    grey = np.asarray(PilImage.fromarray(picture).convert("L").convert("RGB")) if pix_fmt == "gray" else picture
    assert close(found[0], grey) < 6


def test_large_frames_may_be_averaged_down() -> None:
    picture = scene(4, width=1000, height=640)
    with open_clip(encode([picture])) as reader:
        (frame,) = reader
        assert isinstance(frame, ClipFrame)
        assert frame.shown().width == frame.shown(short_side_px=200).width == 1000
        half, odd = frame.shown(short_side_px=160), frame.shown(short_side_px=100)
        assert [(one.width, one.height) for one in (half, odd)] == [(500, 320), (334, 214)]
        pixels = np.frombuffer(half.data, np.uint8).reshape(320, 500, 3)
    assert close(pixels, picture.reshape(320, 2, 500, 2, 3).mean(axis=(1, 3))) < 3


def test_odd_sizes() -> None:
    pictures = [scene(1, width=101, height=75)] * 2
    found = read_and_show(encode(pictures, codec="libx264", pix_fmt="yuv444p"))
    assert found[0].shape == (75, 101, 3)
    webm = read_and_show(encode(pictures, codec="libvpx-vp9", format="webm"))
    assert webm[0].shape == (75, 101, 3)
    assert close(webm[0], pictures[0]) < 6


def test_all_tracks() -> None:
    frames = [moving(5, seed=1), moving(5, seed=2)]
    items = read(encode([frames[n % 2][n // 2] for n in range(10)], tracks=2))
    assert sorted((item.track, item.timestamp_ms) for item in items) == [
        (track, 40 * n) for track in (0, 1) for n in range(5)
    ]


def test_what_an_edit_list_cuts_away_is_read_too() -> None:
    """A phone's trimmed clip still holds what was trimmed, before the time that players call 0."""
    data = encode(moving(50), codec="mpeg4", options={"g": "10"})
    trimmed = _with_edit_list(data, start=20, frames=30)
    items = read(trimmed)
    assert len(items) == 50
    assert [item.timestamp_ms for item in items][:3] == [-800, -760, -720]
    assert items[20].timestamp_ms == 0


def _with_edit_list(data: bytes, *, start: int, frames: int) -> bytes:
    """The same file, its edit list changed so that players begin later."""
    at = data.index(b"elst")
    changed = bytearray(data)
    media_scale = int.from_bytes(data[(m := data.index(b"mdhd")) + 16 : m + 20], "big")
    movie_scale = int.from_bytes(data[(m := data.index(b"mvhd")) + 16 : m + 20], "big")
    assert int.from_bytes(data[at + 8 : at + 12], "big") == 1
    changed[at + 12 : at + 16] = (movie_scale * frames // 25).to_bytes(4, "big")
    changed[at + 16 : at + 20] = (media_scale * start // 25).to_bytes(4, "big")
    return bytes(changed)


def test_titles_in_no_encoding_are_no_reason() -> None:
    data = encode(moving(3), codec="mpeg4", format="avi")
    changed = data.replace(b"Lavf", b"\xe9\x80\xff\xfe")
    assert changed != data
    assert [type(item) for item in read(changed)] == [ClipFrame] * 3


def test_streams_that_cannot_seek() -> None:
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    for data in (
        encode(moving(9), format="matroska"),
        encode(moving(9), format="mpegts"),
        encode(moving(9), muxer=fragments),
        encode(moving(9), muxer={"movflags": "faststart"}),
    ):
        items = read(Once(data, at_most=777))
        assert [type(item) for item in items] == [ClipFrame] * 9
    # Its index lies at the end, where nobody gets without seeking.
    (gap,) = read(Once(encode(moving(9))))
    assert isinstance(gap, ClipGap)
    assert gap.to_the_end


def test_a_file_object_is_put_back(tmp_path: Path) -> None:
    data = encode(moving(3))
    file = io.BytesIO(b"xyz" + data)
    file.seek(2)
    (gap,) = read(file)
    assert gap.cause.state is State.NOT_MEDIA
    assert file.tell() == 2
    path = tmp_path / "clip"
    path.write_bytes(data)
    for source in (path, str(path), bytearray(data), memoryview(data), path.open("rb")):
        assert len(read(source)) == 3
        if hasattr(source, "close"):
            source.close()


def test_limits() -> None:
    data = encode(moving(10))
    causes = {
        "max_bytes": (1000, State.TOO_LARGE, 0),
        "max_frame_pixels": (1000, State.TOO_LARGE, 0),
        "min_side_px": (121, State.TOO_SMALL, 0),
        "max_frames": (4, State.TOO_LARGE, 4),
    }
    for name, (value, state, frames) in causes.items():
        *before, gap = read(data, **{name: value})
        assert (len(before), gap.cause.state, gap.to_the_end) == (frames, state, True)
    *_, gap = read(Once(encode(moving(10), format="matroska")), max_bytes=2000)
    assert gap.cause == NotJudged(State.TOO_LARGE, "bytes")


def test_cut_short_anywhere() -> None:
    """Whatever is missing at the end is named, or was nothing to see."""
    data = encode(moving(30, step_px=3), codec="mpeg4", muxer={"movflags": "faststart"})
    for length in range(0, len(data), len(data) // 40):
        *_, last = read(data[:length])
        # Half a frame is decoded as far as it goes, and counts as damaged.
        assert last.to_the_end if isinstance(last, ClipGap) else not last.intact


def test_damage_is_named_and_not_painted_over() -> None:
    data = encode(moving(40, step_px=3), codec="mpeg4", options={"g": "10"}, muxer={"movflags": "faststart"})
    random = np.random.default_rng(5)
    body = data.index(b"mdat") + 4
    named = 0
    for _ in range(20):
        changed = bytearray(data)
        at = int(random.integers(body + 400, len(data) - 40))
        changed[at : at + 30] = random.bytes(30)
        items = read(bytes(changed))
        named += any(isinstance(item, ClipGap) or not item.intact for item in items)
        after = [item for item in items if isinstance(item, ClipFrame) and item.timestamp_ms == 1560]
        assert after or isinstance(items[-1], ClipGap)
    # What still is a valid stream cannot be told from what the sender meant: it is decoded and looked at.
    assert named >= 15


def test_no_clip() -> None:
    for source in (b"", b"x", b"\x00" * 5000, Path(__file__).read_bytes()):
        (gap,) = read(source)
        assert gap.cause.state is State.NOT_MEDIA
    (gap,) = read(_sound())
    assert gap.cause == NotJudged(State.NO_DECODER, "clip_without_video")


def _sound() -> bytes:
    import av

    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 16_000
        for packet in stream.encode(sound):
            container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return out.getvalue()


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    data = encode(moving(3))
    monkeypatch.setitem(sys.modules, "av", None)
    (gap,) = read(data)
    assert gap.cause == NotJudged(State.NO_DECODER, "video_extra")


def test_misuse(tmp_path: Path) -> None:
    with pytest.raises(MediaNotFoundError) as error:
        open_clip(tmp_path / "secret-name")
    assert "secret" not in str(error.value)
    with pytest.raises(UnsupportedInputError):
        open_clip(42)


def test_nothing_of_the_picture_is_printed() -> None:
    for item in read(encode(moving(2))):
        assert repr(item) in {"<ClipFrame at 0 ms, 160x120>", "<ClipFrame at 40 ms, 160x120>"}
    assert repr(ClipCover(b"abc")) == "<ClipCover of 3 bytes>"


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_animations_have_times(format: str) -> None:
    frames = [scene(n) for n in range(5)]
    found = open_animation(animate(frames, format, duration_ms=[40, 100, 70, 10, 200]))
    assert found is not None
    assert found.times_ms == ((0, 40), (40, 140), (140, 210), (210, 310), (310, 510))
    items = list(found)
    assert {item.frame for item in items} == set(range(5))
    assert len({item.mark for item in items}) == 5
    assert repr(found) == "<Animation of 5 frames>"


def test_repeated_pictures_are_told() -> None:
    found = open_animation(animate([scene(1), scene(2), scene(1), scene(2)], "GIF"))
    assert found is not None
    items = list(found)
    assert [item.image is None for item in items] == [False, False, True, True]
    assert items[0].mark == items[2].mark != items[1].mark


def test_default_picture_of_an_apng_is_there_all_the_time() -> None:
    out = io.BytesIO()
    one, two, three = (PilImage.fromarray(scene(n)) for n in (1, 2, 3))
    one.save(out, "PNG", save_all=True, append_images=[two, three], duration=50, default_image=True)
    found = open_animation(out.getvalue())
    assert found is not None
    assert found.times_ms == ((0, 100), (0, 50), (50, 100))


def test_no_animation() -> None:
    out = io.BytesIO()
    PilImage.fromarray(scene(1)).save(out, "GIF")
    for data in (b"", b"GIF89a", out.getvalue(), animate(still(3), "GIF")[:200]):
        assert open_animation(data) is None
