/**
 * @file Measures how much of the work that decomposed convolutions save is saved time: stacks of 3x3
 * convolutions as in VGG and their decompositions at half rank, timed in turn with one thread. Writes
 * results/factors.json.
 */
import type { Model } from "../src/ir/model.ts";
import { cloneModel } from "../src/ir/model.ts";
import { tensor } from "../src/ir/tensor.ts";
import type { Outline } from "../src/layers/chain.ts";
import { costOf } from "../src/layers/cost.ts";
import { layerOf } from "../src/layers/matrix.ts";
import { replaceLayer } from "../src/layers/replace.ts";
import { measureLatency } from "../src/measure/latency.ts";
import { nodePlatform } from "../src/node/platform.ts";
import { createRandom } from "../src/numeric/random.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import { inferModel } from "../src/ops/infer.ts";
import { openNodeRuntime } from "../src/runtime/ort-node.ts";
import { layerModel, weightsIn } from "../test/support/layer.ts";
import { writeRun } from "./record.ts";

const runtime = await openNodeRuntime();
const random = createRandom(1);
const depth = 3;
/** Channels and side of a stack. */
const stacks = [
  [64, 56],
  [128, 28],
  [256, 14],
] as const;

const numbers = (shape: readonly number[]): Float32Array => {
  const size = shape.reduce((a, b) => a * b, 1);
  const scale = Math.sqrt((2 * shape[0]) / size);
  return Float32Array.from({ length: size }, () => random.normal() * scale);
};

/** What takes the place of a 3x3 convolution of c channels. */
const shapes: Record<string, (c: number) => Outline[]> = {
  "Tucker, c / 2": (c) => [
    { name: "in", shape: [c / 2, c, 1, 1] },
    { name: "core", shape: [c / 2, c / 2, 3, 3] },
    { name: "out", shape: [c, c / 2, 1, 1] },
  ],
  "separable, c / 2": (c) => [
    { name: "first", shape: [c / 2, c, 3, 1] },
    { name: "second", shape: [c, c / 2, 1, 3] },
  ],
  "CP, c": (c) => [
    { name: "in", shape: [c, c, 1, 1] },
    { name: "axis0", shape: [c, 1, 3, 1], groups: c },
    { name: "axis1", shape: [c, 1, 1, 3], groups: c },
    { name: "out", shape: [c, c, 1, 1] },
  ],
  "SVD, c / 2": (c) => [
    { name: "down", shape: [c / 2, c, 3, 3] },
    { name: "up", shape: [c, c / 2, 1, 1] },
  ],
};

function stack(c: number, side: number): Model {
  const shape = [c, c, 3, 3];
  return layerModel([1, c, side, side], (g, x) => {
    let y = x;
    for (let i = 0; i < depth; i++) {
      y = g.Relu(g.Conv(y, g.constant(numbers(shape), { shape }), null, { pads: [1, 1, 1, 1] }));
    }
    return y;
  });
}

/** Every convolution replaced, and the ratio of multiply-accumulates. */
function replaced(start: Model, outlines: readonly Outline[]): { model: Model; saved: number } {
  const model = cloneModel(start);
  let [before, after] = [0, 0];
  for (const { use, weight } of weightsIn(model)) {
    const layer = layerOf({ ...use, weight });
    if (typeof layer === "string") throw new Error(layer);
    before += costOf(layer).macs;
    after += costOf(layer, outlines).macs;
    const chain = outlines.map((own) => ({ ...own, values: numbers(own.shape) }));
    const nodes = replaceLayer(layer, chain);
    if (typeof nodes === "string") throw new Error(nodes);
    inferModel(model);
  }
  return { model, saved: before / after };
}

const round = (x: number): number => Math.round(x * 100) / 100;

const rows = [];
for (const [c, side] of stacks) {
  const original = stack(c, side);
  const made = Object.entries(shapes).map(([name, of]) => ({ name, ...replaced(original, of(c)) }));
  const x = tensor("float32", [1, c, side, side], numbers([c, side, side]));
  const candidates = [];
  for (const { name, model } of [{ name: "original", model: original }, ...made]) {
    const session = await runtime.open({ bytes: concat(writeModel(model)) }, { threads: 1 });
    candidates.push({ name, run: () => session.run({ x }), close: () => session.close() });
  }
  const timings = await measureLatency(candidates, { platform: nodePlatform, budgetMs: 20000 });
  for (const { close } of candidates) await close();
  for (const { name, saved } of made) {
    const timing = timings.find((one) => one.name === name);
    const faster = timing?.ratio.value ?? Number.NaN;
    const row = { channels: c, side, name, macs: round(saved), speedup: round(faster) };
    rows.push({ ...row, share: round(faster / saved) });
    console.log(rows.at(-1));
  }
}
writeRun("factors", { command: "npm run bench:factors", depth, threads: 1, rows });
process.exit(0);
