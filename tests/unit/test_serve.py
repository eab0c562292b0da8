"""Does the service answer as the guard does, in every form, and refuse what it must by name?"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safelight import Action, ClosedError, Event, Frame, Guard, MediaNotFoundError, Profile, State, UsageError
from safelight.errors import StoreError, UnsupportedInputError
from safelight.serve import Client, ServeError, ServeLimits, Service, SocketAnchor
from safelight.serve._content import ContentError, Memory, copy_content
from safelight.testing import TestMode, nudity
from serve_world import Calm, Raw, Waiting, folder, limits, memfd, serving, until

SEALS = 0x2 | 0x4 | 0x8


def _same(here: Any, there: Any) -> None:
    a, b = here.to_dict(), there.to_dict()
    del a["elapsed_ms"], b["elapsed_ms"]
    assert a == b


def _png(width: int = 64, height: int = 48) -> bytes:
    from PIL import Image

    pixels = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


# -- the client is a guard's face -----------------------------------------------------------------------------------


def test_every_kind_of_picture_gets_the_guards_own_decision(portrait: Path) -> None:
    rng = np.random.default_rng(5)
    rgb = rng.integers(0, 256, (48, 64, 3), np.uint8)
    sources: list[Any] = [
        str(portrait),
        portrait,
        portrait.read_bytes(),
        bytearray(_png()),
        memoryview(_png()),
        rgb,
        rgb[:, ::-1],
        rgb[..., 0],
        rng.integers(0, 256, (48, 64, 4), np.uint8),
        Frame(bytes(64 * 48 * 3 // 2), "nv21", width=64, height=48, rotation=90),
        Frame(bytes(80 * 48), "grey", width=64, height=48, stride=80, color_range="limited"),
        Frame(bytes(64 * 48 + 2 * 40 * 24), "i420", width=64, height=48, stride=(64, 40, 40)),
        b"no picture at all",
        b"",
        portrait.read_bytes()[:2000],
        rgb[:4, :4],
    ]
    with Guard(Profile("10_12", country="GB"), detectors=(Calm(),), test_mode=TestMode(nudity(0.6))) as guard:
        with serving(guard) as (_, path), Client(path) as client:
            for source in sources:
                for event in (Event.UPLOAD, "view"):
                    _same(guard.check_image(source, event=event), client.check_image(source, event=event))
            with open(portrait, "rb") as file:
                file.seek(10)
                _same(guard.check_image(portrait), client.check_image(file))
                assert file.tell() == 10
            _same(guard.check_image(rgb, color="BGR"), client.check_image(rgb, color="BGR"))
            _same(
                guard.check_image(portrait, event="send", context="forwarding"),
                client.check_image(portrait, event="send", context="forwarding"),
            )
            decisions = list(client.check_images([rgb, b"x"], event="save"))
            assert [d.event for d in decisions] == [Event.SAVE] * 2


def test_words_consent_time_help_and_notices_are_the_guards() -> None:
    with Guard(Profile("10_12", country="GB"), detectors=()) as guard:
        with serving(guard) as (_, path), Client(path) as client:
            for text in ("child helpline", "cake", "x" * 5000, "\ud800 lone"):
                _same(guard.check_query(text), client.check_query(text))
            for url in ("https://www.childline.org.uk/", "https://example.org", "no address"):
                _same(guard.check_url(url), client.check_url(url))
            _same(guard.check_consent("camera"), client.check_consent("camera"))
            for purpose in ("games", "help"):
                _same(guard.check_time(purpose), client.check_time(purpose))
            assert client.notice("pressured") == guard.notice("pressured")
            assert client.help() == guard.help()
            assert client.help(audiences=("parent",)) == guard.help(audiences=("parent",))
            with pytest.raises(UsageError):
                client.check_consent("world domination")
            assert client.notice("bored") == guard.notice("bored")


def test_a_conversation_is_the_guards() -> None:
    messages = [("other", "hi, how old are you"), ("self", "12"), ("other", "do not tell your mum about us, ok?")]
    with Guard(Profile("10_12"), detectors=()) as guard:
        here = guard.conversation()
        with serving(guard) as (_, path), Client(path) as client, client.conversation() as there:
            for number, (sender, text) in enumerate(messages):
                at = 1_700_000_000.0 + 60 * number
                _same(here.add(sender=sender, text=text, at=at), there.add(sender=sender, text=text, at=at))
            assert (there.level, there.messages) == (here.level, here.messages) == (here.level, 3)
            here.fine()
            there.fine()
            _same(here.add(sender="other", text="ok"), there.add(sender="other", text=b"ok"))
            other = client.conversation("known", trust="guardian")
            assert other.add(sender="self", text="hello").event is Event.MESSAGE
            assert other.messages == 1


def test_clips_are_the_guards(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(9)
    frames = [Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8)) for _ in range(4)]
    clip = tmp_path / "clip.gif"
    frames[0].save(clip, save_all=True, append_images=frames[1:], duration=100)
    with Guard(Profile("10_12"), detectors=(Calm(),)) as guard, serving(guard) as (_, path):
        with Client(path) as client, Raw(path) as raw:
            for source in (clip, str(clip), clip.read_bytes(), b"no clip"):
                _same(guard.check_clip(source, event="send"), client.check_clip(source, event="send"))
            assert client.check_clip(clip).action is Action.ALLOW
            for wrong in (17, None):
                with pytest.raises(UnsupportedInputError):
                    client.check_clip(wrong)  # type: ignore[arg-type]
            with pytest.raises(MediaNotFoundError):
                client.check_clip(tmp_path / "missing.mp4")
            assert raw.ask({"type": "check_clip"})["error"]["type"] == "FD_MISSING"
    with serving(limits=limits(max_clip_bytes=1000)) as (_, path), Raw(path) as raw:
        for seals, action in ((0, "HOLD"), (SEALS, "ALLOW")):
            fd = memfd(clip.read_bytes(), seals=seals)
            os.lseek(fd, 0, os.SEEK_END)
            assert raw.ask({"type": "check_clip"}, fds=[fd])["action"] == action
            os.close(fd)


def test_pictures_do_not_wait_for_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    began, gate = threading.Event(), threading.Event()
    with Guard(Profile("10_12"), detectors=(Calm(),), concurrency=1) as guard, serving(guard) as (service, path):
        look = guard.check_clip

        def slow(*given: Any, **options: Any) -> Any:
            began.set()
            assert gate.wait(30)
            return look(*given, **options)

        monkeypatch.setattr(guard, "check_clip", slow)
        with Raw(path) as raw, Client(path) as client:
            raw.request({"type": "check_clip", "source": "inline"}, b"no clip")
            assert began.wait(30)
            assert client.check_image(_png()).action is Action.ALLOW
            assert not service._stuck(float("inf"))
            gate.set()
            assert raw.read()[2]["action"] == "HOLD"


def test_programmers_errors_and_missing_files_are_exceptions(tmp_path: Path) -> None:
    with serving() as (_, path), Client(path) as client:
        with pytest.raises(UsageError):
            client.check_image(b"x", event="nonsense")
        with pytest.raises(UsageError):
            client.check_image(b"x", color="HSV")
        with pytest.raises(UsageError):
            client.check_image(b"x", context="nonsense")
        with pytest.raises(MediaNotFoundError) as caught:
            client.check_image(tmp_path / "secret-name.jpg")
        assert "secret" not in str(caught.value)
        for wrong in (17, None, np.zeros((4, 4)), object()):
            with pytest.raises(UnsupportedInputError):
                client.check_image(wrong)  # type: ignore[arg-type]
        with pytest.raises(UsageError):
            client.conversation("friendly")
        with pytest.raises(UsageError), client.conversation() as chat:
            chat.add(sender="nobody", text="x")
    with pytest.raises(ClosedError):
        client.check_image(b"x")
    assert client.help()  # never blocked
    for wrong_options in ({"timeout_ms": 0}, {"connections": 0}):
        with pytest.raises(UsageError):
            Client(**wrong_options)  # type: ignore[arg-type]


def test_many_threads_and_asyncio() -> None:
    frame = Frame(bytes(64 * 48 * 3 // 2), "nv21", width=64, height=48)
    with serving() as (service, path), Client(path, connections=3) as client:
        with ThreadPoolExecutor(12) as threads:
            decisions = list(threads.map(lambda _: client.check_image(frame), range(120)))
        assert {d.action for d in decisions} == {Action.ALLOW}

        async def ask() -> list[Any]:
            return await asyncio.gather(
                *(client.acheck_image(frame) for _ in range(8)), client.acheck_query("x"), client.acheck_url("x.org")
            )

        assert len(asyncio.run(ask())) == 10
        assert service._status()["clients"] <= 3


# -- what cannot be answered is held, by name -------------------------------------------------------------------------


def test_without_a_service_everything_but_help_is_held() -> None:
    with folder() as place, Client(place / "nobody") as client:
        for decision in (
            client.check_image(b"x", event="view"),
            client.check_query("cake"),
            client.check_url("example.org"),
            client.check_consent("camera"),
            client.check_time("games"),
            client.conversation().add(sender="other", text="hi"),
        ):
            assert decision.action is Action.HOLD
            assert decision.reasons == ("SERVICE_UNAVAILABLE",)
            assert decision.notice is not None and decision.notice.help
            assert decision.findings[0].state is State.DETECTOR_FAILED
        assert client.check_query("child helpline").action is Action.ALLOW
        assert client.check_url("https://www.childline.org.uk/").action is Action.ALLOW
        assert client.check_time("emergency").action is Action.ALLOW
        assert client.help() and client.notice("pressured").help
        assert client.health() == {"ready": False, "reason": "SERVICE_UNAVAILABLE"}


def test_help_answers_without_models_and_while_every_picture_waits() -> None:
    waiting = Waiting()
    with (
        Guard(Profile("10_12", country="GB"), detectors=(waiting,), concurrency=1) as guard,
        serving(guard) as (_, path),
    ):
        with Raw(path) as busy, Client(path) as client:
            for number in range(3):
                busy.request({"type": "check_image"}, _png(), id=10 + number)
            waiting.began.acquire()
            assert client.help() == guard.help()
            assert client.notice("pressured") == guard.notice("pressured")
            assert client.check_query("child helpline").action is Action.ALLOW
            assert client.health()["waiting"] == 2
            waiting.gate.set()
            assert {busy.read()[0] for _ in range(3)} == {10, 11, 12}
    with Guard(Profile("10_12"), detectors=()) as guard, serving(guard) as (_, path), Client(path) as client:
        assert client.help() and not client.health()["ready"]
        assert client.check_image(_png()).action is Action.HOLD


def test_a_full_queue_is_busy_and_a_client_with_nothing_waiting_still_has_a_place() -> None:
    waiting = Waiting()
    with Guard(Profile("10_12"), detectors=(waiting,), concurrency=1) as guard:
        with serving(guard, limits=limits(max_waiting=2, max_requests_per_client=8)) as (service, path):
            with Raw(path) as greedy, Raw(path) as modest:
                for number in range(4):
                    greedy.request({"type": "check_image", "event": "view"}, _png(), id=10 + number)
                    if number == 0:
                        waiting.began.acquire()
                id, action, busy = greedy.read()
                assert (id, action) == (13, Action.HOLD)
                assert busy["error"]["type"] == "BUSY" and busy["error"]["retry_after_ms"] >= 10
                assert (busy["action"], busy["event"], busy["reasons"]) == ("HOLD", "view", ["SERVICE_BUSY"])
                assert busy["notice"]["help"]
                modest.request({"type": "check_image"}, _png())
                until(lambda: len(service._pictures) == 3)
                waiting.gate.set()
                assert modest.read()[2]["action"] == "ALLOW"
                assert sorted(greedy.read()[0] for _ in range(3)) == [10, 11, 12]


def test_clients_take_turns() -> None:
    waiting = Waiting()
    pixels = [bytes([shade]) * (32 * 32) for shade in range(40)]
    shape = {"format": "grey", "width": 32, "height": 32}
    with Guard(Profile("10_12"), detectors=(waiting,), concurrency=1) as guard, serving(guard) as (service, path):
        with Raw(path) as many, Raw(path) as one:
            for number in range(5):
                many.request({"type": "check_image", "frame": shape}, pixels[number], id=10 + number)
            waiting.began.acquire()
            until(lambda: len(service._pictures) == 4)
            one.request({"type": "check_image", "frame": shape}, pixels[30])
            until(lambda: len(service._pictures) == 5)
            waiting.gate.set()
            one.read()
            for _ in range(5):
                many.read()
    assert waiting.seen.index(30) <= 2  # not behind all that the other one asked before


def test_one_connection_has_no_more_than_its_share_in_work() -> None:
    waiting = Waiting()
    with Guard(Profile("10_12"), detectors=(waiting,), concurrency=1) as guard:
        with serving(guard, limits=limits(max_requests_per_client=2)) as (service, path), Raw(path) as client:
            for number in range(6):
                client.request({"type": "check_image"}, _png(), id=10 + number)
            waiting.began.acquire()
            until(lambda: len(service._pictures) == 1)
            assert client.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            assert len(service._pictures) == 1  # the rest is left in the socket
            waiting.gate.set()
            assert sorted(client.read()[0] for _ in range(6)) == list(range(10, 16))


def test_patience_that_ended_in_the_queue_is_said_and_nothing_is_looked_at() -> None:
    waiting = Waiting()
    with Guard(Profile("10_12"), detectors=(waiting,), concurrency=1) as guard, serving(guard) as (_, path):
        with Raw(path) as first, Raw(path) as late:
            first.request({"type": "check_image"}, _png())
            waiting.began.acquire()
            late.request({"type": "check_image", "timeout_ms": 1}, _png())
            late.sock.settimeout(0.02)
            with pytest.raises(TimeoutError):
                late.read()
            late.sock.settimeout(30)
            waiting.gate.set()
            answer = late.read()[2]
            assert answer["error"]["type"] == "TIMED_OUT" and answer["findings"][0]["state"] == "TIMED_OUT"
            first.read()
    assert len(waiting.seen) == 1


def test_the_clients_own_patience_ends() -> None:
    waiting = Waiting()
    with Guard(Profile("10_12"), detectors=(waiting,), concurrency=1) as guard, serving(guard) as (_, path):
        with Client(path, timeout_ms=50) as client:
            decision = client.check_image(_png())
            assert (decision.action, decision.reasons) == (Action.HOLD, ("SERVICE_TIMED_OUT",))
        waiting.gate.set()


# -- file descriptors -------------------------------------------------------------------------------------------------


def test_what_was_checked_is_named_and_sealing_is_seen() -> None:
    pixels = bytes(range(256)) * 12
    request = {
        "type": "check_image",
        "source": "fd",
        "frame": {"format": "rgb", "width": 32, "height": 32},
        "digest": True,
    }
    expected = {"bytes": len(pixels), "sha256": hashlib.sha256(pixels).hexdigest()}
    with serving() as (_, path), Raw(path) as client:
        for seals, sealed in ((0, False), (SEALS, True), (0x2 | 0x4, False), (0x2 | 0x4 | 0x10, False)):
            fd = memfd(pixels, seals=seals)
            answer = client.ask({**request, "bytes": len(pixels)}, fds=[fd])
            os.close(fd)
            assert answer["checked"] == {**expected, "sealed": sealed}
            assert answer["action"] == "ALLOW"
        ring = memfd(b"\xff" * 100 + pixels + b"\xff" * 100)
        answer = client.ask({**request, "offset": 100, "bytes": len(pixels)}, fds=[ring])
        assert answer["checked"]["sha256"] == expected["sha256"]
        os.lseek(ring, 50, os.SEEK_SET)
        client.ask({**request, "offset": 100, "bytes": len(pixels)}, fds=[ring])
        assert os.lseek(ring, 0, os.SEEK_CUR) == 50  # the client's own offset
        os.close(ring)
        inline = client.ask({"type": "check_image", "digest": True}, _png())
        assert inline["checked"]["sha256"] == hashlib.sha256(_png()).hexdigest()
        assert inline["checked"]["sealed"] is None


def test_the_check_is_of_a_copy_that_the_client_cannot_change() -> None:
    """A client that changes the memory while it is looked at changes nothing in what is looked at."""
    waiting = Waiting()
    pixels = b"\x07" * 1024
    with Guard(Profile("10_12"), detectors=(waiting,), concurrency=1) as guard, serving(guard) as (_, path):
        with Raw(path) as client:
            fd = memfd(pixels)
            shape = {"format": "grey", "width": 32, "height": 32}
            client.request(
                {"type": "check_image", "source": "fd", "frame": shape, "bytes": 1024, "digest": True}, fds=[fd]
            )
            waiting.began.acquire()
            os.pwrite(fd, b"\xff" * 1024, 0)
            os.ftruncate(fd, 0)
            waiting.gate.set()
            answer = client.read()[2]
            os.close(fd)
    assert answer["checked"]["sha256"] == hashlib.sha256(pixels).hexdigest()
    assert waiting.seen == [7]


def test_descriptors_that_could_hang_or_lie_are_refused(tmp_path: Path) -> None:
    read, write = os.pipe()
    left, right = socket.socketpair()
    write_only = os.open(tmp_path / "w", os.O_WRONLY | os.O_CREAT)
    os.write(write_only, b"something")
    full = memfd(b"x" * 10)
    opened = {
        "pipe": (read, "FD_REFUSED"),
        "socket": (os.dup(left.fileno()), "FD_REFUSED"),
        "device": (os.open("/dev/zero", os.O_RDONLY), "FD_REFUSED"),
        "folder": (os.open(tmp_path, os.O_RDONLY), "FD_REFUSED"),
        "proc": (os.open("/proc/self/stat", os.O_RDONLY), "FD_REFUSED"),
        "empty": (memfd(b""), "FD_REFUSED"),
        "write only": (write_only, "FD_REFUSED"),
        "path only": (os.open(tmp_path / "w", os.O_PATH), "FD_REFUSED"),
    }
    with serving() as (_, path), Raw(path) as client:
        for name, (fd, expected) in opened.items():
            answer = client.ask({"type": "check_image", "source": "fd"}, fds=[fd])
            assert (name, answer["error"]["type"], answer["action"]) == (name, expected, "HOLD")
            os.close(fd)
        for request, kind in (
            ({"bytes": 11}, "FD_SHORT"),
            ({"bytes": 5, "offset": 6}, "FD_SHORT"),
            ({"bytes": (64 << 20) + 1}, "TOO_LARGE"),
        ):
            answer = client.ask({"type": "check_image", "source": "fd", **request}, fds=[full])
            assert answer["error"]["type"] == kind
        assert client.ask({"type": "check_image", "source": "fd"})["error"]["type"] == "FD_MISSING"
        assert client.ask({"type": "check_image"}, b"x", fds=[full])["error"]["type"] == "USAGE"
        assert client.ask({"type": "check_image", "source": "fd"}, b"x", fds=[full])["error"]["type"] == "USAGE"
        assert client.ask({"type": "check_image"})["error"]["type"] == "USAGE"
        assert client.ask({"type": "health"}, fds=[full])["type"] == "health"
    for fd in (write, full):
        os.close(fd)
    left.close()
    right.close()


def test_a_file_of_a_user_space_file_system_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, portrait: Path) -> None:
    from safelight.serve import _content

    monkeypatch.setattr(_content, "_file_system", lambda fd: 0x65735546)
    fd = os.open(portrait, os.O_RDONLY)
    with pytest.raises(ContentError, match="user-space"):
        copy_content(fd, max_bytes=1 << 20, memory=Memory())
    os.close(fd)
    with serving() as (_, path), Client(path) as client:  # which then reads it itself, and sends the bytes
        assert client.check_image(portrait).action is Action.ALLOW


def test_the_kernel_says_which_file_system(portrait: Path) -> None:
    from safelight.serve._content import _file_system

    fd, proc = memfd(b"x"), os.open("/proc/self/stat", os.O_RDONLY)
    assert (_file_system(fd), _file_system(proc)) == (0x01021994, 0x9FA0)  # TMPFS_MAGIC, PROC_SUPER_MAGIC
    os.close(fd)
    os.close(proc)


def test_a_file_longer_than_the_limit_is_judged_as_too_large(tmp_path: Path) -> None:
    big = tmp_path / "big"
    with open(big, "wb") as file:
        file.truncate((64 << 20) + 5)
    with serving() as (_, path), Client(path) as client:
        decision = client.check_image(big)
    assert (decision.action, decision.reasons) == (Action.HOLD, ("TOO_LARGE",))


# -- the socket -------------------------------------------------------------------------------------------------------


def test_the_socket_has_its_mode_and_goes_away_again() -> None:
    with Guard(detectors=()) as guard, folder() as place:
        path = place / "s"
        with Service(guard, path, group=os.getgid()):
            status = path.stat()
            assert stat.S_ISSOCK(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o660
            assert status.st_gid == os.getgid()
            assert sorted(p.name for p in place.iterdir()) == ["s", "s.lock"]
        assert not path.exists()


def test_a_stale_socket_is_replaced_and_a_second_service_refused() -> None:
    with Guard(detectors=()) as guard, folder() as place:
        path = place / "s"
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(str(path))
        stale.close()
        with Service(guard, path), Client(path) as client:
            assert client.health()["type"] == "health"
            with pytest.raises(ServeError):
                Service(guard, path)
            assert client.health()["type"] == "health"
        with Service(guard, path), Client(path) as client:
            assert client.health()["type"] == "health"
        path.write_text("something else")
        with pytest.raises(UsageError):
            Service(guard, path)
        assert path.read_text() == "something else"


@pytest.mark.parametrize(
    "options",
    [{"mode": 0o666}, {"mode": 0o10660}, {"group": "no-such-group-here"}, {"path": "/" + "x" * 120}],
)
def test_wrong_usage_is_refused(options: dict[str, Any]) -> None:
    with Guard(detectors=()) as guard, folder() as place, pytest.raises(UsageError):
        Service(guard, **{"path": place / "s", **options})


def test_no_path_and_no_folder() -> None:
    with Guard(detectors=()) as guard, folder() as place:
        with pytest.raises(UsageError):
            Service(guard)
        with pytest.raises(ServeError):
            Service(guard, place / "missing" / "s")
        Service(guard, place / "s").close()  # never run
        assert not (place / "s").exists()
    with pytest.raises(ClosedError):
        Service(guard, place / "s")


@pytest.mark.parametrize("wrong", [0, -1, True, "9", 1 << 40])
def test_limits_are_checked(wrong: Any) -> None:
    with pytest.raises(UsageError):
        ServeLimits(max_clients=wrong)


def test_who_is_not_listed_may_not_ask() -> None:
    with serving(users=[os.getuid() + 1]) as (_, path), Client(path) as client:
        assert client.check_image(b"x").reasons == ("SERVICE_NOT_PERMITTED",)
    with serving(users=[os.getuid()]) as (_, path), Client(path) as client:
        assert client.check_image(b"x").reasons == ("NOT_MEDIA",)


def test_a_service_of_an_unexpected_user_is_not_believed() -> None:
    with serving() as (_, path):
        with Client(path, service_users=[os.getuid() + 1]) as client:
            assert client.check_image(b"x").reasons == ("SERVICE_UNTRUSTED",)
        with Client(path, service_users=[os.getuid()]) as client:
            assert client.check_image(b"x").reasons == ("NOT_MEDIA",)


def test_too_many_connections_are_told_and_others_users_places_stay_free() -> None:
    with serving(limits=limits(max_clients=4, max_clients_per_user=3)) as (service, path):
        clients = [Raw(path) for _ in range(3)]
        with Raw(path, hello=False) as refused:
            id, action, answer = refused.read()
            assert (id, action, answer["error"]["type"]) == (0, Action.HOLD, "BUSY")
            assert refused.ended()
        with Client(path) as client:
            decision = client.check_image(b"x")
            assert (decision.action, decision.reasons) == (Action.HOLD, ("SERVICE_BUSY",))
        clients.pop().close()
        until(lambda: service._status()["clients"] == 2)
        with Client(path) as client:
            assert client.check_image(b"x").reasons == ("NOT_MEDIA",)
        for one in clients:
            one.close()


def test_slow_clients_are_let_go() -> None:
    quick = limits(hello_timeout_ms=300, frame_timeout_ms=300, idle_timeout_ms=600)
    with serving(limits=quick) as (service, path):
        with Raw(path, hello=False) as silent, Raw(path) as half, Raw(path) as idle, Raw(path) as chatting:
            chatting.ask({"type": "conversation_open"})
            half.send(b"SL\x01\x00\x07")  # and nothing more
            assert silent.ended() and half.ended() and idle.ended()
            assert chatting.ask({"type": "health"}, id=3)["late"] == 3
        with Client(path) as client:  # which comes back by itself
            assert client.health()["ready"] in (True, False)
            until(lambda: service._status()["clients"] == 0)
            assert client.check_image(b"x").reasons == ("NOT_MEDIA",)


def test_who_does_not_take_answers_is_let_go() -> None:
    with serving(limits=limits(send_timeout_ms=50)) as (service, path), Raw(path) as client:
        client.sock.settimeout(0.2)
        sent = 0
        try:
            for number in range(100_000):
                client.request({"type": "notice", "situation": "pressured"}, id=number + 1)
                sent += 1
        except (TimeoutError, OSError):
            pass
        until(lambda: service._status()["clients"] == 0)
        assert service._held_bytes == 0 and sent > 8


def test_contents_beyond_the_memory_are_shed() -> None:
    waiting = Waiting()
    picture = _png(256, 256)
    assert len(picture) > 100_000
    with Guard(Profile("10_12"), detectors=(waiting,), concurrency=1) as guard:
        with serving(guard, limits=limits(max_held_bytes=150_000)) as (service, path):
            with Raw(path) as first, Raw(path) as second:
                first.request({"type": "check_image"}, picture)
                waiting.began.acquire()
                assert service._held_bytes in (len(picture), 0)
                answer = second.ask({"type": "check_image"}, picture)
                assert answer["error"]["type"] == "BUSY"
                waiting.gate.set()
                assert first.read()[2]["action"] == "ALLOW"
                assert second.ask({"type": "check_image"}, picture)["action"] == "ALLOW"
            until(lambda: service._held_bytes == 0)


def test_a_service_that_stops_answers_what_is_in_work_and_holds_the_rest() -> None:
    waiting = Waiting()
    with Guard(Profile("10_12"), detectors=(waiting,), concurrency=1) as guard, folder() as place:
        service = Service(guard, place / "s")
        service.start()
        with Raw(place / "s") as working, Raw(place / "s") as asking, Client(place / "s") as client:
            working.request({"type": "check_image"}, _png())
            waiting.began.acquire()
            service.stop()
            assert asking.ask({"type": "check_image"}, _png())["error"]["type"] == "STOPPING"
            waiting.gate.set()
            assert working.read()[2]["action"] == "ALLOW"
            service.close()
            assert client.check_image(b"x").reasons == ("SERVICE_UNAVAILABLE",)
            with Service(guard, place / "s"):
                assert client.check_image(b"x").reasons == ("NOT_MEDIA",)


def test_a_client_survives_restarts_and_a_conversation_says_so() -> None:
    with Guard(Profile("10_12"), detectors=()) as guard, folder() as place:
        with Client(place / "s") as client, client.conversation() as chat:
            with Service(guard, place / "s"):
                assert client.check_image(b"x").reasons == ("NOT_MEDIA",)
                assert "CONVERSATION_RESTARTED" not in chat.add(sender="other", text="one").reasons
            with Service(guard, place / "s"):
                assert client.check_image(b"x").reasons == ("NOT_MEDIA",)
                lost = chat.add(sender="other", text="two")
                assert (lost.action, lost.reasons) == (Action.HOLD, ("CONVERSATION_LOST",))
                for _ in range(2):
                    assert chat.add(sender="other", text="three").reasons[-1] == "CONVERSATION_RESTARTED"


def test_protective_words_follow_the_profile_that_was_last_heard() -> None:
    with Guard(Profile("under_10", country="GB"), detectors=()) as guard, folder() as place:
        with Client(place / "s") as client:
            with Service(guard, place / "s"):
                client.health()
            decision = client.check_image(b"x")
            assert decision.age_band.value == "under_10"
            assert decision.notice is not None
            assert "GB" in {service.country for service in decision.notice.help}


# -- the protocol -----------------------------------------------------------------------------------------------------


def test_versions_are_agreed_on() -> None:
    with serving() as (_, path):
        with Raw(path, hello=False) as client:
            answer = client.ask({"type": "hello", "versions": [7, 1, 3], "client": "kiosk/2"})
            assert (answer["version"], answer["profile"]["age_band"]) == (1, "10_12")
            assert answer["limits"]["max_content_bytes"] == 64 << 20
            assert client.ask({"type": "hello", "versions": [1]})["error"]["type"] == "USAGE"
        with Raw(path, hello=False) as client:
            assert client.ask({"type": "hello", "versions": [2]})["error"]["type"] == "VERSION"
            assert client.ended()
        with Raw(path, hello=False) as client:
            assert client.ask({"type": "health"})["error"]["type"] == "PROTOCOL"
            assert client.ended()


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 16, b"SL\x02" + b"\0" * 13, b"SL\x01\0" + b"\0" * 12, b"X"]
)
def test_other_protocols_are_told_and_shown_out(data: bytes) -> None:
    with serving() as (_, path), Raw(path, hello=False) as client:
        client.send(data)
        id, action, answer = client.read()
        assert (id, action, answer["error"]["type"]) == (0, Action.HOLD, "PROTOCOL")
        assert client.ended()


def test_lengths_are_checked_before_anything_is_kept() -> None:
    from safelight.serve._wire import HEADER

    with serving() as (service, path):
        for body, content in ((0xFFFFFFFF, 0), (2, 0xFFFFFFFF), ((256 << 10) + 1, 0), (2, (64 << 20) + 1)):
            with Raw(path) as client:
                client.send(HEADER.pack(b"SL", 1, 0, 9, body, content))
                id, action, answer = client.read()
                assert (id, action, answer["error"]["type"]) == (9, Action.HOLD, "TOO_LARGE")
                assert client.ended()
        assert service._held_bytes == 0


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"null",
        b"not json",
        b'{"type":"nonsense"}',
        b'{"type":"check_image","surprise":1}',
        b'{"type":"check_image","event":7}',
        b'{"type":"check_query"}',
        b'{"type":"check_image","frame":{"format":"rgb","width":-1,"height":1}}',
        b"[" * 100_000,
        b'{"type":"check_query","text":"' + b"\xff" + b'"}',
    ],
)
def test_a_body_that_is_no_request_is_malformed_and_the_connection_stays(body: bytes) -> None:
    with serving() as (_, path), Raw(path) as client:
        answer = client.ask(body, b"some content")
        assert (answer["error"]["type"], answer["action"]) == ("MALFORMED", "HOLD")
        assert client.ask({"type": "health"}, id=4)["type"] == "health"


def test_a_frame_that_does_not_fit_its_length_is_wrong_usage() -> None:
    with serving() as (_, path), Raw(path) as client:
        for shape in (
            {"format": "rgb", "width": 99, "height": 9},
            {"format": "bogus", "width": 2, "height": 2},
            {"format": "rgb", "width": 2, "height": 2, "rotation": 45},
            {"format": "rgb", "width": 2, "height": 2, "stride": [1, 2, 3]},
        ):
            answer = client.ask({"type": "check_image", "frame": shape}, bytes(12))
            assert (answer["error"]["type"], answer["action"]) == ("USAGE", "HOLD")


def test_several_descriptors_end_the_connection_and_none_stays_open() -> None:
    with serving() as (_, path):
        before = len(os.listdir("/proc/self/fd"))
        fds = [memfd(b"x") for _ in range(20)]
        with Raw(path) as client:
            client.request({"type": "check_image", "source": "fd"}, fds=fds)
            assert client.read()[2]["error"]["type"] == "TOO_MANY_FDS"
            assert client.ended()
        with Raw(path) as client:  # one by one within a frame
            client.send(b"SL", [fds[0]])
            client.send(b"\x01\x00", [fds[1]])
            assert client.read()[2]["error"]["type"] == "TOO_MANY_FDS"
        for fd in fds:
            os.close(fd)
        until(lambda: len(os.listdir("/proc/self/fd")) == before)


def test_conversations_are_of_their_connection_and_bounded() -> None:
    with serving(limits=limits(max_conversations_per_client=2)) as (_, path), Raw(path) as one, Raw(path) as other:
        number = one.ask({"type": "conversation_open"})["conversation"]
        add = {
            "type": "conversation_add",
            "conversation": number,
            "sender": "other",
            "text": "hi",
            "at": "2026-01-01T00:00Z",
        }
        assert one.ask(add)["index"] == 0
        assert one.ask({**add, "at": "tomorrow"})["error"]["type"] == "USAGE"
        assert other.ask(add)["error"]["type"] == "NO_CONVERSATION"
        one.ask({"type": "conversation_open"})
        assert one.ask({"type": "conversation_open"})["error"]["type"] == "LIMIT"
        assert one.ask({"type": "conversation_close", "conversation": number})["type"] == "done"
        assert one.ask(add)["error"]["type"] == "NO_CONVERSATION"
        assert one.ask({"type": "conversation_open"})["type"] == "conversation"


def test_answers_are_the_json_of_check(portrait: Path) -> None:
    with Guard(Profile("10_12", country="GB"), detectors=(Calm(),), test_mode=TestMode(nudity(0.97))) as guard:
        with serving(guard) as (_, path), Raw(path) as client:
            answer = client.ask({"type": "check_image", "event": "view"}, portrait.read_bytes())
            expected = json.loads(json.dumps(guard.check_image(portrait, event="view").to_dict()))
            del answer["elapsed_ms"], expected["elapsed_ms"]
            assert answer == expected


def test_a_detector_that_raises_or_a_guard_that_is_closed_is_an_answer() -> None:
    class Broken(Calm):
        def prepare(self) -> State:
            raise RuntimeError("/home/secret")

    with Guard(Profile("10_12"), detectors=(Broken(),)) as guard, serving(guard) as (_, path), Client(path) as client:
        until(lambda: client.health()["detectors"] == {"calm": "DETECTOR_FAILED"})
        guard.close()
        decision = client.check_image(_png())
        assert (decision.action, decision.reasons) == (Action.HOLD, ("SERVICE_STOPPING",))


def test_an_unexpected_exception_is_held_and_quotes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with Guard(Profile("10_12"), detectors=(Calm(),)) as guard, serving(guard) as (_, path), Raw(path) as client:

        def fails(*_: object, **__: object) -> None:
            raise RuntimeError("the secret text")

        monkeypatch.setattr(guard, "check_image", fails)
        answer = client.ask({"type": "check_image"}, _png())
        assert (answer["error"]["type"], answer["action"]) == ("FAILED", "HOLD")
        assert "secret" not in json.dumps(answer)


# -- impostors: what a client makes of nonsense -----------------------------------------------------------------------

_LIMITS = b'{"max_content_bytes":1000,"max_body_bytes":1000}'
_HELLO = b'{"type":"hello","version":1,"limits":' + _LIMITS + b',"profile":{},"test_mode":false}'


def _impostor(answers: list[bytes]) -> tuple[Any, Path, Any]:
    """A service that says these bytes, one a request, and then hangs up."""
    place = folder()
    path = place.__enter__() / "s"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(8)

    def run() -> None:
        try:
            while True:
                sock, _ = listening.accept()
                for answer in answers:
                    sock.recv(65536)
                    sock.sendall(answer)
                sock.close()
        except OSError:
            pass

    threading.Thread(target=run, daemon=True).start()
    return listening, path, place


def _frame(body: bytes, *, id: int = 2, action: int = 255) -> bytes:
    from safelight.serve._wire import pack

    return pack(id, body, action=action)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([b"HTTP/1.1 200 OK\r\n\r\n"], "SERVICE_PROTOCOL"),
        ([b""], "SERVICE_LOST"),
        ([_frame(b'{"type":"hello","version":9}', id=1)], "SERVICE_VERSION"),
        ([_frame(b'{"type":"hello","version":1,"limits":[]}', id=1)], "SERVICE_PROTOCOL"),
        ([_frame(_HELLO, id=1)], "SERVICE_LOST"),
        ([_frame(_HELLO, id=1), _frame(b'{"action":"ALLOW"}', action=0)], "SERVICE_PROTOCOL"),
        ([_frame(_HELLO, id=1), _frame(b'{"action":"ALLOW"}', action=0, id=77)], "SERVICE_PROTOCOL"),
        ([_frame(_HELLO, id=1), _frame(b'{"action":"ALLOW"}', action=3)], "SERVICE_PROTOCOL"),
        ([_frame(_HELLO, id=1), _frame(b'{"action":"FINE"}', action=0)], "SERVICE_PROTOCOL"),
        ([_frame(_HELLO, id=1), _frame(b"[1]")], "SERVICE_PROTOCOL"),
        ([_frame(_HELLO, id=1), _frame(b'{"error":"ALLOW"}', action=255)], "SERVICE_PROTOCOL"),
        ([_frame(_HELLO, id=1), _frame(b'{"error":{"type":"LUNCH"},"action":"HOLD"}', action=3)], "SERVICE_LUNCH"),
        ([_frame(_HELLO, id=1), b"SL\x01\xff\x02\0\0\0\xff\xff\xff\xff\0\0\0\0"], "SERVICE_PROTOCOL"),
        ([_frame(_HELLO, id=1), _frame(b'{"action":"ALLOW"}')[:10]], "SERVICE_LOST"),
    ],
)
def test_a_client_never_allows_on_nonsense(answers: list[bytes], reason: str) -> None:
    listening, path, place = _impostor(answers)
    with Client(path, timeout_ms=20_000) as client:
        decision = client.check_image(b"x")
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    place.__exit__(None, None, None)
    assert (decision.action, decision.reasons) == (Action.HOLD, (reason,))


def test_what_is_too_large_for_the_service_is_not_sent() -> None:
    with serving(limits=limits(max_content_bytes=1000)) as (_, path), Client(path) as client:
        decision = client.check_image(b"x" * 1001)
        assert (decision.reasons, decision.findings[0].state) == (("SERVICE_TOO_LARGE",), State.TOO_LARGE)


# -- anchors ----------------------------------------------------------------------------------------------------------


def test_an_anchor_only_grows_and_is_kept(tmp_path: Path) -> None:
    book = tmp_path / "anchors"
    with serving(anchors=book) as (_, path), Client(path) as client:
        anchor = SocketAnchor(client, same_user=True)
        assert (anchor.kind, anchor.read()) == ("service", 0)
        anchor.advance(7)
        anchor.advance(3)
        assert anchor.read() == 7
        assert SocketAnchor(client, name="other", same_user=True).read() == 0
        assert stat.S_IMODE(book.stat().st_mode) == 0o700
        for number in range(15):
            SocketAnchor(client, name=f"n{number}", same_user=True).advance(1)
        with pytest.raises(StoreError):
            SocketAnchor(client, name="one-too-many", same_user=True).advance(1)
    with serving(anchors=book) as (_, path), Client(path) as client:
        assert SocketAnchor(client, same_user=True).read() == 7
        with pytest.raises(StoreError) as caught:
            SocketAnchor(client).read()  # the same user could change it: no protection, and it says so
        assert caught.value.state == "ANCHOR_UNAVAILABLE"
    with pytest.raises(StoreError):
        anchor.read()
    with serving() as (_, path), Client(path) as client, pytest.raises(StoreError):
        SocketAnchor(client, same_user=True).read()
    for name in ("", "a/b", "..", "A", "x" * 33):
        with pytest.raises(UsageError):
            SocketAnchor(client, name=name)
    book.chmod(0o777)
    with Guard(detectors=()) as guard, folder() as place, pytest.raises(UsageError):
        Service(guard, place / "s", anchors=book)


def test_a_store_put_back_is_seen_by_the_anchor_of_a_service(world: Any, tmp_path: Path) -> None:
    import shutil

    from safelight.keys import FileKeyProvider
    from safelight.store import Store, StoreState

    here = tmp_path / "store"
    here.mkdir()
    keys = FileKeyProvider(here / "keys")
    with serving(anchors=tmp_path / "anchors") as (_, path), Client(path) as client:
        anchor = SocketAnchor(client, same_user=True)
        with Store(here / "s.sqlite", keys=keys, anchor=anchor) as store:
            store.propose({"rules.receive.suggestive": "HOLD"})
        shutil.copytree(here, tmp_path / "yesterday")
        with Store(here / "s.sqlite", keys=keys, anchor=anchor) as store:
            store.propose({"rules.view.suggestive": "HOLD"})
            assert store.state is StoreState.OK
        shutil.rmtree(here)
        shutil.copytree(tmp_path / "yesterday", here)
        with Store(here / "s.sqlite", keys=keys, anchor=anchor) as store:
            assert store.state is StoreState.ROLLED_BACK
    with Store(here / "s.sqlite", keys=keys, anchor=anchor) as store:
        assert store.state is not StoreState.OK  # no service, no belief


def test_a_text_too_long_to_travel_is_held_and_the_conversation_goes_on() -> None:
    with serving() as (_, path), Client(path) as client, client.conversation() as chat:
        assert chat.add(sender="other", text="hi").action is Action.ALLOW
        decision = chat.add(sender="other", text="x" * (300 << 10))
        assert (decision.action, decision.reasons) == (Action.HOLD, ("SERVICE_TOO_LARGE",))
        with client.conversation() as other:
            other.add(sender="other", text="hi")
        after = chat.add(sender="other", text="hi again")
        assert (after.action, after.reasons, chat.messages) == (Action.ALLOW, (), 2)
        assert client.check_query("x" * (300 << 10)).action is Action.HOLD


def test_a_record_stays_with_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from safelight.reporting import HashRecord

    record = HashRecord(
        id="0" * 32, pseudonym="1" * 32, made_by="list_match", category="known_material", day="2026-11-22"
    )
    with Guard(Profile("10_12"), detectors=(Calm(),)) as guard, serving(guard) as (_, path), Raw(path) as client:
        decided = replace(guard.check_image(_png()), record=record)
        monkeypatch.setattr(guard, "check_image", lambda *_, **__: decided)
        assert decided.to_dict()["record"]["pseudonym"] == "1" * 32
        assert client.ask({"type": "check_image"}, _png())["record"] is None


def test_the_client_knows_the_types_of_answers_before_the_first_one() -> None:
    """msgspec marks a dataclass that it has learnt; learning it in two threads at once crashed a process."""
    code = (
        "import safelight.serve.client, safelight.serve._protect as p, safelight.decision as d\n"
        "assert all('__msgspec_cache__' in vars(kind) for kind in (p.Notice, d.Finding))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
