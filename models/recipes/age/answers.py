"""What an age model's output means: one way to read it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

ADULT_YEARS = 18
CHALLENGE_YEARS = 25


def probabilities(raw: npt.NDArray[Any], output: dict[str, Any]) -> Doubles:
    """Turn stored values into probabilities that add up to 1.

    In steps of 1/256 over 81 or 100 ages they add up to 0.96 to 1.01 only, hence the division.

    Args:
        raw: ``uint8[n, ages]``.
        output: ``output`` of ``config.json``.

    Returns:
        ``float64[n, ages]``.
    """
    real: Doubles = (raw.astype(np.float64) - output["zero_point"]) * output["scale"]
    normalised: Doubles = real / real.sum(axis=1, keepdims=True)
    return normalised


def expected_years(shares: Doubles, ages_years: list[float]) -> Doubles:
    """Return the mean age, weighted by probability: ``float64[n]``."""
    mean: Doubles = shares @ np.array(ages_years, dtype=np.float64)
    return mean


def under(shares: Doubles, ages_years: list[float], *, years: float) -> Doubles:
    """Return the probability of being younger than ``years``: the sum over all ages below, ``float64[n]``."""
    total: Doubles = shares[:, np.array(ages_years) < years].sum(axis=1)
    return total
