/**
 * @file Convolutions as products of spectra against the engine's own, in wasm and natively, timed in
 * turn with one thread: single layers, networks for which the method chooses, and the DFT operator.
 * Writes results/fft.json; `npm run bench:fft` takes about ten minutes. Arguments name the parts that
 * are run anew (depthwise, dense-64, lines, convnext ...), numbers the taps.
 */

import type { Speedup } from "../src/context.ts";
import type { Value } from "../src/ir/graph.ts";
import { cloneModel, type Model } from "../src/ir/model.ts";
import { tensor } from "../src/ir/tensor.ts";
import { replaceBySpectra, type Shapes, shapesOf, spectrumShape } from "../src/layers/fourier.ts";
import { type Layer, layerOf } from "../src/layers/matrix.ts";
import { numbersOf, type Plan, plansOf } from "../src/numeric/fourier.ts";
import { createRandom } from "../src/numeric/random.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import type { Builder } from "../src/ops/builder.ts";
import { inferModel } from "../src/ops/infer.ts";
import { createContext, createNotes } from "../src/recipe/step-context.ts";
import { parseRecipe } from "../src/recipe/steps.ts";
import { openNodeRuntime } from "../src/runtime/ort-node.ts";
import { openWebRuntime } from "../src/runtime/ort-web.ts";
import type { Runtime } from "../src/runtime/runtime.ts";
import { product } from "../src/util/product.ts";
import { fourier } from "../src/weights/forms/fourier.ts";
import { layersOf } from "../src/weights/sites.ts";
import { composed } from "../src/weights/weight.ts";
import { apply, environmentOf } from "../test/support/apply.ts";
import { layerModel } from "../test/support/layer.ts";
import { nets } from "../test/support/nets.ts";
import { errorOf, timeInTurn } from "./in-turn.ts";
import { readRun, writeRun } from "./record.ts";

const METHOD = "fft-convolution";
const runtimes = { web: await openWebRuntime(), node: await openNodeRuntime() };
const random = createRandom(1);
const normal = (size: number, scale: number) =>
  Float32Array.from({ length: size }, () => random.normal() * scale);
const round = (x: number): number => Number(x.toPrecision(3));

interface LayerRow {
  readonly kind: "depthwise" | "dense" | "line, depthwise" | "line, dense";
  readonly channels: number;
  readonly taps: number;
  /** Rows and columns of the map, or its length. */
  readonly size: number;
  readonly runtime: string;
  /** Milliseconds of the convolution. */
  readonly direct: number;
  /** Its time over that of the fastest of the plans that the method tries, with its 95 % interval. */
  readonly speedup: number;
  readonly ci95: readonly [number, number] | null;
  /** T1 x T2 points, and tiles. */
  readonly plan: string;
  /** |difference| / |outputs|. */
  readonly error: number;
  /** Bytes that the file grows by. */
  readonly bytes: number;
  /** Bytes of the filters, and of the spectra that the engine makes of them in memory. */
  readonly memory: readonly [number, number];
}

export interface FftBench {
  readonly layers: readonly LayerRow[];
  readonly networks: readonly {
    readonly name: string;
    readonly runtime: string;
    /** Convolutions that the method replaced, of those with more than one tap. */
    readonly replaced: number;
    readonly convolutions: number;
    readonly speedup: number;
    readonly ci95: readonly [number, number] | null;
    readonly error: number;
    /** One of the reasons of layers that were left alone. */
    readonly reason: string | null;
  }[];
  readonly operator: readonly {
    /** Channels and points along each axis. */
    readonly channels: number;
    readonly points: readonly number[];
    readonly runtime: string;
    /** Milliseconds of DFT there and back, and of the whole convolution as products of spectra. */
    readonly operator: number;
    readonly products: number;
  }[];
}

const before = readRun<FftBench>("fft");
const results = {
  layers: [...(before?.layers ?? [])] as LayerRow[],
  networks: [...(before?.networks ?? [])] as FftBench["networks"][number][],
  operator: [...(before?.operator ?? [])] as FftBench["operator"][number][],
};

/** Adds a row in the place of the one that has the same `keys`. */
function note<T extends object>(list: T[], row: T, keys: readonly (keyof T)[]): void {
  const isSame = (other: T) => keys.every((key) => `${other[key]}` === `${row[key]}`);
  const at = list.findIndex(isSame);
  list.splice(at < 0 ? list.length : at, 1, row);
  console.log(JSON.stringify(row));
  writeRun("fft", results);
}

const taps = [5, 7, 13, 21, 31];
const parts: Record<string, () => Promise<void>> = {
  depthwise: () => layers("depthwise", 64, taps, [14, 28, 56]),
  "depthwise-large": async () => {
    await layers("depthwise", 256, [7, 13, 31], [14, 28]);
    await layers("depthwise", 64, [7, 13, 31], [112]);
  },
  dense: () => layers("dense", 16, taps, [14, 28, 56]),
  "dense-64": () => layers("dense", 64, taps, [14, 28, 56]),
  lines: async () => {
    await layers("line, depthwise", 64, [16, 64, 256, 1024], [4096]);
    await layers("line, dense", 16, [16, 64, 256, 1024], [4096]);
  },
  convnext: () =>
    network("ConvNeXt's second stage: 7 x 7, 192 channels @ 28", [1, 192, 28, 28], [7, 7], 2),
  "replknet-31": () =>
    network("RepLKNet's first stage: 31 x 31, 128 channels @ 56", [1, 128, 56, 56], [31, 31], 1),
  "replknet-27": () =>
    network("RepLKNet's third stage: 27 x 27, 512 channels @ 14", [1, 512, 14, 14], [27, 27], 2),
  long: () => network("long filters: 1024 taps, 64 channels @ 4096", [1, 64, 4096], [1024], 1),
  operator,
};
const names = process.argv.slice(2).filter((arg) => arg in parts);
const numbers = process.argv.slice(2).map(Number).filter(Number.isInteger);
for (const [name, run] of Object.entries(parts)) {
  if (names.length === 0 || names.includes(name)) await run();
}
process.exit(0);

async function layers(
  kind: LayerRow["kind"],
  channels: number,
  taps: readonly number[],
  sizes: readonly number[],
): Promise<void> {
  for (const count of taps.filter((one) => numbers.length === 0 || numbers.includes(one))) {
    for (const size of sizes) {
      await layer(kind, channels, count, kind.startsWith("line") ? [size] : [size, size]);
    }
  }
}

/** One convolution that keeps the size of the map, with Relu behind it. */
async function layer(
  kind: LayerRow["kind"],
  channels: number,
  taps: number,
  size: readonly number[],
): Promise<void> {
  const isDense = kind.endsWith("dense");
  const model = layerModel([1, channels, ...size], (g, x) =>
    g.Relu(
      convolution(
        g,
        x,
        channels,
        isDense ? 1 : channels,
        size.map(() => taps),
      ),
    ),
  );
  const { shapes } = layerIn(model);
  const plans = plansOf(shapes.axes, shapes.channels);
  const models = [model, ...plans.map((plan) => withPlan(model, plan))].map(written);
  for (const [name, runtime] of Object.entries(runtimes)) {
    const { timings, errors } = await timed(runtime, models, [1, channels, ...size]);
    const ratios = timings.slice(1).map(({ ratio }) => ratio.value);
    const best = ratios.indexOf(Math.max(...ratios));
    const plan = plans[best];
    const filters = shapes.channels.outputs * (isDense ? channels : 1) * taps ** size.length;
    const row = {
      ...{ kind, channels, taps, size: size[0], runtime: name },
      direct: round(timings[0].latency.median),
      ...rounded(timings[best + 1].ratio),
      plan: `${plan.spans.map(({ points }) => points).join(" x ")}, ${plan.tiles.join(" x ")}`,
      error: errors[best + 1],
      bytes: models[best + 1].length - models[0].length,
      memory: [4 * filters, 4 * numbersOf(plan, shapes.channels)],
    } as const;
    note(results.layers, row, ["kind", "channels", "taps", "size", "runtime"]);
  }
}

/** A convolution with bias whose outputs are as large as its inputs. */
function convolution(
  g: Builder,
  x: Value,
  channels: number,
  groups: number,
  taps: readonly number[],
): Value {
  const shape = [channels, channels / groups, ...taps];
  const scale = Math.sqrt(2 / product(shape.slice(1)));
  const weight = g.constant(normal(product(shape), scale), { shape });
  const pads = [...taps.map((k) => (k - 1) >> 1), ...taps.map((k) => k >> 1)];
  const attributes = { kernel_shape: taps, pads, group: groups };
  return g.Conv(x, weight, g.constant(normal(channels, 0.1)), attributes);
}

function layerIn(model: Model): { layer: Layer; shapes: Shapes } {
  inferModel(model);
  const [site] = layersOf(model, { only: [], except: [] }, { skip() {} });
  const layer = layerOf(site, { grouped: true }) as Layer;
  return { layer, shapes: shapesOf(layer) as Shapes };
}

function withPlan(model: Model, plan: Plan): Model {
  const copy = cloneModel(model);
  const { layer, shapes } = layerIn(copy);
  const u = composed(fourier, spectrumShape(shapes, plan), { kernel: layer.weight });
  replaceBySpectra(layer, shapes, plan, u);
  return copy;
}

function written(model: Model): Uint8Array {
  return concat(writeModel(model));
}

function rounded({ value, ci95 }: Speedup): Pick<LayerRow, "speedup" | "ci95"> {
  return { speedup: round(value), ci95: ci95 && [round(ci95[0]), round(ci95[1])] };
}

/** Times the models in turn on one record, and compares their outputs with those of the first. */
async function timed(engine: Runtime, models: readonly Uint8Array[], shape: readonly number[]) {
  const feeds = { x: tensor("float32", shape, normal(product(shape), 1)) };
  const options = { budgetMs: 500, minRuns: 9, warmup: 1 };
  const { timings, outputs } = await timeInTurn(engine, models, feeds, options);
  const errors = outputs.map((one) => Number(errorOf(outputs[0], one).toExponential(1)));
  return { timings, errors };
}

/** Blocks of a depthwise convolution and two layers without a neighbourhood, beside a shortcut. */
function blocks(shape: readonly number[], taps: readonly number[], count: number): Model {
  return layerModel(shape, (g, x) => {
    const channels = shape[1] as number;
    const ones = taps.map(() => 1);
    let y = x;
    for (let i = 0; i < count; i++) {
      const mixed = convolution(g, y, channels, channels, taps);
      const inner = g.Relu(convolution(g, mixed, channels, 1, ones));
      y = g.Add(y, convolution(g, inner, channels, 1, ones));
    }
    return y;
  });
}

/** A network with random weights, of the sizes of a published one, and what the method makes of it. */
async function network(
  name: string,
  shape: readonly number[],
  taps: readonly number[],
  count: number,
): Promise<void> {
  const model = blocks(shape, taps, count);
  for (const [engine, runtime] of Object.entries(runtimes)) {
    const feeds = { x: tensor("float32", shape, normal(product(shape), 1)) };
    const env = environmentOf(nets[0], { runtime, feeds });
    const [step] = parseRecipe([{ method: METHOD }]);
    const { time } = createContext(step, 0, model, env, createNotes());
    if (!time) throw new Error(`no clock for ${engine}`);
    const { bytes, skipped, model: after } = await apply(model, METHOD, {}, env, { time });
    const { timings, errors } = await timed(runtime, [written(model), bytes], shape);
    const left = convolutionsOf(after);
    const row = {
      ...{ name, runtime: engine },
      replaced: convolutionsOf(model) - left,
      convolutions: convolutionsOf(model),
      ...rounded(timings[1].ratio),
      error: errors[1],
      reason: skipped.find(({ reason }) => !/one tap/.test(reason))?.reason ?? null,
    };
    note(results.networks, row, ["name", "runtime"]);
  }
}

function convolutionsOf({ graph }: Model): number {
  return [...graph.nodes].filter(({ op, inputs }) => {
    const [, , ...sizes] = (op === "Conv" && inputs[1]?.shape) || [];
    return sizes.some((count) => count !== 1);
  }).length;
}

/** The DFT operator there and back, without the product, against a whole convolution. */
async function operator(): Promise<void> {
  const cases = [
    { points: [8192], size: [4096], taps: [1024] },
    { points: [64, 64], size: [56, 56], taps: [15, 15] },
    { points: [72, 72], size: [56, 56], taps: [31, 31] },
  ];
  const channels = 64;
  for (const { points, size, taps } of cases) {
    const shape = [1, channels, ...size];
    const model = layerModel(shape, (g, x) => convolution(g, x, channels, channels, taps));
    const { shapes } = layerIn(model);
    const products = withPlan(model, plansOf(shapes.axes, shapes.channels)[0]);
    const models = [products, transforms(shape, points)].map(written);
    for (const [name, runtime] of Object.entries(runtimes)) {
      const { timings } = await timed(runtime, models, shape);
      const [ours, operator] = timings.map(({ latency }) => round(latency.median));
      const row = { channels, points, runtime: name, operator, products: ours };
      note(results.operator, row, ["channels", "points", "runtime"]);
    }
  }
}

/**
 * DFT of x [1, channels, ...] padded to `points`, and back: half of the frequencies along the last axis,
 * which goes back from all its points, as not every engine takes halves.
 */
function transforms([, channels, ...size]: readonly number[], points: readonly number[]): Model {
  return layerModel([1, channels, ...size], (g, x) => {
    const int = (value: number) => g.constant(value, { dtype: "int64" });
    const along = (y: Value, axis: number, attributes: object) =>
      g.DFT(y, int(points[axis - 1]), int(axis), attributes);
    const last = points.length;
    const pads = [0, 0, ...size.map(() => 0), 0, 0, ...size.map((dim, axis) => points[axis] - dim)];
    const real = g.Reshape(g.Pad(x, g.ints(pads)), g.ints([channels, ...points, 1]));
    let y = along(real, last, { onesided: 1 });
    for (let axis = 1; axis < last; axis++) y = along(y, axis, {});
    for (let axis = 1; axis < last; axis++) y = along(y, axis, { inverse: 1 });
    const back = along(g.Concat(real, real, { axis: last + 1 }), last, { inverse: 1 });
    return g.Add(g.ReduceMean(y), g.ReduceMean(back));
  });
}
