/** @file Training against the coded size: levels learn from the loss and from what they cost the coder. */
import { z } from "zod";
import type { Value } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import { tensor } from "../../ir/tensor.ts";
import { log } from "../../numeric/log.ts";
import { build } from "../../ops/builder.ts";
import { biasOf } from "../../ops/weights.ts";
import { needsOfLoss } from "../../train/objective.ts";
import { trainOptions } from "../../train/options.ts";
import type { TrainState } from "../../train/state.ts";
import type { Step } from "../../train/step.ts";
import { type Grid, valuesOf } from "../../weights/form.ts";
import { siteOptions } from "../../weights/select.ts";
import { type Site, sitesOf, storeWeight } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

/**
 * W = s round(u), and the loss is E + lambda R(u) with R the bits of a coder that knows how full each
 * row and column is. u and s learn, u straight through the rounding. A u rounded to zero still feels
 * the loss and may come back, as in dynamic network surgery (Guo et al. 2016, arXiv 1608.04493).
 */
export const trainRate = defineMethod({
  title: "training against the coded size",
  cite: "Oktay et al. 2020, arXiv 1906.06624; Guo et al. 2016, arXiv 1608.04493",
  summary: "Trains weights on a grid, most of them zero, at a price per coded bit.",
  needs: needsOfLoss,
  options: z.object({
    lambda: z
      .number()
      .min(0)
      .max(1)
      .default(3e-6)
      .meta({ description: "What a bit costs, in loss.", search: [1e-6, 3e-6, 1e-5] }),
    step: z.number().positive().max(10).default(1).meta({
      description: "First grid step of a layer, in root mean squares of its non-zero weights.",
    }),
    ramp: z.int().min(0).default(1000).meta({
      description: "Batches over which the price of a bit rises.",
    }),
    revive: z.boolean().default(true).meta({
      description: "Lets weights that are exactly zero at the start come back.",
    }),
    ...trainOptions.pick({
      epochs: true,
      batch: true,
      rate: true,
      schedule: true,
      loss: true,
      temperature: true,
      alpha: true,
      augment: true,
      holdout: true,
    }).shape,
    ...siteOptions,
  }),
  survey: [],
  neutral: { epochs: 0 },
  async apply(model, { lambda, step, ramp, revive, only, except, ...options }, context) {
    if (options.epochs === 0) return;
    const sites = sitesOf(model, { only, except }, context).filter(({ node, value }) => {
      const isMain = value.graph === model.graph;
      if (!isMain) context.skip(node.name, "lies inside a loop or a branch");
      return isMain;
    });
    if (sites.length === 0) return;
    const latents = sites.flatMap((site) => latentsOf(site, model, step));
    await context.train(
      model,
      // The best score would be an early one, before bits cost anything.
      { ...options, only, except, keep: "last", rates: latents.flatMap(ratesOf) },
      {
        extra: latents.flatMap(({ levels, scale }) => [levels, scale]),
        beforeUpdate: priceOf(latents, { lambda, ramp, revive }),
      },
    );
    for (const latent of latents) latent.store();
  },
});

/** A tensor as it learns. */
interface Latent {
  readonly id: string;
  readonly shape: readonly number[];
  /** u */
  readonly levels: Value;
  /** s */
  readonly scale: Value;
  readonly firstScale: number;
  /** Puts the trained grid in the expression's place. */
  store(): void;
}

/** The layer's weight, and its bias on a grid of half the step. */
function latentsOf(site: Site, model: Model, step: number): Latent[] {
  const { value, weight, node } = site;
  const { values } = weight;
  const kept = values.filter((w) => w !== 0);
  const rms = Math.sqrt(kept.reduce((sum, w) => sum + w * w, 0) / kept.length) || 1;
  const { form } = weight;
  const scale = form.kind === "grid" && form.axis === null ? form.scale[0] : step * rms;
  const main = latentOf(value, model, values, weight.shape, scale);
  const latents: Latent[] = [
    { ...main, store: () => storeWeight({ node, weight, value: main.value }, gridOf(main)) },
  ];
  const bias = biasOf(node);
  if (bias?.tensor?.dtype === "float32" && bias.consumers.length === 1 && !bias.isOutput) {
    const { shape } = bias.tensor;
    const own = latentOf(bias, model, bias.tensor.floats(), shape, scale / 2);
    const store = (): void => {
      const plain = tensor("float32", shape, valuesOf(gridOf(own), shape));
      model.graph.replace(own.value, model.graph.addConstant(bias.name, plain));
    };
    latents.push({ ...own, store });
  }
  return latents;
}

function latentOf(
  value: Value,
  model: Model,
  values: Float32Array,
  shape: readonly number[],
  firstScale: number,
) {
  const g = build(model.graph);
  const levels = g.constant(
    values.map((w) => w / firstScale),
    { shape, name: "levels" },
  );
  const scale = g.constant(firstScale, { name: "scale" });
  const rounded = g.Round(levels);
  const product = g.Mul(rounded, scale);
  const id = `rate:${product.name}`;
  // Rates of learning go by the names of the nodes that read a parameter first.
  if (rounded.producer) rounded.producer.name = `${id}/levels`;
  if (product.producer) product.producer.name = `${id}/scale`;
  model.graph.replace(value, product);
  return { id, shape, levels, scale, firstScale, value: product };
}

/** A step of Adam moves u as far as it would move w; s moves in proportion to itself. */
const ratesOf = ({ id, firstScale }: Latent): string[] => [
  `${id}/levels=${1 / firstScale}`,
  `${id}/scale=${firstScale / 4}`,
];

const LEVELS = 127;

function gridOf({ levels, scale }: Pick<Latent, "levels" | "scale">): Grid {
  const s = scale.tensor?.floats()[0] ?? 1;
  const u = levels.tensor?.floats() ?? new Float32Array();
  const q = Int8Array.from(u, (level) => Math.max(-LEVELS, Math.min(LEVELS, roundEven(level))));
  return { kind: "grid", bits: 8, q, scale: Float32Array.of(s), axis: null, block: null };
}

/** As the engine's Round. */
const roundEven = (x: number): number => {
  const r = Math.round(x);
  return r - x === 0.5 && r % 2 !== 0 ? r - 1 : r;
};

/** Batches between two looks at how full rows and columns are. */
const lookEvery = 100;

/**
 * Adds lambda dR/du to the gradient. R(u) = B phi(|u|) + log2(1 + |u|): B bits say that a level is
 * not zero, phi(m) = (1 + a) m / (m + a) is 0 at 0 and 1 at 1, so that B is paid on the way there.
 */
function priceOf(
  latents: readonly Latent[],
  { lambda, ramp, revive }: { lambda: number; ramp: number; revive: boolean },
) {
  const costs = latents.map(() => ({ rows: new Float64Array(), columns: new Float64Array() }));
  const a = 0.5;
  return (
    gradient: Float32Array,
    { step, parameters }: TrainState,
    { parameters: layout }: Step,
  ) => {
    const price = lambda * (step < ramp ? step / ramp : 1);
    for (const [n, latent] of latents.entries()) {
      const place = layout.find(({ value }) => value === latent.levels);
      if (!place) continue;
      const u = parameters.subarray(place.offset, place.offset + place.size);
      if (step % lookEvery === 0 || costs[n].rows.length === 0) costs[n] = costsOf(u, latent.shape);
      const { rows, columns } = costs[n];
      for (let r = 0, i = 0; r < rows.length; r++) {
        for (let c = 0; c < columns.length; c++, i++) {
          const m = u[i] < 0 ? -u[i] : u[i];
          const bits = Math.max(1, Math.min(14, rows[r] + columns[c]));
          if (m === 0 && !revive) {
            gradient[place.offset + i] = 0;
            continue;
          }
          const slope = (bits * (1 + a) * a) / ((m + a) * (m + a)) + Math.LOG2E / (1 + m);
          gradient[place.offset + i] += u[i] < 0 ? -price * slope : price * slope;
        }
      }
    }
  };
}

/** Sign, and what of the magnitude has no context. */
const plainBits = 1.5;

/**
 * B of row r and column c is rows[r] + columns[c]: log2 of the odds of a zero, from how many levels
 * of the row and the column are none, each counted with some of the whole tensor's.
 */
function costsOf(u: Float32Array, shape: readonly number[]) {
  const height = shape.length > 1 ? shape[0] : 1;
  const width = u.length / height;
  const inRow = new Float64Array(height);
  const inColumn = new Float64Array(width);
  let all = 0;
  for (let i = 0; i < u.length; i++) {
    if (u[i] <= 0.5 && u[i] >= -0.5) continue;
    inRow[Math.floor(i / width)]++;
    inColumn[i % width]++;
    all++;
  }
  const share = (all + 1) / (u.length + 2);
  const odds = (count: number, of: number): number => {
    const p = (count + 8 * share) / (of + 8);
    return log((1 - p) / p) / Math.LN2;
  };
  const whole = log((1 - share) / share) / Math.LN2;
  return {
    rows: inRow.map((count) => odds(count, width) + plainBits - (height > 1 ? whole : 0)),
    columns: inColumn.map((count) => (height > 1 ? odds(count, height) : 0)),
  };
}
