"""Are limits checked when they are made, and do two threads see what one sees?"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import subprocess
import sys
import threading

import pytest
import safelight
from PIL import Image as PilImage
from safelight.errors import UsageError
from safelight.media import DECODED_FORMATS, Limits, available_formats
from safelight.media.limits import PILLOW_WARNING_PX
from unit.media.helpers import encode, encode_frames, look, pattern


def test_limits_stay_below_pillows_own() -> None:
    assert PilImage.MAX_IMAGE_PIXELS == PILLOW_WARNING_PX
    assert Limits().max_pixels <= PILLOW_WARNING_PX
    with pytest.raises(UsageError, match="max_pixels"):
        Limits(max_pixels=PILLOW_WARNING_PX + 1)


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Limits)])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, None, "9"])
def test_limits_are_whole_numbers_above_0(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=name):
        Limits(**{name: value})  # type: ignore[arg-type]


def test_limits_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().max_bytes = 1  # type: ignore[misc]


def test_two_threads_see_what_one_sees() -> None:
    sources = [encode(pattern(200, 150, seed=n), kind) for n in range(3) for kind in ("JPEG", "PNG", "WEBP")]
    sources.append(encode_frames([pattern(60, 40, seed=n) for n in range(5)], "GIF"))
    expected = [[image.pixels.tobytes() for image in look(s)[0]] for s in sources]
    wrong: list[int] = []

    def work(order: int) -> None:
        for _ in range(5):
            for n in range(len(sources))[::order]:
                if [image.pixels.tobytes() for image in look(sources[n])[0]] != expected[n]:
                    wrong.append(n)

    threads = [threading.Thread(target=work, args=(order,)) for order in (1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_naming_the_package_loads_neither_numpy_nor_pillow() -> None:
    script = (
        "import sys, safelight.media as m\n"
        "m.Limits, m.DECODED_FORMATS\n"
        "assert not {'numpy', 'PIL'} & set(sys.modules), 'heavy import'\n"
        "assert set(m.__all__) <= set(dir(m))\n"
        "[getattr(m, name) for name in m.__all__]\n"
        "try:\n    m.nothing\nexcept AttributeError:\n    print('ok')\n"
    )
    root = str(pathlib.Path(safelight.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root}
    )
    assert done.stdout == "ok\n", done.stderr


def test_decoded_formats() -> None:
    assert set(DECODED_FORMATS) == {"JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF", "HEIF"}
    assert {"JPEG", "PNG", "GIF", "BMP"} <= set(available_formats()) <= set(DECODED_FORMATS)
