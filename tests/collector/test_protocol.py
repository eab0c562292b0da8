"""What a device is answered: enrolment, rotation, records, and every way in which they can be wrong."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from collector_world import Device
from nacl.public import PrivateKey, SealedBox
from openapi_spec_validator import validate
from safelight.reporting.record import HashRecord
from safelight.reporting.wire import PLAIN_BYTES, SEALED_BYTES, pad_record


def error_of(answer: Any) -> tuple[int, str]:
    body = answer.json()
    assert set(body) == {"error", "message"}
    return answer.status_code, body["error"]


def test_a_record_is_stored_once_and_a_replay_is_a_duplicate(either):
    device = either.device()
    records = [device.record() for _ in range(3)]
    assert either.states(device, records) == ["stored"] * 3
    assert either.states(device, records) == ["duplicate"] * 3
    assert either.states(device, [records[1], device.record()]) == ["duplicate", "stored"]
    assert len(either.rows()) == 4


def test_acknowledgements_keep_the_order_and_an_id_twice_in_a_batch_is_stored_once(either):
    device = either.device()
    record = device.record()
    acks = either.send(device, [record, device.record(), record])
    assert [ack["state"] for ack in acks] == ["stored", "stored", "duplicate"]
    assert acks[0]["id"] == acks[2]["id"] == record["id"]


def test_what_is_kept_is_the_record_without_id_pseudonym_or_time(either):
    device = either.device()
    either.send(device, [device.record()])
    (row,) = either.rows()
    assert row.content == {
        "schema": 1,
        "made_by": "list_match",
        "category": "known_material",
        "day": "2026-11-22",
        "action": "HOLD",
        "policy": "default",
        "list_id": "list-1",
        "entry_id": 7,
        "distance": 3,
    }
    assert row.received_on == either.day


def test_two_devices_may_use_the_same_id(either):
    one, other = either.device(), either.device()
    assert either.states(one, [one.record("ab" * 16)]) == ["stored"]
    assert either.states(other, [other.record("ab" * 16)]) == ["stored"]


def test_tampering_is_refused_and_holds_nothing_back(either):
    device, other = either.device(), either.device()
    good = device.record()
    changed = {**good, "id": "cd" * 16}
    sealed = device.record()
    raw = bytearray(b64decode(sealed["sealed"]))
    raw[100] ^= 1
    flipped = {**sealed, "sealed": b64encode(raw).decode()}
    resigned = device.seal(sealed["id"], bytes(raw))
    not_mine = other.record()
    short = {**good, "sealed": b64encode(b"x" * (SEALED_BYTES - 1)).decode()}
    acks = either.send(device, [changed, flipped, resigned, not_mine, short, good])
    assert [ack.get("reason") for ack in acks] == ["signature", "signature", "content", "signature", "size", None]
    assert [ack["state"] for ack in acks] == ["refused"] * 5 + ["stored"]
    assert len(either.rows()) == 1


@pytest.mark.parametrize("change", [{"id": "ef" * 16}, {"pseudonym": "ef" * 16}])
def test_inside_must_equal_outside(collector, change: dict[str, str]):
    device = collector.device()
    (ack,) = collector.send(device, [device.record("ab" * 16, **change)])
    assert (ack["state"], ack["reason"]) == ("refused", "mismatch")
    assert collector.rows() == []


@pytest.mark.parametrize(
    "change",
    [
        {"note": "hello"},
        {"hash": "00" * 32},
        {"category": "anything"},
        {"day": "2026-11-22T10:11:12"},
        {"schema": 2},
        {"entry_id": -1},
    ],
)
def test_a_record_that_the_schema_does_not_know_is_refused(collector, change: dict[str, Any]):
    device = collector.device()
    values = json.loads(pad_record(HashRecord(**_inside(device, "ab" * 16)))[2:].rstrip(b"\0"))
    content = json.dumps({**values, **change}, separators=(",", ":")).encode()
    plain = (len(content).to_bytes(2, "big") + content).ljust(PLAIN_BYTES, b"\0")
    sealed = bytes(SealedBox(collector.sealing.public_key).encrypt(plain))
    (ack,) = collector.send(device, [device.seal("ab" * 16, sealed)])
    assert (ack["state"], ack["reason"]) == ("refused", "content")


def test_a_record_sealed_to_somebody_else_is_refused(collector):
    device = Device(bytes(PrivateKey.generate().public_key))
    collector.client.post("/v1/keys", json=device.enrolment(collector.token))
    (ack,) = collector.send(device, [device.record()])
    assert (ack["state"], ack["reason"]) == ("refused", "content")


def _inside(device: Device, record_id: str) -> dict[str, Any]:
    return {
        "id": record_id,
        "pseudonym": device.pseudonym,
        "made_by": "list_match",
        "category": "known_material",
        "day": "2026-11-22",
        "action": "HOLD",
        "policy": "default",
        "list_id": "list-1",
        "entry_id": 7,
        "distance": 3,
    }


def test_enrolment_needs_a_token_in_force(either):
    device = either.device(enrol=False)
    post = either.client.post
    assert error_of(post("/v1/keys", json=device.enrolment("another"))) == (403, "bad_enrolment")
    assert error_of(post("/v1/records", json=device.batch([device.record()]))) == (403, "unknown_pseudonym")
    first = post("/v1/keys", json=device.enrolment(either.token))
    again = post("/v1/keys", json=device.enrolment(either.token))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json() == {"pseudonym": device.pseudonym, "expires_at": "2026-12-22T00:00:00Z"}
    (token,) = either.storage.tokens()
    assert token["uses"] == 1
    assert either.storage.revoke_token(token["id"])
    assert not either.storage.revoke_token(token["id"])
    fresh = either.device(enrol=False)
    assert error_of(post("/v1/keys", json=fresh.enrolment(either.token))) == (403, "bad_enrolment")


def test_a_token_serves_so_many_devices_until_its_day(either):
    from safelight_collector.app import token_digest

    either.storage.add_token(token_digest("two"), max_uses=2, days=5)
    devices = [either.device(enrol=False) for _ in range(3)]
    answers = [either.client.post("/v1/keys", json=one.enrolment("two")).status_code for one in devices]
    assert answers == [201, 201, 403]
    # The answer to the last of its uses was lost: the same key again is answered again.
    assert either.client.post("/v1/keys", json=devices[1].enrolment("two")).status_code == 200
    either.storage.add_token(token_digest("short"), max_uses=2, days=5)
    either.day += timedelta(days=6)
    assert either.client.post("/v1/keys", json=devices[2].enrolment("short")).status_code == 403


def test_rotation_is_vouched_for_once_and_old_records_still_count_once(either):
    old = either.device()
    waiting = old.record()
    new, third = either.device(enrol=False), either.device(enrol=False)
    assert either.states(old, [waiting]) == ["stored"]
    first = either.client.post("/v1/keys/rotate", json=old.rotation(new))
    again = either.client.post("/v1/keys/rotate", json=old.rotation(new))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert error_of(either.client.post("/v1/keys/rotate", json=old.rotation(third))) == (409, "already_rotated")
    # The acknowledgement was lost before the rotation: the retry comes under the old pseudonym.
    assert either.states(old, [waiting, old.record()]) == ["duplicate", "stored"]
    assert either.states(new, [new.record()]) == ["stored"]


def test_rotation_needs_the_old_keys_signature(collector):
    old, new, stranger = collector.device(), collector.device(enrol=False), collector.device()
    forged = {**stranger.rotation(new), "pseudonym": old.pseudonym}
    assert error_of(collector.client.post("/v1/keys/rotate", json=forged)) == (403, "bad_signature")
    assert error_of(collector.client.post("/v1/keys/rotate", json=old.rotation(old))) == (403, "bad_signature")
    unknown = collector.device(enrol=False)
    assert error_of(collector.client.post("/v1/keys/rotate", json=unknown.rotation(new))) == (403, "unknown_pseudonym")


def test_no_row_says_which_key_came_after_which(collector):
    old, new = collector.device(), collector.device(enrol=False)
    collector.client.post("/v1/keys/rotate", json=old.rotation(new))
    from safelight_collector.tables import keys

    assert set(keys.c.keys()) == {
        "id", "pseudonym", "public_key", "enrolled_on", "expires_on", "accepted_until", "rotated",
    }  # fmt: skip


def test_an_old_key_is_taken_for_its_grace_and_never_again(either):
    device = either.device()
    record = device.record()
    either.day += timedelta(days=30 + 180)
    assert either.states(device, [record]) == ["stored"]
    either.day += timedelta(days=1)
    post = either.client.post
    assert error_of(post("/v1/records", json=device.batch([record]))) == (403, "expired_pseudonym")
    assert error_of(post("/v1/keys/rotate", json=device.rotation(either.device(enrol=False)))) == (
        403,
        "expired_pseudonym",
    )
    assert error_of(post("/v1/keys", json=device.enrolment(either.token))) == (403, "expired_pseudonym")
    # The clock was wrong: nothing was lost by it, the device sends again.
    either.day -= timedelta(days=1)
    assert either.states(device, [record]) == ["duplicate"]


def test_the_collector_says_what_a_device_must_know(collector):
    answer = collector.client.get("/v1/collector").json()
    assert answer == {
        "schema": 1,
        "sealing_key": b64encode(bytes(collector.sealing.public_key)).decode(),
        "max_batch": 100,
        "record_bytes": SEALED_BYTES,
    }


def test_an_older_sealing_key_still_opens_and_the_newest_is_told(make_world: Callable[..., Any], sqlite_url: str):
    world = make_world(sqlite_url)
    newer = PrivateKey.generate()
    waiting = world.device()
    world.storage.add_sealing_key(bytes(newer.public_key))
    world.settings = replace(world.settings, sealing_keys=(bytes(world.sealing), bytes(newer)))
    world.client.__exit__(None, None, None)
    world.app.state.collector.storage.close()
    world.open()
    told = world.client.get("/v1/collector").json()["sealing_key"]
    assert told == b64encode(bytes(newer.public_key)).decode()
    fresh = Device(bytes(newer.public_key), waiting.signing)
    assert world.states(waiting, [waiting.record(), fresh.record()]) == ["stored", "stored"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, "malformed")),
        (b"[]", (400, "malformed")),
        (b"{", (400, "malformed")),
        (b"\xff", (400, "malformed")),
        (b"[" * 100_000, (400, "malformed")),
        (b'{"pseudonym":"00","records":[]}', (400, "malformed")),
        (b'{"pseudonym":"' + b"0" * 32 + b'","records":[]}', (400, "malformed")),
        (b'{"pseudonym":"' + b"0" * 32 + b'","records":[{"id":"x"}]}', (400, "malformed")),
        (b'{"pseudonym":"' + b"0" * 32 + b'","records":[],"name":"secret-word"}', (400, "malformed")),
        (b"x" * 400_000, (413, "too_large")),
    ],
)
def test_malformed_is_typed_and_repeats_nothing(collector, body: bytes, expected: tuple[int, str]):
    answer = collector.client.post("/v1/records", content=body, headers={"content-type": "application/json"})
    assert error_of(answer) == expected
    assert "secret-word" not in answer.text


def test_a_batch_above_the_limit_and_another_type_are_named(make_world: Callable[..., Any], sqlite_url: str):
    world = make_world(sqlite_url, max_batch=2)
    device = world.device()
    post = world.client.post
    assert error_of(post("/v1/records", json=device.batch([device.record() for _ in range(3)]))) == (413, "too_large")
    assert error_of(post("/v1/records", data={"a": "b"})) == (415, "not_json")
    zipped = {"content-type": "application/json", "content-encoding": "gzip"}
    assert error_of(post("/v1/records", content=b"x", headers=zipped)) == (415, "not_json")
    assert error_of(world.client.get("/v1/records")) == (405, "wrong_method")
    assert error_of(world.client.get("/nothing")) == (404, "not_found")


def test_the_description_is_openapi_and_every_answer_fits_it(collector):
    from openapi_schema_validator import OAS31Validator

    description = collector.client.get("/openapi.json").json()
    validate(description)
    assert set(description["paths"]) == {route.path for route in collector.app.routes}
    device = collector.device()
    answers = {
        ("/v1/collector", "get"): collector.client.get("/v1/collector"),
        ("/v1/records", "post"): collector.client.post("/v1/records", json=device.batch([device.record()])),
        ("/v1/keys", "post"): collector.client.post("/v1/keys", json=device.enrolment("wrong")),
        ("/v1/counters", "get"): collector.client.get("/v1/counters"),
    }
    for (path, method), answer in answers.items():
        schema = description["paths"][path][method]["responses"][str(answer.status_code)]["content"]
        whole = {**schema["application/json"]["schema"], "components": description["components"]}
        OAS31Validator(whole).validate(answer.json())
