// Runs a model of nsfwjs exactly as nsfwjs does, so that a rebuild can be compared with it.
//
//     node original.cjs source NODE PACKAGE MODEL    the model as JSON on standard output, then stop
//     node original.cjs run NODE PACKAGE MODEL       answers pictures until standard input ends
//
// NODE is the folder in which `npm ci` was run, PACKAGE the unpacked nsfwjs package somewhere below it
// (so that both load the same TensorFlow.js), MODEL a name that nsfwjs knows.
//
// A picture on standard input: height and width as uint32, then height * width * 3 bytes of RGB.
// Its answer on standard output: five float32, in nsfwjs's order of classes. All little-endian.
"use strict";

const { createRequire } = require("node:module");
const path = require("node:path");

const MODULES = { MobileNetV2: "mobilenet_v2", MobileNetV2Mid: "mobilenet_v2_mid" };
const HEADER_BYTES = 8;
const [command, node, packageFolder, name] = process.argv.slice(2);
const load = createRequire(path.resolve(node, "package.json"));
const inPackage = (file) => require(path.resolve(packageFolder, "dist", file));

function source() {
  const folder = path.join("models", MODULES[name]);
  const model = inPackage(path.join(folder, "model.min.js"));
  const names = model.weightsManifest.flatMap((group) => group.paths);
  const shards = names.map((shard) => inPackage(path.join(folder, `${shard}.min.js`))); // base64
  process.stdout.write(JSON.stringify({ model, shards_base64: shards }));
}

async function start() {
  // nsfwjs and TensorFlow.js greet on standard output, where only answers belong.
  console.info = console.log = console.warn;
  const tf = load("@tensorflow/tfjs");
  const wasm = load("@tensorflow/tfjs-backend-wasm");
  const entry = load.resolve("@tensorflow/tfjs-backend-wasm");
  wasm.setWasmPaths(path.dirname(entry) + path.sep);
  wasm.setThreadsCount(1);
  await tf.setBackend("wasm");
  await tf.ready();
  if (tf.getBackend() !== "wasm") throw new Error(`got backend ${tf.getBackend()}, expected wasm`);
  const definition = inPackage(path.join("cjs", "models", `${MODULES[name]}.js`))[`${name}Model`];
  const nsfwjs = inPackage(path.join("cjs", "core.js"));
  return { tf, classifier: await nsfwjs.load(name, { modelDefinitions: [definition] }) };
}

async function run() {
  const { tf, classifier } = await start();
  let pending = Buffer.alloc(0);
  for await (const chunk of process.stdin) {
    pending = Buffer.concat([pending, chunk]);
    for (;;) {
      if (pending.length < HEADER_BYTES) break;
      const shape = [pending.readUInt32LE(0), pending.readUInt32LE(4), 3];
      const end = HEADER_BYTES + shape[0] * shape[1] * shape[2];
      if (pending.length < end) break;
      const values = Int32Array.from(pending.subarray(HEADER_BYTES, end));
      const output = tf.tidy(() => classifier.infer(tf.tensor3d(values, shape, "int32")));
      const answer = Float32Array.from(await output.data());
      output.dispose();
      process.stdout.write(Buffer.from(answer.buffer));
      pending = pending.subarray(end);
    }
  }
}

if (command === "source") source();
else if (command === "run") run();
else throw new Error(`got command ${command}, expected source or run`);
