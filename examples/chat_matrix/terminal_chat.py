"""A chat in one terminal, without a network: you type both sides, and see what the gate lets through.

    python examples/chat_matrix/terminal_chat.py --age-band 13_15 --country GB

    < hi there                     arrives
    < /picture examples/pictures/portrait.jpg
    > hello                        is about to be sent (the > may be left out)
    > /picture FILE
    /look N  /show N  /keep N  /send N  /fine  /quit

`--trigger 0.97` is the trigger kit: every picture counts as that score, so that you see what would happen.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from safelight import Guard, Profile
from safelight.errors import SafelightError
from safelight.gates import ChatGate, GatedConversation
from safelight.testing import TestMode, nudity

if __package__:
    from .screen import Screen
else:
    from screen import Screen


def talk(lines: Iterable[str], chat: GatedConversation, screen: Screen) -> None:
    """Run the chat until its lines end or somebody quits."""
    for line in lines:
        line = line.rstrip("\n")
        try:
            if not _one(line, chat, screen):
                return
        except SafelightError as error:
            screen.say(str(error))


def _one(line: str, chat: GatedConversation, screen: Screen) -> bool:
    side, _, rest = line.partition(" ") if line[:1] in ("<", ">") else (">", "", line)
    word, _, argument = rest.strip().partition(" ")
    if word == "/quit":
        return False
    if not rest.strip():
        return True
    if word == "/fine":
        chat.fine()
    elif word in ("/look", "/show", "/keep", "/send"):
        _numbered(word, argument, screen)
    elif side == "<":
        arrived = chat.incoming(picture=argument) if word == "/picture" else chat.incoming(text=rest)
        screen.incoming("them", arrived)
    else:
        leaving = chat.outgoing(picture=argument) if word == "/picture" else chat.outgoing(text=rest)
        if screen.outgoing(leaving):
            screen.say("sent")
    return True


def _numbered(word: str, argument: str, screen: Screen) -> None:
    if not argument.strip().isdigit():
        screen.say(f"{word} N: expected a number")
        return
    number = int(argument)
    if word == "/look":
        screen.look(number)
    elif word == "/keep":
        screen.keep(number)
    elif word == "/show":
        if screen.show(number) is not None:
            screen.say("sent")
    elif screen.go_on(number) is not None:
        screen.say("sent")


def main() -> None:
    """Read lines from the terminal or standard input."""
    parser = argparse.ArgumentParser(description="A gated chat in one terminal, without a network.")
    parser.add_argument("--age-band", default="unknown")
    parser.add_argument("--country")
    parser.add_argument("--contact", default="unknown", choices=["unknown", "known"])
    parser.add_argument("--trigger", type=float, help="score that every picture counts as (the trigger kit)")
    args = parser.parse_args()
    try:
        profile = Profile(args.age_band, country=args.country)
        test_mode = TestMode(nudity(args.trigger)) if args.trigger is not None else None
    except SafelightError as error:
        parser.error(str(error))
    with Guard(profile, test_mode=test_mode) as guard, ChatGate(guard) as gate:
        with gate.conversation(args.contact) as chat:
            talk(sys.stdin, chat, Screen(guard))


if __name__ == "__main__":
    main()
