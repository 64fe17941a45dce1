/**
 * @file Measures int8 around activations: chains of ten convolutions with one after each, in float32,
 * with the convolutions alone in int8 (`ops=weighted`), and with the activations in int8 too
 * (`ops=all`, with `activations=approximate` for Gelu), natively and in wasm, with one thread. Writes
 * results/gates.json: float time / int8 time of each, and the signal-to-noise ratio of the outputs in
 * dB. Arguments choose rows by parts of their names ("tanh", "1x1 64"); the others are kept.
 */
import type { Value } from "../src/ir/graph.ts";
import type { Model } from "../src/ir/model.ts";
import { tensor } from "../src/ir/tensor.ts";
import { measureLatency } from "../src/measure/latency.ts";
import { nodePlatform } from "../src/node/platform.ts";
import { createRandom } from "../src/numeric/random.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import type { Builder } from "../src/ops/builder.ts";
import { openNodeRuntime } from "../src/runtime/ort-node.ts";
import { openWebRuntime } from "../src/runtime/ort-web.ts";
import { apply, environmentOf } from "../test/support/apply.ts";
import { tensorDataset } from "../test/support/dataset.ts";
import { layerModel } from "../test/support/layer.ts";
import { nets } from "../test/support/nets.ts";
import { readRun, writeRun } from "./record.ts";

/** Channels, side of the map, kernel; "dw" puts a depthwise 3x3 before each pointwise layer. */
const chains = {
  "1x1 64 @52": { n: 64, side: 52, kernel: 1 },
  "1x1 128 @26": { n: 128, side: 26, kernel: 1 },
  "1x1 256 @13": { n: 256, side: 13, kernel: 1 },
  "3x3 64 @52": { n: 64, side: 52, kernel: 3 },
  "dw+pw 64 @52": { n: 64, side: 52, kernel: 1, isDepthwise: true },
  "dw+pw 128 @26": { n: 128, side: 26, kernel: 1, isDepthwise: true },
};
type Chain = (typeof chains)[keyof typeof chains] & { readonly isDepthwise?: boolean };

interface Activation {
  draw(g: Builder, x: Value): Value;
  /** 1 / the mean square of what it makes of normal numbers, about: keeps values near 1. */
  readonly gain: number;
  /** The recipes that are compared: options of quantize-int8 by name. */
  readonly variants: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** The chains that are measured; all, if missing. */
  readonly on?: readonly (keyof typeof chains)[];
}
const weighted = { ops: "weighted" };
const all = { ops: "all" };
const on = ["1x1 64 @52"] as const;
const activations: Readonly<Record<string, Activation>> = {
  silu: { draw: (g, x) => g.Mul(x, g.Sigmoid(x)), gain: 3, variants: { weighted, all } },
  relu: { draw: (g, x) => g.Relu(x), gain: 2, variants: { all } },
  gelu: {
    draw: (g, x) => g.Gelu(x),
    gain: 2.4,
    variants: { weighted, approximate: { activations: "approximate" } },
    on,
  },
  tanh: { draw: (g, x) => g.Tanh(x), gain: 2.5, variants: { weighted, all }, on },
  // Has no integer form: one node in float between conversions.
  hardswish: { draw: (g, x) => g.HardSwish(x), gain: 2.8, variants: { weighted }, on },
  hardsigmoid: {
    draw: (g, x) => g.HardSigmoid(x, { alpha: 1 / 6, beta: 0.5 }),
    gain: 3.6,
    variants: { weighted, all },
    on,
  },
};
const DEPTH = 10;
const BUDGET_MS = 2500;

const random = createRandom(1);
const numbers = (size: number, scale: number) =>
  Float32Array.from({ length: size }, () => random.normal() * scale);
function sqnr(exact: Float32Array, actual: Float32Array): number {
  const signal = exact.reduce((sum, x) => sum + x * x, 0);
  return 10 * Math.log10(signal / exact.reduce((sum, x, i) => sum + (x - actual[i]) ** 2, 0));
}

const round = (x: number) => Math.round(x * 100) / 100;

function chain({ n, side, kernel, isDepthwise }: Chain, { draw, gain }: Activation): Model {
  const conv = (g: Builder, x: Value, k: number, group: number): Value => {
    const shape = [n, n / group, k, k];
    const fan = (n / group) * k * k;
    const weight = g.constant(numbers(n * fan, Math.sqrt(gain / fan)), { shape });
    const pads = new Array<number>(4).fill((k - 1) / 2);
    const bias = g.constant(numbers(n, 0.1));
    return draw(g, g.Conv(x, weight, bias, { kernel_shape: [k, k], group, pads }));
  };
  return layerModel([1, n, side, side], (g, x) => {
    let y = x;
    for (let i = 0; i < DEPTH; i++) {
      if (isDepthwise) y = conv(g, y, 3, n);
      y = conv(g, y, kernel, 1);
    }
    return y;
  });
}

const results: Record<string, Record<string, Record<string, object>>> = readRun("gates") ?? {};
const asked = process.argv.slice(2);
const rows = Object.entries(chains).flatMap(([name, spec]) =>
  Object.entries(activations)
    .filter(([, { on }]) => !on || on.some((each) => each === name))
    .map(([id, activation]) => ({ name, spec, id, activation })),
);
const chosen = rows.filter(
  ({ name, id }) => asked.length === 0 || asked.some((word) => `${name} ${id}`.includes(word)),
);
for (const runtime of [await openNodeRuntime(), await openWebRuntime()]) {
  const engine = runtime.name === "web" ? "wasm" : "native";
  for (const { name, spec, id, activation } of chosen) {
    const model = chain(spec, activation);
    const shape = [1, spec.n, spec.side, spec.side];
    const x = tensor("float32", shape, numbers(spec.n * spec.side ** 2, 1));
    const env = environmentOf(nets[0], {
      ...{ calibration: tensorDataset({ x }), feeds: { x }, runtime },
    });
    const files: [string, Uint8Array][] = [["float", concat(writeModel(model))]];
    for (const [variant, options] of Object.entries(activation.variants)) {
      files.push([variant, (await apply(model, "quantize-int8", options, env)).bytes]);
    }
    const open = await Promise.all(
      files.map(([, bytes]) => runtime.open({ bytes }, { threads: 1 })),
    );
    const timings = await measureLatency(
      files.map(([variant], i) => ({ name: variant, run: () => open[i].run({ x }) })),
      { platform: nodePlatform, budgetMs: BUDGET_MS },
    );
    const outputs = await Promise.all(open.map((session) => session.run({ x })));
    for (const session of open) await session.close();
    const [float, ...rest] = timings.map(({ latency }) => latency.median);
    const row = Object.fromEntries(
      rest.map((ms, i) => [
        files[i + 1][0],
        {
          speedup: round(float / ms),
          sqnr: round(sqnr(outputs[0].y.floats(), outputs[i + 1].y.floats())),
        },
      ]),
    );
    results[engine] ??= {};
    results[engine][name] = { ...results[engine][name], [id]: row };
    console.log(engine, name, id, JSON.stringify(row));
  }
}
writeRun("gates", results);
