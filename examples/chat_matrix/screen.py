"""A terminal as the screen of a gated chat: shows what a delivery allows, and offers what it offers.

What is blurred gets a number. `/look N` asks for it, in the notice's words; `/show N` within a minute looks (or sends);
`/keep N` leaves it. Nothing else brings it out.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TextIO

from PIL import Image as PilImage
from PIL import UnidentifiedImageError
from safelight import Action, Guard
from safelight.errors import SafelightError
from safelight.gates import Delivery, SecondChoice
from safelight.notices import load_builtin
from safelight.notices.render import render_text

_COLUMNS = 32
_CLIP = "a clip"


@dataclass
class _Waiting:
    """Something blurred, and the question that was asked about it, if any."""

    delivery: Delivery
    choice: SecondChoice[str] | SecondChoice[bytes] | None = None


class Screen:
    """Prints deliveries.

    Args:
        guard: counts what was shown, and answers "this is wrong".
        out: where to; the terminal when left out.
        draw: draw pictures with coloured blocks; where the output is a terminal when left out.
    """

    def __init__(self, guard: Guard, out: TextIO | None = None, *, draw: bool | None = None) -> None:
        self._guard = guard
        self._out = out if out is not None else sys.stdout
        self._draw = draw if draw is not None else self._out.isatty()
        self._waiting: dict[int, _Waiting] = {}
        self._number = 0

    def say(self, line: str) -> None:
        """A line of the app itself."""
        self._out.write(line + "\n")
        self._out.flush()

    def incoming(self, who: str, delivery: Delivery) -> None:
        """Show what has arrived, as far as it may be shown."""
        if delivery.text is not None:
            self.say(f"{who}: {delivery.text}")
        elif delivery.picture is not None:
            self.say(f"{who}: {_kind(delivery.picture)}")
            self._picture(delivery.picture)
        elif delivery.stand_in is not None:
            self.say(f"{who}: hidden{self._offer(delivery)}")
            self._picture(delivery.stand_in.png(64))
        self._words(delivery)

    def outgoing(self, delivery: Delivery) -> bool:
        """Show why something does not leave, or not yet. Whether it may be sent at once."""
        self._words(delivery)
        if delivery.text is None and delivery.picture is None:
            self.say(f"not sent{self._offer(delivery)}")
            return False
        if delivery.action is Action.NUDGE:
            self._number += 1
            self._waiting[self._number] = _Waiting(delivery)
            self.say(f"not sent yet: /send {self._number} to send it all the same")
            return False
        return True

    def go_on(self, number: int) -> Delivery | None:
        """The person sends what a nudge was about; ``None`` when there is nothing of that number."""
        waiting = self._waiting.pop(number, None)
        if waiting is None or waiting.delivery.action is not Action.NUDGE:
            self.say("nothing of that number waits")
            return None
        return waiting.delivery

    def look(self, number: int) -> None:
        """First act: ask for what is blurred."""
        self._asked(number, self._ask)

    def show(self, number: int) -> str | bytes | None:
        """Second act: look. What goes out is returned to be sent."""
        return self._asked(number, self._look)

    def keep(self, number: int) -> None:
        """Not to look, which is always fine."""
        self._asked(number, self._leave)

    def wrong(self, what: str) -> None:
        """Something that has no delivery: it could not be fetched or read."""
        self.say(f"({what})")

    # -- parts -------------------------------------------------------------------------------------------------------

    def _asked(self, number: int, act: Callable[[int, _Waiting], str | bytes | None]) -> str | bytes | None:
        waiting = self._waiting.get(number)
        if waiting is None:
            self.say("nothing of that number waits")
            return None
        try:
            return act(number, waiting)
        except SafelightError as error:
            self.say(str(error))
            return None

    def _ask(self, number: int, waiting: _Waiting) -> None:
        waiting.choice = waiting.delivery.ask_to_look()
        for choice in waiting.choice.notice.choices:
            self.say(f"  {choice.label}")
        self.say(f"/keep {number} to leave it, /show {number} to go on")

    def _look(self, number: int, waiting: _Waiting) -> str | bytes | None:
        if waiting.choice is None:
            self.say(f"/look {number} first")
            return None
        content = waiting.choice.look()
        del self._waiting[number]
        if content is None:
            self.say("this cannot be seen now")
        elif waiting.delivery.direction == "outgoing":
            return content
        elif isinstance(content, str):
            self.say(content)
        else:
            self.say(_kind(content))
            self._picture(content)
        return None

    def _leave(self, number: int, waiting: _Waiting) -> None:
        if waiting.choice is not None:
            waiting.choice.leave()
            waiting.choice = None
        self.say("left as it is")

    def _offer(self, delivery: Delivery) -> str:
        if not delivery.may_look:
            return ""
        self._number += 1
        self._waiting[self._number] = _Waiting(delivery)
        return f" (/look {self._number})"

    def _words(self, delivery: Delivery) -> None:
        profile = self._guard.profile
        catalogue = load_builtin(profile.language_tags).catalogue
        for notice in (delivery.notice, delivery.support):
            if notice is None:
                continue
            if catalogue is not None:
                self.say(render_text(notice, catalogue.texts, today=date.today(), country=profile.country))
            else:
                self.say(f"{notice.title}\n{notice.body}")
            self._guard.shown(notice)
        for service in delivery.help:
            self.say(f"  help: {service.service} {service.phone or service.web_url or ''}")

    def _picture(self, content: bytes) -> None:
        if not self._draw or _kind(content) == _CLIP:
            return
        with PilImage.open(io.BytesIO(content)) as opened:
            small = opened.convert("RGB")
        height = max(2, 2 * round(_COLUMNS * small.height / small.width / 2))
        small = small.resize((_COLUMNS, height))
        for top in range(0, height, 2):
            line = ""
            for left in range(_COLUMNS):
                upper, lower = small.getpixel((left, top)), small.getpixel((left, top + 1))
                assert isinstance(upper, tuple)
                assert isinstance(lower, tuple)
                line += "\x1b[38;2;{};{};{}m\x1b[48;2;{};{};{}m▀".format(*upper, *lower)
            self.say(line + "\x1b[0m")


def _kind(content: bytes) -> str:
    try:
        with PilImage.open(io.BytesIO(content)) as opened:
            return f"a picture of {opened.width} × {opened.height}"
    except UnidentifiedImageError:
        return _CLIP
