"""What the store knows, as findings: the words in which the rules decide about consent, time and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from safelight.decision import Finding, FindingKind, Label, State
from safelight.store.allowance import TimeState
from safelight.store.consent import ConsentState
from safelight.store.schedule import NEVER_LIMITED, check_purpose
from safelight.store.vault import StoreState

if TYPE_CHECKING:
    from safelight.store.consent import Consent
    from safelight.store.store import Store

_STATES: Final = {
    StoreState.OK: State.OK,
    StoreState.NEW: State.NO_STORE,
    StoreState.MISSING: State.NO_STORE,
    StoreState.DAMAGED: State.STORE_DAMAGED,
    StoreState.ROLLED_BACK: State.STORE_ROLLED_BACK,
}
_CONSENT: Final = {
    ConsentState.GIVEN: Label.GIVEN,
    ConsentState.MISSING: Label.MISSING,
    ConsentState.EXPIRED: Label.EXPIRED,
    ConsentState.WITHDRAWN: Label.WITHDRAWN,
    # Nobody can give it, so it is missing for good.
    ConsentState.CLOSED: Label.MISSING,
}
_TIME: Final = {
    TimeState.OPEN: Label.ALLOWED,
    TimeState.NEVER_LIMITED: Label.ALLOWED,
    TimeState.SPENT: Label.SPENT,
    TimeState.OUTSIDE_WINDOW: Label.OUTSIDE_WINDOW,
}


def state_of(state: StoreState) -> State:
    """The store's state in the words of a finding."""
    return _STATES.get(state, State.STORE_FAILED)


def settings_findings(store: Store) -> tuple[Finding, ...]:
    """Nothing when the settings in force are those that were chosen; else why the strictest are."""
    state = state_of(store.state)
    return () if state is State.OK else (Finding(FindingKind.SETTINGS, state),)


def consent_finding(store: Store | None, purpose: str) -> Finding:
    """Whether there is consent for a purpose.

    Raises:
        UsageError: an unknown purpose.
    """
    from safelight.store.consent import purpose_of

    purpose_of(purpose)
    if store is None:
        return Finding(FindingKind.CONSENT, State.NO_STORE)
    answer: Consent = store.consents.check(purpose)
    if answer.state is ConsentState.STORE_UNAVAILABLE:
        return Finding(FindingKind.CONSENT, state_of(answer.store))
    return Finding(FindingKind.CONSENT, State.OK, _CONSENT[answer.state], 1.0)


def time_finding(store: Store | None, purpose: str) -> Finding:
    """Whether there is time for a purpose.

    Raises:
        UsageError: a purpose of another form.
    """
    if check_purpose(purpose) in NEVER_LIMITED:
        return Finding(FindingKind.TIME, State.OK, Label.ALLOWED, 1.0)
    if store is None:
        return Finding(FindingKind.TIME, State.NO_STORE)
    answer = store.allowance.check(purpose)
    if answer.state is TimeState.STORE_UNAVAILABLE:
        return Finding(FindingKind.TIME, state_of(answer.store))
    if not answer.open and answer.unconfirmed:
        return Finding(FindingKind.TIME, State.CLOCK_UNCONFIRMED)
    return Finding(FindingKind.TIME, State.OK, _TIME[answer.state], 1.0)
