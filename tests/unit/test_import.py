"""Is ``import safelight`` light, and are its names what it says?"""

from __future__ import annotations

import json
import subprocess
import sys

import safelight

_HEAVY = {"numpy", "PIL", "ai_edge_litert", "tflite_runtime", "click", "rich", "msgspec", "asyncio"}


def test_importing_loads_nothing_heavy() -> None:
    script = "import safelight, sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not _HEAVY & set(json.loads(done.stdout))


def test_every_public_name_exists_and_is_listed() -> None:
    for name in safelight.__all__:
        assert getattr(safelight, name) is not None
    assert set(safelight.__all__) <= set(dir(safelight))
    assert set(safelight._HOME) == set(safelight.__all__)


def test_the_version_is_stated_once(root) -> None:  # type: ignore[no-untyped-def]
    from importlib.metadata import version

    assert f'version = "{safelight.__version__}"' in (root / "pyproject.toml").read_text(encoding="utf-8")
    assert version("safelight") == safelight.__version__
    assert safelight.build_info().version == safelight.__version__


def test_the_build_names_the_machine_code_that_runs() -> None:
    from safelight import _hash

    names = safelight.build_info().kernels
    assert set(names) == {"image", "hash", "hash_index"}
    try:
        _hash.set_index_kernel("scalar")
        assert safelight.build_info().kernels == {**names, "hash_index": "scalar"}
    finally:
        _hash.set_index_kernel("auto")
