"""Wrote ``store_v1/``: a store of schema 1 with something in every section, and the key that seals it.

Kept for ever: every later version must read it. Run again only to make the folder of a new version, never over an
old one. Its PIN is the tests' and its hashes are cheap; it protects nobody.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nacl.pwhash import argon2id
from safelight.decision import Action, AgeBand, Decision, Event
from safelight.store import pin
from store_world import PIN, World, checkpoint

HELD = b"bytes of no picture" * 50


def make(folder: Path) -> None:
    pin.OPSLIMIT, pin.MEMLIMIT_BYTES = argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN
    world = World(folder)
    store = world.set_up(
        **{
            "age_band": "10_12",
            "country": "GB",
            "languages": ["en", "cy"],
            "zone": "Europe/London",
            "rules.view.suggestive": "HOLD",
            "allowance.games": 45,
            "allowance.*": "none",
            "windows.games": "15:00-19:00",
            "bedtime": "20:30-07:00",
            "consent.camera": "child",
            "counters": True,
            "loosening_delay_h": 12,
            "known_contacts": ["ab" * 16],
        }
    )
    store.allowance.take("video", 600)
    store.consents.give("camera")
    store.counters.add("help.opened")
    store.counters.flush()
    decision = Decision(Action.HOLD, Event.RECEIVE, AgeBand.FROM_10_TO_12, (), ("NUDITY_EXPLICIT",), None)
    store.holds.keep(decision, data=HELD)
    store.holds.keep(decision, handle="message-17")
    store.propose({"age_band": "13_15"}, pin=PIN)
    store.close()
    checkpoint(world.path)
    print("clock:", world.clock)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
