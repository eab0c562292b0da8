"""Multiply-accumulates of a model, counted from its graph: the measure of work that no machine changes.

    python -m common.macs ../open_nsfw_v1 ../blazeface_short_v1 …

Counted: convolutions, depthwise and transposed convolutions, fully connected layers. Additions, pooling,
activations and resizes are left out, as is usual for the figure.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

_CODES = {
    schema.BuiltinOperator.CONV_2D: "conv",
    schema.BuiltinOperator.DEPTHWISE_CONV_2D: "depthwise",
    schema.BuiltinOperator.TRANSPOSE_CONV: "transposed",
    schema.BuiltinOperator.FULLY_CONNECTED: "dense",
    schema.BuiltinOperator.BATCH_MATMUL: "matmul",
}


def count(model: bytes) -> dict[str, int]:
    """MACs of one inference by kind of layer, and ``parameters``: elements of constant tensors with 2+ axes."""
    graph = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    if len(graph.subgraphs) != 1:
        raise SystemExit(f"got {len(graph.subgraphs)} subgraphs, expected one: control flow is not counted.")
    main = graph.subgraphs[0]
    totals = dict.fromkeys(("total", *_CODES.values()), 0)
    weights: dict[int, int] = {}
    for operator in main.operators:
        code = graph.operatorCodes[operator.opcodeIndex]
        kind = _CODES.get(max(code.builtinCode, code.deprecatedBuiltinCode))
        if kind is None:
            continue
        if kind == "matmul":
            raise SystemExit("got BATCH_MATMUL, expected the layers of a picture model; teach this script to count it.")
        kernel_index = int(operator.inputs[1])
        kernel = [int(n) for n in main.tensors[kernel_index].shape]
        weights[kernel_index] = math.prod(kernel)
        out = [int(n) for n in main.tensors[int(operator.outputs[0])].shape]
        if kind == "conv":  # kernel [out, h, w, in]: every output value takes h * w * in products
            macs = math.prod(out) * math.prod(kernel[1:])
        elif kind == "depthwise":  # kernel [1, h, w, out]
            macs = math.prod(out) * kernel[1] * kernel[2]
        elif kind == "transposed":  # kernel [out, h, w, in]; every input value meets h * w * out weights
            source = [int(n) for n in main.tensors[int(operator.inputs[2])].shape]
            macs = math.prod(source) * kernel[0] * kernel[1] * kernel[2]
        else:  # kernel [out, in]
            macs = math.prod(out) * kernel[1]
        totals[kind] += macs
        totals["total"] += macs
    return {**totals, "parameters": sum(weights.values())}


def main() -> None:
    """Print one line a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, help="model folders")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for folder in options.models:
        counts = count((folder / "model.tflite").read_bytes())
        if options.json:
            print(json.dumps({"model": folder.name, **counts}))
        else:
            kinds = ", ".join(f"{kind} {counts[kind] / 1e6:.1f}" for kind in _CODES.values() if counts[kind])
            total, weights = counts["total"] / 1e6, counts["parameters"] / 1e6
            print(f"{folder.name}: {total:.1f} M MACs ({kinds}), {weights:.2f} M weights")


if __name__ == "__main__":
    main()
