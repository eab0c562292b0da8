"""The chat examples, end to end: a Matrix client against a server on the loopback interface, and the terminal."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from gate_world import ColourDetector, picture
from loopback_homeserver import ME, ROOM, LoopbackHomeserver
from safelight import Guard, Limits, Profile
from safelight.errors import MediaNotFoundError
from safelight.gates import ChatGate
from stage_scorer import WORDS, WordScorer

LONG = "and words about nothing in particular, long enough not to be taken for a piece"
MAX_BYTES = 256 * 1024


@pytest.fixture(scope="module")
def example(root: Path) -> ModuleType:
    """``examples/chat_matrix`` as a package."""
    pytest.importorskip("nio")
    folder = root / "examples" / "chat_matrix"
    package = ModuleType("chat_matrix_example")
    package.__path__ = [str(folder)]
    sys.modules[package.__name__] = package
    for name in ("screen", "matrix_client"):
        spec = importlib.util.spec_from_file_location(f"{package.__name__}.{name}", folder / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        setattr(package, name, module)
    return package


class World:
    """A server, a client in its room, the gate between them, and what is on the screen."""

    def __init__(self, example: ModuleType, band: str) -> None:
        self.example = example
        self.detector = ColourDetector()
        self.guard = Guard(
            Profile(band, country="GB"), detectors=[self.detector], limits=Limits(max_bytes=MAX_BYTES), concurrency=2
        )
        self.out = io.StringIO()
        self.server = LoopbackHomeserver()

    @property
    def screen(self) -> list[str]:
        return self.out.getvalue().splitlines()

    async def until(self, holds: Callable[[], object]) -> None:
        for _ in range(2000):
            if holds():
                return
            await asyncio.sleep(0.005)
        raise AssertionError(self.out.getvalue())

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[Any]:
        from nio import AsyncClient

        async with self.server as server:
            client = AsyncClient(server.url, ME)
            await client.login("right")
            with self.guard, ChatGate(self.guard) as gate, gate.conversation(scorer=WordScorer(), handle=ROOM) as chat:
                screen = self.example.screen.Screen(self.guard, self.out, draw=True)
                room = self.example.matrix_client.GatedRoom(client, ROOM, chat, screen, self.guard)
                tasks = [
                    asyncio.create_task(room.show()),
                    asyncio.create_task(client.sync_forever(timeout=500)),
                ]
                try:
                    yield room
                finally:
                    self.detector.go.set()
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
                    await client.close()


def _run(world: World, play: Callable[[Any], Any]) -> None:
    async def go() -> None:
        async with world.joined() as room:
            await play(room)

    asyncio.run(go())


def test_words_and_pictures_arrive_in_order_and_what_is_not_allowed_does_not(example: ModuleType) -> None:
    world = World(example, "10_12")
    server = world.server

    async def play(room: Any) -> None:
        server.say({"msgtype": "m.text", "body": f"first {LONG}"})
        server.picture("slow", picture("slow"), thumbnail_url="mxc://loopback.invalid/thumb", w=48, h=48)
        server.media["thumb"] = picture("explicit")
        server.say({"msgtype": "m.text", "body": f"second {LONG}"})
        server.picture("bad", picture("explicit"))
        server.picture("as-a-file", picture("explicit", detail=1), msgtype="m.file")
        server.say({"body": "sticker", "url": "mxc://loopback.invalid/bad", "info": {}}, kind="m.sticker")
        server.say({"msgtype": "m.text", "body": f"third {LONG}"})
        await world.until(lambda: any("first" in line for line in world.screen))
        await world.until(lambda: world.detector.looked)
        await asyncio.sleep(0.05)
        # The picture is still being looked at: nothing after it is on the screen, however quick it was.
        assert not any("second" in line or "third" in line for line in world.screen)
        world.detector.go.set()
        await world.until(lambda: any("third" in line for line in world.screen))

    _run(world, play)
    said = [line.partition(" ")[2] for line in world.screen if line.startswith("@them")]
    assert [one.split(" ")[0] for one in said] == ["first", "a", "second", "hidden", "hidden", "hidden", "third"]
    assert not any("thumb" in path for path in server.asked)
    assert "Childline" in world.out.getvalue()


def test_a_danger_stops_both_ways_and_brings_help(example: ModuleType) -> None:
    world = World(example, "13_15")
    server = world.server

    async def play(room: Any) -> None:
        await room.say("hello there")
        for stage in ("age_probe", "secrecy", "flattery_bond", "meeting"):
            server.say({"msgtype": "m.text", "body": f"{WORDS[stage]} {LONG}"})
        await world.until(lambda: world.out.getvalue().count("help:") >= 1)
        await room.say("more words")
        server.picture("fine", picture("none"))
        await world.until(lambda: "/download/loopback.invalid/fine" in " ".join(server.asked))
        await room.shown()

    _run(world, play)
    assert [one["body"] for one in server.sent] == ["hello there"]
    assert not any(f"@them:loopback.invalid: {WORDS['meeting']}" in line for line in world.screen)
    assert not any("a picture of" in line for line in world.screen)


def test_own_pictures_are_sent_as_they_were_checked_or_not_at_all(example: ModuleType, tmp_path: Path) -> None:
    world = World(example, "13_15")
    for name in ("none", "suggestive", "explicit"):
        (tmp_path / name).write_bytes(picture(name))

    async def play(room: Any) -> None:
        for name in ("none", "suggestive", "explicit"):
            await room.command(f"/picture {tmp_path / name}")
        assert list(world.server.uploaded.values()) == [picture("none")]
        await room.command("/send 1")

    _run(world, play)
    assert list(world.server.uploaded.values()) == [picture("none"), picture("suggestive")]
    assert [one["msgtype"] for one in world.server.sent] == ["m.image"] * 2
    assert all("thumbnail_url" not in one["info"] and str(tmp_path) not in str(one) for one in world.server.sent)


def test_a_blurred_picture_takes_two_acts(example: ModuleType) -> None:
    world = World(example, "13_15")

    async def play(room: Any) -> None:
        world.server.picture("bad", picture("explicit"))
        await world.until(lambda: any("hidden (/look 1)" in line for line in world.screen))
        await room.command("/show 1")
        assert "/look 1 first" in world.out.getvalue()
        await room.command("/look 1")
        await room.command("/keep 1")
        await room.command("/look 1")
        assert "a picture of" not in world.out.getvalue()
        await room.command("/show 1")
        assert "a picture of 48 × 48" in world.out.getvalue()
        await room.command("/show 1")

    _run(world, play)
    assert world.screen[-1] == "nothing of that number waits"


def test_files_are_fetched_to_the_limit_and_failures_do_not_stop_the_chat(example: ModuleType) -> None:
    world = World(example, "13_15")
    server = world.server

    async def play(room: Any) -> None:
        server.endless.add("endless")
        server.say({"msgtype": "m.image", "body": "x", "url": "mxc://loopback.invalid/endless", "info": {}})
        server.say({"msgtype": "m.image", "body": "x", "url": "mxc://loopback.invalid/missing", "info": {}})
        server.say({"msgtype": "m.image", "body": "x", "url": "https://elsewhere.invalid/a.png", "info": {}})
        server.say({"msgtype": "m.image", "body": "x"})
        server.say({"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x"}, kind="m.room.encrypted")
        server.say({"msgtype": "m.text", "body": f"after all {LONG}"})
        await world.until(lambda: any("after all" in line for line in world.screen))

    _run(world, play)
    text = world.out.getvalue()
    assert text.count("cannot be fetched") == 2
    assert text.count("cannot be read here") == 2
    assert "@them:loopback.invalid: hidden" in text
    # What the kernel buffers is beyond the client's reach; what it kept is bounded.
    assert server.streamed_bytes < 64 * MAX_BYTES
    assert not any("elsewhere" in path for path in server.asked)


def test_an_encrypted_attachment_is_decrypted_and_then_checked(example: ModuleType) -> None:
    from nio import AsyncClient, RoomEncryptedImage
    from nio.crypto.attachments import encrypt_attachment

    server = LoopbackHomeserver()
    secret, keys = encrypt_attachment(picture("explicit"))
    server.media["secret"] = secret

    def event(**changed: Any) -> Any:
        content = {
            "msgtype": "m.image",
            "body": "x",
            "info": {"mimetype": "image/png"},
            "file": {"url": "mxc://loopback.invalid/secret", "mimetype": "image/png", **keys, **changed},
        }
        source = {"event_id": "$1", "sender": "@a:b", "origin_server_ts": 1, "type": "m.room.message"}
        return RoomEncryptedImage.parse_decrypted_event({**source, "content": content})

    async def go() -> list[object]:
        found: list[object] = []
        async with server:
            client = AsyncClient(server.url, ME)
            await client.login("right")
            for one in (event(), event(hashes={"sha256": "AAAA"})):
                stream = example.matrix_client.Download(client, one, asyncio.get_running_loop(), MAX_BYTES)
                try:
                    found.append(await asyncio.to_thread(stream.read))
                except MediaNotFoundError as error:
                    found.append(type(error).__name__)
            await client.close()
        return found

    assert asyncio.run(go()) == [picture("explicit"), "MediaNotFoundError"]


def test_a_wrong_password_is_said_without_a_traceback(root: Path) -> None:
    pytest.importorskip("nio")

    async def go() -> tuple[int | None, str]:
        async with LoopbackHomeserver() as server:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "examples/chat_matrix/matrix_client.py",
                *("--homeserver", server.url, "--user", ME, "--room", ROOM),
                cwd=root,
                env={"MATRIX_PASSWORD": "wrong", "PATH": ""},
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            _, said = await process.communicate()
            return process.returncode, said.decode()

    status, said = asyncio.run(go())
    assert status == 1
    assert "could not log in" in said
    assert "Traceback" not in said


def test_the_chat_in_the_terminal_runs_without_a_network(root: Path) -> None:
    lines = [
        "< hi, see you at practice",
        "> hello",
        "< /picture examples/pictures/portrait.jpg",
        "/show 1",
        "/look 1",
        "/show 1",
        "> /picture examples/pictures/portrait.jpg",
        "< /picture missing.jpg",
        "/fine",
        "/look nothing",
        "/quit",
        "never read",
    ]
    done = subprocess.run(
        [sys.executable, "examples/chat_matrix/terminal_chat.py", "--age-band", "13_15", "--trigger", "0.97"],
        cwd=root,
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    said = done.stdout.splitlines()
    assert said[:2] == ["them: hi, see you at practice", "sent"]
    order = [
        "them: hidden (/look 1)",
        "/look 1 first",
        "/keep 1 to leave it, /show 1 to go on",
        "a picture of 512 × 512",
    ]
    assert [line for line in said if line in order] == order
    assert any(line.startswith("a picture of") for line in said)
    assert "not sent" in said
    assert "Traceback" not in done.stderr
    assert not any("never read" in line for line in said)
