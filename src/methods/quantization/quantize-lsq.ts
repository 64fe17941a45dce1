/** @file LSQ: weights and activations on grids of a few bits whose step sizes are learned. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { observeRanges } from "../../int8/ranges.ts";
import type { Node, Value } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import { roundHalfEven } from "../../numeric/quantize.ts";
import type { Builder } from "../../ops/builder.ts";
import { weightsOf } from "../../ops/weights.ts";
import { trainOptions } from "../../train/options.ts";
import { roundToGrid, uniformGrid, uniformStep } from "../../weights/forms/grid.ts";
import { type Latent, type Opened, open, openable, type Theta } from "../../weights/latent.ts";
import { readWeight } from "../../weights/read.ts";
import { siteOptions } from "../../weights/select.ts";
import { type ThetaSite, thetasOf } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

const { epochs, steps, batch, rate, loss, temperature, alpha, augment } = trainOptions.shape;
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
    ...{ epochs, steps, batch, rate, loss, temperature, alpha, augment },
    ...siteOptions,
  }),
  survey: [],
  neutral: { epochs: 0 },
  async apply(model, { bits, activations, ends, ...options }, context) {
    if (options.epochs === 0 && options.steps === 0) return;
    const sites = openable(thetasOf(model, options, context), model, context);
    if (sites.length === 0) return;
    const layers = [...new Set(weightsOf(model).map(({ node }) => node))];
    const isEnd = (node: Node): boolean => node === layers[0] || node === layers.at(-1);
    const weights = sites.map((site) => openWeight(site, isEnd(site.node) ? ends : bits));
    const inputs =
      activations === 0
        ? []
        : await openInputs(model, sites, (node) => (isEnd(node) ? ends : activations), context);
    await context.train(
      model,
      { ...options, holdout: 0, keep: "last" },
      { latents: [...weights, ...inputs] },
    );
  },
});

/**
 * The learning rate of a step size is this times the step, times the learning rate of weights.
 * (Adam normalizes gradients, so that LSQ's own factor on them has no effect.)
 */
const STEP_RATE = 2.5;
/**
 * A step stays above this share of what it starts with. Steps are positive (eq. 1): at 0 nothing is
 * left to learn from, and QuantizeLinear with a negative one gives nonsense.
 */
const LEAST_STEP = 2 ** -10;

/** The theta of a step size that starts at `first`. */
const stepFrom = (first: number): Theta => ({
  start: Float32Array.of(first),
  shape: [],
  rate: STEP_RATE * first,
  min: LEAST_STEP * first,
});

/** s clip(round(x / s), least, greatest) (eq. 1-3). Rounding passes gradients straight through. */
function roundTo(g: Builder, x: Value, s: Value, least: number, greatest: number): Value {
  const clipped = g.Clip(g.Div(x, s), g.constant(least), g.constant(greatest));
  return g.Mul(g.Round(clipped), s);
}

/**
 * Opens a weight: its readers get it rounded to the grid of `step`, and the weight learns as it
 * would anyway. Symmetric, with levels from -top to top.
 */
function openWeight(site: ThetaSite, bits: number): Opened {
  const { values, shape } = site.weight;
  const start = roundToGrid(values, shape, { bits, block: 0, axis: null, search: "mse" });
  const first = uniformStep(start) as number;
  const top = 2 ** (bits - 1) - 1;
  const latent: Latent<"step"> = {
    theta: { step: stepFrom(first) },
    build: (g, { step }, x) => roundTo(g, x, step, -top, top),
    close({ step: [s] }, x) {
      const learned = readWeight(x)?.values ?? values;
      const level = (w: number): number =>
        Math.max(-top, Math.min(top, roundHalfEven(Math.fround(w / s))));
      return uniformGrid(Int8Array.from(learned, level), shape, s);
    },
  };
  return open(site, latent);
}

/** Opens what the layers of these sites read, each value once; other readers get it as it is. */
async function openInputs(
  model: Model,
  sites: readonly ThetaSite[],
  bitsOf: (node: Node) => number,
  context: Context,
): Promise<Opened[]> {
  const nodes = new Set(sites.map(({ node }) => node));
  const readers = new Map<Value, Node[]>();
  for (const { node, index, role } of weightsOf(model)) {
    const input = node.inputs[index === 0 ? 1 : 0];
    const isData = role.kind !== "embedding" && input && !input.tensor;
    if (!isData || !nodes.has(node)) continue;
    readers.set(input, [...(readers.get(input) ?? []), node]);
  }
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
