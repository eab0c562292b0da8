"""Is a file that costs far more than it weighs refused before it is decoded?"""

from __future__ import annotations

import io
import os
import pathlib
import struct
import subprocess
import sys
import textwrap
import time
import zlib

import numpy as np
import pytest
import safelight
from PIL import Image as PilImage
from safelight.decision import State
from safelight.media import Limits, NotJudged, load_image
from unit.media.helpers import chunk, encode, gif, gif_frame, header, look, only, pattern, png, rgb_png, rows

TINY = np.zeros((16, 16), np.uint8)


def jpeg_claiming(width: int, height: int) -> bytes:
    data = bytearray(encode(pattern(), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_claiming(width: int, height: int) -> bytes:
    body = struct.pack("<I", 0) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + body


def frame_control(number: int) -> bytes:
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, 16, 16, 0, 0, 1, 1, 0, 0))


def bombs() -> dict[str, bytes]:
    huge = png(header(50_000, 50_000), chunk(b"IDAT", rows(np.zeros((10, 1000), np.uint8))))
    return {
        "PNG 50,000 x 50,000": huge,
        "PNG 50,000 x 50,000, cut": huge[:40],
        "PNG 4,294,967,295 wide": png(header(0xFFFFFFFF, 1), chunk(b"IDAT", b"x")),
        "JPEG 65,500 x 65,500": jpeg_claiming(65_500, 65_500),
        "WEBP 16,777,216 x 255": webp_claiming(1 << 24, 255),
        "WEBP 16,383 x 16,383": webp_claiming(16_383, 16_383),
        "GIF screen 65,535 x 65,535": gif(gif_frame(TINY), screen=(65_535, 65_535)),
        "GIF frame far outside": gif(gif_frame(TINY, at=(65_000, 65_000))),
        "GIF of 20,000 frames": gif(gif_frame(TINY) * 20_000),
        "GIF of large canvas, many frames": gif(gif_frame(TINY) * 900, screen=(4_000, 4_000)),
        "APNG of 2,000 frames": png(
            header(16, 16),
            chunk(b"acTL", struct.pack(">II", 2_000, 0)),
            frame_control(0),
            chunk(b"IDAT", rows(np.zeros((16, 48), np.uint8))),
            *(frame_control(2 * n - 1) + chunk(b"fdAT", struct.pack(">I", 2 * n)) for n in range(1, 2_000)),
        ),
        "JPEG of many scans": many_scans(40_000),
        "JPEG of many starts": encode(pattern(), "JPEG") + b"x" + b"\xff\xd8\xff\xd9" * 100,
        "PNG of many chunks": rgb_png(pattern(), chunk(b"tEXt") * 1_000_001),
        "GIF of many extensions": gif(b"!\xfe\0" * 600_000),
    }


def many_scans(count: int) -> bytes:
    """A valid progressive picture whose last, empty scan is repeated."""
    data = encode(np.zeros((200, 200, 3), np.uint8), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + b"\xff\xd9"


BOMBS = bombs()


@pytest.mark.parametrize("name", BOMBS)
def test_refused_at_once(name: str) -> None:
    started = time.perf_counter()
    loaded = load_image(BOMBS[name])
    elapsed_s = time.perf_counter() - started
    assert isinstance(loaded, NotJudged)
    assert loaded.state is State.TOO_LARGE
    assert elapsed_s < 10  # a second or less on an idle machine; decoding would take minutes


def test_zip_bomb_inside_a_small_png_ends_with_the_picture() -> None:
    image_data = rows(np.zeros((16, 48), np.uint8))
    bomb = zlib.compress(bytes(50_000_000), 9)
    data = png(
        header(16, 16), chunk(b"IDAT", image_data), chunk(b"zTXt", b"a\0\0" + bomb), chunk(b"iCCP", b"a\0\0" + bomb)
    )
    started = time.perf_counter()
    assert only(data).width_px == 16
    assert time.perf_counter() - started < 5


def test_memory_is_bounded(tmp_path: pathlib.Path) -> None:
    """In a process of its own, whose peak is ours alone: none of the bombs costs more than its own bytes."""
    pytest.importorskip("resource")
    paths = []
    for n, data in enumerate(BOMBS.values()):
        path = tmp_path / str(n)
        path.write_bytes(data)
        paths.append(str(path))
    script = textwrap.dedent(
        """
        import resource, sys
        from safelight.media import Limits, NotJudged, load_image
        from PIL import WebPImagePlugin
        load_image(b"GIF89a")
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        before = peak()
        for path in sys.argv[1:]:
            loaded = load_image(path)
            assert isinstance(loaded, NotJudged), loaded
        print(peak() - before)
        """
    )
    root = str(pathlib.Path(safelight.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", script, *paths], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100  # MiB; the heaviest bomb is 12 MiB long, one decoded one would be 7,000


def test_every_size_limit_holds_for_every_kind_of_source() -> None:
    picture = pattern(100, 60)
    sources = [picture, PilImage.fromarray(picture)]
    sources += [encode(picture, kind) for kind in ("PNG", "JPEG", "WEBP", "GIF")]
    for source in sources:
        assert look(source, limits=Limits(max_pixels=6_000, min_side_px=60))[1] is None
        small = [(Limits(max_webp_pixels=5_999), State.TOO_LARGE)] if source is sources[4] else []
        for limits, state in (
            *small,
            (Limits(max_pixels=5_999), State.TOO_LARGE),
            (Limits(max_side_px=99), State.TOO_LARGE),
            (Limits(min_side_px=61), State.TOO_SMALL),
        ):
            loaded = load_image(source, limits=limits)
            assert isinstance(loaded, NotJudged)
            assert loaded.state is state


def test_too_small_from_one_pixel_on() -> None:
    for side in (1, 15):
        for kind in ("PNG", "JPEG", "WEBP", "GIF"):
            data = encode(np.zeros((side, 40, 3), np.uint8), kind)
            assert look(data)[1] == NotJudged(State.TOO_SMALL, "side")
    for shape in ((0, 40, 3), (40, 0, 3)):
        assert look(np.zeros(shape, np.uint8))[1].state is State.DECODE_FAILED  # type: ignore[union-attr]


def test_bytes_limit(tmp_path: pathlib.Path) -> None:
    data = encode(pattern(), "PNG")
    path = tmp_path / "p"
    path.write_bytes(data)

    class Endless(io.RawIOBase):
        served = 0

        def readable(self) -> bool:
            return True

        def seekable(self) -> bool:
            return True

        def tell(self) -> int:
            return 0

        def seek(self, offset: int, whence: int = 0) -> int:
            return 0

        def read(self, size: int = -1) -> bytes:
            self.served += size
            return bytes(size)

    for source in (data, bytearray(data), memoryview(data), path, io.BytesIO(data)):
        assert look(source, limits=Limits(max_bytes=len(data)))[1] is None
        assert look(source, limits=Limits(max_bytes=len(data) - 1))[1] == NotJudged(State.TOO_LARGE, "bytes")
    endless = Endless()
    assert look(endless, limits=Limits(max_bytes=5_000_000))[1] == NotJudged(State.TOO_LARGE, "bytes")
    assert endless.served == 5_000_001


def test_a_threshold_that_the_host_lowered_makes_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under ``-W error``, as these tests run, a warning would be an exception."""
    monkeypatch.setattr(PilImage, "MAX_IMAGE_PIXELS", 100)
    for kind in ("PNG", "JPEG", "GIF", "WEBP"):
        _, failure = look(encode(pattern(), kind))
        assert failure is None or failure == NotJudged(State.TOO_LARGE, "pixels")
    monkeypatch.setattr(PilImage, "MAX_IMAGE_PIXELS", None)
    assert look(encode(pattern(), "WEBP"))[1] is None
