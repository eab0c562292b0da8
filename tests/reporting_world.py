"""A device and a collector for the tests of reporting: the collector keeps the rules of the protocol, in memory."""

from __future__ import annotations

import base64
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from nacl.public import PrivateKey
from safelight.decision import Finding, FindingKind, Label, State
from safelight.keys import FileKeyProvider
from safelight.reporting import Ack, Batch, Collector, HashRecord, Outbox, OutboxLimits, Registration
from safelight.reporting.wire import (
    KeyRequest,
    RecordsRequest,
    RotateRequest,
    open_sealed,
    pseudonym_of,
    verify_record,
    verify_rotation,
)
from store_world import FakeClock

TOKEN = "fleet-token"


def match(entry_id: int = 7, *, list_id: str = "alpha", distance: int = 3) -> Finding:
    return Finding(FindingKind.KNOWN, State.OK, Label.MATCH, 1.0, list_id, entry_id=entry_id, distance=distance)


@dataclass
class FakeCollector:
    """Takes what a collector takes and refuses what it refuses; counts what it has stored by (pseudonym, id)."""

    private_key: PrivateKey = field(default_factory=PrivateKey.generate)
    keys: dict[str, bytes] = field(default_factory=dict)
    stored: Counter[tuple[str, str]] = field(default_factory=Counter)
    records: dict[str, HashRecord] = field(default_factory=dict)
    rotations: int = 0

    @property
    def config(self) -> Collector:
        return Collector(
            url="https://collector.example",
            sealing_key=bytes(self.private_key.public_key),
            name="example",
            enrolment=TOKEN,
        )

    def take_key(self, path: str, body: bytes) -> str:
        if path == "/v1/keys":
            request = msgspec.json.decode(body, type=KeyRequest)
            assert request.enrolment == TOKEN
            public_key = request.public_key
        else:
            rotation = msgspec.json.decode(body, type=RotateRequest)
            assert verify_rotation(self.keys[rotation.pseudonym], rotation)
            public_key = rotation.public_key
            self.rotations += 1
        self.keys[pseudonym_of(public_key)] = public_key
        return pseudonym_of(public_key)

    def take_records(self, body: bytes) -> list[Ack]:
        request = msgspec.json.decode(body, type=RecordsRequest)
        acks = []
        for one in request.records:
            assert verify_record(self.keys[request.pseudonym], one)
            record = open_sealed(bytes(self.private_key), one.sealed)
            assert (record.id, record.pseudonym) == (one.id, request.pseudonym)
            known = (request.pseudonym, one.id) in self.stored
            if not known:
                self.stored[request.pseudonym, one.id] += 1
                self.records[one.id] = record
            acks.append(Ack(one.id, "duplicate" if known else "stored"))
        return acks

    def register(self, outbox: Outbox) -> Registration | None:
        registration = outbox.next_registration()
        if registration is not None:
            outbox.registered(self.take_key(registration.path, registration.body))
        return registration

    def collect(self, outbox: Outbox) -> list[Batch]:
        """Everything that waits, whether it is time or not."""
        batches = []
        while self.register(outbox) is not None:
            pass
        while (batch := outbox.next_batch()) is not None:
            batches.append(batch)
            outbox.acknowledge(batch, self.take_records(batch.body))
        return batches


@dataclass
class Device:
    """One device's outbox in a folder, with a clock that is set by hand."""

    folder: Path
    collector: FakeCollector = field(default_factory=FakeCollector)
    clock: FakeClock = field(default_factory=FakeClock)
    limits: OutboxLimits | None = None

    @property
    def path(self) -> Path:
        return self.folder / "outbox" / "outbox.sqlite"

    def open(self, *, connected: bool = True) -> Outbox:
        outbox = Outbox(self.path, keys=FileKeyProvider(self.folder / "keys"), clock=self.clock, limits=self.limits)
        if connected:
            outbox.connect(self.collector.config)
        return outbox


def plain_json(body: bytes) -> dict[str, object]:
    """A request's JSON with its sealed records taken out, for looking at the rest."""
    value: dict[str, object] = json.loads(body)
    return value


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
