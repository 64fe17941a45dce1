/** @file Rewriting random networks of foldable operators leaves what ONNX Runtime computes as it is. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { cloneModel, createModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { verify } from "../../src/ir/verify.ts";
import { createRandom, type Random } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { rewrite } from "../../src/rewrite/index.ts";
import { openNodeRuntime } from "../../src/runtime/ort-node.ts";
import type { Feeds } from "../../src/runtime/runtime.ts";
import { relativeError } from "../support/error.ts";

const runtime = await openNodeRuntime();

/** The network as it grows: its last value, and earlier ones of the same shape. */
interface State {
  readonly g: Builder;
  readonly random: Random;
  x: Value;
  shape: number[];
  readonly earlier: { value: Value; shape: string }[];
}

type Step = (state: State) => void;

const normal = ({ g, random }: State, shape: readonly number[], scale = 1): Value => {
  const size = shape.reduce((product, dim) => product * dim, 1);
  return g.constant(
    Float32Array.from({ length: size }, () => scale * random.normal()),
    { shape },
  );
};
/** Away from zero, either sign. */
const factor = ({ g, random }: State, shape: readonly number[]): Value => {
  const size = shape.reduce((product, dim) => product * dim, 1);
  const draw = () => (random.float() < 0.3 ? -1 : 1) * (0.3 + 1.5 * random.float());
  return g.constant(Float32Array.from({ length: size }, draw), { shape });
};
const pick = <T>({ random }: State, ...options: readonly T[]): T =>
  options[random.int(options.length)];
const channelShape = (state: State): readonly number[] =>
  pick(state, [], [1], [state.shape[1], 1, 1], [1, state.shape[1], 1, 1]);
const flip = ({ random }: State): boolean => random.float() < 0.5;

const steps: Readonly<Record<string, Step>> = {
  conv(s) {
    const [, c, h] = s.shape;
    const k = h >= 3 ? pick(s, 1, 3) : 1;
    const pad = k === 3 ? pick(s, 0, 1) : 0;
    const group = pick(s, 1, c);
    const m = group === 1 ? pick(s, 2, 4) : c;
    const w = normal(s, [m, c / group, k, k], 1 / Math.sqrt((c / group) * k * k));
    const b = flip(s) ? normal(s, [m]) : null;
    s.x = s.g.Conv(s.x, w, b, { pads: [pad, pad, pad, pad], group });
    s.shape = [s.shape[0], m, h + 2 * pad - k + 1, s.shape[3] + 2 * pad - k + 1];
  },
  transposedConv(s) {
    const [n, c, h, w] = s.shape;
    if (h > 8) return;
    s.x = s.g.ConvTranspose(s.x, normal(s, [c, 3, 2, 2], 0.5), flip(s) ? normal(s, [3]) : null, {
      strides: [2, 2],
    });
    s.shape = [n, 3, 2 * h, 2 * w];
  },
  batchNorm(s) {
    const [, c] = s.shape;
    const variance = Float32Array.from({ length: c }, () => 0.2 + s.random.float());
    s.x = s.g.BatchNormalization(
      s.x,
      factor(s, [c]),
      normal(s, [c]),
      normal(s, [c]),
      s.g.constant(variance),
    );
  },
  mul(s) {
    const k = factor(s, channelShape(s));
    s.x = flip(s) ? s.g.Mul(s.x, k) : s.g.Mul(k, s.x);
  },
  div(s) {
    s.x = s.g.Div(s.x, factor(s, channelShape(s)));
  },
  add(s) {
    const k = normal(s, channelShape(s));
    s.x = flip(s) ? s.g.Add(s.x, k) : s.g.Add(k, s.x);
  },
  sub(s) {
    const k = normal(s, channelShape(s));
    s.x = flip(s) ? s.g.Sub(s.x, k) : s.g.Sub(k, s.x);
  },
  relu(s) {
    s.x = s.g.Relu(s.x);
  },
  leakyRelu(s) {
    s.x = s.g.LeakyRelu(s.x, { alpha: 0.2 });
  },
  clip(s) {
    s.x = s.g.Clip(s.x, s.g.constant(pick(s, -1, 0)), s.g.constant(pick(s, 1, 6)));
  },
  hardSwish(s) {
    const clipped = s.g.Clip(s.g.Add(s.x, s.g.constant(3)), s.g.constant(0), s.g.constant(6));
    s.x = flip(s)
      ? s.g.Div(s.g.Mul(s.x, clipped), s.g.constant(6))
      : s.g.Mul(s.x, s.g.Div(clipped, s.g.constant(6)));
  },
  gelu(s) {
    const tail = s.g.Add(s.g.Erf(s.g.Div(s.x, s.g.constant(Math.SQRT2))), s.g.constant(1));
    s.x = s.g.Mul(s.g.Mul(s.x, tail), s.g.constant(0.5));
  },
  maxPool(s) {
    if (s.shape[2] < 2) return;
    s.x = s.g.MaxPool(s.x, { kernel_shape: [2, 2], pads: [0, 0, 1, 1] });
  },
  averagePool(s) {
    if (s.shape[2] < 3) return;
    s.x = s.g.AveragePool(s.x, {
      kernel_shape: [3, 3],
      pads: [1, 1, 1, 1],
      count_include_pad: pick(s, 0, 1),
    });
  },
  pad(s) {
    const [n, c, h, w] = s.shape;
    s.x = s.g.Pad(s.x, s.g.ints([0, 0, 1, 0, 0, 0, 1, 2]));
    s.shape = [n, c, h + 2, w + 2];
  },
  gate(s) {
    s.x = s.g.Add(s.x, s.g.Mul(s.x, s.g.Sigmoid(s.g.GlobalAveragePool(s.x))));
  },
  shapes(s) {
    const there = s.g.Transpose(s.x, { perm: [0, 2, 3, 1] });
    const back = s.g.Transpose(there, { perm: [0, 3, 1, 2] });
    s.x = s.g.Reshape(s.g.Flatten(back), s.g.Shape(s.x));
  },
  residual(s) {
    const same = s.earlier.filter(({ shape }) => shape === s.shape.join());
    if (same.length > 0) s.x = s.g.Add(s.x, same[s.random.int(same.length)].value);
  },
  branch(s) {
    const graph = s.g.graph;
    if (s.x.producer && !s.x.isOutput) graph.setOutput(graph.outputs.length, s.x);
  },
};

/** The same idea for [N, T, C] and, after `flatten`, [N, C]. */
const rowSteps: Readonly<Record<string, Step>> = {
  flatten(s) {
    if (s.shape.length !== 3) return;
    s.x = s.g.Flatten(s.x, { axis: 1 });
    s.shape = [s.shape[0], s.shape[1] * s.shape[2]];
  },
  matMul(s) {
    const width = s.shape[s.shape.length - 1];
    const m = pick(s, 4, 5);
    s.x = s.g.MatMul(s.x, normal(s, [width, m], 1 / Math.sqrt(width)));
    if (flip(s)) s.x = s.g.Add(s.x, normal(s, pick(s, [m], [1, m], [1])));
    s.shape = [...s.shape.slice(0, -1), m];
  },
  gemm(s) {
    if (s.shape.length !== 2) return;
    const [n, width] = s.shape;
    const m = pick(s, 3, 4);
    const transB = pick(s, 0, 1);
    const w = normal(s, transB ? [m, width] : [width, m], 1 / Math.sqrt(width));
    const b = flip(s) ? normal(s, pick(s, [m], [1, m], [])) : null;
    s.x = s.g.Gemm(s.x, w, b, { transB, alpha: pick(s, 1, 0.5), beta: pick(s, 1, 2) });
    s.shape = [n, m];
  },
  mul: (s) => void (s.x = s.g.Mul(s.x, factor(s, rowShape(s)))),
  div: (s) => void (s.x = s.g.Div(s.x, factor(s, rowShape(s)))),
  add: (s) => void (s.x = s.g.Add(normal(s, rowShape(s)), s.x)),
  sub: (s) => void (s.x = s.g.Sub(s.x, normal(s, rowShape(s)))),
  batchNorm(s) {
    if (s.shape.length === 2) steps.batchNorm(s);
  },
  layerNorm(s) {
    const { g } = s;
    const width = s.shape[s.shape.length - 1];
    const centred = g.Sub(s.x, g.ReduceMean(s.x, g.ints([-1])));
    const variance = g.ReduceMean(g.Pow(centred, g.constant(2)), g.ints([s.shape.length - 1]));
    const normalized = g.Div(centred, g.Sqrt(g.Add(variance, g.constant(1e-3))));
    s.x = g.Add(g.Mul(normalized, factor(s, [width])), normal(s, [width]));
  },
  rmsNorm(s) {
    const { g } = s;
    const mean = g.ReduceMean(g.Mul(s.x, s.x), g.ints([-1]));
    const normalized = g.Div(s.x, g.Sqrt(g.Add(mean, g.constant(1e-3))));
    s.x = g.Mul(normalized, factor(s, [s.shape[s.shape.length - 1]]));
  },
  softmax: (s) => void (s.x = s.g.Softmax(s.x)),
  relu: steps.relu,
  gelu: steps.gelu,
  residual: steps.residual,
  branch: steps.branch,
};
const rowShape = (s: State): readonly number[] =>
  pick(s, [], [1], [s.shape[s.shape.length - 1]], [1, s.shape[s.shape.length - 1]]);

interface Kind {
  readonly steps: Readonly<Record<string, Step>>;
  readonly shape: readonly number[];
}
const images: Kind = { steps, shape: [2, 3, 7, 7] };
const rows: Kind = { steps: rowSteps, shape: [2, 3, 4] };

function network(
  kind: Kind,
  names: readonly string[],
  seed: number,
): { model: Model; feeds: Feeds } {
  const random = createRandom(seed);
  const graph = new Graph("random");
  const { shape } = kind;
  const x = graph.addInput("x", "float32", ["N", ...shape.slice(1)]);
  const state: State = { g: build(graph, "n"), random, x, shape: [...shape], earlier: [] };
  for (const name of names) {
    kind.steps[name](state);
    state.earlier.push({ value: state.x, shape: state.shape.join() });
  }
  if (!state.x.producer || state.x.isOutput) state.x = state.g.Tanh(state.x);
  graph.setOutput(graph.outputs.length, state.x);
  for (const [i, output] of graph.outputs.entries()) output.name = `y${i}`;
  for (const [i, node] of [...graph.nodes].entries()) node.name = `${node.op}_${i}`;
  const size = shape.reduce((product, dim) => product * dim, 1);
  const values = Float32Array.from({ length: size }, () => random.normal());
  return { model: createModel(graph, 21), feeds: { x: tensor("float32", shape, values) } };
}

test.each([
  { kind: images, what: "images" },
  { kind: rows, what: "rows" },
])("outputs of $what stay within 1e-5, and a second pass finds nothing", async ({ kind }) => {
  const networks = fc.record({
    names: fc.array(fc.constantFrom(...Object.keys(kind.steps)), { minLength: 2, maxLength: 14 }),
    seed: fc.nat(),
  });
  let applied = 0;
  await fc.assert(
    fc.asyncProperty(networks, async ({ names, seed }) => {
      const { model, feeds } = network(kind, names, seed);
      const expected = await run(model, feeds);
      const rewritten = cloneModel(model);
      applied += rewrite(rewritten).applied.length;
      expect(verify(rewritten)).toEqual([]);
      expect(relativeError(expected, await run(rewritten, feeds))).toBeLessThan(1e-5);
      expect(rewrite(rewritten).applied).toEqual([]);
      expect(size(rewritten)).toBeLessThanOrEqual(size(model) + 512);
    }),
    { numRuns: Number(process.env.RUNS ?? 120), seed: 1 },
  );
  expect(applied).toBeGreaterThan(200);
});

const size = (model: Model): number => writeModel(model).byteLength;

async function run(model: Model, feeds: Feeds) {
  const session = await runtime.open(
    { bytes: concat(writeModel(model)) },
    { optimize: "disabled" },
  );
  const outputs = await session.run(feeds);
  await session.close();
  return outputs;
}
