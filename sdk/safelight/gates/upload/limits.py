"""Every bound of the upload gate in one place, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass, fields

from safelight.errors import UsageError


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """How much one body, and all of them together, may cost. Beyond is a typed error, never a cut body.

    Attributes:
        max_body_bytes: of a body, as received and as unpacked. 512 MiB: a phone's clip of four minutes in 1080p.
        max_parts: of a form. 1,000 files and fields.
        max_form_bytes: of a form without files (``application/x-www-form-urlencoded``), which is taken apart in
            memory. 8 MiB.
        max_message_bytes: of a WebSocket message. 16 MiB, the usual bound of servers.
        max_unpacked_ratio: unpacked to packed bytes of a compressed body over 1 MiB. 200: text reaches 20.
        memory_bytes: of one body; the rest goes to disk, sealed with a key that is only in memory. 4 MiB.
        total_memory_bytes: of all bodies together; beyond, they go to disk from the first byte. 64 MiB.
        total_disk_bytes: of all bodies together; beyond, a request is told to come back. 4 GiB. 0: no disk is used.
        max_requests: with a body, at once; beyond, a request is told to come back. 128.
        idle_timeout_s: between two pieces of a body. 30.
        body_timeout_s: for the whole body. 600: 512 MiB at 7 Mbit/s.
        check_timeout_s: from the whole body to the verdict, waiting for others included. 300. The check itself goes
            on in its thread until the guard's own bounds end it.
    """

    max_body_bytes: int = 512 << 20
    max_parts: int = 1_000
    max_form_bytes: int = 8 << 20
    max_message_bytes: int = 16 << 20
    max_unpacked_ratio: int = 200
    memory_bytes: int = 4 << 20
    total_memory_bytes: int = 64 << 20
    total_disk_bytes: int = 4 << 30
    max_requests: int = 128
    idle_timeout_s: float = 30.0
    body_timeout_s: float = 600.0
    check_timeout_s: float = 300.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            least = 0 if item.name in ("total_disk_bytes", "memory_bytes", "total_memory_bytes") else 1e-9
            kinds = (int, float) if item.name.endswith("_s") else (int,)
            if isinstance(value, bool) or not isinstance(value, kinds) or value < least:
                raise UsageError(
                    f"UploadLimits.{item.name}: expected a number above 0 of its unit; give a positive one."
                )
