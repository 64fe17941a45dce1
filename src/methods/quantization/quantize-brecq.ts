/** @file BRECQ with QDrop: roundings of weights and steps of activations learned block by block. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import type { Node, Value } from "../../ir/graph.ts";
import { cloneModel, type Model } from "../../ir/model.ts";
import { type Block, blocksOf } from "../../learned/blocks.ts";
import { openLevels, storedOn } from "../../learned/inputs.ts";
import { gridFor, roundTo, stepFrom } from "../../learned/step.ts";
import { indicator } from "../../learned/straight-through.ts";
import { bitsOption, endsOf } from "../../learned/training.ts";
import type { Range } from "../../numeric/calibrate.ts";
import { quantizeChannels } from "../../numeric/quantize.ts";
import type { Builder } from "../../ops/builder.ts";
import { inferModel } from "../../ops/infer.ts";
import { GAMMA, inverse, ZETA } from "../../rounding/rectified.ts";
import { trainOptions } from "../../train/options.ts";
import { product } from "../../util/product.ts";
import { scalarFeed } from "../../weights/feeds.ts";
import { gridOf } from "../../weights/forms/grid.ts";
import { type Latent, type Opened, open, openable, type StepFeed } from "../../weights/latent.ts";
import { siteOptions } from "../../weights/select.ts";
import { type ThetaSite, thetasOf } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

/**
 * One block after the other is trained to give what it gave before, |y' - y|^2 / |y|^2, on
 * inputs from the blocks that are quantized already. What learns are AdaRound's variables V,
 *   W' = s clip(floor(W / s) + h(V)),  h(V) = clip(1.2 sigmoid(V) - 0.1, 0, 1),
 * and one step for each activation. While training, each element of an activation is rounded or
 * left as it is with probability 1/2 (QDrop, eq. 8): levels of weights then suit both, which is
 * flatter. No label is needed.
 *
 * h is 0 or 1 only at the end of the schedule, and the end may suit the training records too well. So at
 * LOOKS places of it the block is closed as it would be stored, and compared on records that are held out;
 * the best is kept.
 */
export const quantizeBrecq = defineMethod({
  title: "block reconstruction (BRECQ, QDrop)",
  equation: "min over V: |y' - y|^2 / |y|^2 of a block, W' = s clip(floor(W / s) + h(V))",
  cite: "Li et al. 2021, arXiv 2102.05426; Wei et al. 2022, arXiv 2203.05740",
  summary:
    "Learns roundings of weights and steps of activations so that each block gives what it did, without labels.",
  needs: ["calibration", "training"],
  simplifyFirst: true,
  options: z.object({
    bits: bitsOption(4, 2).meta({ description: "Bits of a weight.", search: [2, 3, 4] }),
    activations: bitsOption(4, 0).meta({
      description: "Bits of what layers read; 0 leaves it float.",
      search: [0, 4, 8],
    }),
    ends: bitsOption(8, 2).meta({ description: "Bits of both, in the first and the last layer." }),
    drop: z.number().min(0).max(1).default(0.5).meta({
      description: "Share of the activations' elements that stay float in a training step.",
    }),
    epochs: trainOptions.shape.epochs.meta({
      description: "Times through the training records, for each block.",
    }),
    steps: trainOptions.shape.steps,
    batch: trainOptions.shape.batch.default(32),
    holdout: trainOptions.shape.holdout.meta({
      description:
        "Share of the training records by which roundings are compared on the way; 0: the last ones are taken.",
    }),
    ...siteOptions,
  }),
  survey: [{}],
  neutral: { epochs: 0 },
  async apply(model, options, context) {
    if (options.epochs === 0 && options.steps === 0) return;
    const sites = openable(thetasOf(model, options, context), model, context);
    const isEnd = endsOf(model);
    const teacher = cloneModel(model);
    inferModel(teacher);
    const blocks = blocksOf(model).filter(({ layers }) =>
      sites.some(({ node }) => layers.includes(node)),
    );
    const left = sites.filter(({ node }) => !blocks.some(({ layers }) => layers.includes(node)));
    for (const { node } of left) context.skip(node.name, "lies in no block that one value leaves");
    for (const [i, block] of blocks.entries()) {
      await context.progress(i, blocks.length);
      const own = sites.filter(({ node }) => block.layers.includes(node));
      await rebuild(model, block, own, { ...options, isEnd, teacher }, context);
      inferModel(model);
    }
  },
});

interface Rebuilding {
  readonly bits: number;
  readonly activations: number;
  readonly ends: number;
  readonly drop: number;
  readonly epochs: number;
  readonly steps: number;
  readonly batch: number;
  readonly holdout: number;
  isEnd(node: Node): boolean;
  /** The model before any block of it was quantized. */
  readonly teacher: Model;
}

/** Trains one block against what it gave before, and closes it. */
async function rebuild(
  model: Model,
  { end }: Block,
  sites: readonly ThetaSite[],
  { bits, activations, ends, drop, isEnd, teacher, ...length }: Rebuilding,
  context: Context,
): Promise<void> {
  const over = { steps: 1 };
  const latents = await openLevels(model, sites, { bits, activations, ends }, context, {
    weight: (site, own) => openRounding(site, own, over),
    input: (range, own) => dropped(range, own, drop),
    isEnd,
  });
  const { epochs, steps, batch, holdout } = length;
  const target = [...teacher.graph.nodes].find(({ name }) => name === end.name)?.output;
  const run = {
    epochs,
    steps,
    batch,
    rate: RATE,
    schedule: "constant",
    holdout,
    keep: "best",
  } as const;
  await context.train(
    model,
    // Nothing but what is opened learns, and normalizations stay as they are.
    { ...run, loss: "features", hints: [end.name], except: ["*"], batchnorm: "frozen" },
    {
      latents,
      teacher,
      ...(target && { heldOut: { value: end.output, target, looks: LOOKS } }),
      begin(count) {
        over.steps = count;
      },
    },
  );
}

/** How often a closed block is compared on held-out records. */
const LOOKS = 8;
/** beta falls from the first to the last over the steps after the first WARM share. */
const [BETA, LAST_BETA, WARM] = [20, 2, 0.2];
/** The penalty's strength, in units of the share of W^2 that rounding to the nearest level costs. */
const LAMBDA = 3;
/** The learning rate of V, which has to come far in few steps, and that of a step, over the step. */
const [RATE, STEP_RATE] = [0.05, 0.0025];

/** The number of steps of a run, which is known when it begins. */
interface Length {
  steps: number;
}

/** A weight between the level below and the one above it, with a scale for each channel. */
function openRounding(site: ThetaSite, bits: number, over: Length): Opened {
  const { values, shape } = site.weight;
  const axis = site.channels;
  const top = 2 ** (bits - 1) - 1;
  const { q, scales } = quantizeChannels(values, shape, axis, {
    bits,
    symmetric: true,
    search: "mse",
  });
  const inner = axis === null ? 1 : product(shape.slice(axis + 1));
  const scaleAt = (i: number): number =>
    axis === null ? scales[0] : scales[Math.floor(i / inner) % shape[axis]];
  const floor = values.map((w, i) => Math.floor(w / scaleAt(i)));
  const start = values.map((w, i) => inverse(w / scaleAt(i) - floor[i]));
  const spread = axis === null ? [] : shape.map((dim, i) => (i === axis ? dim : 1));
  const energy = values.reduce((sum, w) => sum + w * w, 0) || 1;
  const error = values.reduce((sum, w, i) => sum + (w - scaleAt(i) * q[i]) ** 2, 0) / energy;
  // Exact zeros were pruned, and stay zero.
  const isKept = values.map((w) => Number(w !== 0));
  const latent: Latent<"v"> = {
    theta: { v: { start, shape } },
    feeds: { beta: falling(over), strength: strengths(over, LAMBDA * error) },
    build(g, { v }) {
      const kept = g.constant(isKept, { shape });
      const h = isKept.includes(0) ? g.Mul(soft(g, v), kept) : soft(g, v);
      const level = g.Add(g.constant(floor, { shape }), h);
      const bounded = g.Clip(level, g.constant(-top), g.constant(top));
      return g.Mul(bounded, g.constant(scales, { shape: spread }));
    },
    // lambda mean(1 - |2 h - 1|^beta), which is 0 where every h is 0 or 1.
    penalty(g, { v }, { beta, strength }) {
      const away = g.Abs(g.Sub(g.Mul(soft(g, v), g.constant(2)), g.constant(1)));
      const open = g.Sub(g.constant(1), g.Pow(away, beta));
      return g.Mul(g.ReduceMean(open, { keepdims: 0 }), strength);
    },
    close({ v }) {
      const levels = Int8Array.from(v, (own, i) =>
        Math.max(-top, Math.min(top, floor[i] + (own >= 0 ? isKept[i] : 0))),
      );
      return gridOf(levels, shape, { scales, axis, block: null, bits });
    },
  };
  return open(site, latent);
}

/** h(V). */
function soft(g: Builder, v: Value): Value {
  const stretched = g.Add(g.Mul(g.Sigmoid(v), g.constant(ZETA - GAMMA)), g.constant(GAMMA));
  return g.Clip(stretched, g.constant(0), g.constant(1));
}

/** The share of a run that is over once the penalty has begun; negative before. */
const shareAt = (step: number, { steps }: Length): number => (step / steps - WARM) / (1 - WARM);

const falling = (over: Length): StepFeed =>
  scalarFeed((step) => BETA + (LAST_BETA - BETA) * Math.max(0, shareAt(step, over)));

const strengths = (over: Length, strength: number): StepFeed =>
  scalarFeed((step) => (shareAt(step, over) > 0 ? strength : 0));

/**
 * An activation on a grid, of which `drop` of the elements stay float in each step. Which ones, their
 * own digits far below the step tell, shifted by a number for each step: an element's are as good as
 * random, and a run that is continued has the same ones.
 */
function dropped(range: Range, bits: number, drop: number): Latent<"step"> {
  const { levels, step: first } = gridFor(range, bits);
  const shift = scalarFeed((_, random) => random.float());
  return {
    theta: { step: { ...stepFrom(first), rate: (STEP_RATE / RATE) * first } },
    ...(drop > 0 && { feeds: { shift } }),
    build(g, { step }, x, { shift }) {
      const rounded = roundTo(g, x, step, levels);
      if (!shift) return rounded;
      const digits = g.Add(g.Mul(x, g.constant(DIGITS / first)), shift);
      const isRounded = indicator(g, g.GreaterOrEqual(fraction(g, digits), g.constant(drop)));
      return g.Add(x, g.Mul(g.Sub(rounded, x), isRounded));
    },
    close: ({ step: [s] }) => storedOn(levels, s),
  };
}

/** How far below the step the digits are that say whether an element is rounded. */
const DIGITS = 509;

const fraction = (g: Builder, x: Value): Value => g.Sub(x, g.Floor(x));
