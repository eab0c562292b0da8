"""No pixel, path or word of what passes a gate in logs, reprs, exceptions, files or the store's plain bytes."""

from __future__ import annotations

import io
import logging
import re
import traceback
from pathlib import Path

import pytest
from gate_world import COLOURS, ColourDetector
from PIL import Image as PilImage
from safelight import Guard, SafelightError
from safelight.gates import ChatGate, ReceiveGate
from stage_scorer import WORDS, WordScorer
from store_world import World

SENTINEL = "zq7sentinel"
LONG = f"{SENTINEL} and words about nothing in particular, long enough not to be taken for a piece"


def _planted() -> bytes:
    picture = PilImage.new("RGB", (64, 64), COLOURS["explicit"])
    exif = picture.getexif()
    exif[0x010E] = f"{SENTINEL} description"
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", exif=exif)
    return buffer.getvalue()


class Failing(io.RawIOBase):
    """A stream of the host's whose error names its file."""

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1) -> bytes:
        raise OSError(5, "I/O error", f"/somewhere/{SENTINEL}")


def test_nothing_of_what_passes_a_gate_is_anywhere_else(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    planted = _planted()
    caplog.set_level(logging.DEBUG)
    store = world.set_up(age_band="10_12")
    path = tmp_path / f"{SENTINEL}.png"
    path.write_bytes(planted)
    seen: list[object] = []
    with Guard(store=store, detectors=[ColourDetector()]) as guard, ChatGate(guard) as gate:
        pictures = ReceiveGate(guard)
        for source in (path, planted, io.BytesIO(planted)):
            received = pictures.receive(source)
            seen += [pictures, received, received.stand_in, received.hold]
        chat = gate.conversation(scorer=WordScorer(), handle="chat-1")
        for stage in ("age_probe", "secrecy", "flattery_bond", "meeting"):
            seen += [chat.incoming(text=f"{WORDS[stage]} {LONG}"), chat.outgoing(text=LONG), chat, gate]
        seen.append(chat.incoming(picture=path))
        seen += [one.hold for one in seen if hasattr(one, "hold")]
        for call in (
            lambda: pictures.receive(Failing()),
            lambda: pictures.receive(str(tmp_path / f"no-{SENTINEL}")),
            lambda: chat.incoming(picture=Failing()),
            lambda: chat.incoming(picture=SENTINEL, text=SENTINEL),
            lambda: pictures.receive({SENTINEL: 1}),  # type: ignore[arg-type]
        ):
            with pytest.raises(SafelightError) as caught:
                call()
            seen.append("".join(traceback.format_exception(caught.value)))
            error: BaseException | None = caught.value
            while error is not None:
                seen.append(f"{error!r} {getattr(error, 'filename', '')}")
                error = error.__cause__ or error.__context__
    # A traceback shows lines of this file, which has the word in it: only what is filled in counts.
    text = " ".join(map(repr, seen)).replace("{SENTINEL}", "") + caplog.text
    assert SENTINEL not in text
    assert str(tmp_path) not in text
    assert not re.search(r"200\D+20\D+20\D", text)
    for file in world.folder.rglob("*"):
        if file.is_file():
            assert SENTINEL.encode() not in file.read_bytes(), file.name
            assert bytes(COLOURS["explicit"]) * 8 not in file.read_bytes(), file.name
            assert planted[-64:] not in file.read_bytes(), file.name
