// Asks the float original about chips, in TensorFlow.js's WebAssembly kernels on one thread.
//
//     node original.cjs NODE < chips > answers
//
// NODE is the folder in which `npm ci` was run. Chips: 224 * 224 * 3 bytes of RGB each. Answers: 100 float32 each,
// little-endian, the probabilities of the ages 1 to 100. Only the age output is asked for: what the model would
// say about identity or gender is never computed.
"use strict";

const { createRequire } = require("node:module");
const fs = require("node:fs");
const path = require("node:path");

const SIDE = 224;
const OUTPUT = "age_pred/Softmax";
const MEAN_BGR = [103.939, 116.779, 123.68];
const load = createRequire(path.resolve(process.argv[2], "package.json"));

async function main() {
  console.info = console.log = console.warn; // TensorFlow.js greets on standard output, where only answers belong
  const tf = load("@tensorflow/tfjs");
  const wasm = load("@tensorflow/tfjs-backend-wasm");
  wasm.setWasmPaths(path.dirname(load.resolve("@tensorflow/tfjs-backend-wasm")) + path.sep);
  wasm.setThreadsCount(1);
  await tf.setBackend("wasm");
  await tf.ready();
  const folder = path.join(process.argv[2], "node_modules", "@vladmandic", "human", "models");
  const { modelTopology, weightsManifest } = JSON.parse(fs.readFileSync(path.join(folder, "faceres.json")));
  const weights = fs.readFileSync(path.join(folder, "faceres.bin"));
  const weightData = weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.byteLength);
  const weightSpecs = weightsManifest.flatMap((group) => group.weights);
  const model = await tf.loadGraphModel(tf.io.fromMemory({ modelTopology, weightSpecs, weightData }));
  const chips = fs.readFileSync(0);
  const bytes = SIDE * SIDE * 3;
  for (let start = 0; start < chips.length; start += bytes) {
    const output = tf.tidy(() => {
      const rgb = tf.tensor(Float32Array.from(chips.subarray(start, start + bytes)), [1, SIDE, SIDE, 3]);
      return model.execute(rgb.reverse(3).sub(tf.tensor1d(MEAN_BGR)), OUTPUT);
    });
    fs.writeSync(1, Buffer.from(Float32Array.from(await output.data()).buffer));
    output.dispose();
  }
}

main();
