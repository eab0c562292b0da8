"""The socket protocol: what is packed is read, whatever the cuts; and no bytes that anybody sends do any harm.

The fuzz target of the protocol: ``test_any_bytes_at_the_parser`` at the parser, ``test_any_bytes_at_the_service`` at a
running service. Both start from whole requests and change them. Reduced counts in CI, HYPOTHESIS_PROFILE=soak the
full ones.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safelight import Action, Event, Guard, Profile
from safelight.serve import Client, ServeLimits
from safelight.serve._protect import protective_decision, read_decision
from safelight.serve._queue import FairQueue
from safelight.serve._wire import HEADER, FrameReader, Message, WireError, pack, read_request
from serve_world import Calm, Raw, memfd, serving, until

SOAK = settings().max_examples > 100
MAX_BODY, MAX_CONTENT = 4096, 4096
SHAPE = {"format": "grey", "width": 32, "height": 32}
WHOLE: list[tuple[dict[str, Any], bytes, bool]] = [
    ({"type": "hello", "versions": [1], "client": "fuzz"}, b"", False),
    ({"type": "check_image", "event": "view"}, b"\x89PNG\r\n\x1a\n", False),
    ({"type": "check_image", "frame": SHAPE, "digest": True}, bytes(1024), False),
    ({"type": "check_image", "source": "fd", "frame": SHAPE, "bytes": 1024}, b"", True),
    ({"type": "check_image", "source": "fd", "offset": 5}, b"", True),
    ({"type": "check_clip", "source": "fd"}, b"", True),
    ({"type": "check_query", "text": "cake"}, b"", False),
    ({"type": "check_url", "url": "example.org"}, b"", False),
    ({"type": "check_consent", "purpose": "camera"}, b"", False),
    ({"type": "check_time", "purpose": "games"}, b"", False),
    ({"type": "conversation_open", "contact": "unknown"}, b"", False),
    ({"type": "conversation_add", "conversation": 1, "sender": "other", "text": "hi", "at": 1.5}, b"", False),
    ({"type": "conversation_fine", "conversation": 1}, b"", False),
    ({"type": "conversation_close", "conversation": 1}, b"", False),
    ({"type": "notice", "situation": "pressured"}, b"", False),
    ({"type": "help"}, b"", False),
    ({"type": "health"}, b"", False),
    ({"type": "anchor_read"}, b"", False),
    ({"type": "anchor_advance", "value": 3}, b"", False),
]


def _reader() -> FrameReader:
    return FrameReader(max_body_bytes=MAX_BODY, max_content_bytes=MAX_CONTENT)


def _fed(reader: FrameReader, data: bytes, cuts: Iterator[int]) -> tuple[list[Message], WireError | None]:
    """Feed everything, at most what is wanted and at most the next cut at a time."""
    messages: list[Message] = []
    at = 0
    while at < len(data):
        assert reader.wanted >= 1
        size = min(reader.wanted, next(cuts))
        try:
            message = reader.feed(data[at : at + size])
        except WireError as error:
            return messages, error
        at += size
        assert reader.content_bytes_held <= MAX_CONTENT
        if message is not None:
            messages.append(message)
    return messages, None


frames = st.tuples(
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 255),
    st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=9), max_size=2),
    st.binary(max_size=100),
)


@given(st.lists(frames, max_size=3), st.randoms(use_true_random=False))
def test_what_is_packed_is_read_whatever_the_cuts(sent: list[Any], cuts: random.Random) -> None:
    data = b"".join(pack(id, body, action=action, content_bytes=len(rest)) + rest for id, action, body, rest in sent)
    messages, error = _fed(_reader(), data, iter(lambda: cuts.randint(1, 64), None))
    assert error is None
    got = [(m.id, m.action, json.loads(m.body), bytes(m.content)) for m in messages]
    assert got == [(id, action, json.loads(json.dumps(body)), rest) for id, action, body, rest in sent]


@given(st.lists(frames, min_size=1, max_size=3), st.data())
def test_what_is_shed_is_counted_and_the_next_frame_is_whole(sent: list[Any], data: st.DataObject) -> None:
    reader = _reader()
    for id, action, body, rest in sent:
        whole = pack(id, body, action=action, content_bytes=len(rest)) + rest
        shed_at = data.draw(st.integers(HEADER.size, len(whole)))
        message = None
        for at in range(len(whole)):
            if at == shed_at:
                reader.shed()
            message = reader.feed(whole[at : at + 1])
        assert message is not None
        assert message.shed == (shed_at < len(whole))
        assert bytes(message.content) in (rest, b"")


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Some requests, one behind the other, with bits, lengths and pieces changed."""
    data = bytearray()
    for body, content, _ in draw(st.lists(st.sampled_from(WHOLE), min_size=1, max_size=4)):
        data += pack(draw(st.integers(0, 9)), body, action=0, content_bytes=len(content)) + content
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["flip", "cut", "insert", "length", "repeat", "text"]))
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        if kind == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del data[at : at + draw(st.integers(1, 40))]
        elif kind == "insert":
            data[at:at] = draw(st.binary(max_size=40))
        elif kind == "length":
            number = draw(st.sampled_from([0, 1, 2, 15, 16, 4095, 4096, 4097, 0x7FFFFFFF, 0xFFFFFFFF]))
            data[8:12] = number.to_bytes(4, "little")
        elif kind == "repeat":
            data[at:at] = data[at : at + draw(st.integers(1, 64))]
        elif kind == "text":
            data[at : at + 8] = draw(st.sampled_from([b'"', b"\\ud800", b"NaN", b"1e999", b"[" * 200, b"\xff", b"-1"]))
    return bytes(data)


def _problem(message: Message) -> WireError | None:
    try:
        read_request(message)
    except WireError as error:
        return error
    return None


@given(mutated() | st.binary(max_size=300), st.randoms(use_true_random=False))
def test_any_bytes_at_the_parser(data: bytes, cuts: random.Random) -> None:
    """A frame, an error with a name, or "go on": nothing else, and never more in memory than was allowed."""
    reader = _reader()
    messages, error = _fed(reader, data, iter(lambda: cuts.randint(1, 4096), None))
    for message in messages:
        assert len(message.body) <= MAX_BODY and len(message.content) <= MAX_CONTENT
        problem = _problem(message)
        assert problem is None or (problem.type, problem.id) == ("MALFORMED", message.id)
        content = message.content
        message.overwrite()
        assert not any(content)
    if error is not None:
        assert error.type in ("PROTOCOL", "TOO_LARGE")
    # However it came in pieces, it means the same.
    again, same = _fed(_reader(), data, iter(lambda: 1 << 20, None))
    assert [m.body for m in again] == [m.body for m in messages]
    assert (same is None, getattr(same, "type", None)) == (error is None, getattr(error, "type", None))
    reader.close()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    quick = ServeLimits(
        max_content_bytes=MAX_CONTENT, hello_timeout_ms=500, frame_timeout_ms=500, max_clients=16, max_held_bytes=8192
    )
    anchors = tmp_path_factory.mktemp("anchors")
    with Guard(Profile("10_12"), detectors=(Calm(),), concurrency=2) as guard:
        with serving(guard, limits=quick, anchors=anchors) as (service, path), Client(path) as client:
            client.check_image(b"x")
            until(lambda: service._answerer._states != {})
            yield service, path, client, len(os.listdir("/proc/self/fd"))


@given(mutated() | st.binary(max_size=300), st.booleans(), st.integers(0, 3), st.booleans())
@settings(max_examples=2_000 if SOAK else 60)
def test_any_bytes_at_the_service(live: Any, data: bytes, hello: bool, fds: int, read: bool) -> None:
    """Whoever sends what: every answer is whole and no ALLOW for nothing, others are served, nothing is left behind."""
    service, path, client, open_fds = live
    with Raw(path, hello=hello) as raw:
        given_fds = [memfd(bytes(1024)) for _ in range(fds)]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            raw.send(data, given_fds) if data else None
        for fd in given_fds:
            os.close(fd)
        with contextlib.suppress(OSError):
            raw.sock.shutdown(socket.SHUT_WR)
        if read:
            with contextlib.suppress(ConnectionError):
                while True:
                    _, action, answer = raw.read()
                    assert answer.get("action", "none") in (*Action.__members__, "none")
                    assert action == (Action[answer["action"]] if "action" in answer else 255)
                    assert "error" not in answer or answer["action"] == "HOLD"
    assert client.check_image(b"x").reasons == ("NOT_MEDIA",)
    until(lambda: service._status()["clients"] <= 1 and service._held_bytes == 0)
    until(lambda: len(os.listdir("/proc/self/fd")) <= open_fds)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 2)), max_size=60), st.integers(1, 8))
def test_the_queue_is_fair_and_bounded(steps: list[tuple[str, int]], most: int) -> None:
    """Against a plain model: each client's in order, the clients in turn, and never more than was agreed."""
    queue = FairQueue[str, int](max_waiting=most)
    model: dict[str, list[int]] = {}
    turns: list[str] = []
    for number, (client, step) in enumerate(steps):
        if step < 2:
            waiting = sum(map(len, model.values()))
            accepted = queue.put(client, number)
            assert accepted == (not model.get(client) or waiting < most)
            if accepted:
                if not model.get(client):
                    turns.append(client)
                model.setdefault(client, []).append(number)
        elif turns:
            expected = turns.pop(0)
            assert queue.take(0) == (expected, model[expected].pop(0))
            if model[expected]:
                turns.append(expected)
        else:
            assert queue.take(0) is None
        assert len(queue) == sum(map(len, model.values())) <= most + 4
    for client in "abcd":
        assert queue.drop(client) == model.get(client, [])
    queue.close()
    assert not queue.put("a", 1) and queue.take() is None


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers(-5, 5) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(list(Event)), st.dictionaries(st.text(max_size=8), json_values, max_size=3), st.data())
def test_a_decision_travels_whole_or_not_at_all(event: Event, extra: dict[str, Any], data: st.DataObject) -> None:
    decision = protective_decision("SERVICE_LOST", event, country="GB")
    values = json.loads(json.dumps(decision.to_dict()))
    assert read_decision({**extra, **values}) == decision
    name = data.draw(st.sampled_from(sorted(values)))
    values[name] = data.draw(json_values)
    try:
        changed = read_decision(values)
    except ValueError:
        return
    assert isinstance(changed.action, Action)
    assert name == "action" or changed.action is Action.HOLD
