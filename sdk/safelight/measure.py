"""Self-measurement: how fast this device is, and what follows for tier, frame rate and sampling.

The speed of unknown hardware is measured, never guessed. A slower device looks at fewer frames a second and
shows a slower picture; protection is the same, because a frame is shown only after it was looked at.

Nothing is measured or written unless somebody asks: ``safelight doctor --measure``, or a live gate at its start.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from safelight._build import build_info
from safelight.decision import State
from safelight.detect import PictureDetector, VisionDetector
from safelight.detect.tiers import Tier
from safelight.media import Image
from safelight.runtime import RUNTIMES, runtime_status

# A still is waited for; above a quarter of a second the wait is felt (Nielsen 1993: 0.1 s is instant, 1 s breaks
# the flow of thought).
FULL_TIER_BUDGET_MS = 250.0
# Half of one processor is left to the host.
PROCESSOR_SHARE = 0.5
MAX_FRAMES_PER_SECOND = 30.0
MIN_FRAMES_PER_SECOND = 0.2

_FRAME_HEIGHT_PX, _FRAME_WIDTH_PX = 480, 640
_WARM_UP_ROUNDS = 1
_ROUNDS = 5


class DevicePlan(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What was measured, and what follows.

    Attributes:
        key: of the build, runtimes and machine that it was measured on; another key means measure again.
        tier: for single pictures.
        live_ms, full_ms: median of a whole look at a 640×480 frame; ``None`` when the tier cannot be used.
        frames_per_second: how many frames a live gate looks at.
        look_at_every: of a 30-frames-a-second camera, every how many-th frame that is.
    """

    schema: Literal[1]
    key: str
    tier: Tier
    live_ms: float | None
    full_ms: float | None
    frames_per_second: float
    look_at_every: int


def measure(
    *,
    make: Callable[[Tier], PictureDetector] = VisionDetector,
    clock: Callable[[], float] = time.perf_counter,
) -> DevicePlan:
    """Measure this device. Takes a few looks of each tier; keeps nothing.

    Args:
        make: makes the detector of a tier.
        clock: seconds, monotonic; tests inject a slow one.
    """
    live_ms = _median_ms(make("live"), clock)
    full_ms = _median_ms(make("full"), clock)
    return plan(live_ms=live_ms, full_ms=full_ms)


def plan(*, live_ms: float | None, full_ms: float | None) -> DevicePlan:
    """What follows from two measurements. A tier that cannot be used stays ``full``: it answers with its state."""
    slow_full = full_ms is not None and full_ms > FULL_TIER_BUDGET_MS and live_ms is not None
    wanted = PROCESSOR_SHARE * 1000.0 / live_ms if live_ms else MIN_FRAMES_PER_SECOND
    frames_per_second = round(min(MAX_FRAMES_PER_SECOND, max(MIN_FRAMES_PER_SECOND, wanted)), 1)
    return DevicePlan(
        schema=1,
        key=device_key(),
        tier="live" if slow_full else "full",
        live_ms=live_ms,
        full_ms=full_ms,
        frames_per_second=frames_per_second,
        look_at_every=max(1, round(MAX_FRAMES_PER_SECOND / frames_per_second)),
    )


def device_key() -> str:
    """Names this build on this machine; changes when either does."""
    info = build_info()
    parts = [info.version, info.builtin_digest, info.python, info.machine, str(os.cpu_count())]
    parts += [f"{name}={runtime_status(name).version}" for name in RUNTIMES]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def plan_path() -> Path:
    """Where the plan is cached; the folder may not exist."""
    from platformdirs import user_cache_path

    return user_cache_path("safelight", appauthor=False) / "device-plan.json"


def save_plan(device_plan: DevicePlan) -> None:
    """Cache the plan; a cache that cannot be written is no error, the device is only measured again."""
    path = plan_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(device_plan))
        temporary.replace(path)
    except OSError:
        return


def load_plan() -> DevicePlan | None:
    """The cached plan of this build on this machine, or ``None``.

    The cache is nobody's to trust: it can only choose between tiers that both protect.
    """
    try:
        found = msgspec.json.decode(plan_path().read_bytes(), type=DevicePlan)
    except (OSError, msgspec.DecodeError, ValueError):
        return None
    return found if found.key == device_key() else None


def _median_ms(detector: PictureDetector, clock: Callable[[], float]) -> float | None:
    try:
        if detector.prepare() is not State.OK:
            return None
        frame = synthetic_frame()
        for _ in range(_WARM_UP_ROUNDS):
            detector.detect(frame)
        times = []
        for _ in range(_ROUNDS):
            started = clock()
            detector.detect(frame)
            times.append((clock() - started) * 1000.0)
        return round(sorted(times)[_ROUNDS // 2], 2)
    finally:
        detector.close()


def synthetic_frame() -> Image:
    """A benign synthetic frame with contrast and detail, so that it is judged like a photograph."""
    y, x = np.mgrid[0:_FRAME_HEIGHT_PX, 0:_FRAME_WIDTH_PX]
    noise = np.random.default_rng(7).integers(0, 64, (_FRAME_HEIGHT_PX, _FRAME_WIDTH_PX, 3))
    pixels = ((x[..., None] // 5 + y[..., None] // 3) % 192 + noise).astype(np.uint8)
    pixels.setflags(write=False)
    return Image(pixels, _FRAME_WIDTH_PX, _FRAME_HEIGHT_PX, (0.0, 0.0, float(_FRAME_WIDTH_PX), float(_FRAME_HEIGHT_PX)))
