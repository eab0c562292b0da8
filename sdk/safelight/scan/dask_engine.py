"""A scan's files on a Dask cluster (extra ``[dask]``).

Names and settings travel to the workers, decisions come back. Every worker must see the folder under the same path and
have this version of Safelight. Dask's own connections are plain unless the cluster was set up with TLS, and whoever can
reach its scheduler can run programs on its workers: give it an address that only this machine or a network of your own
reaches, or a ``Security`` (https://distributed.dask.org/en/stable/tls.html).
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from safelight._build import __version__
from safelight.errors import ScanError
from safelight.scan.engine import AHEAD, Answer, could_not_tell, look
from safelight.scan.walk import Found

if TYPE_CHECKING:
    from safelight.decision import Event
    from safelight.guard import Guard
    from safelight.policy import Profile, Rules
    from safelight.testing import TestMode

_BATCH: Final = 8
_RETRIES: Final = 2


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker needs to decide as this process would.

    Attributes:
        profile: who is protected.
        rules: what evidence means.
        event: what the files are decided for.
        root: the folder, as the workers see it.
        tier: of the detectors.
        test_mode: a trigger kit.
        version: of Safelight.
    """

    profile: Profile
    rules: Rules
    event: Event
    root: str
    tier: str
    test_mode: TestMode | None
    version: str = __version__


def worker_settings(
    guard: Guard, root: str | os.PathLike[str], event: Event, *, tier: str = "full", test_mode: TestMode | None = None
) -> WorkerSettings:
    """What workers need to decide as ``guard`` does, as of now.

    Raises:
        ScanError: the guard looks up hash lists. Those are sealed to a device's key, which does not travel.
    """
    if guard.lists:
        raise ScanError(
            "engine: got a guard with hash lists, which stay on this device; use the local engine for them."
        )
    return WorkerSettings(guard.profile, guard.rules, event, os.path.abspath(root), tier, test_mode)


class DaskEngine:
    """Workers of a Dask cluster.

    Args:
        address: of the scheduler, e.g. ``tcp://10.0.0.5:8786``; or a ``distributed.Client``, which stays open.
        settings: what the workers decide with.
        timeout_s: how long to wait for the scheduler.
        security: a ``distributed.Security``, for TLS.

    Raises:
        ScanError: the extra is not installed, nobody answers, or the workers have another version.
    """

    def __init__(
        self, address: Any, settings: WorkerSettings, *, timeout_s: float = 10.0, security: Any = None
    ) -> None:
        try:
            distributed: Any = import_module("distributed")
        except ImportError:
            raise ScanError(
                "engine: dask is not installed; install the extra with: pip install 'safelight[dask]'."
            ) from None
        self._distributed = distributed
        self._settings = pickle.dumps(settings)
        self._owned = not isinstance(address, distributed.Client)
        try:
            self._client = (
                distributed.Client(address, timeout=timeout_s, security=security, set_as_default=False)
                if self._owned
                else address
            )
        except (OSError, ValueError) as error:
            raise ScanError(
                f"engine: got {type(error).__name__}, expected a Dask scheduler that answers within {timeout_s:g} s; "
                "check its address, and that `dask scheduler` runs."
            ) from None
        self._check_versions()

    def _check_versions(self) -> None:
        answers = self._client.run(_version, on_error="return")
        if not answers:
            self.close()
            raise ScanError("engine: got a cluster without workers, expected one or more; start `dask worker`.")
        others = {answer if isinstance(answer, str) else type(answer).__name__ for answer in answers.values()}
        if others != {__version__}:
            self.close()
            raise ScanError(
                f"engine: got workers with Safelight {', '.join(sorted(others))}, expected {__version__} everywhere; "
                "install the same version on every worker."
            )

    def run(self, files: Iterable[Found]) -> Iterator[tuple[Found, Answer | None]]:
        """See :class:`~safelight.scan.engine.Engine`.

        Raises:
            ScanError: the scheduler went away. What was answered is answered; the rest was not looked at.
        """
        try:
            yield from self._run(iter(files))
        except (self._distributed.client.FutureCancelledError, OSError) as error:
            raise ScanError(
                f"engine: got {type(error).__name__} from the cluster; start the scan again: it goes on where it was."
            ) from None

    def _run(self, coming: Iterator[Found]) -> Iterator[tuple[Found, Answer | None]]:
        queue = self._distributed.as_completed(loop=self._client.loop)
        batches: dict[Any, list[Found]] = {}
        suspects: list[Found] = []
        more = True
        while batches or more:
            ahead = AHEAD * max(1, sum(self._client.nthreads().values()))
            while more and len(batches) < ahead:
                batch = list(islice(coming, _BATCH))
                more = len(batch) == _BATCH
                if batch:
                    future = self._submit(batch)
                    batches[future.key] = batch
                    queue.add(future)
            if batches:
                future = next(queue)
                batch = batches.pop(future.key)
                if future.status == "finished":
                    yield from zip(batch, future.result(), strict=True)
                else:
                    suspects += batch
        # One of a batch may have killed every worker that opened it, and Dask blames whatever waited there as well:
        # each is looked at once more with nothing beside it.
        for found in suspects:
            future = self._submit([found])
            failed = future.exception() is not None
            yield found, could_not_tell() if failed else future.result()[0]

    def _submit(self, batch: list[Found]) -> Any:
        names = [found.name for found in batch]
        # pure=False: a random key, so that no name is in one, and no answer is taken from an earlier scan.
        return self._client.submit(_look_at_all, self._settings, names, pure=False, retries=_RETRIES)

    def close(self) -> None:
        """Let go of the cluster. Safe to call twice."""
        if self._owned:
            self._client.close()


# --- on a worker ------------------------------------------------------------------------------------------------


def _version() -> str:
    return __version__


def _look_at_all(settings: bytes, names: list[str]) -> list[Answer | None]:
    guard, root, event = _guard(settings)
    return [look(guard, root, name, event) for name in names]


@lru_cache(maxsize=1)
def _guard(settings: bytes) -> tuple[Guard, str, Event]:
    """One guard a worker process: loading models once, not once a file."""
    from safelight.guard import Guard

    read: WorkerSettings = pickle.loads(settings)
    guard = Guard(read.profile, rules=read.rules, tier=read.tier, test_mode=read.test_mode)
    return guard, read.root, read.event
