"""A stand-in beside the blur that people would pick, and what the gates add to a check.

    taskset -c 0 python tests/bench/bench_receive.py [--rounds 30] [--json]

Pictures are made from the portrait that ships. The blur is Pillow's GaussianBlur of the whole picture, as apps do it,
encoded for the screen as ours is; "reduced" lets Pillow decode at reduced scale first, the best that it can do. CPU
time of the whole process: other programs on the machine count less.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageFilter
from safelight import Event, Guard, Profile
from safelight.gates import ChatGate, ReceiveGate
from safelight.media.stand_in import make_stand_in

PORTRAIT = Path(__file__).resolve().parents[2] / "examples" / "pictures" / "portrait.jpg"
TEXT = "shall we meet at the library after school to finish the poster"


def _median_cpu_ms(call: Callable[[], object], rounds: int) -> float:
    call()
    times = []
    for _ in range(rounds):
        started = time.process_time()
        call()
        times.append((time.process_time() - started) * 1e3)
    return statistics.median(times)


def _jpeg(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.open(PORTRAIT).convert("RGB").resize((width, height)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _blurred(data: bytes, *, reduced: bool) -> bytes:
    with Image.open(io.BytesIO(data)) as opened:
        if reduced:
            opened.draft("RGB", (256, 256))
        small = opened.convert("RGB").filter(ImageFilter.GaussianBlur(opened.width / 20))
    buffer = io.BytesIO()
    small.resize((256, 256)).save(buffer, "PNG")
    return buffer.getvalue()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Times stand-ins and gates.")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", action="store_true", dest="as_json")
    args = parser.parse_args()
    found: dict[str, float] = {}
    for name, data in (("2 MP", _jpeg(1600, 1200)), ("12 MP", _jpeg(4000, 3000))):
        ours = _median_cpu_ms(lambda data=data: make_stand_in(data).png(256), args.rounds)
        found[f"{name}: stand-in, ms"] = ours
        for reduced in (True, False):
            blur = _median_cpu_ms(
                lambda data=data, reduced=reduced: _blurred(data, reduced=reduced), max(3, args.rounds // 5)
            )
            label = "reduced first" if reduced else "whole"
            found[f"{name}: GaussianBlur, {label}, ms"] = blur
            found[f"{name}: blur / stand-in, {label}"] = blur / ours
    data = _jpeg(1600, 1200)
    with Guard(Profile("13_15")) as guard, ChatGate(guard) as chats:
        fresh = ReceiveGate(guard, remember=0)
        check = _median_cpu_ms(lambda: guard.check_image(data, event=Event.RECEIVE), args.rounds)
        received = _median_cpu_ms(lambda: fresh.receive(data), args.rounds)
        found["check_image, ms"] = check
        found["receive, ms"] = received
        found["receive / check_image"] = received / check
        again = ReceiveGate(guard)
        found["view the same allowed bytes again, ms"] = _median_cpu_ms(lambda: again.view(data), args.rounds)
        talk, gated = guard.conversation(), chats.conversation()
        plain = _median_cpu_ms(lambda: talk.add(sender="other", text=TEXT), args.rounds * 10)
        passed = _median_cpu_ms(lambda: gated.incoming(text=TEXT), args.rounds * 10)
        found["conversation.add, ms"] = plain
        found["chat.incoming(text), ms"] = passed
        found["chat.incoming / conversation.add"] = passed / plain
    if args.as_json:
        print(json.dumps({"machine": platform.processor() or platform.machine(), **found}))
    else:
        for name, value in found.items():
            print(f"{name:44} {value:9.3f}")


if __name__ == "__main__":
    main()
