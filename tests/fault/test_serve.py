"""The command itself, killed, starved and lied to: what a client gets is HOLD, and the next picture is looked at."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from safelight import Action, Frame, Guard, Profile, State
from safelight.serve import Client, Service, SocketAnchor
from serve_world import PATIENCE_S, Calm, Raw, Waiting, folder, memfd, serving, until

FRAME = Frame(bytes(64 * 48 * 3 // 2), "nv21", width=64, height=48)
RUN = [sys.executable, "-m", "safelight", "serve", "--json"]
QUICK = ["--tier", "live", "--concurrency", "1", "--age-band", "10_12", "--country", "GB"]
SENTINEL = "zq7sentinel"


class Running:
    """``safelight serve`` in a process of its own."""

    def __init__(self, *arguments: str, **options: Any) -> None:
        self.process = subprocess.Popen(
            [*RUN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )
        self.lines: list[dict[str, Any]] = []

    def wait_for(self, event: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        while not any(line["event"] == event for line in self.lines):
            line = self.process.stdout.readline()
            assert line, f"ended before {event}: {self.process.stderr.read()}"  # type: ignore[union-attr]
            self.lines.append(json.loads(line))
        return next(line for line in self.lines if line["event"] == event)

    def stop(self) -> int:
        self.process.terminate()
        out, err = self.process.communicate(timeout=PATIENCE_S)
        self.lines += [json.loads(line) for line in out.splitlines()]
        assert "Traceback" not in err and "Error" not in err
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def running(*arguments: str, **options: Any) -> Iterator[Running]:
    service = Running(*arguments, **options)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.kill()


@pytest.fixture(scope="module")
def command() -> Iterator[tuple[Running, Path]]:
    with folder() as place, running("--socket", str(place / "s"), *QUICK) as service:
        service.wait_for("ready")
        yield service, place / "s"


def _children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                    found.append(int(entry.name))
    return found


def _limit(pid: int, name: str) -> list[str]:
    line = next(text for text in Path(f"/proc/{pid}/limits").read_text().splitlines() if text.startswith(name))
    return line.removeprefix(name).split()[:2]


def _stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_it_answers_many_clients_and_writes_no_core(command: tuple[Running, Path]) -> None:
    service, path = command
    clients = [Client(path, connections=1) for _ in range(8)]
    with ThreadPoolExecutor(16) as threads:
        decisions = list(threads.map(lambda number: clients[number % 8].check_image(FRAME), range(64)))
    assert {decision.action for decision in decisions} == {Action.ALLOW}
    for client in clients:
        client.close()
    pids = [service.process.pid, *_children(service.process.pid)]
    assert len(pids) == 2  # detectors live in a process of their own, unless somebody says otherwise
    for pid in pids:
        assert _limit(pid, "Max core file size") == ["0", "0"]
        # Not dumpable: the kernel gives the files of such a process to root.
        assert Path(f"/proc/{pid}/maps").stat().st_uid == 0


def test_a_killed_detector_is_a_state_and_the_next_picture_gets_a_new_one(command: tuple[Running, Path]) -> None:
    service, path = command
    with Client(path) as client:
        assert client.check_image(FRAME).action is Action.ALLOW
        (child,) = _children(service.process.pid)
        os.kill(child, signal.SIGSTOP)
        until(lambda: _stopped(child))
        with ThreadPoolExecutor(1) as thread:
            asked = thread.submit(client.check_image, FRAME)
            with Client(path) as other:
                until(lambda: other.health()["waiting"] == 0 and not asked.done())
            os.kill(child, signal.SIGKILL)
            decision = asked.result()
        assert (decision.action, decision.reasons) == (Action.HOLD, ("DETECTOR_FAILED",))
        assert decision.notice is not None
        assert client.check_image(FRAME).action is Action.ALLOW
        assert client.health()["children"][0]["failures"] == 0


def test_a_killed_service_is_held_and_comes_back_at_the_same_place() -> None:
    with folder() as place, Client(place / "s") as client:
        with running("--socket", str(place / "s"), *QUICK) as service:
            service.wait_for("ready")
            assert client.check_image(FRAME).action is Action.ALLOW
            os.kill(service.process.pid, signal.SIGSTOP)
            until(lambda: _stopped(service.process.pid))
            with ThreadPoolExecutor(1) as thread:
                asked = thread.submit(client.check_image, FRAME)
                assert not asked.done()
                detectors = _children(service.process.pid)
                service.kill()
                decision = asked.result()
            assert decision.action is Action.HOLD
            assert decision.reasons[0] in ("SERVICE_LOST", "SERVICE_UNAVAILABLE")
            until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in detectors))  # none outlives it
        assert (place / "s").exists()  # stale
        assert client.check_image(FRAME).reasons == ("SERVICE_UNAVAILABLE",)
        with running("--socket", str(place / "s"), *QUICK) as service:
            service.wait_for("ready")
            assert client.check_image(FRAME).action is Action.ALLOW
            refused = subprocess.run(
                [*RUN, "--socket", str(place / "s"), *QUICK], capture_output=True, text=True, check=False
            )
            assert refused.returncode == 1
            assert "another service" in refused.stderr and "Traceback" not in refused.stderr
            assert client.check_image(FRAME).action is Action.ALLOW
            assert service.stop() == 0
        assert [line["event"] for line in service.lines][-1] == "stopped"
        assert not (place / "s").exists()


def test_a_full_descriptor_table_ends_nobody() -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))

    with folder() as place:
        arguments = ("--socket", str(place / "s"), "--isolation", "none", *QUICK)
        with running(*arguments, preexec_fn=few) as service:
            service.wait_for("ready")
            with Client(place / "s") as first:
                assert first.check_image(FRAME).action is Action.ALLOW
                crowd = []
                for _ in range(60):
                    one = socket.socket(socket.AF_UNIX)
                    one.settimeout(PATIENCE_S)
                    one.connect(str(place / "s"))
                    crowd.append(one)
                service.wait_for("no_room")
                decision = first.check_image(FRAME)  # no room for its descriptor either
                assert (decision.action, decision.reasons) == (Action.HOLD, ("SERVICE_TOO_MANY_FDS",))
                with Client(place / "s", timeout_ms=100) as late:
                    assert late.check_image(FRAME).action is Action.HOLD
                for one in crowd:
                    one.close()
                until(lambda: first.check_image(FRAME).action is Action.ALLOW)
            assert service.stop() == 0


def test_clients_that_vanish_leave_nothing_behind() -> None:
    waiting = Waiting()
    with Guard(Profile("10_12"), detectors=(waiting,), concurrency=1) as guard, serving(guard) as (service, path):
        until(lambda: guard is not None and service._status()["clients"] == 0)
        before = len(os.listdir("/proc/self/fd"))
        shape = {"format": "grey", "width": 32, "height": 32}
        for cut in range(0, 60, 7):
            client = Raw(path)
            fd = memfd(bytes(1024))
            client.request({"type": "check_image", "source": "fd", "frame": shape}, id=5, fds=[fd])
            client.request({"type": "check_image", "frame": shape}, bytes(1024), id=6)
            client.send((b"SL\x01\x00" + (9).to_bytes(4, "little") + (80).to_bytes(4, "little") + bytes(60))[:cut])
            os.close(fd)
            client.close()
        until(lambda: service._status()["clients"] == 0)
        waiting.gate.set()
        until(lambda: service._status()["waiting"] == 0 and service._held_bytes == 0)
        until(lambda: len(os.listdir("/proc/self/fd")) == before)
        with Client(path) as client:
            assert client.check_image(FRAME).action is Action.ALLOW


def test_a_worker_is_not_lost_to_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even to what the last line of defence says: the thread goes on, and the client is told to hold."""
    with Guard(Profile("10_12"), detectors=(Calm(),), concurrency=1) as guard, serving(guard) as (service, path):
        with Raw(path) as client:

            def fails(*_: object) -> None:
                raise RuntimeError

            with monkeypatch.context() as patch:
                patch.setattr(service._answerer, "answer", fails)
                answer = client.ask({"type": "check_image"}, b"x")
                assert (answer["error"]["type"], answer["action"]) == ("FAILED", "HOLD")
            assert client.ask({"type": "check_image"}, b"x")["reasons"] == ["NOT_MEDIA"]


def test_systemd_hands_over_its_socket_and_hears_how_it_goes() -> None:
    start = (
        "import os, sys\n"
        "os.dup2(int(sys.argv[1]), 3)\n"
        "os.environ |= {'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1', 'WATCHDOG_PID': str(os.getpid())}\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])\n"
    )
    with folder() as place, contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(str(place / "s"))
        listening.listen()
        manager = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        manager.settimeout(PATIENCE_S)
        manager.bind(str(place / "notify"))
        said: list[str] = []

        def heard(what: str) -> None:
            while not any(what in message for message in said):
                said.append(manager.recv(4096).decode())

        with Client(place / "s") as client, ThreadPoolExecutor(1) as thread:
            early = thread.submit(client.help)  # asked before there is anybody: systemd's queue keeps it
            process = subprocess.Popen(
                [sys.executable, "-c", start, str(listening.fileno()), *RUN[1:], *QUICK],
                pass_fds=[listening.fileno()],
                stdout=subprocess.DEVNULL,
                env={**os.environ, "NOTIFY_SOCKET": str(place / "notify"), "WATCHDOG_USEC": "200000"},
            )
            try:
                heard("READY=1")
                assert early.result()
                said.clear()
                heard("WATCHDOG=1")
                assert client.check_image(FRAME).action is Action.ALLOW
                process.terminate()
                heard("STOPPING=1")
                assert process.wait(PATIENCE_S) == 0
            finally:
                process.kill()
                process.wait()
        assert (place / "s").exists()  # systemd's, not ours


def test_a_hanging_service_is_not_petted(monkeypatch: pytest.MonkeyPatch) -> None:
    from safelight.serve import service as module

    waiting = Waiting()
    monkeypatch.setattr(module, "_STUCK_AFTER_S", 0.05)
    said: list[str] = []
    monkeypatch.setattr(module._sockets, "notify", lambda message: said.append(message))
    monkeypatch.setattr(module._sockets, "watchdog_s", lambda: 0.01)
    with Guard(Profile("10_12"), detectors=(waiting,), concurrency=1) as guard, serving(guard) as (service, path):
        until(lambda: "WATCHDOG=1" in said)
        with Raw(path) as client:
            client.request({"type": "check_image", "frame": {"format": "grey", "width": 32, "height": 32}}, bytes(1024))
            waiting.began.acquire()
            until(lambda: service._stuck(module.time.monotonic()))
            said.clear()
            stuck = threading.Event()
            stuck.wait(0.1)
            assert "WATCHDOG=1" not in said
            waiting.gate.set()
            until(lambda: "WATCHDOG=1" in said)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start a service as somebody else")
def test_another_user_keeps_the_anchor() -> None:
    nobody = 65534
    with folder() as place:
        os.chown(place, nobody, nobody)
        place.chmod(0o755)
        # Everything is loaded before: that user may not be able to read where it is installed.
        script = (
            "import encodings.ascii, os, sys\n"
            "from safelight import Guard\n"
            "from safelight.serve import Service\n"
            "guard = Guard(detectors=())\n"
            "guard.help(), guard.check_image(b'x')\n"
            "os.setgroups([]), os.setresgid(65534, 65534, 65534), os.setresuid(65534, 65534, 65534)\n"
            "service = Service(guard, sys.argv[1] + '/s', anchors=sys.argv[1] + '/anchors')\n"
            "print('listening', flush=True)\n"
            "service.run()\n"
        )
        process = subprocess.Popen([sys.executable, "-c", script, str(place)], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None and process.stdout.readline() == "listening\n"
            with Client(place / "s", service_users=[nobody]) as client:
                anchor = SocketAnchor(client)
                anchor.advance(5)
                assert (anchor.read(), client.service_uid) == (5, nobody)
            assert [path.name for path in (place / "anchors").iterdir()] == ["0.store.anchor"]
            assert (place / "anchors" / "0.store.anchor").stat().st_uid == nobody
        finally:
            process.kill()
            process.communicate()


def test_only_unix_sockets_are_opened_and_nothing_is_told_about_content() -> None:
    script = """
import json, sys, tempfile
opened = []
def hook(event, arguments):
    if event in ("socket.getaddrinfo", "socket.sendto", "urllib.Request"):
        opened.append(event)
    if event == "socket.__new__" and arguments[1] != 1:
        opened.append(event)
    if event in ("socket.connect", "socket.bind") and not isinstance(arguments[1], str):
        opened.append(event)
sys.addaudithook(hook)
import logging
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
from safelight import Guard, Profile
from safelight.serve import Client, Service
word = sys.argv[1]
said = []
guard = Guard(Profile("10_12"), isolation="process", tier="live")
with tempfile.TemporaryDirectory(prefix="sl-") as place, guard:
    with Service(guard, place + "/s", report=lambda *given: said.append(given)), Client(place + "/s") as client:
        client.check_query(word), client.check_url(word + ".example"), client.check_image(word.encode() * 9)
        with client.conversation() as chat:
            chat.add(sender="other", text=word)
        said.append((repr(client), repr(chat), client.health()))
print(said)
print(json.dumps(opened))
"""
    done = subprocess.run([sys.executable, "-c", script, SENTINEL], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []
    assert SENTINEL not in done.stdout + done.stderr


def test_the_socket_hook_would_see_one() -> None:
    """The test above can fail: an internet socket has another family."""
    assert socket.AF_UNIX == 1
    with socket.socket(socket.AF_INET) as internet:
        assert internet.family != 1


def test_a_stopped_service_thread_leaves_no_thread(portrait: Path) -> None:
    before = set(threading.enumerate())
    with Guard(Profile("10_12"), detectors=(Calm(),)) as guard, folder() as place:
        with Service(guard, place / "s"), Client(place / "s") as client:
            assert client.check_image(portrait).findings[0].state is State.OK
        until(lambda: set(threading.enumerate()) <= before)
