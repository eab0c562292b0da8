"""Two records of one device: nothing ties them but the epoch's pseudonym, and no size or time tells what they are."""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from reporting_world import Device, match
from safelight.decision import Action
from safelight.reporting import PERSON_CATEGORIES, Outbox, PictureHash

# Values that many devices share on any day, so that they tie nothing together.
COARSE = {"schema", "made_by", "category", "day", "action", "policy", "hash_kind", "hash_profile"}
CONTENT = {"list_id", "entry_id", "distance", "hash"}

whats = st.one_of(
    st.tuples(st.just("match"), st.integers(0, 10**6)),
    st.tuples(st.sampled_from([str(one) for one in PERSON_CATEGORIES]), st.none() | st.integers(0, 2**64)),
)


def _make(outbox: Outbox, what: tuple[str, Any]) -> None:
    kind, number = what
    if kind == "match":
        outbox.enqueue([match(number)], action=Action.HOLD)
    else:
        picture = PictureHash("pdq", random.Random(number).randbytes(32).hex(), "full") if number is not None else None
        outbox.report(kind, picture=picture)


def _device(folder: str, seed: int = 1) -> tuple[Device, Outbox]:
    device = Device(Path(folder))
    outbox = device.open()
    outbox._random = random.Random(seed)  # type: ignore[assignment]
    return device, outbox


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


@settings(max_examples=settings().max_examples // 4)
@given(whats, whats, st.booleans())
def test_nothing_ties_two_records_but_the_pseudonym(
    one: tuple[str, Any], other: tuple[str, Any], rotated: bool
) -> None:
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        device, outbox = _device(folder)
        with outbox:
            _make(outbox, one)
            if rotated:
                outbox.rotate()
            else:
                device.clock.run(86_400)
            _make(outbox, other)
            bodies = [batch.body for batch in device.collector.collect(outbox)]
    sealed = [record for body in bodies for record in json.loads(body)["records"]]
    records = list(device.collector.records.values())
    if len(records) == 1:
        assert one == other  # the same match again in one epoch is the same record
        assert not rotated
        return
    first, second = (record.to_dict() for record in records)
    same = {name for name in first if first[name] is not None and first[name] == second[name]}
    assert same <= COARSE | CONTENT | (set() if rotated else {"pseudonym"})
    if one[1] != other[1]:
        assert not same & {"entry_id", "hash"}
    assert len(bodies) == (2 if rotated else 1)
    # What is outside of the seal: no run of ten letters in common, whatever is inside.
    for name in ("id", "sealed", "signature"):
        left, right = (value[name] for value in sealed)
        runs = {left[at : at + 10] for at in range(len(left) - 9)}
        assert not any(right[at : at + 10] in runs for at in range(len(right) - 9)), name
    if rotated:
        assert len(device.collector.keys) == 2
        assert device.collector.rotations == 0


@settings(max_examples=settings().max_examples // 4)
@given(st.lists(st.tuples(whats, whats), min_size=1, max_size=6, unique_by=(lambda p: p[0], lambda p: p[1])))
def test_sizes_and_times_are_the_same_whatever_the_categories(pairs: list[tuple[Any, Any]]) -> None:
    """Two devices to which different things happen at the same moments look the same from outside."""
    seen = []
    for side in (0, 1):
        with tempfile.TemporaryDirectory(dir=_memory()) as folder:
            device, outbox = _device(folder, seed=7)
            trace: list[Any] = []
            with outbox:
                for pair in pairs:
                    _make(outbox, pair[side])
                    trace.append(outbox.status().next_send_in_s)
                    device.clock.run(1700)
                    device.clock.run(86_400)  # so that a report of the same kind is another one
                    if outbox.due():
                        registration = outbox.next_registration()
                        if registration is not None:
                            trace.append(len(registration.body))
                        trace += [len(batch.body) for batch in device.collector.collect(outbox)]
                values = [{**entry.to_dict(), "id": None} for entry in outbox.ledger()]
                trace.append(msgspec.json.encode(sorted(values, key=str)))
            seen.append(trace)
    assert seen[0] == seen[1]
