"""Any sequence of uploads, right or wrong in any way, against a model that fits on a page."""

from __future__ import annotations

import json
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any

import pytest
from collector_world import Device
from hypothesis import given, settings
from hypothesis import strategies as st
from safelight.reporting.wire import SEALED_BYTES
from safelight_collector.errors import CODES

_few = settings(max_examples=max(20, settings.default.max_examples // 4))

#: What may be done to a record on its way, and what must become of it.
CHANGES = {
    "nothing": None,
    "id": "signature",
    "signature": "signature",
    "sealed": "signature",
    "sealed and signed again": "content",
    "short": "size",
    "of another device": "signature",
    "other id inside": "mismatch",
}


def changed(device: Device, other: Device, record_id: str, change: str, place: int) -> dict[str, str]:
    record = device.record(record_id)
    raw = bytearray(b64decode(record["sealed"]))
    raw[place % SEALED_BYTES] ^= 1 << place % 8
    if change == "id":
        return {**device.record(secrets.token_hex(16)), "id": record_id}
    if change == "signature":
        signature = bytearray(b64decode(record["signature"]))
        signature[place % 64] ^= 1 << place % 8
        return {**record, "signature": b64encode(signature).decode()}
    if change == "sealed":
        return {**record, "sealed": b64encode(raw).decode()}
    if change == "sealed and signed again":
        return device.seal(record_id, bytes(raw))
    if change == "short":
        return {**record, "sealed": b64encode(raw[: place % SEALED_BYTES]).decode()}
    if change == "of another device":
        return other.record(record_id)
    if change == "other id inside":
        return device.record(record_id, id=secrets.token_hex(16))
    return record


@pytest.fixture
def devices(collector: Any) -> Iterator[tuple[Any, list[Device]]]:
    return iter([(collector, [collector.device(), collector.device()])])


def test_every_sequence_is_answered_as_the_model_says(devices: Iterator[Any]):
    collector, (one, other) = next(devices)
    ids = [secrets.token_hex(16) for _ in range(6)]
    stored: set[tuple[str, str]] = set()

    @_few
    @given(
        st.lists(
            st.tuples(st.booleans(), st.integers(0, 5), st.sampled_from(list(CHANGES)), st.integers(0, 10_000)),
            min_size=1,
            max_size=8,
        )
    )
    def run(steps: list[tuple[bool, int, str, int]]) -> None:
        for device, stranger in ((one, other), (other, one)):
            mine = [step for step in steps if step[0] == (device is one)]
            if not mine:
                continue
            batch = [changed(device, stranger, ids[number], change, place) for _, number, change, place in mine]
            acks = collector.send(device, batch)
            assert [ack["id"] for ack in acks] == [ids[number] for _, number, _, _ in mine]
            for ack, (_, number, change, _) in zip(acks, mine, strict=True):
                reason = CHANGES[change]
                if reason is not None:
                    assert (ack["state"], ack["reason"]) == ("refused", reason)
                    continue
                key = (device.pseudonym, ids[number])
                assert ack["state"] == ("duplicate" if key in stored else "stored")
                stored.add(key)
        assert len(collector.rows()) == len(stored)

    run()


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)


def test_any_body_gets_a_typed_answer_and_stores_nothing(devices: Iterator[Any]):
    collector, _ = next(devices)

    @_few
    @given(
        st.sampled_from(["/v1/records", "/v1/keys", "/v1/keys/rotate"]),
        st.binary(max_size=200) | _json.map(lambda value: json.dumps(value).encode()),
    )
    def run(path: str, body: bytes) -> None:
        answer = collector.client.post(path, content=body, headers={"content-type": "application/json"})
        found = answer.json()
        assert set(found) == {"error", "message"}
        assert CODES[found["error"]] == answer.status_code == 400
        assert collector.rows() == []

    run()


def test_a_right_request_with_one_byte_changed_never_stores_something_else(devices: Iterator[Any]):
    collector, (device, _) = next(devices)
    record = device.record("ab" * 16)
    body = json.dumps(device.batch([record])).encode()

    @_few
    @given(st.integers(0, len(body) - 1), st.integers(0, 255))
    def run(place: int, value: int) -> None:
        sent = bytearray(body)
        sent[place] = value
        answer = collector.client.post("/v1/records", content=bytes(sent), headers={"content-type": "application/json"})
        if answer.status_code == 200:
            assert {ack["state"] for ack in answer.json()["acks"]} <= {"stored", "duplicate", "refused"}
        else:
            assert CODES[answer.json()["error"]] == answer.status_code
        # Base64 has bits that say nothing; whatever got through is the one record, unchanged.
        assert [bytes(row.record_id).hex() for row in collector.rows()] in ([], ["ab" * 16])

    run()
