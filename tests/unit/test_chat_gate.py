"""Are words and pictures of one conversation held, in order, under one state, and never passed before their verdict?"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from gate_world import ColourDetector, picture
from safelight import Action, Event, Guard, Profile
from safelight.errors import BusyError, ClosedError, MediaNotFoundError, UsageError
from safelight.gates import ChatGate, Delivery, GatedConversation
from safelight.media.stand_in import PLAIN
from safelight.policy.profile_document import contact_id
from safelight.testing import TestMode, conversation
from stage_scorer import WORDS, WordScorer
from store_world import PIN, World

LONG = "and words about nothing in particular, long enough not to be taken for a piece"
DANGER = [f"{WORDS[stage]} {LONG}" for stage in ("age_probe", "secrecy", "flattery_bond", "meeting")]
WARN = DANGER[:2]
THREAT = f"strong{WORDS['threat']} {LONG}"
REQUEST = f"{WORDS['photo_request']} {LONG}"


class Room:
    """A gate, a chat and the detector behind it."""

    def __init__(self, band: str = "13_15", **options: object) -> None:
        self.detector = ColourDetector()
        store = options.pop("store", None)
        who = {"store": store} if store is not None else {"profile": Profile(band, country="GB")}
        guard_options = {name: options.pop(name) for name in ("test_mode",) if name in options}
        self.guard = Guard(**who, detectors=[self.detector], concurrency=4, **guard_options)  # type: ignore[arg-type]
        gate_options = {name: options.pop(name) for name in ("max_waiting", "max_waiting_bytes") if name in options}
        self.gate = ChatGate(self.guard, **gate_options)  # type: ignore[arg-type]
        self.chat: GatedConversation = self.gate.conversation(scorer=WordScorer(), **options)  # type: ignore[arg-type]

    def say(self, *texts: str) -> list[Delivery]:
        return [self.chat.incoming(text=text) for text in texts]

    def close(self) -> None:
        self.detector.go.set()
        self.gate.close()
        self.guard.close()


@pytest.fixture
def rooms() -> Iterator[list[Room]]:
    made: list[Room] = []
    yield made
    for room in made:
        room.close()


def test_benign_words_and_pictures_pass_both_ways(rooms: list[Room]) -> None:
    rooms.append(room := Room())
    for call in (room.chat.incoming, room.chat.outgoing):
        assert call(text=LONG).text == LONG
        assert call(picture=picture("none")).picture == picture("none")
    assert room.chat.level == "calm"


@pytest.mark.parametrize(
    ("band", "texts", "actions"),
    [
        ("10_12", DANGER, [Action.ALLOW, Action.HOLD, Action.HOLD, Action.BLOCK]),
        ("13_15", DANGER, [Action.ALLOW, Action.BLUR, Action.BLUR, Action.BLOCK]),
        ("adult", DANGER, [Action.ALLOW, Action.NUDGE, Action.NUDGE, Action.NUDGE]),
    ],
)
def test_words_are_passed_as_far_as_the_action_says(
    rooms: list[Room], band: str, texts: list[str], actions: list[Action]
) -> None:
    rooms.append(room := Room(band))
    found = room.say(*texts)
    assert [one.action for one in found] == actions
    for text, one in zip(texts, found, strict=True):
        assert one.text == (text if one.action <= Action.NUDGE else None)
        assert one.may_look is (one.action is Action.BLUR)
        assert (one.stand_in is PLAIN) is (one.action in (Action.BLUR, Action.HOLD))
        assert (one.notice is None) is (one.action is Action.ALLOW)
        assert WORDS["secrecy"] not in repr(one)


def test_a_blurred_text_comes_by_a_second_choice_and_once(rooms: list[Room]) -> None:
    rooms.append(room := Room())
    warned = room.say(*WARN)[-1]
    choice = warned.ask_to_look()
    choice.leave()
    assert warned.ask_to_look().look() == WARN[-1]
    with pytest.raises(UsageError, match="looked at"):
        choice.look()
    later = room.say(DANGER[2])[-1].ask_to_look()
    room.say(DANGER[3])
    assert later.look() is None
    assert later.decision.action is Action.BLOCK


def test_a_picture_is_measured_by_the_conversation_too(rooms: list[Room]) -> None:
    rooms.append(room := Room("13_15"))
    room.say(*WARN)
    warned = room.chat.incoming(picture=picture("none"))
    assert (warned.action, warned.picture, warned.decision.event) == (Action.BLUR, None, Event.MESSAGE)
    assert warned.ask_to_look().look() == picture("none")
    kept = room.chat.incoming(picture=picture("none"))
    room.say(*DANGER[2:])
    assert kept.ask_to_look().look() is None
    for call in (room.chat.incoming, room.chat.outgoing):
        stopped = call(picture=picture("none"))
        assert (stopped.action, stopped.picture, stopped.stand_in) == (Action.BLOCK, None, None)
        assert stopped.help


def test_of_two_decisions_the_stricter_one_counts(rooms: list[Room]) -> None:
    rooms.append(room := Room("13_15"))
    room.say(*WARN)
    held = room.chat.incoming(picture=picture("match"))
    assert (held.action, held.decision.reasons[0]) == (Action.HOLD, "KNOWN_MATCH")
    assert held.stand_in is PLAIN
    assert room.chat.outgoing(picture=picture("explicit")).action is Action.BLOCK


@pytest.mark.parametrize("band", ["under_10", "10_12", "13_15", "16_17", "unknown", "adult"])
@pytest.mark.parametrize("trust", ["unknown", "child", "guardian"])
def test_a_threat_always_brings_crisis_help(rooms: list[Room], band: str, trust: str) -> None:
    rooms.append(room := Room(band, trust=trust))
    calm = room.chat.incoming(text=LONG)
    assert calm.help == ()
    room.chat.fine()
    (threat,) = room.say(THREAT)
    assert threat.help == room.guard.notice("pressured").help
    assert any({"child", "crisis", "parent_or_carer"} & set(service.audience) for service in threat.help)


def test_crisis_help_is_there_without_a_directory(rooms: list[Room], monkeypatch: pytest.MonkeyPatch) -> None:
    rooms.append(room := Room())
    monkeypatch.setattr("safelight.notices.select.find_help", lambda *_, **__: ())
    (threat,) = room.say(THREAT)
    assert threat.help[0].web_url


def test_an_outgoing_picture_after_a_request_brings_support(rooms: list[Room]) -> None:
    rooms.append(room := Room("13_15"))
    assert room.chat.outgoing(picture=picture("explicit")).support is None
    room.say(REQUEST)
    assert room.chat.outgoing(picture=picture("none")).support is None
    blocked = room.chat.outgoing(picture=picture("explicit"))
    assert blocked.action is Action.BLOCK
    assert blocked.support is not None
    assert blocked.support.id.startswith("pressured")
    for _ in range(25):
        room.chat.outgoing(text=LONG)
    assert room.chat.outgoing(picture=picture("explicit")).support is None


def test_what_came_in_and_goes_out_is_worded_as_passed_on(rooms: list[Room]) -> None:
    rooms.append(room := Room("13_15"))
    own = room.chat.outgoing(picture=picture("explicit"))
    assert own.notice is not None
    assert not own.notice.id.startswith("forwarding")
    room.gate.conversation(scorer=WordScorer()).incoming(picture=picture("explicit", detail=2))
    passed_on = room.chat.outgoing(picture=picture("explicit", detail=2))
    assert passed_on.notice is not None
    assert passed_on.notice.id.startswith("forwarding")
    assert passed_on.action is own.action


def test_this_is_fine_quiets_nudges_and_nothing_serious(rooms: list[Room]) -> None:
    rooms.append(room := Room("13_15"))
    room.chat._words._tracker._scorer.score_of_a_word = 0.55  # type: ignore[attr-defined]
    assert [one.action for one in room.say(*WARN)] == [Action.ALLOW, Action.NUDGE]
    room.chat.fine()
    assert room.chat.level == "calm"
    room.chat._words._tracker._scorer.score_of_a_word = 0.8  # type: ignore[attr-defined]
    assert room.say(*DANGER)[-1].action is Action.BLOCK


def test_a_contact_of_the_store_is_known(rooms: list[Room], world: World) -> None:
    ana = contact_id("ana", key=bytes(16))
    store = world.set_up(age_band="13_15", known_contacts=[ana])
    rooms.append(room := Room(store=store, contact_id=ana))
    room.say(LONG)
    assert "trust='child'" in repr(room.chat)


# -- order ------------------------------------------------------------------------------------------------------------


def test_words_do_not_overtake_a_picture_that_takes_long(rooms: list[Room]) -> None:
    rooms.append(room := Room())
    left: list[str] = []
    futures: list[Future[Delivery]] = []
    for number, (kind, content) in enumerate(
        [("text", LONG), ("picture", picture("slow")), ("text", LONG), ("picture", picture("none")), ("text", LONG)]
    ):
        future = room.chat.submit_incoming(**{kind: content})  # type: ignore[arg-type]
        future.add_done_callback(lambda _, number=number: left.append(str(number)))
        futures.append(future)
    assert futures[0].result(10).text == LONG
    # The other direction goes on meanwhile.
    assert room.chat.outgoing(text=LONG).text == LONG
    assert not any(future.done() for future in futures[1:])
    room.detector.go.set()
    assert [future.result(10).action for future in futures] == [Action.ALLOW] * 5
    assert left == list("01234")


def test_order_holds_with_asyncio_and_many_pictures(rooms: list[Room]) -> None:
    rooms.append(room := Room(max_waiting=5))
    left: list[int] = []

    async def one(number: int) -> None:
        content = {"picture": picture("slow" if number % 7 == 3 else "none", detail=number)}
        delivery = await room.chat.aincoming(**(content if number % 2 else {"text": f"{number} {LONG}"}))  # type: ignore[arg-type]
        assert delivery.action is Action.ALLOW
        left.append(number)

    async def go() -> None:
        loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(one(number)) for number in range(40)]
        loop.call_later(0.1, room.detector.go.set)
        await asyncio.gather(*tasks)

    asyncio.run(go())
    assert left == list(range(40))


def test_a_task_that_is_cancelled_keeps_its_place_and_the_rest_goes_on(rooms: list[Room]) -> None:
    rooms.append(room := Room())

    async def go() -> Delivery:
        slow = asyncio.create_task(room.chat.aincoming(picture=picture("slow")))
        await asyncio.sleep(0.05)
        after = asyncio.create_task(room.chat.aincoming(text=LONG))
        await asyncio.sleep(0.05)
        slow.cancel()
        await asyncio.sleep(0.05)
        assert not after.done()
        room.detector.go.set()
        return await after

    assert asyncio.run(go()).text == LONG


def test_what_became_dangerous_meanwhile_is_measured_by_that(rooms: list[Room]) -> None:
    """Words and pictures that waited behind a slow picture while the conversation turned."""
    rooms.append(room := Room("13_15"))
    slow = room.chat.submit_incoming(picture=picture("slow"))
    texts = [room.chat.submit_incoming(text=text) for text in (LONG, *DANGER)]
    while room.chat.level != "danger":
        time.sleep(0.005)
    room.detector.go.set()
    assert slow.result(10).action is Action.BLOCK
    assert [one.result(10).action for one in texts] == [Action.BLOCK] * 5


def test_a_failure_is_the_message_s_own(rooms: list[Room], tmp_path: object) -> None:
    rooms.append(room := Room())
    missing = room.chat.submit_incoming(picture=f"{tmp_path}/missing.png")
    assert room.chat.incoming(text=LONG).text == LONG
    with pytest.raises(MediaNotFoundError):
        missing.result(10)
    with pytest.raises(UsageError, match="at:"):
        room.chat.incoming(text=LONG, at="yesterday")  # type: ignore[arg-type]
    assert room.chat.incoming(picture=picture("fails")).action is Action.HOLD
    assert room.chat.incoming(text=LONG).text == LONG


# -- bounds -----------------------------------------------------------------------------------------------------------


def test_no_more_waits_than_was_said(rooms: list[Room]) -> None:
    rooms.append(room := Room(max_waiting=3))
    first = room.chat.submit_incoming(picture=picture("slow"))
    for _ in range(2):
        room.chat.submit_incoming(text=LONG)
    with pytest.raises(BusyError, match="while 3 wait"):
        room.chat.submit_incoming(text=LONG)
    room.chat.submit_outgoing(text=LONG).result(10)
    entered = threading.Event()
    done: list[Delivery] = []

    def wait() -> None:
        entered.set()
        done.append(room.chat.incoming(text=LONG))

    thread = threading.Thread(target=wait)
    thread.start()
    assert entered.wait(10)
    thread.join(0.05)
    assert thread.is_alive()
    room.detector.go.set()
    thread.join(10)
    assert done[0].text == LONG
    assert first.done()


def test_bytes_that_wait_are_bounded_and_one_picture_always_fits(rooms: list[Room]) -> None:
    data = picture("slow")
    rooms.append(room := Room(max_waiting_bytes=len(data) // 2))
    room.chat.submit_incoming(picture=data)
    with pytest.raises(BusyError):
        room.chat.submit_incoming(picture=data)


def test_a_file_counts_as_the_most_it_may_be_until_it_was_read(rooms: list[Room], tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(picture("slow"))
    rooms.append(room := Room(max_waiting_bytes=64 * 1024 * 1024 + 2000))
    room.chat.submit_incoming(picture=path)
    while room.detector.looked == 0:
        time.sleep(0.002)
    # It was read, and is small: there is room for another one, and no more than its size was taken.
    room.chat.submit_incoming(picture=path)
    room.detector.go.set()
    assert room.chat.incoming(picture=path).picture == picture("slow")


def test_many_threads_and_contacts_at_once(rooms: list[Room]) -> None:
    rooms.append(room := Room(max_waiting=4))
    chats = [room.gate.conversation(scorer=WordScorer()) for _ in range(6)]
    problems: list[str] = []

    def talk(chat: GatedConversation, dangerous: bool) -> None:
        left: list[int] = []
        futures = []
        for number in range(30):
            while True:
                try:
                    future = chat.submit_incoming(
                        **({"picture": picture("none", detail=number)} if number % 5 == 4 else {"text": LONG})  # type: ignore[arg-type]
                    )
                    break
                except BusyError:
                    futures[-1].result(30)
            future.add_done_callback(lambda _, number=number: left.append(number))
            futures.append(future)
        for future in futures:
            future.result(30)
        if left != sorted(left):
            problems.append("order")
        found = [chat.incoming(text=text).action for text in (DANGER if dangerous else [LONG])]
        if (found[-1] is Action.BLOCK) is not dangerous:
            problems.append(str(found))

    threads = [threading.Thread(target=talk, args=(chat, number % 2 == 0)) for number, chat in enumerate(chats)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []


# -- holds ------------------------------------------------------------------------------------------------------------


def test_held_words_share_one_hold_and_come_back_when_it_is_released(rooms: list[Room], world: World) -> None:
    store = world.set_up(age_band="10_12")
    rooms.append(room := Room(store=store, handle="chat-3"))
    first, second = (one for one in room.say(*DANGER[:3]) if one.action is Action.HOLD)
    assert first.hold is not None
    assert (first.hold, first.hold.handle, first.hold.size_bytes) == (second.hold, "chat-3", 0)
    with pytest.raises(UsageError, match="expected RELEASED"):
        first.restore()
    room.guard.holds.approve(first.hold.category, pin=PIN)
    assert [first.restore(), second.restore()] == DANGER[1:3]
    # What comes after the release was not released.
    (later,) = room.say(f"{WORDS['gift']} {LONG}")
    assert later.text is None
    assert later.hold is not None
    assert later.hold.id != first.hold.id


def test_words_are_nowhere_in_the_store(rooms: list[Room], world: World) -> None:
    store = world.set_up(age_band="10_12")
    rooms.append(room := Room(store=store, handle="chat-3"))
    room.say(*DANGER)
    assert all(hold.size_bytes == 0 for hold in store.holds.all())


def test_a_held_picture_is_restored_byte_for_byte(rooms: list[Room], world: World) -> None:
    store = world.set_up(age_band="10_12")
    rooms.append(room := Room(store=store))
    held = room.chat.incoming(picture=picture("explicit"))
    assert held.hold is not None
    with pytest.raises(UsageError, match="view a picture"):
        held.restore()
    room.guard.holds.approve("NUDITY_EXPLICIT", pin=PIN)
    assert room.guard.holds.restore(held.hold.id) == picture("explicit")
    assert room.gate.pictures.view(picture("explicit")).picture == picture("explicit")
    # An own picture that is not sent stays where it is: nothing of it is kept here, and nobody counts it.
    before = len(store.holds.all())
    refused = room.chat.outgoing(picture=picture("explicit", detail=1))
    assert (refused.action, refused.hold) == (Action.BLOCK, None)
    assert len(store.holds.all()) == before


def test_a_release_of_pictures_is_none_of_the_conversation(rooms: list[Room], world: World) -> None:
    store = world.set_up(age_band="10_12")
    rooms.append(room := Room(store=store))
    data = picture("explicit")
    room.chat.incoming(picture=data)
    room.guard.holds.approve("NUDITY_EXPLICIT", pin=PIN)
    assert room.chat.incoming(picture=data).picture == data
    room.say(*WARN)
    assert room.chat.level == "warn"
    held = room.chat.incoming(picture=data)
    assert (held.action, held.picture) == (Action.HOLD, None)
    harmless = room.chat.incoming(picture=picture("none"))
    assert harmless.hold is not None
    assert harmless.hold.category == "CONVERSATION_WARN"
    room.guard.holds.approve("CONVERSATION_WARN", pin=PIN)
    assert room.chat.incoming(picture=picture("none")).picture == picture("none")
    # This one was never held because of the conversation, so it was not let go either.
    assert room.chat.incoming(picture=data).picture is None


# -- closing, misuse --------------------------------------------------------------------------------------------------


def test_closing_forgets_and_wakes_whoever_waits(rooms: list[Room]) -> None:
    rooms.append(room := Room(max_waiting=1))
    blurred = room.say(*WARN)[-1]
    choice = blurred.ask_to_look()
    slow = room.chat.submit_incoming(picture=picture("slow"))
    problems: list[Exception] = []

    def wait() -> None:
        try:
            room.chat.incoming(text=LONG)
        except ClosedError as error:
            problems.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)
    room.chat.close()
    room.chat.close()
    thread.join(10)
    assert len(problems) == 1
    for call in (lambda: slow.result(10), choice.look, room.chat.fine, lambda: room.chat.incoming(text=LONG)):
        with pytest.raises(ClosedError):
            call()
    room.detector.go.set()
    time.sleep(0.05)
    with pytest.raises(ClosedError):
        slow.result(10)
    with room.gate.conversation(scorer=WordScorer()) as other:
        assert other.incoming(text=LONG).text == LONG
        room.gate.close()
        assert other.closed
    with pytest.raises(ClosedError):
        room.gate.conversation()


def test_what_the_host_could_not_read_takes_its_place(rooms: list[Room]) -> None:
    rooms.append(room := Room())
    room.chat.unreadable()
    last = room.chat.incoming(text=DANGER[0])
    grooming = [one for one in last.decision.findings if one.label == "age_probe"]
    assert grooming[0].message_indices == (1,)


def test_the_trigger_kit_is_seen_for_words_and_pictures(rooms: list[Room]) -> None:
    rooms.append(room := Room("10_12", test_mode=TestMode(conversation("danger"))))
    for delivery in (room.chat.incoming(text=LONG), room.chat.incoming(picture=picture("none"))):
        assert (delivery.action, delivery.decision.test_mode) == (Action.BLOCK, True)
        assert delivery.help


def test_misuse_is_refused(rooms: list[Room]) -> None:
    rooms.append(room := Room())
    for message in ({}, {"text": "a", "picture": b"b"}, {"text": b"bytes"}):
        with pytest.raises(UsageError):
            room.chat.incoming(**message)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="max_waiting"):
        ChatGate(room.guard, max_waiting=0)
    with pytest.raises(UsageError, match="contact"):
        room.gate.conversation("friend")
    with pytest.raises(UsageError, match="expected BLUR"):
        room.chat.incoming(text=LONG).ask_to_look()


def test_nothing_is_remembered_by_a_delivery_that_was_closed(rooms: list[Room]) -> None:
    rooms.append(room := Room())
    allowed, blurred = room.chat.incoming(text=LONG), room.chat.incoming(picture=picture("explicit"))
    for one in (allowed, blurred):
        one.close()
    assert (allowed.text, blurred.picture) == (None, None)
    with pytest.raises(UsageError):
        blurred.ask_to_look()
