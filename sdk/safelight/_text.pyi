from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FEATURE_VERSION: int
DATA_SHA256: str
MAX_IDS: int
DENSE: int
BUCKETS: int
MAX_INPUT: int
LANGUAGES: tuple[str, ...]
FLAGS: tuple[str, ...]
TRUSTS: tuple[str, ...]
SENDERS: tuple[str, ...]

class TextFeatures:
    @property
    def ids(self) -> NDArray[np.int32]: ...  # [MAX_IDS], distinct, in order, padded with 0
    @property
    def dense(self) -> NDArray[np.float32]: ...  # [DENSE], each in [0, 1]
    @property
    def count(self) -> int: ...
    @property
    def language(self) -> str: ...
    @property
    def flags(self) -> int: ...
    def has(self, flag: str) -> bool: ...

def features(
    text: str | bytes, *, sender: str = "other", trust: str = "unknown", gap_s: float | None = None
) -> TextFeatures: ...

# ids int32[N, MAX_IDS], dense float32[N, DENSE], counts int32[N], languages uint8[N], flags uint32[N]
def features_batch(
    texts: Sequence[str | bytes],
    *,
    senders: Sequence[str] | None = None,
    trusts: Sequence[str] | None = None,
    gaps_s: Sequence[float | None] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32], NDArray[np.uint8], NDArray[np.uint32]]: ...
def normalised(text: str | bytes) -> str: ...
def printable(text: str) -> str: ...
