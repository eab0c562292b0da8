"""Instructions that every stage of a decision executes: the portable measure beside MACs, where no counter is.

    sudo apt-get install valgrind g++
    python tests/bench/count_instructions.py [--json]

Runs itself under Valgrind's callgrind, which counts by simulating, and switches it on around one stage at a
time. Valgrind simulates an x86-64 without AVX-512, so the kernels counted are AVX2's. Minutes, not seconds.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PORTRAIT = ROOT / "examples/pictures/portrait.jpg"
_SWITCH = """
#include <valgrind/callgrind.h>
extern "C" void begin() { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; }
extern "C" void end(const char* name) { CALLGRIND_DUMP_STATS_AT(name); CALLGRIND_STOP_INSTRUMENTATION; }
"""


def stages() -> dict[str, Callable[[], Any]]:
    """Name → one warm call of the stage, as a decision makes it."""
    import numpy as np
    from PIL import Image as PilImage
    from safelight import Event, Guard, Profile
    from safelight.detect import VisionDetector
    from safelight.detect.quality import examine
    from safelight.detect.tiers import load_tiers
    from safelight.hashing import pdq
    from safelight.media import Frame, load_image
    from safelight.policy import Rules, decide
    from safelight.runtime import Model, golden_input, model_ids, normalise
    from safelight.runtime.manifest import FaceManifest

    with load_image(PORTRAIT) as pictures:
        (image,) = pictures
    frame = np.full((480, 640, 3), 110, np.uint8)  # the portrait in a camera's frame: one face
    frame[:, 80:560] = PilImage.open(PORTRAIT).convert("RGB").resize((480, 480))
    with load_image(frame) as pictures:
        (looked_at,) = pictures
    nv21 = Frame(bytes(640 * 480 * 3 // 2), "nv21", width=640, height=480, rotation=90)
    found: dict[str, Callable[[], Any]] = {
        f"decode JPEG {image.full_width_px}×{image.full_height_px}": lambda: list(load_image(PORTRAIT)),
        "NV21 640×480 to RGB, turned": lambda: list(load_image(nv21)),
        "quality, 640×480": lambda: examine(looked_at, load_tiers().quality),
        "PDQ, 640×480": lambda: pdq(frame),
    }
    for model_id in model_ids():
        model = Model(model_id)
        pixels = golden_input(model.manifest.input.shape, seed=1, cell_px=8)
        if isinstance(model.manifest, FaceManifest):
            pixels = normalise(pixels, model.manifest.preprocess)
        found[f"inference {model_id}"] = lambda model=model, pixels=pixels: model.run(pixels)
    for tier in ("live", "full"):
        detector = VisionDetector(tier)
        findings = detector.detect(image)
        found[f"all detectors, {tier}, portrait"] = lambda detector=detector: detector.detect(image)
    band, rules = Profile(age_band="10_12").band, Rules.default()
    found["policy"] = lambda: decide(tuple(findings), band=band, event=Event.UPLOAD, rules=rules)
    guard = Guard(Profile(age_band="10_12", country="GB"), tier="live", concurrency=1)
    found["decision with notice (not a picture)"] = lambda: guard.check_image(b"not a picture")
    for tier in ("live", "full"):
        whole = Guard(Profile(age_band="10_12", country="GB"), tier=tier, concurrency=1)
        found[f"whole decision, {tier}, 640×480 frame"] = lambda whole=whole: whole.check_image(frame)
    return found


def run_inside(library: Path) -> None:
    """Under Valgrind: warm every stage up, then count one call of it."""
    switch = ctypes.CDLL(str(library))
    for name, call in stages().items():
        call()
        call()
        switch.begin()
        call()
        switch.end(name.encode())


def count() -> dict[str, int]:
    """Stage → instructions of one call."""
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "switch.cpp"), Path(folder, "switch.so")
        source.write_text(_SWITCH, encoding="utf-8")
        subprocess.run(["g++", "-O1", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/out"]
        environment = {**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
        inside = [sys.executable, __file__, "--inside", str(library)]
        subprocess.run([*command, *inside], check=True, env=environment, stderr=subprocess.DEVNULL)
        counts = {}
        for path in sorted(Path(folder).glob("out.*"), key=lambda path: int(path.suffix[1:])):
            text = path.read_text(encoding="utf-8")
            name = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.M)
            total = re.search(r"^(?:summary|totals): (\d+)", text, re.M)
            if name is not None and total is not None:
                counts[name.group(1)] = int(total.group(1))
        return counts


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.inside is not None:
        run_inside(arguments.inside)
        return
    for name, instructions in count().items():
        print(
            json.dumps({"stage": name, "instructions": instructions})
            if arguments.json
            else f"{name:44} {instructions / 1e6:10.2f} M"
        )


if __name__ == "__main__":
    main()
