"""The float original of an nsfwjs model: its weights, and what nsfwjs itself answers, in Node.

nsfwjs ships its weights quantised to uint8, per tensor; no float version was published. "Float original"
means these weights, decoded to float32, with float32 arithmetic, as nsfwjs runs them.
"""

from __future__ import annotations

import base64
import json
import struct
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from common import files

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

PACKAGE: Final = "nsfwjs"
PACKAGE_VERSION: Final = "4.4.0"
ARCHIVE: Final = f"{PACKAGE}-{PACKAGE_VERSION}.tgz"
ARCHIVE_SHA256: Final = "585cd178f3b994337c4d10a87b080d342fc52f8b9bf0085c4d1f345a3a1c5382"
LABELS: Final = ("drawing", "hentai", "neutral", "porn", "sexy")

_SCRIPT: Final = Path(__file__).with_name("original.cjs")
_ANSWER_BYTES: Final = 4 * len(LABELS)


@dataclass(frozen=True, slots=True)
class Source:
    """A model as nsfwjs's package holds it."""

    topology: dict[str, Any]
    manifest: list[dict[str, Any]]
    weights: bytes


def unpack(archive: Path, folder: Path) -> Path:
    """Check what npm fetched, and unpack it.

    Args:
        archive: ``nsfwjs-4.4.0.tgz``, from ``npm pack``.
        folder: Where to; below the folder of ``npm ci``, so that Node finds TensorFlow.js.

    Returns:
        The package's folder.

    Raises:
        ValueError: It is not the expected file.
    """
    digest = files.sha256_of(archive)
    if digest != ARCHIVE_SHA256:
        raise ValueError(f"got an archive with sha256 {digest}, expected {ARCHIVE_SHA256}")
    with tarfile.open(archive) as packed:
        packed.extractall(folder)  # one known content: nothing in it leaves the folder
    return folder / "package"


def source(node: Path, package: Path, name: str) -> Source:
    """Read topology and weights of the model that nsfwjs calls ``name``."""
    done = subprocess.run(_command("source", node, package, name), check=True, stdout=subprocess.PIPE)
    content = json.loads(done.stdout)
    return Source(
        topology=content["model"]["modelTopology"],
        manifest=content["model"]["weightsManifest"],
        weights=b"".join(base64.b64decode(shard, validate=True) for shard in content["shards_base64"]),
    )


def licence_text(package: Path) -> str:
    """Return the licence that must travel with the weights, word for word from the package."""
    return (package / "LICENSE").read_text(encoding="utf-8").strip() + "\n"


def node_versions(node: Path) -> dict[str, str]:
    """Return the versions of what ``npm ci`` installed and the original runs on."""
    return {
        name: files.read_json(node / "node_modules" / name / "package.json")["version"]
        for name in ("@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm")
    }


class Original:
    """nsfwjs's own ``infer`` in Node, with TensorFlow.js's WebAssembly kernels on one thread.

    A context manager: the process ends with the block.

    Args:
        node: The folder of ``npm ci``.
        package: The unpacked package, below it.
        name: The model's name in nsfwjs.
    """

    def __init__(self, node: Path, package: Path, name: str) -> None:
        self._process = subprocess.Popen(
            _command("run", node, package, name), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def run(self, pixels: Pixels) -> Floats:
        """Ask about one picture.

        Args:
            pixels: ``uint8[height, width, 3]`` RGB. Any size but 224×224 is resized by nsfwjs itself.

        Returns:
            ``float32[5]``, in the order of ``LABELS``.

        Raises:
            RuntimeError: Node ended; it said why on standard error.
        """
        to_node, from_node = self._process.stdin, self._process.stdout
        assert to_node is not None
        assert from_node is not None
        height, width, _ = pixels.shape
        try:
            to_node.write(struct.pack("<II", height, width) + pixels.tobytes())
            to_node.flush()
        except BrokenPipeError:
            pass  # the missing answer says so below
        answer = from_node.read(_ANSWER_BYTES)
        if len(answer) != _ANSWER_BYTES:
            raise RuntimeError(f"got {len(answer)} bytes from Node, expected {_ANSWER_BYTES}: see its message above")
        return np.frombuffer(answer, dtype="<f4").astype(np.float32)

    def __enter__(self) -> Original:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def _command(what: str, node: Path, package: Path, name: str) -> list[str]:
    return ["node", str(_SCRIPT), what, str(node), str(package), name]
