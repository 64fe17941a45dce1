/** @file Hard concrete gates: an l0 penalty that has a gradient (Louizos et al. 2018). */
import { Graph, type Value } from "../ir/graph.ts";
import type { Tensor } from "../ir/tensor.ts";
import { log } from "../numeric/log.ts";
import { type Builder, build } from "../ops/builder.ts";
import { constantValue } from "../ops/constant.ts";
import { drawnFeed } from "../weights/feeds.ts";
import type { Shape } from "../weights/form.ts";
import { type Latent, type Opened, open, type StepFeed } from "../weights/latent.ts";
import { leaf } from "../weights/weight.ts";
import type { Site } from "./by-score.ts";

/** gamma, zeta (the ends of the stretched interval) and the temperature beta of the paper. */
const [LOW, HIGH, BETA] = [-0.1, 1.1, 2 / 3];
/**
 * log alpha = SPEED a, a being the parameter that learns: at one learning rate gates have to move
 * faster than weights.
 */
const SPEED = 20;
/** log alpha at the start. Gates are open then: z = 1.2 sigmoid(3) - 0.1 is clipped to 1. */
const OPEN = 3;

/**
 * Opens a weight for training as W = w z with a gate z per weight:
 *   z = min(1, max(0, (zeta - gamma) s + gamma))
 *   s = sigmoid((log u - log(1 - u) + log alpha) / beta) in training, u uniform in (0, 1)
 *   s = sigmoid(log alpha) in the result
 * The penalty is `strength` times the expected number of gates that are not shut, sum sigmoid(log
 * alpha - beta log(-gamma / zeta)) (Louizos, Welling, Kingma 2018, arXiv 1712.01312, eq. 10-13).
 * When the weight is closed, it is w z, with exact zeros where gates are shut.
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

/** z = min(1, max(0, (zeta - gamma) sigmoid(logit) + gamma)). */
function openShare(g: Builder, logit: Value): Value {
  const stretched = g.Add(g.Mul(g.Sigmoid(logit), g.constant(HIGH - LOW)), g.constant(LOW));
  return g.Clip(stretched, g.constant(0), g.constant(1));
}

/**
 * w z without noise. It is computed by the graph's own nodes, so that it rounds as the engine does.
 */
function gatedValues(shape: Shape, gate: Float32Array, weight: Float32Array): Float32Array {
  const g = build(new Graph("gates"));
  const alpha = g.Mul(g.constant(gate, { shape }), g.constant(SPEED));
  const product = g.Mul(g.constant(weight, { shape }), openShare(g, alpha));
  return (constantValue(product) as Tensor).floats();
}

/** Noise for each step, uniform in (1e-6, 1 - 1e-6): the logarithms of u and 1 - u stay finite. */
const uniform = (shape: Shape): StepFeed =>
  drawnFeed(shape, (random) => 1e-6 + (1 - 2e-6) * random.float());
