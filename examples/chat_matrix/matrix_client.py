"""A Matrix client for one room whose messages pass a gate, both ways.

    MATRIX_PASSWORD=… python examples/chat_matrix/matrix_client.py --homeserver https://… --user @me:… --room '!…'

Needs `pip install matrix-nio`. Words, pictures, stickers and files of the room are shown as far as their verdict
allows, in the order in which they came. A file is fetched once, bounded, when its turn to be looked at has come; a
thumbnail is never fetched. What cannot be read (an encrypted message without `matrix-nio[e2e]`, an unknown type) is
said and not shown. Commands as in terminal_chat.py: /picture FILE, /look N, /show N, /keep N, /send N, /fine, /quit.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import getpass
import io
import os
import sys
from typing import Any

from nio import (
    Api,
    AsyncClient,
    AsyncClientConfig,
    BadEvent,
    Event,
    LocalProtocolError,
    MatrixRoom,
    MegolmEvent,
    RoomEncryptedMedia,
    RoomMessage,
    RoomMessageEmote,
    RoomMessageMedia,
    RoomMessageNotice,
    RoomMessageText,
    RoomSendError,
    StickerEvent,
    UploadError,
)
from nio.crypto.attachments import decrypt_attachment
from nio.exceptions import EncryptionError
from PIL import Image as PilImage
from PIL import UnidentifiedImageError
from safelight import Guard, Profile
from safelight.errors import BusyError, MediaNotFoundError, SafelightError
from safelight.gates import ChatGate, Delivery, GatedConversation

if __package__:
    from .screen import Screen
else:
    from screen import Screen

_TEXTS = (RoomMessageText, RoomMessageNotice, RoomMessageEmote)
_FILES = (RoomMessageMedia, RoomEncryptedMedia, StickerEvent)
_DOWNLOAD_S = 60.0


class Download:
    """A file of the room as a stream that is fetched when the gate reads it: so it has its place in line before.

    Args:
        client: logged in.
        event: with the file's address, and its key if it is encrypted.
        loop: of the client. The gate reads in a thread of its own.
        max_bytes: no more than this and one byte is ever taken from the network, whatever the server says.
    """

    def __init__(self, client: AsyncClient, event: Any, loop: asyncio.AbstractEventLoop, max_bytes: int) -> None:
        self._client = client
        self._event = event
        self._loop = loop
        self._max_bytes = max_bytes
        self._content: io.BytesIO | None = None

    def seekable(self) -> bool:
        """It can be read once."""
        return False

    def read(self, size: int = -1) -> bytes:
        """Fetch at the first call, then read."""
        if self._content is None:
            fetched = asyncio.run_coroutine_threadsafe(self._fetch(), self._loop)
            self._content = io.BytesIO(fetched.result(_DOWNLOAD_S))
        return self._content.read(size)

    async def _fetch(self) -> bytes:
        server, _, media = self._event.url.removeprefix("mxc://").partition("/")
        if not self._event.url.startswith("mxc://") or not server or not media or "/" in media:
            raise _missing("an address that is no mxc:// address")
        method, path = Api.download(server, media)
        headers = {"Authorization": f"Bearer {self._client.access_token}"}
        response = await self._client.send(method, path, headers=headers, timeout=_DOWNLOAD_S)
        async with response:
            if response.status != 200:
                raise _missing(f"status {response.status}")
            content = bytearray()
            async for part in response.content.iter_chunked(64 * 1024):
                content += part
                if len(content) > self._max_bytes:
                    # Enough to know that it is too large; the gate says so.
                    return bytes(content[: self._max_bytes + 1])
        if isinstance(self._event, RoomEncryptedMedia):
            try:
                return decrypt_attachment(
                    bytes(content), self._event.key["k"], self._event.hashes["sha256"], self._event.iv
                )
            except (EncryptionError, KeyError, ValueError):
                raise _missing("an attachment that does not decrypt") from None
        return bytes(content)


class GatedRoom:
    """One room behind the gate. Made for two people: in a group everybody else counts as one contact."""

    def __init__(
        self, client: AsyncClient, room_id: str, chat: GatedConversation, screen: Screen, guard: Guard
    ) -> None:
        self._client = client
        self._room_id = room_id
        self._chat = chat
        self._screen = screen
        self._guard = guard
        self._arrived: asyncio.Queue[tuple[str, asyncio.Future[Delivery]]] = asyncio.Queue()
        client.add_event_callback(self._on_event, Event)
        client.add_event_callback(self._on_event, BadEvent)

    async def show(self) -> None:
        """Put what has arrived on the screen, in order, until cancelled."""
        while True:
            who, future = await self._arrived.get()
            try:
                self._screen.incoming(who, await future)
            except MediaNotFoundError as error:
                self._screen.wrong(f"a file of {who} that cannot be fetched: {error}")
            except SafelightError as error:
                self._screen.wrong(f"a message of {who} that cannot be shown: {error}")
            finally:
                self._arrived.task_done()

    async def shown(self) -> None:
        """Wait until everything that has arrived is on the screen."""
        await self._arrived.join()

    async def _on_event(self, room: MatrixRoom, event: Any) -> None:
        if room.room_id != self._room_id or getattr(event, "sender", None) in (None, self._client.user_id):
            return
        if isinstance(event, _TEXTS):
            # The body and nothing else is shown: formatted_body may say something else.
            await self._enter(event.sender, text=event.body, at=event.server_timestamp / 1000)
        elif isinstance(event, _FILES):
            loop = asyncio.get_running_loop()
            stream = Download(self._client, event, loop, self._guard.limits.max_bytes)
            await self._enter(event.sender, picture=stream, handle=event.event_id)
        elif isinstance(event, (RoomMessage, MegolmEvent, BadEvent)):
            self._chat.unreadable()
            self._screen.wrong(f"a message of {event.sender} that cannot be read here")

    async def _enter(self, who: str, **message: Any) -> None:
        """Take a place in line; while there is none, take nothing more from the server."""
        while True:
            try:
                future = self._chat.submit_incoming(**message)
            except BusyError:
                await asyncio.sleep(0.05)
            else:
                self._arrived.put_nowait((who, asyncio.wrap_future(future)))
                return

    # -- out ---------------------------------------------------------------------------------------------------------

    async def say(self, text: str) -> None:
        """Send words, as far as they may leave."""
        delivery = await self._chat.aoutgoing(text=text)
        if self._screen.outgoing(delivery):
            await self._send(delivery.text)

    async def picture(self, path: str) -> None:
        """Send a picture, as far as it may leave: the bytes that were checked."""
        delivery = await self._chat.aoutgoing(picture=path)
        if self._screen.outgoing(delivery):
            await self._send(delivery.picture)

    async def command(self, line: str) -> bool:
        """One line of the keyboard. Whether to go on."""
        word, _, argument = line.strip().partition(" ")
        if word == "/quit":
            return False
        if word == "/picture":
            await self.picture(argument)
        elif word == "/fine":
            self._chat.fine()
        elif word in ("/look", "/keep", "/show", "/send") and argument.strip().isdigit():
            number = int(argument)
            if word == "/look":
                self._screen.look(number)
            elif word == "/keep":
                self._screen.keep(number)
            elif word == "/show":
                await self._send(await asyncio.to_thread(self._screen.show, number))
            else:
                delivery = self._screen.go_on(number)
                if delivery is not None:
                    await self._send(delivery.text if delivery.text is not None else delivery.picture)
        elif word:
            await self.say(line)
        return True

    async def _send(self, content: str | bytes | None) -> None:
        if content is None:
            return
        if isinstance(content, str):
            await self._send_event({"msgtype": "m.text", "body": content})
            return
        room = self._client.rooms.get(self._room_id)
        if room is not None and room.encrypted:
            self._screen.wrong("not sent: this example sends no pictures in encrypted rooms")
            return
        # A clip goes as a file: this example does not look into containers for their type.
        message: dict[str, Any] = {"msgtype": "m.file", "body": "file"}
        info: dict[str, Any] = {"mimetype": "application/octet-stream", "size": len(content)}
        with contextlib.suppress(UnidentifiedImageError), PilImage.open(io.BytesIO(content)) as opened:
            message = {"msgtype": "m.image", "body": "picture"}
            info |= {
                "mimetype": opened.get_format_mimetype() or info["mimetype"],
                "w": opened.width,
                "h": opened.height,
            }
        uploaded, _ = await self._client.upload(
            lambda *_: io.BytesIO(content), content_type=info["mimetype"], filename="file", filesize=len(content)
        )
        if isinstance(uploaded, UploadError):
            self._screen.wrong("not sent: the server took no file")
            return
        await self._send_event({**message, "url": uploaded.content_uri, "info": info})

    async def _send_event(self, content: dict[str, Any]) -> None:
        try:
            answer = await self._client.room_send(self._room_id, "m.room.message", content)
        except LocalProtocolError:
            self._screen.wrong("not sent: an encrypted room needs matrix-nio[e2e]")
            return
        self._screen.say("sent" if not isinstance(answer, RoomSendError) else "(not sent: the server refused it)")


def _missing(what: str) -> MediaNotFoundError:
    return MediaNotFoundError(f"file: got {what}, expected its content; ask for it to be sent again.")


async def run(args: argparse.Namespace, password: str) -> int:
    """Log in, and let messages through the gate until somebody quits."""
    client = AsyncClient(args.homeserver, args.user, config=AsyncClientConfig(max_timeouts=3))
    try:
        answer = await client.login(password, device_name="safelight example")
        if not getattr(answer, "access_token", ""):
            sys.stderr.write("could not log in: check --homeserver, --user and the password\n")
            return 1
        with Guard(Profile(args.age_band, country=args.country)) as guard, ChatGate(guard) as gate:
            with gate.conversation(args.contact, handle=args.room) as chat:
                room = GatedRoom(client, args.room, chat, Screen(guard), guard)
                tasks = [
                    asyncio.create_task(room.show()),
                    asyncio.create_task(client.sync_forever(timeout=30_000)),
                ]
                while await room.command(await asyncio.to_thread(_line)):
                    pass
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        return 0
    finally:
        await client.close()


def _line() -> str:
    return sys.stdin.readline() or "/quit"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="A Matrix client for one room, behind a gate.")
    parser.add_argument("--homeserver", required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--room", required=True)
    parser.add_argument("--age-band", default="unknown")
    parser.add_argument("--country")
    parser.add_argument("--contact", default="unknown", choices=["unknown", "known"])
    args = parser.parse_args()
    try:
        Profile(args.age_band, country=args.country)
    except SafelightError as error:
        parser.error(str(error))
    raise SystemExit(asyncio.run(run(args, os.environ.get("MATRIX_PASSWORD") or getpass.getpass())))


if __name__ == "__main__":
    main()
