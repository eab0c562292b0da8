"""A list with one benign picture on it, installed on a device: what a match is in tests outside of the lists' own."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
from PIL import Image as PilImage
from safelight.decision import Finding, FindingKind, Label, State
from safelight.hashing import pdq
from safelight.keys import FileKeyProvider
from safelight.lists import ListStore
from safelight.lists.format import ListInfo, make_list
from simulator import Simulator

ENTRY_ID = 700


def picture(seed: int = 1, size: int = 320) -> np.ndarray:
    """A benign picture with features: coloured noise, smoothed."""
    noise = np.random.default_rng(seed).integers(0, 256, (10, 10, 3), dtype=np.uint8)
    return np.asarray(PilImage.fromarray(noise).resize((size, size), PilImage.Resampling.BICUBIC))


def encoded(pixels: np.ndarray, **options: object) -> bytes:
    """The picture as a file."""
    out = io.BytesIO()
    PilImage.fromarray(pixels).save(out, "PNG", **options)  # type: ignore[arg-type]
    return out.getvalue()


def install_list(folder: Path, *pictures: np.ndarray) -> ListStore:
    """A store with the list ``alpha``, whose entries 700, 701, … are these pictures."""
    simulator = Simulator()
    hashes = np.frombuffer(b"".join(pdq(one).bits for one in pictures), np.uint8).reshape(-1, 32)
    ids = np.arange(ENTRY_ID, ENTRY_ID + len(pictures), dtype=np.uint64)
    info = ListInfo("alpha", 1, categories={1: "A1"})
    simulator.add(make_list(info, entries={"pdq": (hashes, ids, np.ones(len(pictures), np.uint16))}, negatives={}))
    for signed in (simulator.root, simulator.targets, simulator.snapshot, simulator.timestamp):
        signed.expires = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=2)
    store = ListStore(folder / "lists", trust=simulator.trust, keys=FileKeyProvider(folder / "keys"))
    store.update(simulator.files())
    return store


class Calm:
    """A detector that sees nothing: what matters here is the list."""

    id = "calm"
    kinds = (FindingKind.NUDITY,)

    def prepare(self) -> State:
        return State.OK

    def detect(self, image: object) -> Sequence[Finding]:
        return [Finding(FindingKind.NUDITY, State.OK, Label.NONE, 0.0, self.id)]

    def close(self) -> None: ...
