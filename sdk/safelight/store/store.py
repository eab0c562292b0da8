"""The store: everything about a family's settings that must outlive a restart and must not be easy to undo."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec

from safelight.errors import PinError, StoreError, UsageError
from safelight.keys import FileKeyProvider, KeyProvider
from safelight.policy import Rules
from safelight.policy.layers import Layer
from safelight.store import changes, transfer
from safelight.store import clock as clocks
from safelight.store import pin as pins
from safelight.store._work import Desk, View, Work
from safelight.store.allowance import Allowance
from safelight.store.anchor import Anchor, NoAnchor
from safelight.store.changes import Pending
from safelight.store.clock import Clock, SystemClock
from safelight.store.consent import Consents
from safelight.store.counters import Counters
from safelight.store.holds import HoldLimits, Holds
from safelight.store.pin import PinRecord
from safelight.store.settings import Relation, Settings, compare
from safelight.store.vault import StoreState, Vault, store_error

_PIN: Final = "pin"
_HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class PendingChange:
    """A loosening that waits, for the child's screen and the guardian's.

    Attributes:
        id: to cancel it by.
        patch: setting to new value; ``None`` goes back to the strictest.
        loosens: names of what becomes looser.
        in_force_in_s: running time left until it is in force.
    """

    id: str
    patch: dict[str, Any]
    loosens: tuple[str, ...]
    in_force_in_s: float


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a request to change settings.

    Attributes:
        relation: how what was asked for compares with what was in force.
        applied: what is in force now.
        pending: what waits, or ``None``.
    """

    relation: Relation
    applied: dict[str, Any]
    pending: PendingChange | None


@dataclass(frozen=True, slots=True)
class SetUp:
    """A store that was set up.

    Attributes:
        recovery_code: shown this once; sets a new PIN when the old one is forgotten.
        change: what became of the settings asked for.
    """

    recovery_code: str
    change: Change


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """What ``safelight doctor`` says about the store."""

    state: StoreState
    pin_set: bool
    pending: int
    holds: int
    held_bytes: int
    unconfirmed_time: bool
    key_provider: str
    key_protection: str
    anchor: str


class Store:
    """Settings, PIN, consent, time, holds and counters of one device.

    May be used from several threads and processes. Opening makes nothing; the first change makes the file. What
    cannot be believed counts as the strictest settings, and :attr:`state` says its name.

    Args:
        path: of the file; in the user's state folder when left out.
        keys: gives the key that seals; files of this user when left out, which is obfuscation.
        anchor: see :mod:`safelight.store.anchor`; none when left out, and then an old copy of the whole folder
            cannot be told from the newest.
        clock: the machine's when left out.
        operator: the layer of whoever runs the app or makes the device (:func:`safelight.policy.layers.read_operator`).
        hold_limits: bounds for what is kept back.

    Example:
        >>> import tempfile
        >>> from safelight.keys import FileKeyProvider
        >>> from safelight.store import Store
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with Store(f"{folder}/store.sqlite", keys=FileKeyProvider(folder)) as store:
        ...         before = store.state.value
        ...         change = store.propose({"rules.receive.suggestive": "HOLD"})
        ...         (before, change.applied, change.pending)
        ('NEW', {'rules.receive.suggestive': 'HOLD'}, None)
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        keys: KeyProvider | None = None,
        anchor: Anchor | None = None,
        clock: Clock | None = None,
        operator: Layer | None = None,
        hold_limits: HoldLimits | None = None,
    ) -> None:
        self._keys = keys if keys is not None else FileKeyProvider()
        self._anchor = anchor if anchor is not None else NoAnchor()
        self._vault = Vault(path if path is not None else default_path(), keys=self._keys, anchor=self._anchor)
        self._desk = Desk(self._vault, clock if clock is not None else SystemClock())
        self._operator = operator
        self._in_force: tuple[Settings, Rules] | None = None
        self.consents = Consents(self)
        self.allowance = Allowance(self)
        self.holds = Holds(self, hold_limits if hold_limits is not None else HoldLimits())
        self.counters = Counters(self)

    # -- what is in force --------------------------------------------------------------------------------------------

    @property
    def state(self) -> StoreState:
        """Whether what is stored can be believed."""
        return self.view().state

    @property
    def settings(self) -> Settings:
        """What is in force now; the strictest in any state but ``OK``."""
        return self.view().settings

    def rules_in_force(self, settings: Settings | None = None) -> Rules:
        """The rules with what the settings tighten."""
        wanted = settings if settings is not None else self.settings
        kept = self._in_force
        if kept is None or (kept[0] is not wanted and kept[0] != wanted):
            kept = self._in_force = (wanted, wanted.effective_rules(self._operator))
        return kept[1]

    def health(self) -> StoreHealth:
        """For ``safelight doctor``. Never raises for what is on the disk."""
        view = self.view()
        held = self.holds.all()
        return StoreHealth(
            state=view.state,
            pin_set=_PIN in view.sections,
            pending=len(view.pending),
            holds=len(held),
            held_bytes=sum(hold.size_bytes for hold in held),
            unconfirmed_time=view.state is StoreState.OK and view.reading.unconfirmed,
            key_provider=self._keys.id,
            key_protection=str(self._keys.protection),
            anchor=self._anchor.kind,
        )

    # -- changing settings -------------------------------------------------------------------------------------------

    def set_up(self, patch: Mapping[str, Any], *, pin: str, replace: bool = False) -> SetUp:
        """Set a PIN for the first time, and ask for settings.

        What is looser than the strictest settings waits as always: a store that was deleted must not be a way around
        the wait. Only an anchor can prove that there never was one; then everything is in force at once.

        Args:
            patch: settings, as for :meth:`propose`.
            pin: the guardian's, 6 characters or more.
            replace: put what is there aside first (renamed, never deleted), when it cannot be believed or the PIN and
                the recovery code are lost. What was kept back comes along if it can still be opened.

        Raises:
            UsageError: it is set up already, the PIN is too easy, or a setting is wrong.
            StoreError: the store cannot be written to.
        """
        pins.check_new_pin(pin)
        changes.patched(Settings(), patch)
        aside = 0
        if replace:
            aside = self._vault.replace()
        elif self._pin_record() is not None:
            raise UsageError("store: got one that is set up already; use `safelight policy set`, or replace=True.")
        known_new = self._vault.known_new()
        code = pins.new_code()
        record = PinRecord(pin=pins.hash_secret(pin), recovery=pins.hash_secret(code))
        with self.work(create=True) as work:
            if work.get(_PIN, PinRecord) is not None:
                raise UsageError("store: another process set it up meanwhile; use `safelight policy set`.")
            work.put(_PIN, record)
            if replace:
                self.holds._adopt(work, self._vault.salvage(aside))
            change = self._ask(work, patch, known_new=known_new, authorised=True)
        return SetUp(code, change)

    def propose(self, patch: Mapping[str, Any], *, pin: str | None = None) -> Change:
        """Ask for a change of settings.

        What loosens nothing is in force at once, whoever asks. The rest needs the PIN, and then waits.

        Args:
            patch: setting to new value, e.g. ``{"allowance.games": 60}``; ``None`` goes back to the strictest. See
                :func:`safelight.store.changes.patched` for the names.
            pin: the guardian's.

        Raises:
            UsageError: an unknown setting or a value outside its vocabulary; nothing was changed.
            PinError: something loosens and the PIN is missing, wrong, or it is too early to try; nothing was changed.
            StoreError: the store cannot be written to; nothing was changed.
        """
        if not patch:
            raise UsageError("settings: got nothing to change; name at least one setting.")
        _, waits = changes.split(self.settings, patch, operator=self._operator)
        if waits:
            self.check_pin(pin)
        with self.work(create=True) as work:
            return self._ask(work, patch, known_new=False, authorised=bool(waits))

    def would_loosen(self, patch: Mapping[str, Any]) -> bool:
        """Whether a change needs the PIN and the wait, in part or as a whole. Changes nothing.

        Raises:
            UsageError: as :meth:`propose`.
        """
        return bool(changes.split(self.settings, patch, operator=self._operator)[1])

    def pending(self) -> tuple[PendingChange, ...]:
        """Loosenings that wait, the next first. On the child's screen too."""
        view = self.view()
        return tuple(_pending(change, view.reading.elapsed_s) for change in view.pending)

    def cancel(self, change_id: str) -> None:
        """End the wait of a loosening: it will not happen. Anybody may.

        Raises:
            UsageError: none waits with this id.
            StoreError: the store cannot be written to.
        """
        with self.work() as work:
            kept = [change for change in work.pending if change.id != change_id]
            if len(kept) == len(work.pending):
                raise UsageError(
                    "pending: got an id that no waiting change has; `safelight policy pending` prints them."
                )
            work.pending = kept

    def export_settings(self) -> tuple[bytes, str]:
        """The settings in force as a file for another device, and the code that goes with it. No PIN in it.

        Raises:
            StoreError: there is nothing that could be believed.
        """
        view = self.view()
        if view.state is not StoreState.OK:
            raise store_error(view.state)
        return transfer.export_settings(view.settings)

    def import_settings(self, content: bytes, code: str, *, pin: str | None = None) -> Change:
        """Take settings from a file: the same two keys as by hand.

        Raises:
            UsageError: not such a file, a changed one, or another file's code.
            PinError, StoreError: as :meth:`propose`.
        """
        patch = transfer.patch_to(self.settings, transfer.import_settings(content, code))
        if not patch:
            return Change(Relation.SAME, {}, None)
        return self.propose(patch, pin=pin)

    # -- the guardian's PIN ------------------------------------------------------------------------------------------

    def check_pin(self, pin: str | None) -> None:
        """Nothing, if it is the guardian's.

        The try is written down before it is looked at.

        Raises:
            PinError: it is missing or wrong, none is set, or it is too early to try.
            StoreError: the store cannot be believed or written to.
        """
        if pin is None:
            raise PinError("PIN: got none, expected the guardian's; loosening and approving need it.")
        with self.work() as work:
            record = work.get(_PIN, PinRecord)
            if record is None:
                raise PinError("PIN: none is set; a guardian sets one with `safelight setup`.")
            record = pins.try_begins(record, elapsed_s=work.reading.elapsed_s)
            work.put(_PIN, record)
            wait_s = max(0.0, record.next_try_s - work.reading.elapsed_s)
        if not pins.matches(pin, record.pin):
            again = f"try again in {pins.wait_text(wait_s)}" if wait_s else "try again"
            raise PinError(f"PIN: got a wrong one, expected the guardian's; {again}.", wait_s=wait_s)
        with self.work() as work:
            latest = work.get(_PIN, PinRecord)
            if latest is not None and latest.pin == record.pin:
                work.put(_PIN, msgspec.structs.replace(latest, tries=0, next_try_s=0.0))

    def set_pin(self, new_pin: str, *, pin: str | None = None, recovery_code: str | None = None) -> str:
        """Change the PIN, with the old one or with the recovery code.

        Returns:
            A new recovery code; the old one is worth nothing any more.

        Raises:
            UsageError: the new PIN is too easy.
            PinError: neither the old PIN nor the recovery code was right.
            StoreError: the store cannot be written to; the old PIN stays.
        """
        pins.check_new_pin(new_pin)
        if recovery_code is not None:
            record = self._pin_record()
            if record is None or not pins.matches(pins.normal_code(recovery_code), record.recovery):
                raise PinError("recovery code: got a wrong one, expected the one shown when the PIN was set; check it.")
        else:
            self.check_pin(pin)
            record = self._pin_record()
        code = pins.new_code()
        new = PinRecord(pin=pins.hash_secret(new_pin), recovery=pins.hash_secret(code))
        with self.work() as work:
            latest = work.get(_PIN, PinRecord)
            if latest is None or record is None or latest.pin != record.pin:
                raise PinError("PIN: another process changed it meanwhile; try again.")
            work.put(_PIN, new)
        return code

    # -- time --------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Remember how long the device has been running. Call it every few minutes, from a timer: running time that
        nobody saw before a restart counts for nothing, and waits take longer. Every check does it as well.
        """
        with contextlib.suppress(StoreError), self.work():
            pass

    def confirm_time(self, *, pin: str | None) -> None:
        """A guardian says that the device's clock is right. Shortens no wait.

        Raises:
            PinError: without the right PIN.
            StoreError: the store cannot be written to.
        """
        self.check_pin(pin)
        with self.work() as work:
            mark = work.get("time", clocks.TimeMark)
            assert mark is not None
            work.put_mark(clocks.confirm(mark, work.reading, now_s=self._desk.clock.wall_s()))

    def trust_time(self, now_s: float) -> None:
        """The host's trusted time: from a source that nobody on the device can set, such as an authenticated network
        clock. The time between two of them counts as running time, also while the device was off.

        Args:
            now_s: seconds since 1970, UTC.

        Raises:
            UsageError: not a number of this era.
            StoreError: the store cannot be written to.
        """
        if not 1.6e9 < now_s < 1e11:
            raise UsageError("now_s: expected seconds since 1970 in UTC, e.g. 1.8e9; give the host's trusted time.")
        with self.work() as work:
            mark = work.get("time", clocks.TimeMark)
            assert mark is not None
            work.put_mark(clocks.trust(mark, work.reading, now_s=now_s))

    # -- inside ------------------------------------------------------------------------------------------------------

    def view(self) -> View:
        """What is stored, as of now. Never raises for what is on the disk."""
        return self._desk.view()

    @contextlib.contextmanager
    def work(self, *, create: bool = False) -> Iterator[Work]:
        """One transaction over everything that is stored.

        Raises:
            StoreError: the store cannot be believed or written to; nothing was changed.
        """
        with self._desk.work(create=create) as work:
            yield work

    def close(self) -> None:
        """Write what was counted and let go of the file. Safe to call twice; a later call opens it again."""
        self.counters.flush()
        self._vault.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return "<Store>"

    def _pin_record(self) -> PinRecord | None:
        view = self.view()
        if view.state is StoreState.NEW:
            return None
        if view.state is not StoreState.OK:
            raise store_error(view.state)
        return view.get(_PIN, PinRecord)

    def _ask(self, work: Work, patch: Mapping[str, Any], *, known_new: bool, authorised: bool) -> Change:
        before = work.settings
        relation = compare(before, changes.patched(before, patch), operator=self._operator)
        at_once, waits = (dict(patch), {}) if known_new else changes.split(before, patch, operator=self._operator)
        if waits and not authorised:
            # Another process tightened meanwhile, so that this now loosens.
            raise PinError("PIN: got none, expected the guardian's; the settings changed meanwhile.")
        if patch:
            work.pending = changes.without(work.pending, patch)
        if at_once:
            work.settings = changes.patched(before, at_once)
        waiting = None
        if waits:
            delay_s = before.loosening_delay_h * _HOUR_S
            waiting = Pending(
                id=secrets.token_hex(4),
                patch=waits,
                loosens=changes.loosened(work.settings, waits, operator=self._operator),
                asked_s=work.reading.confirmed_s,
                effective_s=work.reading.elapsed_s + delay_s,
            )
            work.pending.append(waiting)
        return Change(relation, at_once, _pending(waiting, work.reading.elapsed_s) if waiting is not None else None)


def _pending(change: Pending, elapsed_s: float) -> PendingChange:
    return PendingChange(
        id=change.id,
        patch=dict(change.patch),
        loosens=change.loosens,
        in_force_in_s=max(0.0, change.effective_s - elapsed_s),
    )


def default_path() -> Path:
    """Where the store is when nobody says otherwise; the folder may not exist."""
    from platformdirs import user_state_path

    return user_state_path("safelight", appauthor=False) / "store.sqlite"
