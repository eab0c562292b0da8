"""Can a path, a text of the picture or its EXIF come out in a message, a repr, a log or a warning?"""

from __future__ import annotations

import io
import logging
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image as PilImage
from safelight.errors import MediaNotFoundError, SafelightError
from safelight.media import NotJudged, load_image
from unit.media.helpers import chunk, encode, exif, pattern, rgb_png, segment, with_segments

SENTINEL = "sentinel-7f3a"
MARK = SENTINEL.encode()


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        if error.__cause__ is not None:
            yield from chain(error.__cause__)
        error = error.__context__


def texts(error: BaseException) -> Iterator[str]:
    for link in chain(error):
        yield str(link)
        yield repr(link)
        yield repr(link.args)
        yield str(getattr(link, "filename", None))


@pytest.mark.parametrize("make", ["missing", "directory", "unreadable", "fifo", "zero byte", "surrogate", "too long"])
def test_errors_about_a_path_do_not_name_it(make: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path: str | pathlib.Path = tmp_path / SENTINEL
    assert isinstance(path, pathlib.Path)
    if make == "directory":
        path.mkdir()
    elif make == "unreadable":
        path.write_bytes(b"x")

        def refuse(name: str, flags: int) -> int:
            raise PermissionError(13, "Permission denied", name)

        monkeypatch.setattr(os, "open", refuse)  # file modes do not stop a test run by root
    elif make == "fifo":
        os.mkfifo(path)
    elif make == "zero byte":
        path = f"{path}\0"
    elif make == "surrogate":
        path = f"{path}\udcff"
    elif make == "too long":
        path = str(path) * 100
    with pytest.raises(MediaNotFoundError) as caught:
        load_image(path)
    assert list(chain(caught.value)) == [caught.value]
    for text in texts(caught.value):
        assert SENTINEL not in text
        assert str(tmp_path) not in text


def test_no_file_is_left_open(tmp_path: pathlib.Path) -> None:
    listing = pathlib.Path("/proc/self/fd")
    if not listing.exists():
        pytest.skip("no list of open files here")
    picture = tmp_path / "p"
    picture.write_bytes(encode(pattern(), "PNG"))
    before = len(list(listing.iterdir()))
    for _ in range(5):
        load_image(picture)
        with pytest.raises(MediaNotFoundError):
            load_image(tmp_path)
    assert len(list(listing.iterdir())) == before


def test_errors_of_a_file_object_are_not_passed_on() -> None:
    class Rude(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "read failed", SENTINEL)

    with pytest.raises(MediaNotFoundError) as caught:
        load_image(Rude(b"x"))
    assert list(chain(caught.value)) == [caught.value]
    assert not any(SENTINEL in text for text in texts(caught.value))


def talkative() -> dict[str, bytes]:
    picture = pattern()
    block = exif(6, MARK)
    return {
        "PNG": rgb_png(
            picture,
            chunk(b"tEXt", b"Title\0" + MARK),
            chunk(b"eXIf", block),
            chunk(b"prVt", MARK),
            chunk(b"iCCP", MARK),
        ),
        "JPEG": with_segments(
            encode(picture, "JPEG"),
            segment(0xE1, b"Exif\0\0" + block),
            segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + MARK),
            segment(0xFE, MARK),
        ),
        "WEBP": encode(picture, "WEBP", exif=block, xmp=MARK),
        "GIF": encode(picture, "GIF", comment=MARK),
        "text": MARK,
    }


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "GIF", "text"])
def test_nothing_of_the_content_comes_out(
    name: str, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    data = talkative()[name]
    assert MARK in data
    path = tmp_path / f"{SENTINEL}.dat"
    seen: list[str] = []
    with caplog.at_level(logging.DEBUG):
        for content in (data, data[: len(data) // 2], data[:-1]):
            path.write_bytes(content)
            for source in (path, str(path), content, io.BytesIO(content)):
                loaded = load_image(source)
                seen += [repr(loaded), str(loaded)]
                if not isinstance(loaded, NotJudged):
                    with loaded as pictures:
                        for item in pictures:
                            seen += [repr(item), str(item)]
    assert len(seen) > 10
    for text in seen + [record.getMessage() for record in caplog.records]:
        assert SENTINEL not in text
        assert str(tmp_path) not in text
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_repr_shows_the_size_and_no_pixel() -> None:
    with load_image(np.full((20, 30, 3), 123, np.uint8)) as pictures:  # type: ignore[union-attr]
        [image] = pictures
    assert repr(image) == "<Image 30x20>"


def test_type_errors_show_the_type_and_no_value() -> None:
    for source in ([SENTINEL], {SENTINEL: 1}, io.StringIO(SENTINEL), np.array([SENTINEL])):
        with pytest.raises(SafelightError) as caught:
            load_image(source)  # type: ignore[arg-type]
        assert not any(SENTINEL in text for text in texts(caught.value))


def test_pil_source_error_is_a_state_without_its_path(tmp_path: pathlib.Path) -> None:
    path = tmp_path / f"{SENTINEL}.png"
    path.write_bytes(encode(pattern(), "PNG")[:-300])
    with PilImage.open(path) as source:
        loaded = load_image(source)
    assert isinstance(loaded, NotJudged)
    assert SENTINEL not in repr(loaded)
