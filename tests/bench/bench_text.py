"""Text features and a whole message beside what people would pick: a profanity filter, a sentence encoder.

    python -m pip install alt-profanity-check onnxruntime tokenizers
    taskset -c 0 python tests/bench/bench_text.py [--rounds 15] [--encoder FOLDER] [--json]

FOLDER holds ``model.onnx`` and ``tokenizer.json`` of a sentence encoder such as all-MiniLM-L6-v2. Peers that are not
there are left out and said so. Neither answers the same question: a filter knows words, an encoder gives a vector.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safelight import _text
from safelight.decision import State
from safelight.detect.conversation import ConversationTracker
from safelight.detect.grooming import GroomingDetector, grooming_model

SHORT = "hey, are we still on for practice at 5? my mum can drive us."
LONG = " ".join([SHORT, "I finished the maths homework and the essay about whales,", "see you there :)"] * 3)
DISGUISED = "hеy, ar3 we st1ll on f0r p r a c t i c e at 5?? my m\u200bum can driiiive us."


def peer(name: str) -> Any:
    """The module, or None and a word why."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        print(f"{name}: not measured ({type(error).__name__})", file=sys.stderr)
        return None


def encoder(folder: Path) -> Callable[[str], Any] | None:
    """A sentence encoder on one thread, mean pooling left out (it costs next to nothing)."""
    onnxruntime, tokenizers = peer("onnxruntime"), peer("tokenizers")
    if onnxruntime is None or tokenizers is None:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()  # all-MiniLM-L6-v2 comes set to pad every text to 128 tokens, which nobody would pay for
    names = {node.name for node in session.get_inputs()}

    def run(text: str) -> Any:
        encoded = tokenizer.encode(text)
        values = {
            "input_ids": encoded.ids,
            "attention_mask": encoded.attention_mask,
            "token_type_ids": encoded.type_ids,
        }
        return session.run(None, {k: np.array([v], np.int64) for k, v in values.items() if k in names})

    return run


def _twin() -> Callable[[str], Any]:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    return importlib.import_module("reference.text").features


def contenders(folder: Path | None) -> dict[str, Callable[[str], Any]]:
    """Name → function of a message."""
    found: dict[str, Callable[[str], Any]] = {
        "safelight features": _text.features,
        "safelight features, 64 at once (each)": lambda text: _text.features_batch([text] * 64),
        "readable twin": _twin(),
    }
    detector = GroomingDetector()
    if grooming_model() is None or (state := detector.prepare()) is not State.OK:
        print(
            f"safelight whole message: not measured ({'no model' if grooming_model() is None else state})",
            file=sys.stderr,
        )
    else:
        tracker = ConversationTracker(detector)
        found["safelight whole message"] = lambda text: tracker.add(sender="other", text=text)
    if profanity := peer("profanity_check"):
        found["alt-profanity-check"] = lambda text: profanity.predict_prob([text])
    if folder is not None and (run := encoder(folder)) is not None:
        found["sentence encoder"] = run
    elif folder is None:
        print("sentence encoder: not measured (no --encoder)", file=sys.stderr)
    return found


def seconds(function: Callable[[str], Any], text: str, rounds: int) -> float:
    """Median over rounds of the time of one call, each round about 20 ms."""
    function(text)
    started = time.perf_counter()
    function(text)
    calls = max(1, int(0.02 / max(time.perf_counter() - started, 1e-7)))
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(calls):
            function(text)
        times.append((time.perf_counter() - started) / calls)
    return statistics.median(times)


def main() -> None:
    """Measure and print, ratios to the features of the same message."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    functions = contenders(arguments.encoder)
    for name, text in (("60 characters", SHORT), ("disguised", DISGUISED), ("400 characters", LONG)):
        base = None
        for who, function in functions.items():
            each = seconds(function, text, arguments.rounds) / (64 if "64" in who else 1)
            base = base or each
            row = {"message": name, "who": who, "us": round(each * 1e6, 1), "ratio": round(each / base, 2)}
            print(json.dumps(row) if arguments.json else f"{name:16}{who:40}{row['us']:12.1f} µs {row['ratio']:10.2f}×")
    if not arguments.json:
        print(f"{os.cpu_count()} processors; one thread each")


if __name__ == "__main__":
    main()
