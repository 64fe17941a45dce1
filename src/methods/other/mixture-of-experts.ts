/** @file Mixture of experts: of two linear layers, only the neurons that a record needs are computed. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { calibrationOptions } from "../../evidence/options.ts";
import type { Node, Value } from "../../ir/graph.ts";
import { cloneModel, type Model } from "../../ir/model.ts";
import { keepFaster } from "../../layers/faster.ts";
import { inputOf, type Layer, layerOf } from "../../layers/matrix.ts";
import { takePlace } from "../../layers/take-place.ts";
import { balancedKmeans } from "../../numeric/balanced-kmeans.ts";
import { solveSpd } from "../../numeric/cholesky.ts";
import { damped } from "../../numeric/inverse.ts";
import { type Builder, build } from "../../ops/builder.ts";
import { inferModel, inferNode } from "../../ops/infer.ts";
import { hasTrait } from "../../ops/traits.ts";
import { biasOf, isConstantExpression } from "../../ops/weights.ts";
import { siteOptions } from "../../weights/select.ts";
import { layersOf } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

/**
 * y = W2 a, a = act(W1 x + b1), in E experts of equally many neurons e with W1 rows that are alike:
 *   y = b2 + sum_e W2_e m_e + sum_(e among the k best) W2_e (a_e - m_e)
 * m is the mean of a over calibration records, so that an expert that is left out counts as its mean
 * (the paper counts it as 0). The router is a ridge regression of sum_(j in e) |a_j - m_j| |W2_j| on x.
 *
 * The engine reads the chosen weights by Gather, which copies them for each record apart. A single
 * record gains where a quarter of the experts runs, or fewer; many records at once are slower than
 * with the whole layers, and a layer that reads many tokens is left alone. So layers are timed on the
 * user's inputs, and stay as they are where the whole model is no faster.
 */
export const mixtureOfExperts = defineMethod({
  title: "mixture of experts",
  equation: "y = b2 + W2 m + sum over the k best experts e: W2_e (act(W1_e x + b1_e) - m_e)",
  cite: "Zhang et al. 2022, MoEfication, arXiv 2110.01786; Shazeer et al. 2017, arXiv 1701.06538",
  summary:
    "Splits the neurons between two linear layers into experts, of which a router computes a few for each record.",
  needs: ["calibration"],
  simplifyFirst: true,
  grows: true,
  options: z.object({
    experts: z
      .int()
      .min(2)
      .max(1024)
      .default(16)
      .meta({
        description: "Experts of a pair of layers; its neurons have to be a multiple.",
        search: [8, 16, 32],
      }),
    active: z
      .number()
      .min(0.01)
      .max(1)
      .default(0.25)
      .meta({ description: "Share of the experts that run for a record.", search: [0.125, 0.25] }),
    always: z.boolean().default(false).meta({
      description: "Also where the model is slower with experts than with the whole layers.",
    }),
    records: calibrationOptions.records.default(1024),
    damping: z.number().min(1e-6).max(10).default(0.01).meta({
      description: "Added to the second moments of the router's inputs, as a share of their mean.",
    }),
    ...siteOptions,
  }),
  survey: [{}],
  neutral: { active: 1 },
  async apply(model, { experts, active, always, records, damping, ...selection }, context) {
    await context.progress(0, 1);
    const k = Math.max(1, Math.round(active * experts));
    if (k >= experts) return;
    const sites = layersOf(model, selection, context);
    const chosen = new Set(sites.map(({ node }) => node));
    for (const [i, { node }] of sites.entries()) {
      await context.progress(i, sites.length);
      const pair = pairIn(model, node, chosen);
      const why = typeof pair === "string" ? pair : whyNot(pair, experts);
      if (why || typeof pair === "string") {
        if (why) context.skip(node.name, why);
        continue;
      }
      const parts = await split(model, pair, experts, { records, damping }, context);
      if (!always && context.compare) {
        const trial = cloneModel(model);
        inferModel(trial);
        const twin = [...trial.graph.nodes].find(({ name }) => name === node.name) as Node;
        const found = pairIn(trial, twin, null);
        if (typeof found !== "string") replace(found, parts, k);
        const change = { names: [node.name], saved: 1 };
        const how = `computing ${k} of ${experts} experts`;
        const kept = await keepFaster(model, [change], () => trial, context, how);
        if (kept.length === 0) continue;
      }
      replace(pair, parts, k);
    }
  },
});

/** Two linear layers with an activation between them. */
interface Pair {
  readonly first: Layer;
  readonly second: Layer;
  /** The activation's nodes, in order; the first reads W1 x + b1. */
  readonly activation: readonly Node[];
  /** b1, which an Add may add, and b2, which is one of the node. */
  readonly bias: Float32Array;
}

/**
 * The pair that begins with a layer; the reason if it is none. A second layer that is not in `chosen`
 * is no part of a pair.
 */
function pairIn(model: Model, node: Node, chosen: ReadonlySet<Node> | null): Pair | string {
  const sites = layersOf(model, { only: [], except: [] }, { skip() {} });
  const linear = (at: Node): Layer | string => {
    const site = sites.find((one) => one.node === at);
    const layer = site ? layerOf(site) : "is no layer";
    if (typeof layer === "string") return layer;
    if (layer.kind !== "linear") return "is a convolution, which reads many positions at once";
    if (layer.use.side === "left") return "has its matrix on the left";
    const { alpha, beta } = layer.use.scale ?? { alpha: 1, beta: 1 };
    return alpha === 1 && beta === 1 ? layer : "scales its product or its bias";
  };
  const first = linear(node);
  if (typeof first === "string") return first;
  const activation: Node[] = [];
  const own = biasOf(node);
  let at = node.output;
  let isSummed = own === null || first.use.hasBias;
  for (;;) {
    const [next, ...others] = at.consumers;
    if (!next || others.length > 0 || at.isOutput) return NO_PAIR;
    if (!isSummed && hasTrait(next, "adds")) {
      isSummed = true;
      at = next.output;
      continue;
    }
    const second = linear(next);
    if (typeof second !== "string" && inputOf(second) === at) {
      if (activation.length === 0) return "has no activation behind it";
      if (chosen && !chosen.has(next)) return `leads to ${next.name}, which is left out`;
      const size = first.outputs;
      const bias = own?.tensor?.size === size ? own.tensor.floats() : new Float32Array(size);
      if (own && own.tensor?.size !== size) return "has a bias that is no constant";
      return { first, second, activation, bias };
    }
    const given = next.inputs.filter((input) => input && !isConstantExpression(input));
    const isPlain =
      given.length === 1 && next.inputs.every((x) => x === at || x?.tensor?.size === 1 || !x);
    if (!isPlain || !hasTrait(next, "separate") || hasTrait(next, "rearranges")) return NO_PAIR;
    activation.push(next);
    at = next.output;
  }
}

const NO_PAIR = "does not lead through an activation alone to another linear layer";

function whyNot({ first }: Pair, experts: number): string | null {
  if (inputOf(first).shape?.length !== 2) {
    return "reads many tokens at once: each would copy the weights of its own experts";
  }
  const { outputs } = first;
  if (outputs % experts !== 0) return `has ${outputs} neurons, no multiple of ${experts} experts`;
  return outputs < 4 * experts ? `has only ${outputs} neurons for ${experts} experts` : null;
}

/** What replaces a pair: neurons in the order of their experts, the router, the means. */
interface Parts {
  readonly experts: number;
  /** The neuron at each place. */
  readonly order: Uint32Array;
  /** [inputs + 1, experts], the constant in the last row. */
  readonly router: Float64Array;
  /** Mean of each neuron's activation. */
  readonly means: Float64Array;
}

async function split(
  model: Model,
  pair: Pair,
  experts: number,
  { records, damping }: { readonly records: number; readonly damping: number },
  context: Context,
): Promise<Parts> {
  const { first, second } = pair;
  const { inputs, outputs, matrix } = first;
  const random = context.random.fork(first.node.name);
  const index = balancedKmeans(Float64Array.from(matrix), inputs, experts, random);
  const order = Uint32Array.from({ length: outputs }, (_, i) => i);
  order.sort((a, b) => index[a] - index[b] || a - b);
  const activated = (pair.activation.at(-1) as Node).output;

  const means = new Float64Array(outputs);
  let count = 0;
  const sum = (g: Builder, a: Value) => g.ReduceSum(a, g.ints([0], "axes"), { keepdims: 0 });
  await context.observe(
    model,
    [{ value: activated, of: sum }],
    (_, batch, { share, records: ran }) => {
      for (const [i, x] of batch.floats().entries()) means[i] += x * share;
      count += ran;
    },
    records,
  );
  for (let i = 0; i < outputs; i++) means[i] /= count || 1;

  // [x, 1]^T [x, 1, s], with s_e = sum_(j in e) |a_j - m_j| |W2_j|.
  const weights = new Float32Array(outputs * experts);
  for (let j = 0; j < outputs; j++) {
    let square = 0;
    for (let o = 0; o < second.outputs; o++) square += second.matrix[o * outputs + j] ** 2;
    weights[j * experts + index[j]] = Math.sqrt(square);
  }
  const n = inputs + 1;
  const width = n + experts;
  const sums = new Float64Array(n * width);
  const moments = (g: Builder, a: Value): Value => {
    const x = inputIn(pair, a);
    const moved = g.Abs(g.Sub(a, g.constant(Float32Array.from(means))));
    const s = g.MatMul(moved, g.constant(weights, { shape: [outputs, experts] }));
    const zero = g.Mul(g.ReduceSum(s, g.ints([1], "axes"), { keepdims: 1 }), g.constant(0));
    const given = g.Concat(x, g.Add(zero, g.constant(1)), { axis: 1 });
    return g.MatMul(g.Transpose(given, { perm: [1, 0] }), g.Concat(given, s, { axis: 1 }));
  };
  await context.observe(
    model,
    [{ value: activated, of: moments }],
    (_, batch, { share }) => {
      for (const [i, x] of batch.floats().entries()) sums[i] += x * share;
    },
    records,
  );
  const gram = new Float64Array(n * n);
  const cross = new Float64Array(n * experts);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) gram[i * n + j] = sums[i * width + j] / count;
    for (let e = 0; e < experts; e++) cross[i * experts + e] = sums[i * width + n + e] / count;
  }
  const router = solveSpd(damped(gram, n, damping), n, cross, experts);
  return { experts, order, router, means };
}

/** The copy of x in a graph that has the copy `a` of the activation's result. */
function inputIn({ first, activation }: Pair, a: Value): Value {
  let [own, value] = [(activation.at(-1) as Node).output, a];
  while (own !== first.node.output) {
    const { inputs } = own.producer as Node;
    const at = inputs.findIndex((input) => input && !isConstantExpression(input));
    value = (value.producer as Node).inputs[at] as Value;
    own = inputs[at] as Value;
  }
  return (value.producer as Node).inputs[first.use.data] as Value;
}

function replace({ first, second, activation, bias }: Pair, parts: Parts, k: number): void {
  const { experts, order, router, means } = parts;
  const { inputs, outputs, matrix } = first;
  const { outputs: results } = second;
  const each = outputs / experts;
  const g = build(first.node.graph, first.node.name, inferNode);
  const constant = (shape: number[], name: string, at: (i: number) => number) =>
    g.constant(
      Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => at(i)),
      {
        ...{ shape, name },
      },
    );
  const neuron = (expert: number, i: number) => order[expert * each + i];
  const w1 = constant([experts, inputs, each], "W1", (i) => {
    const [e, d, j] = [Math.floor(i / inputs / each), Math.floor(i / each) % inputs, i % each];
    return matrix[neuron(e, j) * inputs + d];
  });
  const b1 = constant([experts, 1, each], "b1", (i) => bias[order[i]]);
  const w2 = constant([experts, each, results], "W2", (i) => {
    return second.matrix[(i % results) * outputs + order[Math.floor(i / results)]];
  });
  const m = constant([experts, 1, each], "means", (i) => means[order[i]]);
  const whole = constant([results], "constant", (o) => {
    return order.reduce((sum, j) => sum + second.matrix[o * outputs + j] * means[j], 0);
  });
  const scores = g.Add(
    g.MatMul(
      inputOf(first),
      constant([inputs, experts], "router", (i) => router[i]),
    ),
    constant([experts], "offset", (e) => router[inputs * experts + e]),
  );
  const best = g.many("TopK", [scores, g.ints([k], "k")], {
    outputs: 2,
    attributes: { axis: -1, largest: 1, sorted: 0 },
  })[1];
  const chosen = (table: Value) => g.Gather(table, best, { axis: 0 });
  // [N, k, 1, d] by [N, k, d, m]: each record with its own experts.
  const x = g.Unsqueeze(inputOf(first), g.ints([1, 2], "axes"));
  let a = g.Add(g.MatMul(x, chosen(w1)), chosen(b1));
  for (const { op, domain, attributes, inputs } of activation) {
    const given = inputs.map((input) => (input && !isConstantExpression(input) ? a : input));
    const node = g.graph.add(op, given, { name: `${first.node.name}/${op}`, domain, attributes });
    inferNode(node);
    a = node.output;
  }
  const changes = g.MatMul(g.Sub(a, chosen(m)), chosen(w2));
  const sum = g.Add(g.ReduceSum(changes, g.ints([1, 2], "axes"), { keepdims: 0 }), whole);
  const own = second.use.hasBias ? biasOf(second.node) : null;
  const y = own ? g.Add(sum, own) : sum;
  takePlace(second.node, y);
}
