/** @file HWGQ: what layers read behind a Relu on levels fitted to half of a normal distribution. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { meansOf } from "../../evidence/pooled.ts";
import type { Node, Value } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import { meanScale } from "../../learned/bwn.ts";
import { innerOptions, trainInner } from "../../learned/inner.ts";
import { storedOn } from "../../learned/inputs.ts";
import { openScaled } from "../../learned/scaled.ts";
import { openOnGrid, roundTo } from "../../learned/step.ts";
import { indicator, passing } from "../../learned/straight-through.ts";
import { inputsOf } from "../../learned/training.ts";
import { halfNormalLevels, halfNormalStep } from "../../numeric/half-normal.ts";
import type { Builder } from "../../ops/builder.ts";
import { type Latent, type Opened, open } from "../../weights/latent.ts";
import type { ThetaSite } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

/**
 * Behind a batch normalization and a Relu values are max(0, x), x about normal: levels
 * are fitted once to that distribution, not to data, and multiplied by the sigma of each value,
 * sigma^2 = E[x^2 | x > 0]. Backwards dy/dx = 1 from 0 to the greatest level, else 0: the clipped
 * Relu.
 *
 * Values near 0 get the level 0; in the paper all that are positive get the next one. That halves
 * the squared error (at 2 bits 0.047 against 0.086 sigma^2), and uniform levels become a
 * QuantizeLinear.
 */
export const quantizeHwgq = defineMethod({
  title: "half-wave Gaussian quantization (HWGQ)",
  equation:
    "x -> levels fitted to max(0, x) of a normal x, times sigma; dy/dx = 1 up to the greatest level, else 0",
  cite: "Cai et al. 2017, arXiv 1702.00953",
  summary:
    "Trains weights of one bit over activations whose few levels suit what a normalization and a Relu give.",
  needs: ["calibration", "training"],
  options: z.object({
    bits: z
      .int()
      .min(1)
      .max(8)
      .default(1)
      .meta({
        description: "Bits of a weight: 1 as in binarize-bwn, more on a grid with a learned step.",
        search: [1, 4],
      }),
    activations: z
      .int()
      .min(1)
      .max(4)
      .default(2)
      .meta({ description: "Bits of what layers read.", search: [2, 3] }),
    levels: z.enum(["uniform", "lloyd"]).default("uniform").meta({
      description: "Levels at even distances, or at the best ones, which no integer kernel takes.",
    }),
    ...innerOptions({ rate: 0.002 }),
  }),
  survey: [{}],
  neutral: { epochs: 0 },
  apply: (model, { bits, activations, levels, ...options }, context) =>
    trainInner(
      model,
      options,
      context,
      `${bits === 1 ? "-1 and +1" : `a grid of ${bits} bits`}, inputs to ${2 ** activations} levels`,
      async (sites) => [
        ...sites.map((site) =>
          bits === 1 ? openScaled(site, meanScale("channel")) : openOnGrid(site, bits),
        ),
        ...(await openHalfWaves(model, sites, levelsOf(levels, activations), context)),
      ],
    ),
});

/** How a value of that sigma is rounded. */
type HalfWave = (sigma: number) => Latent<never>;

function levelsOf(kind: "uniform" | "lloyd", bits: number): HalfWave {
  const greatest = 2 ** bits - 1;
  const levels = { least: 0, greatest };
  if (kind === "uniform") {
    const unit = halfNormalStep(greatest);
    return (sigma) => {
      const step = Math.fround(unit * sigma);
      return {
        theta: {},
        build: (g, _, x) => roundTo(g, x, g.constant(step), levels),
        close: () => storedOn(levels, step),
      };
    };
  }
  const unit = halfNormalLevels(greatest);
  return (sigma) => {
    const own = unit.map((level) => level * sigma);
    const last = own[greatest];
    return {
      theta: {},
      build(g, _, x) {
        const inside = g.Clip(x, g.constant(0), g.constant(last));
        return g.Add(stairs(g, x, own), passing(g, inside));
      },
      close: () => (g, x) => stairs(g, x, own),
    };
  };
}

/** The level nearest to x: the sum of the rises at the thresholds, halfway between two levels. */
function stairs(g: Builder, x: Value, levels: Float64Array): Value {
  const rises = Array.from(levels.subarray(1), (level, i) => {
    const isAbove = g.Greater(x, g.constant((levels[i] + level) / 2, { name: "threshold" }));
    return g.Mul(indicator(g, isAbove), g.constant(level - levels[i], { name: "rise" }));
  });
  return rises.length > 1 ? g.Sum(...rises) : rises[0];
}

/**
 * Opens what the layers of these sites read. Inputs that may be negative stay float, like those
 * that are always 0, and a warning names the layers.
 */
async function openHalfWaves(
  model: Model,
  sites: readonly ThetaSite[],
  rounded: HalfWave,
  context: Context,
): Promise<Opened[]> {
  const readers = inputsOf(model, sites);
  const about = (each: (g: Builder, x: Value) => Value) =>
    Array.from(readers.keys(), (value) => ({
      ...{ value, each },
      axis: (value.shape?.length ?? 1) - 1,
    }));
  const zero = (g: Builder): Value => g.constant(0);
  const parts = [
    about((g, x) => g.Mul(x, x)),
    about((g, x) => indicator(g, g.Greater(x, zero(g)))),
    about((g, x) => indicator(g, g.Less(x, zero(g)))),
  ];
  const means = await meansOf(model, parts.flat(), context.observe);
  const floats: string[] = [];
  const opened = [...readers].flatMap(([value, own], i) => {
    const [square, up, down] = parts.map((part) => meanOf(means.get(part[i])));
    if (down === 0 && up > 0) {
      return open({ node: own[0], value, readers: own }, rounded(Math.sqrt(square / up)));
    }
    floats.push(...own.map(({ name }: Node) => name));
    return [];
  });
  if (floats.length > 0) {
    const what = `the input of ${floats.join(", ")} stays float`;
    context.warn(`${what}: it is no half of a distribution, as a Relu gives`);
  }
  return opened;
}

/** The mean over channels; NaN for what was never finite. */
const meanOf = (channels: Float64Array | undefined): number =>
  channels ? channels.reduce((sum, x) => sum + x, 0) / channels.length : Number.NaN;
