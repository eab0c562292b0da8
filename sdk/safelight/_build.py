"""What this build is. Public as ``safelight.build_info()`` and ``safelight.__version__``."""

from __future__ import annotations

import hashlib
import platform
import sys
from dataclasses import asdict, dataclass
from typing import Any

from safelight import _native
from safelight.builtin_data import builtin_files

__version__: str = _native.VERSION


@dataclass(frozen=True, slots=True)
class BuildInfo:
    """What runs here.

    Attributes:
        version: of the package; the same string is compiled into the native core.
        native_compiler: that built the native core.
        builtin_digest: SHA-256 over the names and digests of all built-in data.
        builtin_files: how many files that covers.
        kernels: which machine code runs here, by module: ``image``, ``hash`` (making), ``hash_index`` (looking up).
        text_features: version of the text features and SHA-256 of the data that they were made from; a model of
            conversations is used only with the ones that it was trained on.
    """

    version: str
    python: str
    platform: str
    machine: str
    native_compiler: str
    builtin_digest: str
    builtin_files: int
    kernels: dict[str, str]
    text_features: dict[str, int | str]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


def build_info() -> BuildInfo:
    """Describe this build. Reads no file and opens no socket."""
    # Not at the top: hosts that only want the version need neither.
    from safelight import _hash, _image, _text

    listing = "".join(f"{file.sha256}  {file.name}\n" for file in builtin_files().values())
    return BuildInfo(
        version=__version__,
        python=platform.python_version(),
        platform=sys.platform,
        machine=platform.machine(),
        native_compiler=_native.COMPILER,
        builtin_digest=hashlib.sha256(listing.encode()).hexdigest(),
        builtin_files=len(builtin_files()),
        kernels={
            "image": _image.kernels()["in_use"],
            "hash": _hash.kernels()["in_use"],
            "hash_index": _hash.index_kernels()["in_use"],
        },
        text_features={"version": _text.FEATURE_VERSION, "data_sha256": _text.DATA_SHA256},
    )
