/** @file Hard concrete gates: an l0 penalty that has a gradient. */
import { Graph, type Value } from "../ir/graph.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import { log } from "../numeric/log.ts";
import { type Builder, build } from "../ops/builder.ts";
import { constantValue } from "../ops/constant.ts";
import { product } from "../util/product.ts";
import type { Shape } from "../weights/form.ts";
import { type Latent, type Opened, open, type StepFeed } from "../weights/latent.ts";
import { leaf } from "../weights/weight.ts";
import type { Site } from "./by-score.ts";

/** Stretch (gamma, zeta) and temperature of the paper. */
const [LOW, HIGH, BETA] = [-0.1, 1.1, 2 / 3];
/** log alpha = SPEED a: gates move faster than weights at the same rate. */
const SPEED = 20;
/** Gates start open with this log alpha: z = 1.2 sigmoid(3) - 0.1 is above 1. */
const OPEN = 3;

/**
 * W = w z, z = min(1, max(0, (zeta - gamma) s + gamma)); s = sigmoid(log alpha) in the product, and
 * sigmoid((log u - log(1 - u) + log alpha) / beta) with uniform u while it learns. The penalty is the
 * probability that a gate is not shut, sum sigmoid(log alpha - beta log(-gamma / zeta)) (Louizos,
 * Welling, Kingma 2018, arXiv 1712.01312, eq. 10-13). Closed, W is w z, zero where gates are shut.
 */
export function gated(site: Site, strength: number): Opened {
  const { shape, values } = site.weight;
  const start = new Float32Array(values.length).fill(OPEN / SPEED);
  const latent: Latent<"gate" | "weight"> = {
    theta: { gate: { start, shape }, weight: { start: values, shape, keepsZeros: true } },
    feeds: { noise: uniform(shape) },
    build(g, { gate, weight }, _, { noise: u }) {
      const logit = g.Sub(g.Log(u), g.Log(g.Sub(g.constant(1), u)));
      const alpha = g.Mul(gate, g.constant(SPEED));
      return g.Mul(weight, openShare(g, g.Div(g.Add(logit, alpha), g.constant(BETA))));
    },
    penalty(g, { gate }) {
      const alpha = g.Mul(gate, g.constant(SPEED));
      const shift = g.constant(BETA * log(-LOW / HIGH));
      const notShut = g.Sigmoid(g.Sub(alpha, shift));
      return g.Mul(g.ReduceSum(notShut, null, { keepdims: 0 }), g.constant(strength));
    },
    close: ({ gate, weight }) => leaf(gatedValues(shape, gate, weight), shape),
  };
  return open(site, latent);
}

/** z of the logit of s. */
function openShare(g: Builder, logit: Value): Value {
  const stretched = g.Add(g.Mul(g.Sigmoid(logit), g.constant(HIGH - LOW)), g.constant(LOW));
  return g.Clip(stretched, g.constant(0), g.constant(1));
}

/** w z without noise, in the engine's arithmetic. */
function gatedValues(shape: Shape, gate: Float32Array, weight: Float32Array): Float32Array {
  const g = build(new Graph("gates"));
  const alpha = g.Mul(g.constant(gate, { shape }), g.constant(SPEED));
  const product = g.Mul(g.constant(weight, { shape }), openShare(g, alpha));
  return (constantValue(product) as Tensor).floats();
}

/** In (0, 1), ends excluded. */
function uniform(shape: Shape): StepFeed {
  const size = product(shape);
  const draw = (random: { float(): number }) => () => 1e-6 + (1 - 2e-6) * random.float();
  return {
    dtype: "float32",
    shape,
    at: (_, random) => tensor("float32", shape, Float32Array.from({ length: size }, draw(random))),
  };
}
