"""How much is taken: token buckets, batches, requests at once, slow and large bodies, and when to come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safelight_collector.errors import CODES
from safelight_collector.limits import Buckets, Places, TokenBucket


def test_a_bucket_fills_with_time_and_never_above_its_size():
    now = [0.0]
    bucket = TokenBucket(2, 10, lambda: now[0])
    assert bucket.take_if_there(10) == 0
    assert bucket.take_if_there(4) == 2
    now[0] = 1.9
    assert bucket.take_if_there(4) == 1
    now[0] = 2.0
    assert bucket.take_if_there(4) == 0
    now[0] = 1000.0
    assert bucket.take_if_there(10) == 0
    assert bucket.take_if_there(1) == 1


def test_a_bucket_asked_for_more_than_it_holds_serves_when_full():
    bucket = TokenBucket(1, 5, lambda: 0.0)
    assert bucket.wait_s(50) == 0


@given(st.lists(st.tuples(st.floats(0, 50), st.integers(1, 20)), max_size=40))
def test_no_sequence_gets_more_than_rate_and_burst(steps: list[tuple[float, int]]):
    now, taken = 0.0, 0
    bucket = TokenBucket(3, 20, lambda: now)
    for wait, count in steps:
        now += wait
        if bucket.take_if_there(count) == 0:
            taken += count
        assert taken <= 20 + 3 * now + 1e-6


def test_only_so_many_pseudonyms_are_remembered_and_the_newest_stay():
    buckets = Buckets(1, 1, 2, lambda: 0.0)
    first = buckets.of("a")
    first.take(1)
    buckets.of("b")
    assert buckets.of("a") is first
    buckets.of("c")
    assert len(buckets) == 2
    assert buckets.of("a") is first


def test_places_are_given_back():
    places = Places(1)
    assert places.enter()
    assert not places.enter()
    places.leave()
    assert places.enter()


def test_one_pseudonym_is_slowed_down_and_no_other(make_world: Callable[..., Any], sqlite_url: str):
    world = make_world(sqlite_url, max_batch=10, burst_records=20, rate_records_per_s=1)
    busy, other = world.device(), world.device()
    for _ in range(2):
        assert world.states(busy, [busy.record() for _ in range(10)]) == ["stored"] * 10
    answer = world.client.post("/v1/records", json=busy.batch([busy.record() for _ in range(10)]))
    assert (answer.status_code, answer.json()["error"], answer.headers["retry-after"]) == (429, "too_many", "10")
    assert world.states(other, [other.record()]) == ["stored"]
    world.seconds += 10
    assert world.states(busy, [busy.record() for _ in range(10)]) == ["stored"] * 10


def test_a_stranger_cannot_use_up_a_pseudonyms_share(make_world: Callable[..., Any], sqlite_url: str):
    world = make_world(sqlite_url, max_batch=10, burst_records=10, rate_records_per_s=0.01)
    device, stranger = world.device(), world.device()
    for _ in range(5):
        forged = device.batch([stranger.record() for _ in range(10)])
        acks = world.client.post("/v1/records", json=forged).json()["acks"]
        assert {ack["state"] for ack in acks} == {"refused"}
    assert world.states(device, [device.record() for _ in range(10)]) == ["stored"] * 10


def test_unknown_pseudonyms_take_no_place_in_memory(collector):
    for _ in range(5):
        device = collector.device(enrol=False)
        assert collector.client.post("/v1/records", json=device.batch([device.record()])).status_code == 403
    assert len(collector.app.state.collector._buckets) == 0


def test_all_together_are_limited(make_world: Callable[..., Any], sqlite_url: str):
    world = make_world(sqlite_url, max_batch=10, total_records_per_s=10)
    one, other = world.device(), world.device()
    assert world.states(one, [one.record() for _ in range(10)]) == ["stored"] * 10
    answer = world.client.post("/v1/records", json=other.batch([other.record()]))
    assert (answer.status_code, answer.json()["error"], answer.headers["retry-after"]) == (503, "busy", "1")
    world.seconds += 1
    assert world.states(other, [other.record()]) == ["stored"]


def test_keys_are_limited(make_world: Callable[..., Any], sqlite_url: str):
    world = make_world(sqlite_url, keys_per_s=0.1)
    world.device()
    answer = world.client.post("/v1/keys", json=world.device(enrol=False).enrolment("x"))
    assert (answer.status_code, answer.json()["error"]) == (429, "too_many")
    assert int(answer.headers["retry-after"]) >= 1


def test_a_full_process_says_when_to_come_back(make_world: Callable[..., Any], sqlite_url: str):
    world = make_world(sqlite_url, max_in_flight=1, retry_after_s=7)
    device = world.device()
    places = world.app.state.collector._working
    assert places.enter()
    answer = world.client.post("/v1/records", json=device.batch([device.record()]))
    assert (answer.status_code, answer.json()["error"], answer.headers["retry-after"]) == (503, "busy", "7")
    places.leave()
    assert world.states(device, [device.record()]) == ["stored"]
    assert places.taken == 0


async def _call(app: Any, messages: list[Any], headers: list[tuple[bytes, bytes]]) -> tuple[int, bytes]:
    """One request by hand, for bodies that no client would send."""
    waiting = list(messages)
    answered: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not waiting:
            await anyio.sleep_forever()
        return waiting.pop(0)

    async def send(message: Any) -> None:
        answered.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/records",
        "raw_path": b"/v1/records",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), *headers],
        "client": ("203.0.113.9", 5),
        "server": ("collector", 80),
        "scheme": "http",
    }
    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in answered)
    return next(message["status"] for message in answered if "status" in message), body


@pytest.mark.parametrize(
    ("messages", "headers", "code"),
    [
        ([{"type": "http.request", "body": b"{", "more_body": True}], [], "too_slow"),
        ([{"type": "http.disconnect"}], [], "too_slow"),
        ([{"type": "http.request", "body": b" " * 9000, "more_body": True}] * 100, [], "too_large"),
        ([], [(b"content-length", b"99999999999")], "too_large"),
    ],
)
def test_a_slow_an_endless_and_a_broken_body_end(
    make_world: Callable[..., Any],
    sqlite_url: str,
    messages: list[Any],
    headers: list[tuple[bytes, bytes]],
    code: str,
):
    world = make_world(sqlite_url, body_timeout_s=0.2)
    status, body = anyio.run(_call, world.app, messages, headers)
    assert status == CODES[code]
    assert f'"error":"{code}"'.encode() in body
    assert world.app.state.collector._waiting.taken == 0
