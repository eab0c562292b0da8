"""A camera on a screen that shows nothing unjudged: the smallest app around safelight.gates.CameraGate.

    python examples/camera_kiosk/kiosk.py                      a window, /dev/video0
    python examples/camera_kiosk/kiosk.py clip.mp4             a video file played as a camera
    python examples/camera_kiosk/kiosk.py synthetic            no camera needed
    python examples/camera_kiosk/kiosk.py synthetic --headless --agree --seconds 5

Who is protected, and who must agree to the camera, is what `safelight setup` has written for this device. Nothing is
stored: what is taken with the button is shown, then forgotten. --headless prints one JSON object for each change of
state and writes nothing else.
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safelight import Frame, Guard
from safelight.errors import SafelightError
from safelight.gates import CameraGate
from safelight.gates.camera import CameraState, CameraStatus, Preview
from safelight.store import Store

WIDTH, HEIGHT = 640, 480
SAYS = {
    CameraState.CLOSED: "The camera is off.",
    CameraState.NO_CONSENT: "The camera is off until everybody who must agree has agreed.",
    CameraState.NO_CAMERA: "There is no camera here that can be opened.",
    CameraState.STARTING: "One moment …",
    CameraState.SHOWING: "",
    CameraState.COVERED: "The picture is covered.",
    CameraState.COULD_NOT_TELL: "The picture is covered: it cannot be judged right now.",
    CameraState.WAITING: "The picture is covered: this device needs more time.",
    CameraState.SOURCE_LOST: "The camera was unplugged, or the video has ended.",
    CameraState.SINK_FAILED: "This window has a fault.",
}


class Synthetic:
    """Thirty calm frames a second: a gradient that moves."""

    def __init__(self) -> None:
        y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
        self._ground = (30 + x // 16 + y // 16).astype(np.uint8)
        self._next_s = time.monotonic()
        self._shift = 0
        self._closed = False

    def read(self) -> Frame | None:
        """The next frame, in time."""
        time.sleep(max(0.0, self._next_s - time.monotonic()))
        self._next_s += 1 / 30
        self._shift += 2
        return (
            None if self._closed else Frame(np.roll(self._ground, self._shift, 1), "grey", width=WIDTH, height=HEIGHT)
        )

    def close(self) -> None:
        """End."""
        self._closed = True


def agree(guard: Guard) -> None:
    """The child's yes, for a quarter of an hour; a guardian's, where one is needed, is given with `safelight`."""
    try:
        guard.store.consents.give("camera", by="child")
    except SafelightError as error:
        print(f"kiosk: {error}", file=sys.stderr)


def open_camera(gate: CameraGate, source: str) -> CameraStatus:
    """Open what the command line names."""
    return gate.open(Synthetic() if source == "synthetic" else source, width=WIDTH, height=HEIGHT)


# --- without a window ------------------------------------------------------------------------------------------------


def run_headless(
    guard: Guard, source: str, *, seconds: float, agreed: bool, say: Callable[[dict[str, Any]], None]
) -> CameraState:
    """Judge for a while, and say how it goes. Returns the last state before the end."""
    if agreed:
        agree(guard)
    shown = 0

    def count(preview: Preview) -> None:
        nonlocal shown
        shown += preview.released

    with CameraGate(guard, count) as gate:
        status = open_camera(gate, source)
        last: CameraState | None = None
        ends_s = time.monotonic() + seconds
        while True:
            if status.state is not last:
                last = status.state
                say({"state": last.value, "reasons": list(status.reasons), "shown": shown})
            if not status.open or time.monotonic() >= ends_s:
                break
            time.sleep(0.02)
            status = gate.status
        delay = status.release_delay_ms
        say(
            {
                "state": "END",
                "frames": status.counts.pushed,
                "shown": shown,
                "looked_at": status.counts.looked_at,
                "refused": status.counts.refused,
                "release_delay_ms": [round(value, 1) for value in delay] if delay else None,
            }
        )
        return last


# --- with a window ---------------------------------------------------------------------------------------------------


class Kiosk:
    """The window. The gate's threads leave the newest picture in a box; the window's own thread draws it."""

    def __init__(self, tk: Any, root: Any, guard: Guard, source: str) -> None:
        self._tk, self._root, self._guard, self._source = tk, root, guard, source
        self._box: queue.Queue[bytes] = queue.Queue(1)
        self._gate = CameraGate(guard, self._leave)
        root.title("Safelight camera")
        root.protocol("WM_DELETE_WINDOW", self.close)
        self._picture = tk.Label(root, text="", width=WIDTH, height=HEIGHT, compound="center", image=tk.PhotoImage())
        self._picture.pack()
        self._text = tk.Label(root, wraplength=WIDTH - 20, justify="left", padx=10, pady=10)
        self._text.pack(fill="x")
        row = tk.Frame(root)
        row.pack(pady=8)
        self._switch = tk.Button(row, text="Camera on", command=self.switch)
        self._switch.pack(side="left", padx=4)
        self._take = tk.Button(row, text="Take a picture", command=self.take, state="disabled")
        self._take.pack(side="left", padx=4)
        self._said: object = None
        self._until_s = 0.0
        self._image: Any = None
        self._draw()

    def switch(self) -> None:
        """The button that asks: pressing it is the child's yes."""
        if self._gate.status.open:
            self._gate.stop()
        else:
            agree(self._guard)
            open_camera(self._gate, self._source)

    def take(self) -> None:
        """A still: shown for two seconds when it was taken, with the notice when it was not."""
        threading.Thread(target=self._capture, daemon=True).start()

    def close(self) -> None:
        """The end."""
        self._gate.close()
        self._root.destroy()

    def _capture(self) -> None:
        taken = self._gate.capture(timeout_s=5.0)
        if taken.frame is not None:
            preview = Preview(taken.frame, None, WIDTH, HEIGHT, CameraState.SHOWING, 0, 0.0, 0.0)
            self._leave(preview)
            self._until_s = time.monotonic() + 2.0

    def _leave(self, preview: Preview) -> None:
        if time.monotonic() < self._until_s and preview.released:
            return
        picture = b"P6 %d %d 255 " % (WIDTH, HEIGHT) + preview.pixels(WIDTH, HEIGHT).tobytes()
        while True:
            try:
                self._box.put_nowait(picture)
                return
            except queue.Full:
                with suppress(queue.Empty):
                    self._box.get_nowait()

    def _draw(self) -> None:
        try:
            self._image = self._tk.PhotoImage(data=self._box.get_nowait(), format="PPM")
            self._picture.configure(image=self._image)
        except queue.Empty:
            pass
        status = self._gate.status
        self._switch.configure(text="Camera off" if status.open else "Camera on")
        self._take.configure(state="normal" if status.open else "disabled")
        if (status.state, status.decision) != self._said:
            self._said = (status.state, status.decision)
            self._text.configure(text=self._words(status))
        self._root.after(15, self._draw)

    def _words(self, status: CameraStatus) -> str:
        lines = [SAYS[status.state]]
        notice = status.decision.notice if status.decision is not None else None
        if notice is not None:
            self._guard.shown(notice)
            lines += [notice.title, notice.body, notice.why]
            lines += [f"{service.service}: {service.phone or service.web_url}" for service in notice.help[:2]]
            lines += [notice.appeal]
        return "\n".join(line for line in lines if line)


def run_window(guard: Guard, source: str) -> int:
    """Show the window, until it is closed; 1 where there is nowhere to show it."""
    try:
        import tkinter as tk
    except ImportError:
        print("kiosk: this Python has no tkinter; install python3-tk, or use --headless.", file=sys.stderr)
        return 1
    try:
        root = tk.Tk()
    except tk.TclError:
        print("kiosk: there is no display here; use --headless.", file=sys.stderr)
        return 1
    Kiosk(tk, root, guard, source)
    root.mainloop()
    return 0


def main(arguments: list[str] | None = None) -> int:
    """0 when it has run, 3 when the picture was covered at the end, 1 when there was nothing to run."""
    parser = argparse.ArgumentParser(description="A camera that shows nothing unjudged.")
    parser.add_argument("source", nargs="?", default="/dev/video0", help="a device, a video file, or: synthetic")
    parser.add_argument("--headless", action="store_true", help="no window: print states, one JSON object a line")
    parser.add_argument("--seconds", type=float, default=10.0, help="of --headless")
    parser.add_argument("--agree", action="store_true", help="of --headless: the child agrees to the camera")
    parser.add_argument("--store", type=Path, help="of another device's settings")
    given = parser.parse_args(arguments)
    with Guard(store=Store(given.store), tier="live", isolation="process") as guard:
        if not given.headless:
            return run_window(guard, given.source)
        last = run_headless(
            guard,
            given.source,
            seconds=given.seconds,
            agreed=given.agree,
            say=lambda what: print(json.dumps(what), flush=True),
        )
    if last in (CameraState.NO_CAMERA, CameraState.NO_CONSENT, CameraState.SINK_FAILED):
        return 1
    return 0 if last in (CameraState.SHOWING, CameraState.SOURCE_LOST) else 3


if __name__ == "__main__":
    sys.exit(main())
