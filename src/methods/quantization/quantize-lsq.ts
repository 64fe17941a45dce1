/** @file LSQ: weights and activations on grids of a few bits whose step sizes are learned. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { observeRanges } from "../../int8/ranges.ts";
import type { Node } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import { openOnGrid, roundTo, stepFrom } from "../../learned/step.ts";
import {
  endsOf,
  inputsOf,
  learnedOptions,
  sitesToLearn,
  trainLevels,
} from "../../learned/training.ts";
import { type Latent, type Opened, open } from "../../weights/latent.ts";
import type { ThetaSite } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

const bits = (standard: number, least: number) => z.int().min(least).max(8).default(standard);

/**
 * y = s clip(round(x / s), least, greatest), one learned step s per weight and per activation;
 * gradients of x and of s pass the rounding straight through.
 */
export const quantizeLsq = defineMethod({
  title: "learned step size quantization (LSQ)",
  cite: "Esser et al. 2020, arXiv 1902.08153",
  summary:
    "Trains weights and activations on grids of a few bits; the step of each grid learns as well.",
  needs: ({ activations }) => (activations === 0 ? ["training"] : ["calibration", "training"]),
  options: z.object({
    bits: bits(4, 2).meta({ description: "Bits of a weight.", search: [2, 3, 4] }),
    activations: bits(4, 0).meta({
      description: "Bits of what layers read; 0 leaves it float.",
      search: [0, 4, 8],
    }),
    ends: bits(8, 2).meta({ description: "Bits of both, in the first and the last layer." }),
    ...learnedOptions(),
  }),
  survey: [{}],
  neutral: { epochs: 0 },
  async apply(model, { bits, activations, ends, ...options }, context) {
    const sites = sitesToLearn(model, options, context);
    if (sites.length === 0) return;
    const isEnd = endsOf(model);
    const weights = sites.map((site) => openOnGrid(site, isEnd(site.node) ? ends : bits));
    const inputs =
      activations === 0
        ? []
        : await openInputs(model, sites, (node) => (isEnd(node) ? ends : activations), context);
    await trainLevels(model, options, [...weights, ...inputs], context);
  },
});

/** Opens what the layers of these sites read, each value once; other readers get it as it is. */
async function openInputs(
  model: Model,
  sites: readonly ThetaSite[],
  bitsOf: (node: Node) => number,
  context: Context,
): Promise<Opened[]> {
  const readers = inputsOf(model, sites);
  const values = [...readers.keys()];
  const opened: Opened[] = [];
  for (const bits of new Set(values.map((value) => bitsOf(readers.get(value)?.[0] as Node)))) {
    const own = values.filter((value) => bitsOf(readers.get(value)?.[0] as Node) === bits);
    // Steps start at the least squared error, not at the largest value.
    const ranges = await observeRanges(model, own, { kind: "mse" }, context.observe, bits);
    for (const [value, { min, max }] of ranges) {
      const nodes = readers.get(value) as Node[];
      opened.push(openInput({ node: nodes[0], value, readers: nodes }, min, max, bits));
    }
  }
  return opened;
}

/**
 * Opens one activation. Levels are unsigned if it is never negative, as behind a Relu. After
 * training it becomes Clip -> QuantizeLinear -> DequantizeLinear in uint8.
 */
function openInput(
  place: Pick<Opened, "node" | "value" | "readers">,
  min: number,
  max: number,
  bits: number,
): Opened {
  const [least, greatest] =
    min < 0 ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
  const first = Math.fround(Math.max(max / greatest, min / (least || -1), 1e-8));
  const latent: Latent<"step"> = {
    theta: { step: stepFrom(first) },
    build: (g, { step }, x) => roundTo(g, x, step, least, greatest),
    close:
      ({ step: [s] }) =>
      (g, x) => {
        const low = g.constant(Math.fround(least * s), { name: "low" });
        const high = g.constant(Math.fround(greatest * s), { name: "high" });
        const step = g.constant(s, { name: "scale" });
        const zero = g.constant(least < 0 ? 128 : 0, { dtype: "uint8", name: "zero_point" });
        return g.DequantizeLinear(g.QuantizeLinear(g.Clip(x, low, high), step, zero), step, zero);
      },
  };
  return open(place, latent);
}
