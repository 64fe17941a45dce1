/** @file Small networks whose channels other layers read, and what each channel adds there. */
import type { Context } from "../../src/context.ts";
import type { Value } from "../../src/ir/graph.ts";
import { cloneModel, type Model } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Builder } from "../../src/ops/builder.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { createObserve } from "../../src/recipe/observe.ts";
import { trainModel } from "../../src/recipe/train.ts";
import { trainOptions } from "../../src/train/options.ts";
import { environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(23);
export const numbers = (size: number, scale = 1): Float32Array =>
  Float32Array.from({ length: size }, () => random.normal() * scale);
const weight = (g: Builder, ...shape: number[]): Value =>
  g.constant(numbers(shape.reduce((a, b) => a * b)), { shape });

/** One layer makes `units` channels, and the layers after it read them; their outputs are joined. */
export interface NextLayers {
  readonly model: Model;
  readonly x: Tensor;
  readonly units: number;
  /** The axis of the readers' weights that counts the channels, and the outputs of each reader. */
  readonly axis: number;
  readonly widths: readonly number[];
}

const pads = [1, 1, 1, 1];

export const nextLayers: Readonly<Record<string, NextLayers>> = {
  "two products": {
    model: layerModel(["N", 5], (g, x) => {
      const y = g.LeakyRelu(g.Add(g.MatMul(x, weight(g, 5, 7)), weight(g, 7)));
      return g.Concat(g.MatMul(y, weight(g, 7, 4)), g.MatMul(y, weight(g, 7, 3)), { axis: 1 });
    }),
    x: tensor("float32", [40, 5], numbers(200)),
    units: 7,
    axis: 0,
    widths: [4, 3],
  },
  "two convolutions, padded and strided": {
    model: layerModel(["N", 3, 5, 5], (g, x) => {
      const y = g.Relu(g.Conv(x, weight(g, 6, 3, 3, 3), weight(g, 6), { pads }));
      const a = g.Conv(y, weight(g, 4, 6, 3, 3), null, { pads });
      const b = g.Conv(y, weight(g, 2, 6, 3, 3), null, { strides: [2, 2] });
      return g.Concat(g.Flatten(a), g.Flatten(b), { axis: 1 });
    }),
    x: tensor("float32", [12, 3, 5, 5], numbers(900)),
    units: 6,
    axis: 1,
    widths: [4 * 25, 2 * 4],
  },
  "a convolution of two groups, where a unit is a channel of each": {
    model: layerModel(["N", 3, 4, 4], (g, x) => {
      const y = g.Relu(g.Conv(x, weight(g, 8, 3, 1, 1), weight(g, 8)));
      return g.Flatten(g.Conv(y, weight(g, 6, 4, 3, 3), null, { group: 2, pads }));
    }),
    x: tensor("float32", [12, 3, 4, 4], numbers(576)),
    units: 4,
    axis: 1,
    widths: [6 * 16],
  },
};

/**
 * What each unit adds to the readers' outputs, by the engine: z_u = y with the weights of all other
 * units at zero. One vector per reader, divided by |y| of that reader.
 */
export async function contributionsOf(net: NextLayers): Promise<Float64Array[][]> {
  const run = async (model: Model): Promise<Float64Array[]> => {
    const y = (await outputsOf(concat(writeModel(model)), { x: net.x })).y.floats();
    const width = net.widths.reduce((a, b) => a + b);
    let start = 0;
    return net.widths.map((own) => {
      const from = start;
      start += own;
      return Float64Array.from(
        { length: net.x.shape[0] * own },
        (_, i) => y[Math.floor(i / own) * width + from + (i % own)],
      );
    });
  };
  const whole = await run(net.model);
  const lengths = whole.map((y) => Math.hypot(...y));
  const units: Float64Array[][] = [];
  for (let unit = 0; unit < net.units; unit++) {
    const alone = cloneModel(net.model);
    for (const { value } of weightsOf(alone).slice(1)) {
      const { shape } = value.tensor as Tensor;
      const inner = shape.slice(net.axis + 1).reduce((a, b) => a * b, 1);
      const own = (value.tensor as Tensor)
        .floats()
        .map((w, i) => (Math.floor(i / inner) % shape[net.axis] === unit ? w : 0));
      alone.graph.setConstant(value, tensor("float32", shape, own));
    }
    units.push((await run(alone)).map((z, reader) => z.map((v) => v / lengths[reader])));
  }
  return units;
}

/** <a, b> over all readers. */
export const inner = (a: readonly Float64Array[], b: readonly Float64Array[]): number =>
  a.reduce((sum, z, reader) => z.reduce((s, v, i) => s + v * b[reader][i], sum), 0);

/** The sum of vectors, reader by reader; zeros for none. */
export const total = (
  vectors: readonly (readonly Float64Array[])[],
  like: readonly Float64Array[],
): Float64Array[] =>
  like.map((z, reader) => z.map((_, i) => vectors.reduce((sum, v) => sum + v[reader][i], 0)));

/** A context with the records `x` to calibrate and to train on. */
export function contextOf(model: Model, x: Tensor): Context {
  const data = tensorDataset({ x });
  const env = environmentOf(nets[0], { calibration: data, training: data, feeds: { x } });
  return {
    random: createRandom(1),
    signal: null,
    original: model,
    target: env.target,
    skip() {},
    group() {},
    warn() {},
    note() {},
    run: () => Promise.reject(new Error("no engine")),
    read: (path) => Promise.reject(new Error(`no file ${path}`)),
    async progress() {},
    hasCalibration: true,
    observe: createObserve(env, () => {}, "test"),
    train: (trained, options, hooks = {}) =>
      trainModel(trained, trainOptions.parse(options), hooks, env, {
        label: "test",
        original: model,
      }),
  };
}
