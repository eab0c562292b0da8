"""Same bytes, same answer in every runtime, and in Safelight's and the recipe's own golden inputs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safelight.runtime import RUNTIMES, Model, golden_input, load_golden, load_manifest, model_ids, runtime_status


def _recipe_module(root: Path, name: str) -> ModuleType:
    path = root / "models/recipes/common" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("model_id", model_ids())
def test_every_model_in_every_runtime(model_id: str, runtime: str) -> None:
    if not runtime_status(runtime).installed:
        pytest.skip(f"{runtime} is not installed here")
    with Model(model_id, runtime=runtime) as model:
        assert model.verification.golden_cases >= 2
        assert model.verification.max_steps <= load_golden(model_id).tolerance_steps


@pytest.mark.parametrize("model_id", model_ids())
def test_goldens_can_tell_a_wrong_model(model_id: str) -> None:
    """Outputs that differ between cases and are not all at the ends of the scale."""
    golden = load_golden(model_id)
    for runtime in RUNTIMES:
        outputs = [np.concatenate(case.outputs[runtime]) for case in golden.cases]
        assert not np.array_equal(outputs[0], outputs[1])
        # Scores of models of conversations are real numbers in [0, 1], not quantisation steps.
        low, high = (0.02, 0.98) if load_manifest(model_id).task == "grooming" else (16, 240)
        assert any(((o > low) & (o < high)).any() for o in outputs)


PICTURE_MODELS = [model_id for model_id in model_ids() if load_manifest(model_id).task != "grooming"]


@pytest.mark.parametrize("model_id", PICTURE_MODELS)
def test_the_recipes_generator_is_ours(model_id: str, root: Path) -> None:
    theirs = _recipe_module(root, "golden_input")
    shape = load_manifest(model_id).input.shape
    for case in load_golden(model_id).cases:
        ours = golden_input(shape, seed=case.seed, cell_px=case.cell_px)
        assert np.array_equal(ours, theirs.golden_input(shape, seed=case.seed, cell_px=case.cell_px))


def test_the_golden_input_itself() -> None:
    """Worked by hand from the formula in plain Python integers, away from numpy."""

    def value(seed: int, row: int, column: int, channel: int) -> int:
        x = (seed * 2654435761 + row * 2246822519 + column * 3266489917 + channel * 668265263) % 2**32
        x ^= x >> 15
        x = x * 0x2C1B3C6D % 2**32
        x ^= x >> 12
        x = x * 0x297A2D39 % 2**32
        x ^= x >> 15
        return x >> 24

    made = golden_input((1, 10, 13, 3), seed=4_000_000_007, cell_px=4)
    assert made.dtype == np.uint8
    for row in range(10):
        for column in range(13):
            for channel in range(3):
                assert made[0, row, column, channel] == value(4_000_000_007, row // 4, column // 4, channel)
