"""Every bound of the service in one place, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass, fields

from safelight.errors import UsageError


@dataclass(frozen=True, slots=True)
class ServeLimits:
    """How much clients may cost the service, one by one and together.

    Attributes:
        max_clients: connections at once. 64: a device has a handful of apps, each with a few connections.
        max_clients_per_user: of one user; the rest of the places stays free for others.
        max_requests_per_client: that one connection may have in work; beyond, nothing more is read from it.
        max_waiting: requests of all clients that wait. A client without any always has a place, see ``FairQueue``.
        max_content_bytes: of one picture sent inline, and of a file or raw frame behind a descriptor.
            64 MiB, as ``Limits.max_bytes``; a 12-megapixel frame in NV21 has 18 MB.
        max_clip_bytes: of a clip behind a descriptor. 256 MiB: a minute of 4K; a longer one in a sealed memfd is read
            where it is.
        max_held_bytes: contents in memory at once, of all clients. The first always fits.
        max_conversations_per_client: open at once; each takes a few kilobytes.
        hello_timeout_ms: from connecting to the first request.
        frame_timeout_ms: from the first byte of a frame to its last.
        send_timeout_ms: for a client to take any of an answer.
        idle_timeout_ms: without a request; a client whose conversations are open is left alone.
        stop_timeout_ms: for work in progress when the service is told to stop.
    """

    max_clients: int = 64
    max_clients_per_user: int = 48
    max_requests_per_client: int = 8
    max_waiting: int = 64
    max_content_bytes: int = 64 << 20
    max_clip_bytes: int = 256 << 20
    max_held_bytes: int = 256 << 20
    max_conversations_per_client: int = 256
    hello_timeout_ms: int = 5_000
    frame_timeout_ms: int = 10_000
    send_timeout_ms: int = 10_000
    idle_timeout_ms: int = 600_000
    stop_timeout_ms: int = 5_000

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 0xFFFFFFFF:
                raise UsageError(f"ServeLimits.{item.name}: expected a whole number from 1 to 4294967295.")
