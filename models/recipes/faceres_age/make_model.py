"""Make ``faceres_age_v1``: the age head of a float tfjs original in, a checked int8 TFLite file and its config out.

    python -m faceres_age.make_model --node NODE --calibration PICTURES --evaluate PICTURES \
        --faces ../blazeface_short_v1 --out ../faceres_age_v1 --work WORK

One folder given for both is halved; no picture both calibrates and evaluates. Only benign pictures
are needed, and nothing else may be given: see README.md beside this file.

The original also answers who a face resembles (1,024 numbers) and a gender. Neither is rebuilt: the graph is
cut back to what the ages need, and the ages are the only output.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

# It comes without type annotations.
import tensorflow as tf  # type: ignore[import-untyped,import-not-found,unused-ignore]
from age.make import Floats, Pixels, Recipe, make, options
from common import files, tfjs

PACKAGE: Final = "@vladmandic/human"
PACKAGE_VERSION: Final = "3.3.6"
TOPOLOGY_FILE: Final = "models/faceres.json"
TOPOLOGY_SHA256: Final = "5b83d49c0385d2e68a05122441b94226313677cae9fcc40b9587ad50079eb4df"
SOURCE_FILE: Final = "models/faceres.bin"
SOURCE_SHA256: Final = "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b"
SIDE_PX: Final = 224
AGES: Final = 100

#: Mean of the training pictures, which the original wants taken off. Source: ``facial_analysis.py`` of
#: av-savchenko/HSE_FaceRec_tf (there in BGR order).
MEAN_RGB: Final = np.array([123.68, 116.779, 103.939], dtype=np.float32)

_OUTPUT: Final = "age_pred/Softmax"
#: Not a part of what the ages need; were one of them there, the cut would have failed.
_LEFT_OUT: Final = ("gender_pred/Sigmoid", "gender_pred/BiasAdd")
_FIRST_KERNEL: Final = "conv1/convolution/merged_input"
_SCRIPT: Final = Path(__file__).with_name("original.cjs")

ORIGIN: Final = (
    "Age output of the multi-output MobileNet by Andrey Savchenko and others at HSE University (HSE_FaceRec_tf, "
    "2019), whose base was trained to tell faces apart (VGGFace2) and whose age head was trained on faces of "
    "IMDB; converted to TensorFlow.js as faceres for Human by Vladimir Mandic. Cut down to the age output, rebuilt "
    "and quantised to int8 by Safelight; the outputs for identity and gender are left out."
)
NOTICE_SAVCHENKO: Final = """\
HSE_FaceRec_tf
Copyright Andrey Savchenko and contributors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.

Changed by Safelight: cut down to the age output, rebuilt, quantised.
"""


def package_file(node: Path, name: str, digest: str) -> Path:
    """Find a file of the installed package, and check what it is.

    Raises:
        ValueError: It is not the expected one.
    """
    path = node / "node_modules" / PACKAGE / name
    got = files.sha256_of(path)
    if got != digest:
        raise ValueError(f"got {name} with sha256 {got}, expected {digest}: see package.json")
    return path


def rebuild(topology: dict[str, Any], weights: dict[str, Any]) -> Callable[[Any], Any]:
    """Make a ``tf.function`` from raw RGB ``float32[1, 224, 224, 3]`` to ``float32[1, 100]``, probabilities.

    The first kernel's input channels are swapped, which is exact, and the mean is subtracted in the graph: folding
    it into the first bias would be wrong along the border, where the original pads with zeros *after* subtracting.
    """
    simple = collapse_relu6(topology, weights)
    swapped = weights | {_FIRST_KERNEL: np.ascontiguousarray(weights[_FIRST_KERNEL][:, :, ::-1, :])}
    ages = tfjs.rebuild_graph(simple, swapped, output=_OUTPUT)
    signature = [tf.TensorSpec([1, SIDE_PX, SIDE_PX, 3], tf.float32)]
    function: Callable[[Any], Any] = tf.function(
        lambda rgb: ages(rgb - MEAN_RGB), input_signature=signature, autograph=False
    )
    return function


def collapse_relu6(topology: dict[str, Any], weights: dict[str, Any]) -> dict[str, Any]:
    """Replace each Relu → Minimum(6) → Maximum(0) with the Relu6 that it is, and drop what ages do not need.

    As three operations they would each become a quantised one of their own, and split the file for the delegate.

    Raises:
        ValueError: A Minimum or Maximum is something else.
    """
    nodes = {node["name"]: node for node in topology["node"] if node["name"] not in _LEFT_OUT}
    for name, top in list(nodes.items()):
        if top["op"] == "Maximum":
            least, low = top["input"]
            below, high = nodes[least]["input"]
            if (nodes[least]["op"], nodes[below]["op"]) != ("Minimum", "Relu") or (weights[low], weights[high]) != (
                0,
                6,
            ):
                raise ValueError(f"got {name}, expected Relu, then at most 6, then at least 0")
            nodes[name] = {"name": name, "op": "Relu6", "input": nodes[below]["input"]}
            del nodes[least], nodes[below]
    return {"node": list(nodes.values())}


class Original:
    """The float original in TensorFlow.js, on raw RGB chips.

    Args:
        node: The folder of ``npm ci``.
    """

    def __init__(self, node: Path) -> None:
        self._command = ["node", str(_SCRIPT), str(node)]

    def __call__(self, chips: Pixels) -> Floats:
        """Return ``float32[n, 100]`` probabilities for ``uint8[n, 224, 224, 3]`` RGB."""
        done = subprocess.run(self._command, input=chips.tobytes(), stdout=subprocess.PIPE, check=True)
        return np.frombuffer(done.stdout, dtype="<f4").astype(np.float32).reshape(len(chips), AGES)


def main() -> None:
    """Run the command line."""
    parser = options(__doc__)
    parser.add_argument("--node", type=Path, required=True, help="folder in which `npm ci` was run")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    print(f"1/5 source: {PACKAGE} {PACKAGE_VERSION}, {SOURCE_FILE}", flush=True)
    model = json.loads(package_file(chosen.node, TOPOLOGY_FILE, TOPOLOGY_SHA256).read_text(encoding="utf-8"))
    data = package_file(chosen.node, SOURCE_FILE, SOURCE_SHA256).read_bytes()
    weights = tfjs.decode_weights(model["weightsManifest"], data)
    licence = chosen.node / "node_modules" / PACKAGE / "LICENSE"
    recipe = Recipe(
        model_id="faceres_age_v1",
        tiers=("full",),
        size_px=SIDE_PX,
        ages_years=[float(year) for year in range(1, AGES + 1)],
        licence={
            "weights": "Apache-2.0 AND MIT",
            "origin": ORIGIN,
            "notice": NOTICE_SAVCHENKO + "\n" + licence.read_text(encoding="utf-8").strip() + "\n",
        },
        source={
            "package": PACKAGE,
            "version": PACKAGE_VERSION,
            "registry": "npm",
            "file": SOURCE_FILE,
            "sha256": SOURCE_SHA256,
        },
        distributions=(),
    )
    make(recipe, chosen, rebuild(model["modelTopology"], weights), Original(chosen.node))


if __name__ == "__main__":
    main()
