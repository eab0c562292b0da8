"""Read models in TensorFlow.js's formats and rebuild them as TensorFlow functions.

Two formats: ``layers`` (a Keras topology; :func:`rebuild_layers`) and ``graph`` (a frozen TensorFlow
graph; :func:`rebuild_graph`). Both come with the same kind of weights (:func:`decode_weights`).

Only what the graphs of the recipes hold is known, and anything else raises: a reader that guesses
would give a model that is a little wrong. To add an operation, add a ``case`` with the attributes that
the graph has, nothing wider.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

# It comes without type annotations.
import tensorflow as tf  # type: ignore[import-untyped,import-not-found,unused-ignore]

Floats = npt.NDArray[np.float32]
Weights = dict[str, Floats]
Function = Callable[[Any], Any]

_QUANTISED: Final = {"uint8": "<u1", "uint16": "<u2"}
_BATCH_NORM: Final = ("gamma", "beta", "moving_mean", "moving_variance")


def decode_weights(manifest: Iterable[dict[str, Any]], data: bytes) -> Weights:
    """Decode the weights as TensorFlow.js itself does, to the last bit.

    Args:
        manifest: ``weightsManifest`` of a ``model.json``.
        data: Content of all shards, in the manifest's order.

    Returns:
        ``float32`` arrays by name.

    Raises:
        ValueError: A weight is stored in a way that this file does not know, or bytes are left over.
    """
    weights: Weights = {}
    offset = 0
    for spec in (spec for group in manifest for spec in group["weights"]):
        stored = spec.get("quantization", {"dtype": spec["dtype"]})
        kind = stored["dtype"]
        axes = spec["dtype"] == kind == "int32"  # small whole numbers, exact in float32 too
        if not axes and (spec["dtype"] != "float32" or kind not in (*_QUANTISED, "float16", "float32")):
            raise ValueError(f"got weight {spec['name']} of {spec['dtype']} stored as {kind}: not known here")
        dtype = np.dtype(_QUANTISED.get(kind, {"float16": "<f2", "float32": "<f4", "int32": "<i4"}.get(kind)))
        count = int(np.prod(spec["shape"], dtype=np.int64))
        values = np.frombuffer(data, dtype=dtype, count=count, offset=offset)
        offset += count * dtype.itemsize
        if kind in _QUANTISED:
            # In double precision and then rounded once, as JavaScript's numbers do it.
            values = values.astype(np.float64) * stored["scale"] + stored["min"]
        weights[spec["name"]] = values.astype(np.float32).reshape(spec["shape"])
    if offset != len(data):
        raise ValueError(f"got {len(data)} bytes of weights, expected {offset}")
    return weights


def without_softmax(topology: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a topology of either format that gives logits where it gave probabilities."""
    changed = copy.deepcopy(topology)
    if "model_config" in changed:
        layers = changed["model_config"]["config"]["layers"]
        (last,) = (layer["config"] for layer in layers if layer["config"].get("activation") == "softmax")
        last["activation"] = "linear"
    else:
        (last,) = (node for node in changed["node"] if node["op"] == "Softmax")
        last["op"] = "Identity"
    return changed


def rebuild_layers(topology: dict[str, Any], weights: Weights) -> Function:
    """Rebuild a ``layers`` model: one input, one output, no shared layer.

    Args:
        topology: ``modelTopology`` of a ``model.json``.
        weights: From :func:`decode_weights`.

    Returns:
        A function from the model's ``float32`` input to its output, to be traced by ``tf.function``.
    """
    config = topology["model_config"]["config"]
    layers = config["layers"]
    ((input_name, _, _),) = config["input_layers"]
    ((output_name, _, _),) = config["output_layers"]

    def run(value: Any) -> Any:
        tensors = {input_name: value}
        for layer in layers:
            if layer["name"] != input_name:
                ((*inputs,),) = ([name for name, _, _, _ in node] for node in layer["inbound_nodes"])
                tensors[layer["name"]] = _layer(layer, [tensors[name] for name in inputs], weights)
        return tensors[output_name]

    return run


def _layer(layer: dict[str, Any], inputs: list[Any], weights: Weights) -> Any:
    config, name, value = layer["config"], layer["name"], inputs[0]
    if config.get("data_format", "channels_last") != "channels_last":
        raise ValueError(f"got layer {name} with channels first: not known here")
    match layer["class_name"], config:
        case "ZeroPadding2D", {"padding": [rows, columns]}:
            return tf.pad(value, [[0, 0], rows, columns, [0, 0]])
        case "Conv2D", {"dilation_rate": [1, 1], "use_bias": False, "activation": "linear"}:
            return tf.nn.conv2d(value, weights[f"{name}/kernel"], config["strides"], config["padding"].upper())
        case "DepthwiseConv2D", {"dilation_rate": [1, 1], "use_bias": False, "activation": "linear"}:
            strides = [1, *config["strides"], 1]
            kernel = weights[f"{name}/depthwise_kernel"]
            return tf.nn.depthwise_conv2d(value, kernel, strides, config["padding"].upper())
        case "BatchNormalization", {"axis": -1, "scale": True, "center": True}:
            gamma, beta, mean, variance = (weights[f"{name}/{part}"] for part in _BATCH_NORM)
            return tf.nn.batch_normalization(value, mean, variance, beta, gamma, config["epsilon"])
        case "ReLU", {"max_value": 6, "negative_slope": 0, "threshold": 0}:
            return tf.nn.relu6(value)
        case "Add", _:
            return tf.add(*inputs)
        case "AveragePooling2D", {"padding": "valid", "pool_size": size, "strides": strides}:
            return tf.nn.avg_pool2d(value, size, strides, "VALID")
        case "Flatten", _:
            return tf.reshape(value, [value.shape[0], -1])
        case "Dropout", _:
            return value
        case "Dense", {"use_bias": True, "activation": "linear" | "relu" | "softmax" as activation}:
            value = tf.nn.bias_add(tf.matmul(value, weights[f"{name}/kernel"]), weights[f"{name}/bias"])
            return {"linear": tf.identity, "relu": tf.nn.relu, "softmax": tf.nn.softmax}[activation](value)
    raise ValueError(f"got layer {layer['class_name']} {config}: not known here")


def rebuild_graph(topology: dict[str, Any], weights: Weights, *, output: str = "Identity") -> Function:
    """Rebuild a ``graph`` model with one placeholder.

    Args:
        topology: ``modelTopology`` of a ``model.json``.
        weights: From :func:`decode_weights`. A weight that is not in the graph's constants is an error
            when it is asked for; a changed one (with something folded into it) is used as it is.
        output: Name of the node whose value is returned.

    Returns:
        A function from the model's ``float32`` input to its output, to be traced by ``tf.function``.
    """
    nodes = {node["name"]: node for node in topology["node"]}
    order = _needed(nodes, output)

    def run(value: Any) -> Any:
        tensors: dict[str, Any] = {}
        for name in order:
            node = nodes[name]
            if node["op"] == "Placeholder":
                tensors[name] = value
            elif node["op"] == "Const":
                tensors[name] = weights[name]
            else:
                tensors[name] = _node(node, [tensors[i] for i in _inputs(node)])
        return tensors[output]

    return run


def _needed(nodes: dict[str, dict[str, Any]], output: str) -> list[str]:
    """List what the output needs, each node after its inputs."""
    order: dict[str, None] = {}
    waiting = [output]
    while waiting:
        missing = [name for name in _inputs(nodes[waiting[-1]]) if name not in order]
        if missing:
            waiting.extend(missing)
        else:
            order[waiting.pop()] = None
    return list(order)


def _inputs(node: dict[str, Any]) -> list[str]:
    """Name a node's inputs, without those that only order the execution."""
    return [name for name in node.get("input", []) if not name.startswith("^")]


def _node(node: dict[str, Any], inputs: list[Any]) -> Any:
    attributes = {name: _attribute(value) for name, value in node.get("attr", {}).items()}
    if attributes.get("data_format", "NHWC") != "NHWC" or set(attributes.get("dilations", [1])) != {1}:
        raise ValueError(f"got node {node['name']} with channels first or dilation: not known here")
    padding, strides = attributes.get("padding"), attributes.get("strides")
    fused = attributes.get("fused_ops", [])
    match node["op"]:
        case "Identity":
            return inputs[0]
        case "Mul":
            return tf.multiply(*inputs)
        case "Sub":
            return tf.subtract(*inputs)
        case "Add" | "AddV2":
            return tf.add(*inputs)
        case "Relu6":
            return tf.nn.relu6(inputs[0])
        case "Conv2D":
            return tf.nn.conv2d(inputs[0], inputs[1], strides, padding)
        case "DepthwiseConv2dNative":
            return tf.nn.depthwise_conv2d(inputs[0], inputs[1], strides, padding)
        case "_FusedConv2D":
            return _fused(tf.nn.conv2d(inputs[0], inputs[1], strides, padding), inputs[2:], fused)
        case "FusedDepthwiseConv2dNative":
            return _fused(tf.nn.depthwise_conv2d(inputs[0], inputs[1], strides, padding), inputs[2:], fused)
        case "_FusedMatMul" if not (attributes["transpose_a"] or attributes["transpose_b"]):
            return _fused(tf.matmul(inputs[0], inputs[1]), inputs[2:], fused)
        case "AvgPool":
            return tf.nn.avg_pool2d(inputs[0], attributes["ksize"], strides, padding)
        case "Squeeze" if attributes["squeeze_dims"] == [1, 2]:
            return tf.reshape(inputs[0], [inputs[0].shape[0], inputs[0].shape[-1]])
        case "Mean" if inputs[1].tolist() == [1, 2] and not attributes["keep_dims"]:
            return tf.reduce_mean(inputs[0], axis=[1, 2])
        case "Softmax":
            return tf.nn.softmax(inputs[0])
    raise ValueError(f"got node {node['op']} {attributes}: not known here")


def _fused(value: Any, more: list[Any], operations: list[str]) -> Any:
    """Apply what TensorFlow.js's converter fused behind a convolution or product."""
    if operations[:1] != ["BiasAdd"] or len(more) != 1 or operations[1:] not in ([], ["Relu"], ["Relu6"]):
        raise ValueError(f"got fused operations {operations}: not known here")
    value = tf.nn.bias_add(value, more[0])
    activations = {"Relu": tf.nn.relu, "Relu6": tf.nn.relu6}
    return activations[operations[1]](value) if operations[1:] else value


def _attribute(value: dict[str, Any]) -> Any:
    """Read one attribute: protocol buffers in JSON give numbers as text and text in base64."""
    if not value:
        return None
    ((kind, content),) = value.items()
    match kind:
        case "s":
            return base64.b64decode(content).decode("ascii")
        case "i":
            return int(content)
        case "list":
            return [
                _attribute({inner: item}) for inner, items in cast("dict[str, Any]", content).items() for item in items
            ]
    return content
