"""Consent: for one purpose, by whom it must come, for a while. No consent, no camera, purchase or account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

import msgspec

from safelight.errors import StoreError, UsageError
from safelight.store.clock import TOLERANCE_S
from safelight.store.settings import ConsentBy, ConsentPurpose
from safelight.store.vault import StoreState

if TYPE_CHECKING:
    from safelight.store._work import View
    from safelight.store.store import Store

SECTION: Final = "consent"

# A child's yes is for now: long enough to take a picture, too short to be forgotten. A guardian's stands for a week,
# so that nobody learns to type a PIN without reading.
DEFAULT_TTL_S: Final[Mapping[ConsentBy, float]] = {ConsentBy.CHILD: 15 * 60.0, ConsentBy.GUARDIAN: 7 * 86_400.0}
MAX_TTL_S: Final[Mapping[ConsentBy, float]] = {ConsentBy.CHILD: 86_400.0, ConsentBy.GUARDIAN: 30 * 86_400.0}


class ConsentState(str, Enum):
    """Whether there is consent. Everything but ``GIVEN`` is a refusal."""

    GIVEN = "GIVEN"
    MISSING = "MISSING"
    EXPIRED = "EXPIRED"
    WITHDRAWN = "WITHDRAWN"
    CLOSED = "CLOSED"
    """The settings say that nobody can agree to it."""
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    """What is stored cannot be believed; see ``store``."""

    def __str__(self) -> str:
        return str(self.value)


class _Token(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    elapsed_s: float
    wall_s: float
    ttl_s: float
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Consent:
    """The answer to "may we?".

    Attributes:
        purpose: what for.
        state: ``GIVEN``, or why not.
        by: who must agree.
        waiting_for: who has not, or no longer.
        expires_in_s: how long it still holds; 0 unless given.
        store: state of the store.
    """

    purpose: ConsentPurpose
    state: ConsentState
    by: ConsentBy
    waiting_for: tuple[ConsentBy, ...]
    expires_in_s: float
    store: StoreState

    @property
    def given(self) -> bool:
        """Whether to go ahead."""
        return self.state is ConsentState.GIVEN


class Consents:
    """Consents of one store: give, check, withdraw."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def check(self, purpose: ConsentPurpose | str) -> Consent:
        """Whether there is consent now. Never raises for what is on the disk.

        Raises:
            UsageError: an unknown purpose.
        """
        word = purpose_of(purpose)
        view = self._store.view()
        by = view.settings.consent_by(word)
        if view.state is not StoreState.OK:
            return Consent(word, ConsentState.STORE_UNAVAILABLE, by, _needed(by), 0.0, view.state)
        if by is ConsentBy.NEVER:
            return Consent(word, ConsentState.CLOSED, by, (), 0.0, view.state)
        try:
            tokens = view.get(SECTION, dict[str, _Token]) or {}
        except StoreError:
            return Consent(word, ConsentState.STORE_UNAVAILABLE, by, _needed(by), 0.0, StoreState.DAMAGED)
        states = {who: _state(tokens.get(_key(word, who)), view) for who in _needed(by)}
        refused = [who for who, (state, _) in states.items() if state is not ConsentState.GIVEN]
        if refused:
            return Consent(word, states[refused[0]][0], by, tuple(refused), 0.0, view.state)
        left_s = min(left for _, left in states.values())
        return Consent(word, ConsentState.GIVEN, by, (), left_s, view.state)

    def give(
        self,
        purpose: ConsentPurpose | str,
        *,
        by: ConsentBy | str = ConsentBy.CHILD,
        pin: str | None = None,
        ttl_s: float | None = None,
    ) -> Consent:
        """Agree to a purpose, after having been asked for it and shown what it means.

        Args:
            purpose: what for.
            by: ``child``, or ``guardian`` with ``pin``.
            pin: the guardian's.
            ttl_s: how long it holds; 15 minutes by a child and a week by a guardian when left out.

        Raises:
            UsageError: an unknown word, or a time out of range.
            PinError: a guardian's without the right PIN.
            StoreError: it could not be kept; there is no consent.
        """
        word, who = purpose_of(purpose), _who(by)
        lasts_s = DEFAULT_TTL_S[who] if ttl_s is None else ttl_s
        if not 0 < lasts_s <= MAX_TTL_S[who]:
            raise UsageError(f"ttl_s: got {ttl_s}, expected more than 0 and at most {MAX_TTL_S[who]:.0f} for {who}.")
        if who is ConsentBy.GUARDIAN:
            self._store.check_pin(pin)
        with self._store.work(create=True) as work:
            tokens = work.get(SECTION, dict[str, _Token]) or {}
            tokens[_key(word, who)] = _Token(work.reading.elapsed_s, work.reading.wall_s, lasts_s)
            work.put(SECTION, tokens)
        return self.check(word)

    def withdraw(self, purpose: ConsentPurpose | str) -> Consent:
        """Take consent back, everybody's: anybody may, at any time, without a PIN.

        Raises:
            UsageError: an unknown purpose.
            StoreError: it could not be kept.
        """
        word = purpose_of(purpose)
        with self._store.work(create=True) as work:
            tokens = work.get(SECTION, dict[str, _Token]) or {}
            for who in (ConsentBy.CHILD, ConsentBy.GUARDIAN):
                if (token := tokens.get(_key(word, who))) is not None:
                    tokens[_key(word, who)] = msgspec.structs.replace(token, withdrawn=True)
            work.put(SECTION, tokens)
        return self.check(word)


def purpose_of(purpose: ConsentPurpose | str) -> ConsentPurpose:
    """The purpose as a word.

    Raises:
        UsageError: an unknown one.
    """
    try:
        return ConsentPurpose(purpose)
    except ValueError:
        known = ", ".join(word.value for word in ConsentPurpose)
        raise UsageError(f"purpose: got {str(purpose)!r}, expected one of {known}.") from None


def _who(by: ConsentBy | str) -> ConsentBy:
    if by not in (ConsentBy.CHILD, ConsentBy.GUARDIAN):
        raise UsageError(f"by: got {str(by)!r}, expected child or guardian.")
    return ConsentBy(by)


def _needed(by: ConsentBy) -> tuple[ConsentBy, ...]:
    return (ConsentBy.CHILD,) if by is ConsentBy.CHILD else (ConsentBy.CHILD, ConsentBy.GUARDIAN)


def _key(purpose: ConsentPurpose, who: ConsentBy) -> str:
    return f"{purpose.value}.{who.value}"


def _state(token: _Token | None, view: View) -> tuple[ConsentState, float]:
    if token is None:
        return ConsentState.MISSING, 0.0
    if token.withdrawn:
        return ConsentState.WITHDRAWN, 0.0
    # By every clock: running time cannot be turned back, and the wall clock knows of the time switched off. A wall
    # clock that stands before the consent was given tells nothing, so there is none.
    passed_s = view.reading.wall_s - token.wall_s
    if passed_s < -TOLERANCE_S:
        return ConsentState.EXPIRED, 0.0
    left_s = token.ttl_s - max(passed_s, view.reading.elapsed_s - token.elapsed_s)
    return (ConsentState.GIVEN, left_s) if left_s > 0 else (ConsentState.EXPIRED, 0.0)
