"""Is a file that was cut short known as such at every offset, whatever the host set in Pillow?"""

from __future__ import annotations

import gzip
import io

import numpy as np
import pytest
from PIL import Image as PilImage
from PIL import ImageFile
from safelight.decision import State
from safelight.media import available_formats
from unit.media.helpers import (
    avif,
    blocks,
    chunk,
    encode,
    encode_frames,
    gif,
    gif_frame,
    header,
    heic,
    look,
    only,
    pattern,
    png,
    rows,
    segment,
    with_segments,
    zipped,
)

SMALL = pattern(24, 20)


def files() -> dict[str, bytes]:
    mpo = io.BytesIO()
    PilImage.fromarray(SMALL).save(mpo, "MPO", save_all=True, append_images=[PilImage.fromarray(SMALL[::-1].copy())])
    frames = [blocks(n, 24, 20) for n in range(3)]
    alpha = np.dstack([SMALL, SMALL[..., 0]])
    more = {}
    if "AVIF" in available_formats():
        more["AVIF"] = avif(pattern(32, 24))
        more["AVIF alpha"] = avif(np.dstack([pattern(32, 24)] * 2)[..., :4])
        more["AVIF sequence"] = avif(*frames)
    if "HEIF" in available_formats():
        more["HEIF"] = heic(pattern(64, 64))
        more["HEIF of two"] = heic(pattern(64, 64), pattern(64, 64, seed=1))
    thumbnail = segment(0xE1, b"Exif\0\0" + encode(SMALL, "JPEG"))
    return {
        **more,
        "JPEG with a thumbnail": with_segments(encode(SMALL, "JPEG"), thumbnail),
        "BMP": encode(SMALL, "BMP"),
        "BMP palette": encode(PilImage.fromarray(SMALL).convert("P"), "BMP"),
        "ZIP": zipped({"a.png": encode(SMALL, "PNG"), "b.txt": b"words"}),
        "GZIP": gzip.compress(encode(SMALL, "PNG")),
        "JPEG": encode(SMALL, "JPEG"),
        "JPEG progressive": encode(SMALL, "JPEG", progressive=True, quality=95),
        "JPEG with EXIF thumbnail-like data": encode(SMALL, "JPEG", exif=b"Exif\0\0" + encode(SMALL, "JPEG")[:300]),
        "MPO": mpo.getvalue(),
        "PNG": encode(SMALL, "PNG"),
        "PNG palette": encode(PilImage.fromarray(SMALL).convert("P"), "PNG"),
        "APNG": encode_frames(frames, "PNG"),
        "GIF": encode(SMALL, "GIF"),
        "GIF animated": encode_frames(frames, "GIF"),
        "WEBP": encode(SMALL, "WEBP", quality=70),
        "WEBP lossless": encode(SMALL, "WEBP"),
        "WEBP alpha": encode(alpha, "WEBP", quality=70),
        "WEBP animated": encode_frames(frames, "WEBP"),
    }


FILES = files()
INSIDE = {"containers": "look_inside"}


@pytest.fixture(params=[False, True], ids=["strict", "LOAD_TRUNCATED_IMAGES"])
def lenient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", request.param)
    return bool(request.param)


@pytest.mark.parametrize("name", FILES)
def test_cut_at_every_offset(name: str, lenient: bool) -> None:
    data = FILES[name]
    assert look(data, **INSIDE)[1] is None
    first_end = len(encode(SMALL, "JPEG")) if name == "MPO" else None
    for end in range(len(data)):
        images, failure = look(data[:end], **INSIDE)
        if name == "MPO" and failure is None:
            # Cut in the gap between its pictures, or right after the second start marker began.
            assert len(images) == 1
            assert first_end is not None
            continue
        assert failure is not None, end
        assert not images, end
        assert failure.state in (State.DECODE_FAILED, State.NOT_MEDIA, State.TOO_SMALL, State.NO_DECODER), end
        if end > 30:
            assert failure.state is State.DECODE_FAILED, end


@pytest.mark.parametrize("name", FILES)
def test_a_piece_missing_in_the_middle(name: str, lenient: bool) -> None:
    data = FILES[name]
    for at in range(30, len(data) - 10, 7):
        look(data[:at] + data[at + 5 :], **INSIDE)  # any answer, never an exception


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF"])
def test_image_data_that_ends_early_is_no_picture(name: str, lenient: bool) -> None:
    """The container is whole, what it holds is not: Pillow with its switch set would show a part."""
    data = FILES[name]
    if name == "PNG":
        cut = png(header(24, 20), chunk(b"IDAT", rows(SMALL.reshape(20, -1))[:-50]))
    elif name == "GIF":
        frame = gif_frame(np.zeros((10, 24), np.uint8))
        frame = frame.replace(b"\x18\0\x0a\0\0\x08", b"\x18\0\x14\0\0\x08")
        cut = gif(frame, screen=(24, 20))
    else:
        at = data.index(b"\xff\xc0") + 9
        assert data[at] == 3  # components: a scan that names three of one
        cut = data[:at] + b"\1" + data[at + 1 :]
    images, failure = look(cut)
    assert not images
    assert failure is not None
    assert failure.state is State.DECODE_FAILED


def test_global_switches_are_left_alone() -> None:
    before = (ImageFile.LOAD_TRUNCATED_IMAGES, PilImage.MAX_IMAGE_PIXELS)
    for data in FILES.values():
        look(data, **INSIDE)
        look(data[:-3], **INSIDE)
    assert before == (ImageFile.LOAD_TRUNCATED_IMAGES, PilImage.MAX_IMAGE_PIXELS)


def test_known_gap_a_scan_that_ends_early_behind_a_whole_frame() -> None:
    """libjpeg fills the rest with grey and only warns; every viewer shows the same. What is shown is looked at."""
    data = FILES["JPEG"]
    scan = data.index(b"\xff\xda")
    cut = data[: scan + 40] + b"\xff\xd9"
    assert only(cut).width_px == 24
