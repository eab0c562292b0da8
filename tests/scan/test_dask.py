"""Does a scan on a real Dask cluster decide as this process does, and lose nothing when a worker is killed midway?"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PILImage
from safelight import Action, Event, Guard
from safelight.errors import ScanError
from safelight.scan import Scan
from safelight.scan.dask_engine import DaskEngine, worker_settings
from safelight.testing import TestMode, nudity
from store_world import PIN, World

distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")
# Distributed leaves sockets and tasks to the garbage collector when its workers are killed, as these tests do.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
FILES = 40


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    # A task that kills its worker is given up after the second one instead of the fourth: starting them takes time.
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None, silence_logs=50
        ) as made:
            yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(FILES):
        # Different pictures, some of which cannot be decoded.
        path = tmp_path / "pictures" / f"{number % 3}" / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PILImage.new("RGB", (48 + number, 64), (number * 5, 90, 200 - number)).save(path)
        if number % 10 == 9:
            path.write_bytes(path.read_bytes()[:50])
    return tmp_path / "pictures"


@pytest.fixture
def agreed(world: World) -> World:
    with world.open() as store:
        store.set_up({}, pin=PIN)
        store.consents.give("scan", by="child")
        store.consents.give("scan", by="guardian", pin=PIN)
    return world


def decided(scan: Scan) -> dict[str, tuple[Action | None, tuple[str, ...]]]:
    results = list(scan)
    assert len(results) == len({result.name for result in results})
    return {result.name: (result.action, result.reasons) for result in results}


@pytest.mark.parametrize("score", [None, 0.97])
def test_the_same_as_here(agreed: World, folder: Path, cluster: Any, score: float | None) -> None:
    test_mode = TestMode(nudity(score)) if score is not None else None
    with agreed.open() as store, Guard(store=store, tier="live", test_mode=test_mode) as guard:
        here = decided(Scan(folder, guard))
        settings = worker_settings(guard, folder, Event.VIEW, tier="live", test_mode=test_mode)
        engine = DaskEngine(cluster.scheduler_address, settings)
        there = decided(Scan(folder, guard, engine=engine))
        engine.close()
    assert len(here) == FILES
    assert there == here
    assert Action.HOLD in {action for action, _ in here.values()}


def test_a_worker_killed_midway_loses_nothing(agreed: World, folder: Path, cluster: Any) -> None:
    with agreed.open() as store, Guard(store=store, tier="live") as guard:
        here = decided(Scan(folder, guard))
        engine = DaskEngine(cluster.scheduler_address, worker_settings(guard, folder, Event.VIEW, tier="live"))
        with distributed.Client(cluster, set_as_default=False) as client:
            before = client.run(os.getpid)
            scan = iter(Scan(folder, guard, engine=engine))
            results = [next(scan)]
            os.kill(next(iter(before.values())), signal.SIGKILL)
            results += list(scan)
            client.wait_for_workers(2, timeout=60)
            assert set(client.run(os.getpid).values()) != set(before.values())
        engine.close()
    assert {result.name: (result.action, result.reasons) for result in results} == here
    assert len(results) == FILES


def test_a_file_that_kills_every_worker_is_held_and_the_others_are_decided(
    agreed: World, folder: Path, cluster: Any
) -> None:
    poison = "1/001.png"

    def bite() -> None:
        from safelight.scan import dask_engine

        looked = dask_engine.look

        def look(guard: Any, root: str, name: str, event: Any) -> Any:
            if name == poison:
                os._exit(1)
            return looked(guard, root, name, event)

        dask_engine.look = look

    class Bites(distributed.WorkerPlugin):  # type: ignore[misc]
        """Workers that are started again bite too."""

        name = "bites"

        def setup(self, worker: Any) -> None:
            bite()

    with agreed.open() as store, Guard(store=store, tier="live") as guard:
        here = decided(Scan(folder, guard))
        with distributed.Client(cluster, set_as_default=False) as client:
            client.register_plugin(Bites())
            engine = DaskEngine(client, worker_settings(guard, folder, Event.VIEW, tier="live"))
            there = decided(Scan(folder, guard, engine=engine))
            client.unregister_worker_plugin("bites")
    assert there.pop(poison) == (Action.HOLD, ("DETECTOR_FAILED",))
    here.pop(poison)
    assert there == here


def test_nobody_answers(agreed: World, folder: Path) -> None:
    with agreed.open() as store, Guard(store=store, detectors=[]) as guard:
        settings = worker_settings(guard, folder, Event.VIEW)
    with pytest.raises(ScanError, match="scheduler"):
        DaskEngine("tcp://127.0.0.1:9", settings, timeout_s=1.0)
