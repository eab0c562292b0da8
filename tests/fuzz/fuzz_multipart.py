"""Mutates request bodies: either the gate refuses with a typed error, or every parser sees what was checked.

Run by ``.ci/fuzz`` for FUZZ_SECONDS or FUZZ_RUNS, whichever ends first, and by the tests for a few hundred rounds:

    python tests/fuzz/fuzz_multipart.py --runs 100000 --seconds 300 --seed 7
"""

from __future__ import annotations

import argparse
import gzip
import random
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from upload_parsers import UploadError, all_agree, check

FORM = "multipart/form-data; boundary=b0"
_WORDS = (
    b"\r\n", b"\n", b"\r", b"--", b"--b0", b"\r\n--b0", b"\r\n--b0--", b"\r\n--b0\r\n", b"\0", b'"', b"\\", b";", b":",
    b"Content-Disposition: form-data; name=", b"; filename=", b"; filename*=utf-8''%41", b"\r\nContent-Type: ",
    b"multipart/mixed; boundary=c", b"\r\nContent-Transfer-Encoding: base64", b"quoted-printable", b"=", b"=\r\n",
    b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b" ", b"\t", b"*0=", b"\x80", b"--b0 ", b"--b0\t\r\n", b"--B0", b"%",
)  # fmt: skip
_LINES = (
    b'Content-Disposition: form-data; name="z"',
    b'content-disposition: form-data; name="y"; filename="y"',
    b"Content-Type: multipart/mixed; boundary=c",
    b'Content-Type: multipart/form-data; boundary="b0"',
    b"Content-Type: message/rfc822",
    b"Content-Type: text/html; charset=utf-16",
    b"Content-Transfer-Encoding: base64",
    b"Content-Transfer-Encoding: quoted-printable",
    b"Content-Transfer-Encoding: x-uuencode",
    b"Content-Length: 3",
    b"Content-Encoding: gzip",
    b" folded",
    b"X: y",
    b"",
    b"--b0",
    b"--b0--",
    b"--c",
)
_TYPES = (
    FORM,
    'multipart/form-data; boundary="b0"',
    "Multipart/Form-Data;BOUNDARY=b0;charset=utf-8",
    "multipart/mixed; boundary=b0",
    "multipart/related; boundary=b0; type=text",
    "multipart/form-data; boundary=b",
    "multipart/form-data; boundary=--b0",
)


def base(dice: random.Random) -> bytes:
    """A body as a good client makes it."""
    out = []
    for number in range(dice.randint(0, 5)):
        lines = f'--b0\r\nContent-Disposition: form-data; name="n{number}"'
        kind = dice.randint(0, 4)
        if kind:
            lines += f'; filename="f{number}.txt"\r\nContent-Type: text/plain'
        content = dice.randbytes(dice.choice((0, 1, 5, 60, 3_000)))
        if kind == 2:
            lines += "\r\nContent-Transfer-Encoding: base64"
            content = __import__("base64").encodebytes(content)
        elif kind == 3:
            lines += "\r\nContent-Transfer-Encoding: quoted-printable"
            content = __import__("quopri").encodestring(content)
        out.append(lines.encode() + b"\r\n\r\n" + content + b"\r\n")
    return b"".join(out) + b"--b0--\r\n"


def mutate(data: bytes, dice: random.Random) -> bytes:
    """A little worse."""
    for _ in range(dice.choice((0, 1, 1, 1, 2, 3, 8))):
        at, end = sorted((dice.randint(0, len(data)), dice.randint(0, len(data))))
        end = min(end, at + dice.choice((0, 1, 2, 10, 1_000)))
        way = dice.randint(0, 8)
        if way >= 7:
            # A line more, where a line ends: most of the time that is in the headers.
            ends = [found.end() for found in re.finditer(rb"\r\n", data[:2_000])]
            place = dice.choice(ends) if ends else 0
            data = data[:place] + dice.choice(_LINES) + b"\r\n" + data[place:]
        elif way <= 2:
            data = data[:at] + dice.choice(_WORDS) + data[at:]
        elif way == 3:
            data = data[:at] + data[end:]
        elif way == 4:
            data = data[:at] + data[at:end] * 2 + data[end:]
        elif way == 5 and at < len(data):
            data = data[:at] + bytes((data[at] ^ (1 << dice.randint(0, 7)),)) + data[at + 1 :]
        else:
            data = data[:end] + data[at:end] + data[end:]
    return data


def one(dice: random.Random) -> bool:
    """One round; whether the gate took the body."""
    body = mutate(base(dice), dice)
    content_type = dice.choice(_TYPES) if dice.random() < 0.2 else FORM
    encoding = None
    if dice.random() < 0.1:
        body, encoding = mutate(gzip.compress(body), dice), "gzip"
    chunks, at = [], 0
    while at < len(body):
        size = dice.choice((1, 2, 3, 7, 50, 4_000, len(body)))
        chunks.append(body[at : at + size])
        at += size
    try:
        parts, sent_type, sent = check(content_type, chunks, encoding)
    except UploadError:
        return False
    if parts:
        all_agree(parts, str(sent_type), sent)
    # What was written is read back as the same.
    again, _, _ = check(str(sent_type), [sent])
    assert again == parts
    return True


def run(*, runs: int, seconds: float, seed: int) -> tuple[int, int]:
    """Rounds made, and bodies taken."""
    started, taken, count = time.monotonic(), 0, 0
    while count < runs and time.monotonic() - started < seconds:
        dice = random.Random(f"{seed}/{count}")
        try:
            taken += one(dice)
        except BaseException:
            print(f"fuzz_multipart: seed {seed}, round {count}", file=sys.stderr)
            raise
        count += 1
    return count, taken


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    done, accepted = run(runs=chosen.runs, seconds=chosen.seconds, seed=chosen.seed)
    print(f"Done {done} runs, {accepted} bodies were taken and read alike by every parser")
