"""Exact intervals for counts, without a statistics package."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

_BISECTIONS: Final = 60  # halves an interval of 1 to below 1e-17, under what a float can hold


def clopper_pearson(hits: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the two-sided Clopper-Pearson interval of a proportion.

    It never covers less often than it says, also at 0 hits, where a normal interval is empty.

    Args:
        hits: How often it happened, 0 to ``n``.
        n: How many trials, from 1.
        confidence: Coverage, above 0 and below 1.

    Returns:
        Lower and upper bound, each in [0, 1].

    Raises:
        ValueError: ``hits`` is not in 0 to ``n``, or ``n`` is below 1.
    """
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"got {hits} of {n}, expected 0 <= hits <= n and n >= 1")
    tail = (1.0 - confidence) / 2.0
    # Lower bound: the p at which "hits or more" has probability tail. Upper: "hits or fewer".
    lower = 0.0 if hits == 0 else _root(lambda p: _at_most(hits - 1, n, p), 1.0 - tail)
    upper = 1.0 if hits == n else _root(lambda p: _at_most(hits, n, p), tail)
    return lower, upper


def _at_most(k: int, n: int, p: float) -> float:
    """Probability of at most ``k`` hits in ``n`` trials."""
    if p <= 0.0:
        return 1.0
    if p >= 1.0:
        return 1.0 if k >= n else 0.0
    return math.fsum(
        math.exp(
            math.lgamma(n + 1)
            - math.lgamma(i + 1)
            - math.lgamma(n - i + 1)
            + i * math.log(p)
            + (n - i) * math.log1p(-p)
        )
        for i in range(k + 1)
    )


def _root(falling: Callable[[float], float], target: float) -> float:
    """Find where a function that falls from 1 to 0 over [0, 1] crosses the target."""
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        if falling(middle) > target:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0
