/** @file Dynamic network surgery: weights are pruned while they learn, and spliced back when they matter. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { dtypes } from "../../ir/dtype.ts";
import type { Value } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import { type Tensor, tensor } from "../../ir/tensor.ts";
import { type Builder, build } from "../../ops/builder.ts";
import { lowest, sharedOptions } from "../../sparsity/by-score.ts";
import { needsOfLoss } from "../../train/objective.ts";
import { trainOptions } from "../../train/options.ts";
import type { Step } from "../../train/step.ts";
import { siteOptions } from "../../weights/select.ts";
import { type Site, sitesOf, storeWeight } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

const { sparsity, scope } = sharedOptions("global", "layer");
const { epochs, batch, rate, loss, optimizer, augment } = trainOptions.shape;

/**
 * The default threshold is one for the whole model: LeNet-5 at 97 % zeros, one epoch of MNIST, had
 * 97.45 % of the test set right, with one for each layer 91.54 % (pruned at once, then trained: 87.69).
 */
export const pruneSurgery = defineMethod({
  title: "dynamic network surgery",
  cite: "Guo, Yao, Chen 2016, arXiv 1608.04493; Zhu, Gupta 2017, arXiv 1710.01878, eq. 1",
  summary: "Prunes while training: masked weights go on learning and come back when they grow.",
  needs: needsOfLoss,
  options: z.object({
    sparsity,
    scope,
    every: z
      .int()
      .min(1)
      .max(1e5)
      .default(10)
      .meta({ description: "Batches between two looks at the masks." }),
    margin: z
      .number()
      .min(0)
      .max(0.9)
      .default(0.1)
      .meta({ description: "Around the threshold, where masks stay as they are: a share of it." }),
    ...{ epochs, batch, rate, loss, optimizer, augment },
    ...siteOptions,
  }),
  survey: [],
  neutral: { sparsity: 0 },
  async apply(model, options, context) {
    if (options.sparsity === 0) return;
    const cuts = sitesOf(model, options, context)
      .filter((site) => isOpen(site, model, context))
      .map(openUp);
    if (cuts.length === 0) return;
    const surgeon = surgeonOf(cuts, options);
    let steps = 0;
    const { epochs, batch, rate, loss, optimizer, augment, only, except } = options;
    await context.train(
      model,
      { epochs, batch, rate, loss, optimizer, augment, only, except, holdout: 0, keep: "last" },
      {
        extra: cuts.flatMap(({ latent, gone }) => [latent, gone]),
        // Masks are no parameters: they travel with them, so that a checkpoint has all there is.
        beforeUpdate(gradient, __, step) {
          for (const { gone } of cuts) {
            const place = placeOf(step, gone);
            if (place) gradient.fill(0, place.offset, place.offset + place.size);
          }
        },
        begin(count) {
          steps = count;
        },
        afterUpdate: (state, step) => surgeon(state.parameters, state.step + 1, steps, step),
      },
    );
    for (const cut of cuts) close(cut);
  },
});

/** A weight opened for surgery: W = latent * (1 - gone). */
interface Cut {
  readonly site: Site;
  readonly latent: Value;
  readonly gone: Value;
  readonly expression: Value;
}

function isOpen({ node, value }: Site, model: Model, context: Context): boolean {
  const isOutside = value.graph === model.graph;
  if (!isOutside) context.skip(node.name, "lies inside a loop or a branch");
  return isOutside;
}

/** Far above any weight: x / FAR rounds to 0. */
const FAR = 2 ** 20;

/**
 * W = u - gone (u - FAR round(u / FAR)): forward u (1 - gone), and since rounding passes gradients
 * straight through, dE/du = dE/dW for pruned weights as well (eq. 4: "including those of zeros").
 */
function openUp(site: Site): Cut {
  const { value, weight } = site;
  const g = build(value.graph);
  const { shape, values } = weight;
  const latent = g.constant(tensor("float32", shape, values), { name: "latent" });
  const zeros = Float32Array.from(values, (w) => (w === 0 ? 1 : 0));
  const gone = g.constant(tensor("float32", shape, zeros), { name: "gone" });
  const far = integer(g, FAR);
  const none = g.Mul(g.Round(g.Div(latent, far)), far);
  const expression = g.Sub(latent, g.Mul(gone, g.Sub(latent, none)));
  value.graph.replace(value, expression);
  if (value.tensor) value.graph.removeConstant(value);
  return { site, latent, gone, expression };
}

/** A float32 that is no float constant, which would learn. */
const integer = (g: Builder, x: number): Value =>
  g.Cast(g.constant(x, { dtype: "int32" }), { to: dtypes.float32.code });

function close({ site, latent, gone, expression }: Cut): void {
  const [u, dead] = [latent, gone].map(({ tensor: x }) => (x as Tensor).floats());
  const values = u.map((w, i) => (dead[i] ? 0 : w));
  storeWeight({ ...site, value: expression }, { kind: "float", dtype: "float32", values });
}

const placeOf = ({ parameters }: Step, value: Value) =>
  parameters.find((parameter) => parameter.value === value);

interface Plan {
  readonly sparsity: number;
  readonly scope: "layer" | "global";
  readonly every: number;
  readonly margin: number;
}

/**
 * Zeros grow over the first half of the steps, masks move for three quarters, weights to the end.
 * Sets the masks after an update: gone below (1 - margin) t, back above (1 + margin) t, as before in
 * between; the last time by t alone, so that the share comes out exactly. Exact zeros stay.
 */
function surgeonOf(cuts: readonly Cut[], { sparsity, scope, every, margin }: Plan) {
  const wasZero = cuts.map(({ gone }) => (gone.tensor as Tensor).floats());
  return (parameters: Float32Array, at: number, steps: number, step: Step): void => {
    const last = Math.max(1, Math.floor(0.75 * steps));
    if (at > last || (at % every !== 0 && at !== last)) return;
    const share = sparsity * (1 - (1 - Math.min(1, (2 * at) / steps)) ** 3);
    const views = cuts.flatMap(({ latent, gone }, i) => {
      const [u, mask] = [placeOf(step, latent), placeOf(step, gone)];
      if (!u || !mask) return [];
      const view = (offset: number) => parameters.subarray(offset, offset + u.size);
      const sizes = view(u.offset).map((w, j) => (wasZero[i][j] ? -1 : Math.abs(w)));
      return [{ sizes, mask: view(mask.offset) }];
    });
    const groups = scope === "global" ? [views] : views.map((view) => [view]);
    for (const group of groups) {
      const parts = group.map(({ sizes }) => sizes);
      const falls = at === last ? lowest(parts, sparsity) : null;
      const threshold = falls ? 0 : thresholdOf(parts, share);
      for (const { sizes, mask } of group) {
        for (const [j, size] of sizes.entries()) {
          if (falls) mask[j] = falls(size) || size < 0 ? 1 : 0;
          else if (size < (1 - margin) * threshold) mask[j] = 1;
          else if (size > (1 + margin) * threshold) mask[j] = 0;
        }
      }
    }
  };
}

/** The size that `share` of all are below. */
function thresholdOf(parts: readonly Float32Array[], share: number): number {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  all.sort();
  return all[Math.min(all.length - 1, Math.round(share * all.length))];
}
