"""The net: hashed features → stages → one recurrent step → risk. Training, and conversion to one int8 TFLite file.

    ids [96] → embedding (16) summed × 1/√n ─┐
    dense [16] ──────────────────────────────┴→ dense 64, ReLU → stage scores [11]
                                                      └→ with the stages and dense: GRU 64, one step → risk [1]

Trained in two steps: lines first (embedding to stages), then conversations (GRU and risk) on the finished lines.
The GRU is Keras's with ``reset_after=False``, whose one step is written out for the file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from safelight import _text

Floats = npt.NDArray[np.float32]

OUTPUTS: Final = 11  # ten stages, and "sexualised", which only repeats what the keyed list says
EMBEDDING: Final = 16
HIDDEN: Final = 64
STATE: Final = 64
_FEATURE_DROPOUT: Final = 0.4
_SEXUALISED: Final = 12  # its place among the dense numbers, docs/text-features.md
_OTHER_STAGES: Final = 0.5  # a line written for one stage may well be another one too: say "no" to those half as loud


@dataclass(frozen=True, slots=True)
class Features:
    """Encoded messages: ``ids`` int32[N, 96], ``dense`` float32[N, 16], ``languages`` uint8[N]."""

    ids: npt.NDArray[np.int32]
    dense: Floats
    languages: npt.NDArray[np.uint8]


def encode(texts: list[str], senders: list[str] | None = None, gaps_s: list[float | None] | None = None) -> Features:
    """Messages as the product encodes them; the contact is unknown."""
    ids, dense, _, languages, _ = _text.features_batch(texts, senders=senders, gaps_s=gaps_s)
    return Features(ids, dense, languages)


@tf.keras.utils.register_keras_serializable("safelight")
class SummedEmbedding(tf.keras.layers.Layer):
    """Embeddings of all ids, summed and divided by the root of their number; some ids are left out in training."""

    def build(self, shape: Any) -> None:
        self.table = self.add_weight(
            name="table", shape=(_text.BUCKETS, EMBEDDING), initializer=tf.keras.initializers.RandomNormal(0.0, 0.1)
        )

    def call(self, ids: Any, training: bool | None = None) -> Any:
        kept = tf.cast(ids > 0, tf.float32)
        if training:
            kept *= tf.cast(tf.random.uniform(tf.shape(ids)) > _FEATURE_DROPOUT, tf.float32)
        summed = tf.einsum("nie,ni->ne", tf.gather(self.table, ids), kept)
        return summed * tf.math.rsqrt(tf.maximum(tf.reduce_sum(kept, axis=1, keepdims=True), 1.0))


def train_lines(features: Features, stages: npt.NDArray[np.int64], weights: Floats, *, seed: int, epochs: int) -> Any:
    """Train from embedding to stages.

    Args:
        features: of N lines.
        stages: ``int[N]``, index of the stage or -1.
        weights: ``float32[N]``.
        seed: of everything random.
        epochs: passes over the lines.

    Returns:
        A Keras model: ids, dense → hidden, logits.
    """
    tf.keras.utils.set_random_seed(seed)
    ids = tf.keras.Input((_text.MAX_IDS,), dtype="int32")
    dense = tf.keras.Input((_text.DENSE,))
    summed = SummedEmbedding(name="embedding")(ids)
    joined = tf.keras.layers.Concatenate()([summed, dense])
    hidden = tf.keras.layers.Dense(HIDDEN, activation="relu", name="hidden")(joined)
    logits = tf.keras.layers.Dense(OUTPUTS, name="stages")(tf.keras.layers.Dropout(0.2)(hidden))
    net = tf.keras.Model([ids, dense], [hidden, logits])

    wanted = np.zeros((len(stages), OUTPUTS), np.float32)
    loud = np.repeat(weights[:, None], OUTPUTS, axis=1)
    cues = stages >= 0
    wanted[np.nonzero(cues)[0], stages[cues]] = 1.0
    loud[cues] *= _OTHER_STAGES
    loud[np.nonzero(cues)[0], stages[cues]] = weights[cues]
    wanted[:, -1] = features.dense[:, _SEXUALISED]
    data = tf.data.Dataset.from_tensor_slices((features.ids, features.dense, wanted, loud))
    data = data.shuffle(len(stages), seed=seed).batch(512).prefetch(2)
    steps = epochs * (len(stages) // 512 + 1)
    optimiser = tf.keras.optimizers.Adam(tf.keras.optimizers.schedules.CosineDecay(3e-3, steps, alpha=0.05))

    @tf.function
    def step(ids: Any, dense: Any, wanted: Any, loud: Any) -> Any:
        with tf.GradientTape() as tape:
            _, logits = net([ids, dense], training=True)
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(wanted, logits) * loud)
        variables = net.trainable_variables
        optimiser.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    for _ in range(epochs):
        for batch in data:
            step(*batch)
    return net


def scores(net: Any, features: Features) -> tuple[Floats, Floats]:
    """Hidden values and stage scores of every message."""
    hidden, logits = net.predict([features.ids, features.dense], batch_size=4096, verbose=0)
    return hidden, (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)


def train_risk(rows: Floats, wanted: Floats, *, seed: int, epochs: int) -> Any:
    """Train the recurrent step and the risk on conversations of finished lines.

    Args:
        rows: ``float32[conversations, messages, 64 + 11 + 16]`` of :func:`recurrent_input`.
        wanted: ``float32[conversations, messages]``, 1 from the message on from which to warn; -1 for padding.
        seed: of everything random.
        epochs: passes over the conversations.

    Returns:
        A Keras model: rows → risk logits of every message.
    """
    tf.keras.utils.set_random_seed(seed)
    inputs = tf.keras.Input((None, rows.shape[2]))
    states = tf.keras.layers.GRU(STATE, return_sequences=True, reset_after=False, name="state")(inputs)
    net = tf.keras.Model(inputs, tf.keras.layers.Dense(1, name="risk")(states))
    kept = (wanted >= 0).astype(np.float32)
    data = tf.data.Dataset.from_tensor_slices((rows, np.maximum(wanted, 0.0), kept)).shuffle(len(rows), seed=seed)
    optimiser = tf.keras.optimizers.Adam(2e-3)

    @tf.function
    def step(rows: Any, wanted: Any, kept: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = net(rows, training=True)[..., 0]
            loss = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(wanted, logits) * kept) / tf.reduce_sum(kept)
        optimiser.apply_gradients(
            zip(tape.gradient(loss, net.trainable_variables), net.trainable_variables, strict=True)
        )
        return loss

    for _ in range(epochs):
        for batch in data.batch(128):
            step(*batch)
    return net


def recurrent_input(hidden: Floats, stages: Floats, dense: Floats) -> Floats:
    """What the recurrent step reads of one message."""
    return np.concatenate([hidden, stages, dense], axis=-1)


def to_tflite(lines: Any, risk: Any) -> bytes:
    """Both nets as one step in one int8 file that both runtimes run.

    Per-tensor on purpose: with per-channel weights TensorFlow 2.21 writes a FULLY_CONNECTED that tflite-runtime 2.14
    does not know, and other routes are silently wrong there.
    """
    table = lines.get_layer("embedding").table.numpy()
    table[0] = 0.0
    hidden_w, hidden_b = lines.get_layer("hidden").get_weights()
    stages_w, stages_b = lines.get_layer("stages").get_weights()
    kernel, recurrent, bias = risk.get_layer("state").get_weights()
    risk_w, risk_b = risk.get_layer("risk").get_weights()

    class Step(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec((1, _text.MAX_IDS), tf.int32, name="ids"),
                tf.TensorSpec((1, _text.DENSE), tf.float32, name="dense"),
                tf.TensorSpec((1, STATE), tf.float32, name="state"),
            ]
        )
        def step(self, ids: Any, dense: Any, state: Any) -> dict[str, Any]:
            count = tf.reduce_sum(tf.cast(tf.minimum(ids, 1), tf.float32), axis=1, keepdims=True)
            rows = tf.gather(tf.constant(table), tf.reshape(ids, (_text.MAX_IDS,)))
            summed = tf.reduce_sum(rows, axis=0, keepdims=True) * tf.math.rsqrt(tf.maximum(count, 1.0))
            hidden = tf.nn.relu(tf.matmul(tf.concat([summed, dense], 1), tf.constant(hidden_w)) + hidden_b)
            stages = tf.sigmoid(tf.matmul(hidden, tf.constant(stages_w)) + stages_b)
            read = tf.concat([hidden, stages, dense], 1)
            parts = [slice(gate * STATE, (gate + 1) * STATE) for gate in range(3)]  # update, reset, candidate
            fed = [tf.matmul(read, tf.constant(kernel[:, part])) + bias[part] for part in parts]
            update = tf.sigmoid(fed[0] + tf.matmul(state, tf.constant(recurrent[:, parts[0]])))
            reset = tf.sigmoid(fed[1] + tf.matmul(state, tf.constant(recurrent[:, parts[1]])))
            candidate = tf.tanh(fed[2] + tf.matmul(reset * state, tf.constant(recurrent[:, parts[2]])))
            following = update * state + (1.0 - update) * candidate
            return {
                "stages": stages,
                "risk": tf.sigmoid(tf.matmul(following, tf.constant(risk_w)) + risk_b),
                "next_state": following,
            }

    module = Step()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.step.get_concrete_function()], module)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter._experimental_disable_per_channel = True
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return bytes(converter.convert())
