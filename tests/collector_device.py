"""A device of the test fleet: makes records and sends them until it is killed. Run as a program by the tests.

python collector_device.py FOLDER URL SEALING_KEY_HEX TOKEN

Writes one word a line to ``FOLDER/book``: ``about N`` before record N is made, ``made N`` once the outbox says that it
is safe, ``skip N`` for one that a kill left in doubt. Reads how far its clock is off from ``FOLDER/clock``, and makes
no more once ``FOLDER/enough`` is there: then it sends what waits and ends with status 0.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from safelight.decision import Action, Finding, FindingKind, Label, State
from safelight.keys import FileKeyProvider
from safelight.reporting import Collector, Outbox, OutboxLimits, Uploader
from safelight.store.clock import SystemClock


class JumpingClock(SystemClock):
    """The machine's clock, off by what a file says: the wall clock that anybody can set."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def wall_s(self) -> float:
        try:
            return super().wall_s() + float(self._path.read_text() or "0")
        except (OSError, ValueError):
            return super().wall_s()


def main(folder: Path, url: str, sealing_key: bytes, token: str) -> None:
    book = os.open(folder / "book", os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o600)
    lines = (folder / "book").read_text().splitlines()
    number = int(lines[-1].split()[1]) if lines else 0
    if lines and lines[-1].startswith("about"):
        os.write(book, f"skip {number}\n".encode())
    chance = random.Random()
    limits = OutboxLimits(send_every_s=0, back_off_base_s=0.01, back_off_cap_s=0.1)
    outbox = Outbox(
        folder / "outbox.sqlite", keys=FileKeyProvider(folder), clock=JumpingClock(folder / "clock"), limits=limits
    )
    with outbox:
        outbox.connect(Collector(url=url, sealing_key=sealing_key, enrolment=token))
        uploader = Uploader(outbox, connect_timeout_s=5, answer_timeout_s=10)
        while not (folder / "enough").exists():
            for _ in range(chance.randrange(1, 6)):
                number += 1
                os.write(book, f"about {number}\n".encode())
                finding = Finding(
                    FindingKind.KNOWN, State.OK, Label.MATCH, 1.0, "list-1", entry_id=number, distance=number % 32
                )
                record = outbox.enqueue((finding,), action=Action.HOLD, policy="default")
                assert record is not None
                os.write(book, f"made {number}\n".encode())
            if chance.random() < 0.1:
                outbox.rotate()
            uploader.flush()
        while outbox.status().waiting:
            uploader.flush()
    os.close(book)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], bytes.fromhex(sys.argv[3]), sys.argv[4])
