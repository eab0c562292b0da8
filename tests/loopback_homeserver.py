"""A Matrix server for tests: one room, one user who logs in, and the few endpoints that the example uses.

It is no homeserver: it keeps what it is told in lists, knows no federation, no state resolution and no encryption. It
listens on the loopback interface and writes down every path that was asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from aiohttp import web

ROOM = "!room:loopback.invalid"
ME = "@me:loopback.invalid"
THEM = "@them:loopback.invalid"


class LoopbackHomeserver:
    """Give it messages with :meth:`say`; see what was sent in :attr:`sent`."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.uploaded: dict[str, bytes] = {}
        self.media: dict[str, bytes] = {}
        self.endless: set[str] = set()
        self.asked: list[str] = []
        self.streamed_bytes = 0
        self._timeline: list[dict[str, Any]] = []
        self._changed = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> LoopbackHomeserver:
        app = web.Application(middlewares=[self._write_down])
        app.router.add_post("/_matrix/client/v3/login", self._login)
        app.router.add_post("/_matrix/client/r0/login", self._login)
        app.router.add_get("/_matrix/client/{version}/sync", self._sync)
        app.router.add_put("/_matrix/client/{version}/rooms/{room}/send/{type}/{txn}", self._send)
        app.router.add_post("/_matrix/media/{version}/upload", self._upload)
        app.router.add_get("/_matrix/{face}/{version}/media/download/{server}/{media}", self._download)
        app.router.add_get("/_matrix/media/{version}/download/{server}/{media}", self._download)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def say(self, content: dict[str, Any], *, kind: str = "m.room.message", sender: str = THEM) -> None:
        """The other one (or ``sender``) says something."""
        number = len(self._timeline)
        self._timeline.append(
            {
                "type": kind,
                "event_id": f"$event{number}",
                "sender": sender,
                "origin_server_ts": 1_760_000_000_000 + number * 1000,
                "content": content,
            }
        )
        self._changed.set()

    def picture(self, name: str, content: bytes, *, msgtype: str = "m.image", **info: Any) -> None:
        """The other one sends a file."""
        self.media[name] = content
        self.say({"msgtype": msgtype, "body": name, "url": f"mxc://loopback.invalid/{name}", "info": info})

    # -- endpoints ---------------------------------------------------------------------------------------------------

    @web.middleware
    async def _write_down(self, request: web.Request, handler: Any) -> Any:
        self.asked.append(request.path)
        return await handler(request)

    async def _login(self, request: web.Request) -> web.Response:
        given = await request.json()
        if given.get("password") != "right":
            return web.json_response({"errcode": "M_FORBIDDEN", "error": "no"}, status=403)
        return web.json_response({"user_id": ME, "device_id": "D", "access_token": "token"})

    async def _sync(self, request: web.Request) -> web.Response:
        since = int(request.query.get("since", "0"))
        if since >= len(self._timeline):
            self._changed.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), float(request.query.get("timeout", "0")) / 1000)
        events = self._timeline[since:]
        room = {
            "timeline": {"events": events, "limited": False, "prev_batch": str(since)},
            "state": {"events": []},
            "ephemeral": {"events": []},
            "account_data": {"events": []},
            "summary": {},
            "unread_notifications": {},
        }
        return web.json_response(
            {
                "next_batch": str(len(self._timeline)),
                "rooms": {"join": {ROOM: room}, "invite": {}, "leave": {}},
                "device_one_time_keys_count": {},
                "to_device": {"events": []},
                "device_lists": {"changed": [], "left": []},
                "presence": {"events": []},
                "account_data": {"events": []},
            }
        )

    async def _send(self, request: web.Request) -> web.Response:
        self.sent.append(await request.json())
        return web.json_response({"event_id": f"$sent{len(self.sent)}"})

    async def _upload(self, request: web.Request) -> web.Response:
        name = f"up{len(self.uploaded)}"
        self.uploaded[name] = await request.read()
        return web.json_response({"content_uri": f"mxc://loopback.invalid/{name}"})

    async def _download(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != "Bearer token":
            return web.json_response({"errcode": "M_MISSING_TOKEN", "error": "no"}, status=401)
        name = request.match_info["media"]
        if name in self.endless:
            answer = web.StreamResponse()
            await answer.prepare(request)
            try:
                while True:
                    await answer.write(bytes(64 * 1024))
                    self.streamed_bytes += 64 * 1024
            except (ConnectionError, asyncio.CancelledError):
                return answer
        if name not in self.media:
            return web.json_response({"errcode": "M_NOT_FOUND", "error": "no"}, status=404)
        return web.Response(body=self.media[name], content_type="application/octet-stream")
