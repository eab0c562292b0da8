"""Rounds of a device that is killed at any moment, over an outbox that must lose nothing.

    python outbox_chaos.py FOLDER ROUNDS SEED

Each round forks a device that keeps and sends records over a socket, until it is killed (SIGKILL) some milliseconds
later. Between and within rounds the clock jumps, files may grow no further (RLIMIT_FSIZE), restarts come, and the
collector drops requests and answers, answers twice, or for some records only. At the end every id that the device was
told is kept must be with the collector, once. Linux only (SOCK_SEQPACKET); one thread, so that forking is safe.
"""

from __future__ import annotations

import json
import os
import random
import resource
import select
import signal
import socket
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

import msgspec
from reporting_world import Device, FakeCollector, match
from safelight.decision import Action
from safelight.errors import ReportError
from safelight.reporting import Ack, Outbox
from safelight.reporting.wire import RecordsAnswer

_MAX_MESSAGE = 1 << 20


def device_life(device: Device, line: socket.socket, round_number: int, rng: random.Random) -> None:
    """Keep and send until killed."""
    clock = device.clock
    if rng.random() < 0.3:
        clock.restart(off_s=rng.uniform(0, 1e6), uptime_s=rng.uniform(0, 50))
    outbox = device.open(connected=False)
    entry = 0
    while True:
        chance = rng.random()
        try:
            if chance < 0.05:
                clock.set_wall(clock.wall_s() + rng.choice([-1, 1]) * rng.uniform(0, 3e8))
            elif chance < 0.07:
                outbox.rotate()
            elif chance < 0.10:
                here = max(path.stat().st_size for path in device.path.parent.iterdir())
                resource.setrlimit(resource.RLIMIT_FSIZE, (here + rng.randrange(0, 30_000), resource.RLIM_INFINITY))
            elif chance < 0.12:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            elif chance < 0.75:
                entry += 1
                number = round_number * 100_000 + entry
                record = outbox.enqueue([match(number)], action=Action.HOLD)
                assert record is not None
                line.send(b"K" + record.id.encode())  # from here on somebody counts on it
            else:
                _send(outbox, line, rng)
        except ReportError as error:
            line.send(b"L" + error.state.encode())
        clock.run(rng.uniform(0, 100))


def _send(outbox: Outbox, line: socket.socket, rng: random.Random) -> None:
    registration = outbox.next_registration()
    if registration is not None:
        line.send(b"R" + registration.path.encode() + b"\n" + registration.body)
        if line.recv(_MAX_MESSAGE) == b"yes":
            outbox.registered(registration.pseudonym)
    batch = outbox.next_batch(max_records=rng.choice([1, 5, 30]))
    if batch is None:
        return
    line.send(b"B" + batch.body)
    answer = line.recv(_MAX_MESSAGE)
    if answer == b"nothing":
        outbox.postpone()
        return
    acks = msgspec.json.decode(answer, type=RecordsAnswer).acks
    for _ in range(rng.choice([1, 1, 2])):  # an answer may come twice
        outbox.acknowledge(batch, acks)


class Watch:
    """The collector's side of the line, with its troubles, and what the device was told."""

    def __init__(self, collector: FakeCollector, rng: random.Random) -> None:
        self.collector = collector
        self.rng = rng
        self.kept: set[str] = set()
        self.happened: Counter[str] = Counter()

    def hear(self, message: bytes, line: socket.socket | None) -> None:
        """One message; ``line`` is ``None`` when nobody is there any more to answer."""
        kind, content = message[:1], message[1:]
        answer: bytes | None = None
        if kind == b"K":
            self.kept.add(content.decode())
        elif kind == b"L":
            self.happened[f"not kept, {content.decode()}"] += 1
        elif kind == b"R":
            path, _, body = content.partition(b"\n")
            answer = b"no"
            if self.rng.random() < 0.8:
                self.collector.take_key(path.decode(), body)
                answer = b"yes"
        elif kind == b"B":
            answer = self._records(content)
        if answer is not None and line is not None:
            line.send(answer)

    def _records(self, body: bytes) -> bytes:
        chance = self.rng.random()
        if chance < 0.15:
            self.happened["request dropped"] += 1
            return b"nothing"
        acks: list[Ack] = self.collector.take_records(body)
        self.happened["duplicate"] += sum(ack.state == "duplicate" for ack in acks)
        if chance < 0.35:
            self.happened["answer dropped"] += 1
            return b"nothing"
        if chance < 0.5:
            self.happened["answer in part"] += 1
            acks = acks[: len(acks) // 2]
        return msgspec.json.encode(RecordsAnswer(acks=tuple(acks)))


def one_round(device: Device, watch: Watch, number: int, rng: random.Random) -> None:
    """Fork a device and kill it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MAX_MESSAGE)
    seed = rng.getrandbits(32)
    child = os.fork()
    if child == 0:
        try:
            ours.close()
            device_life(device, theirs, number, random.Random(seed))
        except BaseException:  # noqa: BLE001 - whatever it is, the parent must see it
            traceback.print_exc()
        finally:
            os._exit(3)
    theirs.close()
    # Some while opening, most in the middle of work: after so many messages, and then at any moment.
    messages = rng.choice([0, rng.randrange(3), rng.randrange(60)])
    end_s = time.monotonic() + (1.0 if messages else rng.uniform(0, 0.03))
    while (left_s := end_s - time.monotonic()) > 0:
        if select.select([ours], [], [], left_s)[0]:
            message = ours.recv(_MAX_MESSAGE)
            if not message:
                break
            watch.hear(message, ours)
            messages -= 1
            if messages == 0:
                end_s = time.monotonic() + rng.uniform(0, 0.003)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status), "the device ended by itself"
    # What it said before it was killed counts.
    while message := _rest(ours):
        watch.hear(message, None)
    ours.close()


def _rest(line: socket.socket) -> bytes:
    try:
        return line.recv(_MAX_MESSAGE)
    except ConnectionResetError:
        # Said once, when an answer of ours was not read any more; what the device said before is still there.
        return line.recv(_MAX_MESSAGE)


def main(folder: Path, rounds: int, seed: int) -> None:
    """All rounds, then everything that is left is collected and counted."""
    rng = random.Random(seed)
    device = Device(folder)
    device.open().close()
    watch = Watch(device.collector, rng)
    for number in range(rounds):
        one_round(device, watch, number, rng)
        # What a child did to its copy of the clock is gone; time goes on all the same.
        device.clock.run(rng.uniform(0, 500))
    with device.open(connected=False) as outbox:
        device.collector.collect(outbox)
        status = outbox.status()
        ledger = Counter(entry.state for entry in outbox.ledger())
    stored = {record_id for _, record_id in device.collector.stored}
    missing = watch.kept - stored
    assert not missing, f"{len(missing)} of {len(watch.kept)} kept records never arrived"
    assert set(device.collector.stored.values()) <= {1}
    assert len(stored) == len(device.collector.stored), "one id under two names"
    assert status.waiting == 0
    assert status.counts.get("queued") == status.counts.get("acked") == len(stored) == ledger["acked"]
    assert set(ledger) == {"acked"}
    sys.stdout.write(json.dumps({"rounds": rounds, "kept": len(watch.kept), "stored": len(stored)} | watch.happened))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
