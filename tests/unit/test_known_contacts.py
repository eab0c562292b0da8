"""Does a conversation know the contacts of the store, as long as they are there, and nobody else?"""

from __future__ import annotations

import pytest
from safelight import Guard, Profile
from safelight.errors import ClosedError, UsageError
from safelight.policy.profile_document import contact_id
from stage_scorer import WORDS, WordScorer
from store_world import World

ANA, BEN = (contact_id(name, key=bytes(16)) for name in ("ana", "ben"))


def _trust(chat: object) -> str:
    return repr(chat).partition("trust='")[2].rstrip("')")


def test_a_contact_of_the_store_is_known_while_it_is_there(world: World) -> None:
    store = world.set_up(age_band="13_15", known_contacts=[ANA])
    with Guard(store=store, detectors=[]) as guard:
        ana, ben = (guard.conversation(contact_id=one, scorer=WordScorer()) for one in (ANA, BEN))
        for chat in (ana, ben):
            chat.add(sender="other", text="hi")
        assert (_trust(ana), _trust(ben)) == ("child", "unknown")
        vouched = guard.conversation(contact_id=ANA, trust="guardian", scorer=WordScorer())
        vouched.add(sender="other", text="hi")
        assert _trust(vouched) == "guardian"
        store.propose({"known_contacts": None})
        ana.add(sender="other", text="hi")
        assert _trust(ana) == "unknown"


def test_nobody_is_known_when_the_store_cannot_be_believed(world: World) -> None:
    world.set_up(age_band="13_15", known_contacts=[ANA]).close()
    world.path.write_bytes(world.path.read_bytes()[:4096])
    with Guard(store=world.open(), detectors=[]) as guard:
        chat = guard.conversation(contact_id=ANA, scorer=WordScorer())
        chat.add(sender="other", text="hi")
        assert _trust(chat) == "unknown"


def test_what_the_host_says_is_not_taken_back_and_an_id_alone_is_nothing() -> None:
    with Guard(Profile("13_15"), detectors=[]) as guard:
        for options, trust in (
            ({"contact_id": ANA}, "unknown"),
            ({"contact_id": ANA, "contact": "known"}, "child"),
            ({"contact_id": ANA, "trust": "guardian"}, "guardian"),
        ):
            chat = guard.conversation(scorer=WordScorer(), **options)  # type: ignore[arg-type]
            chat.add(sender="other", text="hi")
            assert _trust(chat) == trust


def test_the_conversation_as_it_stands_is_a_decision_without_a_message() -> None:
    with Guard(Profile("10_12", country="GB"), detectors=[]) as guard:
        chat = guard.conversation(scorer=WordScorer())
        assert chat.current().action.name == "ALLOW"
        for stage in ("age_probe", "secrecy", "flattery_bond", "meeting"):
            last = chat.add(sender="other", text=f"{WORDS[stage]} and words about nothing in particular, some more")
        standing = chat.current()
        assert (standing.action, standing.reasons, chat.messages) == (last.action, last.reasons, 4)
        assert standing.action.name == "BLOCK"
        chat.close()
        with pytest.raises(ClosedError):
            chat.current()


def test_how_it_stands_is_counted_by_nobody(world: World) -> None:
    store = world.set_up(age_band="13_15", counters=True)
    with Guard(store=store, detectors=[]) as guard:
        chat = guard.conversation(scorer=WordScorer())
        chat.add(sender="other", text="hi")
        chat.current()
        chat.current()
        (counts,) = store.counters.read().values()
    assert counts == {"action.allow": 1}


def test_the_context_chooses_words_and_no_action() -> None:
    with Guard(Profile("adult", country="GB"), detectors=[]) as guard:
        found = []
        for context in (None, "chat_with_child"):
            chat = guard.conversation(scorer=WordScorer(), context=context)
            for stage in ("age_probe", "secrecy", "flattery_bond", "meeting"):
                last = chat.add(sender="other", text=f"{WORDS[stage]} and words about nothing in particular, some more")
            found.append(last)
        assert found[0].action is found[1].action
        assert found[1].notice is not None
        assert found[1].notice.id.startswith("adult_chat_likely_child")
        with pytest.raises(UsageError, match="context"):
            guard.conversation(scorer=WordScorer(), context="fun")
