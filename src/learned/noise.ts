/** @file Noise on weights while they are trained, so that the network computes well with coarse ones. */
import type { Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { weightsOf } from "../ops/weights.ts";
import { drawnFeed } from "../weights/feeds.ts";
import type { Shape } from "../weights/form.ts";
import { type Latent, type Opened, open } from "../weights/latent.ts";
import { chosenLayers, type Selection } from "../weights/select.ts";
import { detached, indicator } from "./straight-through.ts";

/**
 * Opens the weights of the chosen layers as W + share rms(W) e, with e standard normal and drawn anew
 * in every step (Merolla et al. 2016, arXiv 1606.01981, who project weights at random and find that
 * networks trained so survive other distortions too). Gradients pass straight through; exact zeros,
 * which pruning made, get no noise. Nothing of it is stored.
 */
export function openNoisy(model: Model, selection: Selection, share: number): Opened[] {
  const chosen = chosenLayers(model, selection);
  const seen = new Set<Value>();
  return weightsOf(model).flatMap(({ node, value }) => {
    const shape = value.shape as Shape | null;
    const isKnown = shape?.every((dim) => typeof dim === "number");
    const isOpen = chosen.has(node) && value.graph === model.graph && !seen.has(value);
    if (!isOpen || !shape || !isKnown || value.dtype !== "float32") return [];
    seen.add(value);
    return open({ node, value }, noisy(shape, share));
  });
}

const noisy = (shape: Shape, share: number): Latent<never> => ({
  theta: {},
  feeds: { noise: drawnFeed(shape, (random) => random.normal()) },
  build(g, _, w, { noise }) {
    const square = g.ReduceMean(g.Mul(w, w), { keepdims: 0 });
    // A weight of zeros has no noise, and the root no infinite slope there.
    const rms = g.Sqrt(g.Add(square, g.constant(2 ** -60)));
    const isKept = indicator(g, g.Not(g.Equal(w, g.constant(0))));
    const size = g.Mul(detached(g, rms), g.constant(share));
    return g.Add(w, g.Mul(g.Mul(noise, isKept), size));
  },
  close: () => (_, w) => w,
});
