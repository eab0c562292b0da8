"""A small client in Python: asks the service about a picture, a camera frame and a message, and shows what to do.

python client.py SOCKET PICTURE
"""

from __future__ import annotations

import sys

from safelight import Action, Frame
from safelight.serve import Client


def main() -> int:
    """Ask three times; exits 3 when anything may not go ahead."""
    path, picture = sys.argv[1:]
    with Client(path, timeout_ms=20_000) as client:
        decisions = {
            "picture": client.check_image(picture, event="upload"),
            # Where a camera would write; it travels in shared memory.
            "frame": client.check_image(
                Frame(bytes([128]) * (640 * 480 * 3 // 2), "nv21", width=640, height=480), event="capture"
            ),
        }
        with client.conversation(contact="unknown") as chat:
            decisions["message"] = chat.add(sender="other", text="see you at practice")
        for name, decision in decisions.items():
            print(name, decision.action.name, *decision.reasons)
            if decision.notice is not None:
                print(" ", decision.notice.title)
        print("help:", ", ".join(service.service for service in client.help()))
    return 3 if max(decision.action for decision in decisions.values()) >= Action.BLUR else 0


if __name__ == "__main__":
    sys.exit(main())
