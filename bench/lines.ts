/**
 * @file 1-D convolutions beside the same sums as 2-D ones with one row (`conv-1d-to-2d`), natively and in
 * wasm, timed in turn with one thread. Writes results/lines.json; `npm run bench:lines` takes a minute.
 */
import { tensor } from "../src/ir/tensor.ts";
import { createRandom } from "../src/numeric/random.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import { openNodeRuntime } from "../src/runtime/ort-node.ts";
import { openWebRuntime } from "../src/runtime/ort-web.ts";
import type { Runtime } from "../src/runtime/runtime.ts";
import { apply, environmentOf } from "../test/support/apply.ts";
import { layerModel } from "../test/support/layer.ts";
import { nets } from "../test/support/nets.ts";
import { timeInTurn } from "./in-turn.ts";
import { writeRun } from "./record.ts";

/** A layer with as many outputs as inputs. */
interface Line {
  readonly channels: number;
  readonly isDepthwise: boolean;
  readonly taps: number;
  readonly stride: number;
  readonly length: number;
}

/** One layer on one engine. */
export interface LineRow extends Line {
  readonly runtime: string;
  /** Time of the 1-D convolution over that of the 2-D one, with its 95 % interval. */
  readonly speedup: number;
  readonly ci95: readonly [number, number] | null;
  /** Largest difference of outputs. */
  readonly error: number;
}

const line = (channels: number, taps: number, length: number, more: Partial<Line> = {}): Line => ({
  ...{ channels, taps, length, isDepthwise: false, stride: 1, ...more },
});
const depthwise = { isDepthwise: true };
const lines = [
  line(256, 3, 500, depthwise),
  line(256, 7, 500, depthwise),
  line(512, 15, 200, depthwise),
  line(256, 31, 500, depthwise),
  line(16, 5, 4000),
  line(64, 3, 400),
  line(64, 7, 4000, { stride: 2 }),
];

const random = createRandom(1);
const normal = (size: number) => Float32Array.from({ length: size }, () => random.normal());
const env = environmentOf(nets[0]);
const round = (x: number): number => Number(x.toPrecision(3));

async function rowOf(own: Line, runtime: Runtime): Promise<LineRow> {
  const { channels, taps, stride, length } = own;
  const group = own.isDepthwise ? channels : 1;
  const shape = [channels, channels / group, taps];
  const before = taps >> 1;
  const model = layerModel([1, channels, length], (g, x) =>
    g.Conv(x, g.constant(normal((channels * channels * taps) / group), { shape }), {
      ...{ group, strides: [stride], pads: [before, before] },
    }),
  );
  const flat = (await apply(model, "conv-1d-to-2d", { measure: false }, env)).bytes;
  const feeds = { x: tensor("float32", [1, channels, length], normal(channels * length)) };
  const models = [concat(writeModel(model)), flat];
  const options = { budgetMs: 1000, minRuns: 15, warmup: 2 };
  const { timings, outputs } = await timeInTurn(runtime, models, feeds, options);
  const { value, ci95 } = timings[1].ratio;
  const error = outputs[0].reduce((most, y, i) => Math.max(most, Math.abs(y - outputs[1][i])), 0);
  return {
    ...{ ...own, runtime: runtime.name, speedup: round(value) },
    ci95: ci95 && [round(ci95[0]), round(ci95[1])],
    error: Number(error.toPrecision(2)),
  };
}

const rows: LineRow[] = [];
for (const runtime of [await openNodeRuntime(), await openWebRuntime()]) {
  for (const own of lines) rows.push(await rowOf(own, runtime));
}
for (const row of rows) console.log(JSON.stringify(row));
writeRun("lines", { command: "npm run bench:lines", rows });
process.exit(0);
