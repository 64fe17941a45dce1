/** @file Detail-preserving pooling: pools become weighted means whose weights learn. */
import { z } from "zod";
import type { Value } from "../../ir/graph.ts";
import { type Pool, pooledBy, poolsOf, tiles } from "../../layers/pools.ts";
import { learnedOptions } from "../../learned/training.ts";
import type { Builder } from "../../ops/builder.ts";
import { hasTrait } from "../../ops/traits.ts";
import { type Latent, type Opened, open } from "../../weights/latent.ts";
import { defineMethod } from "../method.ts";

/** Keeps the logarithm of a difference finite; the paper's epsilon. */
const EPSILON = 1e-3;

const { only: _only, except: _except, ...training } = learnedOptions();

/**
 * With m the mean of a window, a pool that has one window for each position becomes
 *   y = sum_q w_q x_q / sum_q w_q,   w_q = alpha + (max(0, x_q - m)^2 + epsilon^2)^(lambda / 2)
 * (eq. 4 to 8, asymmetric): lambda = 0 is the mean, a large one nearly the maximum. lambda and alpha,
 * one of each per channel, are trained with the network. The paper smooths m first; here it is plain.
 *
 * The weighted mean takes more time than the engine's own pool: this is a method for accuracy.
 */
export const poolDetail = defineMethod({
  title: "detail-preserving pooling",
  equation: "y = sum_q w_q x_q / sum_q w_q, w_q = alpha + (max(0, x_q - m)^2 + e^2)^(lambda / 2)",
  cite: "Saeedan et al. 2018, arXiv 1804.04076",
  summary: "Replaces pools by weighted means that keep details, and trains their weights.",
  needs: ["training"],
  grows: true,
  options: z.object({
    lambda: z
      .number()
      .min(0)
      .max(16)
      .default(4)
      .meta({
        description: "The start in the place of a maximum; a mean starts at 0, where it is one.",
        search: [2, 4],
      }),
    ...training,
  }),
  survey: [{}],
  neutral: { epochs: 0 },
  async apply(model, { lambda, ...options }, context) {
    await context.progress(0, 1);
    if (options.epochs === 0 && options.steps === 0) return;
    const opened = poolsOf(model).flatMap((pool): Opened[] => {
      const { node } = pool;
      if (tiles(pool) && !node.output.isOutput) {
        const start = hasTrait(node, "averages") ? 0 : lambda;
        return [open({ node, value: node.output }, detailed(pool, start))];
      }
      context.skip(node.name, "has windows that overlap, or stand over the map");
      return [];
    });
    if (opened.length === 0) return;
    await context.train(model, { ...options, holdout: 0, keep: "last" }, { latents: opened });
  },
});

function detailed(
  { window: { kernel }, channels }: Pool,
  lambda: number,
): Latent<"lambda" | "alpha"> {
  const shape = [1, channels, ...kernel.flatMap(() => [1, 1])];
  const filled = (value: number) => new Float32Array(channels).fill(value);
  return {
    theta: {
      lambda: { start: filled(lambda), shape, min: 0, max: 16 },
      alpha: { start: filled(0), shape, min: 0 },
    },
    build: (g, { lambda, alpha }, y) => weighted(g, pooledBy(y), kernel, lambda, alpha),
    close:
      ({ lambda, alpha }) =>
      (g, y) => {
        const [own, offset] = Object.entries({ lambda, alpha }).map(([name, values]) =>
          g.constant(values, { shape, name }),
        );
        return weighted(g, pooledBy(y), kernel, own, offset);
      },
  };
}

/** y [N, C, H / k, W / k] of x [N, C, H, W], lambda and alpha [1, C, 1, ...]. */
function weighted(
  g: Builder,
  x: Value,
  kernel: readonly number[],
  lambda: Value,
  alpha: Value,
): Value {
  const [channels, ...sides] = (x.shape ?? []).slice(1) as number[];
  const output = sides.map((size, axis) => size / kernel[axis]);
  // [N, C, H / k, k, W / k, k]
  const split = output.flatMap((size, axis) => [size, kernel[axis]]);
  const axes = kernel.map((_, axis) => 3 + 2 * axis);
  const windows = g.Reshape(x, g.ints([-1, channels, ...split], "split"));
  const mean = g.ReduceMean(windows, g.ints(axes, "axes"), { keepdims: 1 });
  const above = g.Relu(g.Sub(windows, mean));
  const square = g.Add(g.Mul(above, above), g.constant(EPSILON ** 2));
  const power = g.Exp(g.Mul(g.Mul(lambda, g.constant(0.5)), g.Log(square)));
  const weights = g.Add(power, alpha);
  const sum = (value: Value) => g.ReduceSum(value, g.ints(axes, "axes"), { keepdims: 0 });
  return g.Div(sum(g.Mul(windows, weights)), sum(weights));
}
