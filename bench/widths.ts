/**
 * @file Measures which numbers of channels the engine's kernels handle fast: the time of a chain of
 * convolutions by its width, in float32 and int8, with one thread. The result is the reason why
 * `prune-channels:round=0` prefers multiples of 16, then of 8 and 4. Writes results/widths.json.
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
import { apply, environmentOf } from "../test/support/apply.ts";
import { tensorDataset } from "../test/support/dataset.ts";
import { layerModel } from "../test/support/layer.ts";
import { nets } from "../test/support/nets.ts";
import { writeRun } from "./record.ts";

const runtime = await openNodeRuntime();
const random = createRandom(1);
const side = 28;
const depth = 6;
const widths = Array.from({ length: 16 }, (_, i) => 4 * (i + 1));
const kinds = { pointwise: 1, "3x3": 3, depthwise: 3 } as const;
type Kind = keyof typeof kinds;

const numbers = (size: number, scale: number) =>
  Float32Array.from({ length: size }, () => random.normal() * scale);

/**
 * A model of six convolutions with n channels and a Relu after each; the input is [1, n, 28, 28].
 */
function chain(kind: Kind, n: number): Model {
  const kernel = kinds[kind];
  const group = kind === "depthwise" ? n : 1;
  const shape = [n, n / group, kernel, kernel];
  const size = shape.reduce((a, b) => a * b, 1);
  const pads = new Array<number>(4).fill((kernel - 1) / 2);
  return layerModel([1, n, side, side], (g: Builder, x: Value) => {
    let y = x;
    for (let i = 0; i < depth; i++) {
      const weight = g.constant(numbers(size, Math.sqrt((2 * n) / size)), { shape });
      const bias = g.constant(numbers(n, 0.1));
      y = g.Relu(g.Conv(y, weight, bias, { kernel_shape: [kernel, kernel], group, pads }));
    }
    return y;
  });
}

const round = (x: number) => Math.round(x * 1e4) / 1e4;

/** CPU milliseconds of a run for each width, timed in turn. */
async function times(kind: Kind, isInteger: boolean): Promise<Record<number, number>> {
  const candidates = [];
  for (const n of widths) {
    const model = chain(kind, n);
    const x = tensor("float32", [1, n, side, side], numbers(n * side * side, 1));
    let bytes = concat(writeModel(model));
    if (isInteger) {
      const env = environmentOf(nets[0], { calibration: tensorDataset({ x }), feeds: { x } });
      bytes = (await apply(model, "quantize-int8", {}, env)).bytes;
    }
    const session = await runtime.open({ bytes }, { threads: 1 });
    candidates.push({
      name: String(n),
      run: () => session.run({ x }),
      close: () => session.close(),
    });
  }
  const timings = await measureLatency(candidates, { platform: nodePlatform, budgetMs: 12000 });
  for (const { close } of candidates) await close();
  const of = (n: number) => timings.find(({ name }) => name === String(n))?.latency;
  return Object.fromEntries(widths.map((n) => [n, round(of(n)?.median ?? 0)]));
}

const found: Record<string, Record<number, number>> = {};
for (const kind of Object.keys(kinds) as Kind[]) {
  for (const isInteger of [false, true]) {
    const label = `${kind} ${isInteger ? "int8" : "float32"}`;
    found[label] = await times(kind, isInteger);
    console.log(label, found[label]);
  }
}
writeRun("widths", { command: "npm run bench:widths", side, depth, cpuMs: found });
process.exit(0);
