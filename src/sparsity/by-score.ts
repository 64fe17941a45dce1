/** @file Shared by unstructured pruning methods: a score per weight, a target sparsity, zeros. */
import { z } from "zod";
import type { Context, Need } from "../context.ts";
import type { Model } from "../ir/model.ts";
import { type Rows, rowsOf } from "../layers/rows.ts";
import { trainOptions } from "../train/options.ts";
import { withZeros } from "../weights/elements.ts";
import { siteOptions } from "../weights/select.ts";
import { type layersOf, storeWeight, type ThetaSite, thetasOf } from "../weights/sites.ts";

const sparsity = z
  .number()
  .min(0)
  .max(0.999)
  .default(0.5)
  .meta({ description: "Share of weights set to zero.", search: [0.5, 0.7, 0.8, 0.9, 0.95] });

const pattern = z
  .string()
  .regex(/^([1-9]\d?:[1-9]\d?)?$/, "Invalid: a pattern is n:m, such as 2:4")
  .default("")
  .meta({
    description:
      "n:m keeps n of every m weights along the inputs, whatever the sparsity (2:4, 1:4); empty: no pattern.",
  });

/** Among which weights the lowest scores are searched, with the words for help texts. */
export const scopes = {
  row: "one output",
  layer: "one layer",
  global: "the whole model",
} as const;
export type Scope = keyof typeof scopes;

/**
 * The options `sparsity`, `scope` and `pattern`. `choices` are the scopes that the method offers,
 * its default first.
 */
export const sharedOptions = <const S extends readonly [Scope, ...Scope[]]>(...choices: S) => ({
  sparsity,
  scope: z
    .enum(choices)
    .default(choices[0] as never)
    .meta({
      description: `One threshold for ${choices.map((id) => `${scopes[id]} (${id})`).join(", ")}.`,
      search: [...choices],
    }),
  pattern,
});

/** The share of the final sparsity to reach at t = rounds done / all rounds, in (0, 1]. */
const courses = {
  /**
   * s_t = s (1 - (1 - t)^3): most weights go in the first rounds (Zhu, Gupta 2017, arXiv
   * 1710.01878, eq. 1, with s_i = 0).
   */
  cubic: (t: number) => 1 - (1 - t) ** 3,
  linear: (t: number) => t,
} as const;

/** Options of gradual pruning: rounds, with training between them. */
export const scheduleOptions = {
  steps: z
    .int()
    .min(1)
    .max(100)
    .default(1)
    .meta({ description: "Rounds of pruning, with training between them; 1: all at once." }),
  schedule: z
    .enum(Object.keys(courses) as [keyof typeof courses])
    .default("cubic")
    .meta({ description: "How the share of zeros grows from round to round." }),
  epochs: trainOptions.shape.epochs.meta({ description: "Epochs of training between two rounds." }),
  rate: trainOptions.shape.rate.meta({ description: "Learning rate of that training." }),
  augment: trainOptions.shape.augment,
};

/** The options of pruning by a score that needs no data. */
export const pruneOptions = z.object({
  ...sharedOptions("layer", "global", "row"),
  ...scheduleOptions,
  ...siteOptions,
});

/** Training records are needed only if there is training between rounds. */
export const needsOfRounds = ({ steps }: Pick<Options, "steps">): readonly Need[] =>
  steps > 1 ? ["training"] : [];

type Options = z.output<typeof pruneOptions>;
type Share = Pick<Options, "sparsity" | "scope" | "pattern">;
type Course = Pick<Options, keyof typeof scheduleOptions>;

/** A tensor that can get zeros: a layer's weight, or a part of the form that computes it. */
export type Site = Omit<ThetaSite, "part" | "channels">;

/**
 * Gives, for every site, one score per weight; the lowest scores are set to zero first, after
 * weights that are zero already. It is called again in every round, with the weights as they are
 * then.
 */
export type Score<S extends Site = Site> = (
  sites: readonly S[],
) => readonly ArrayLike<number>[] | Promise<readonly ArrayLike<number>[]>;

/** Without schedule options there is one round and no training. */
const oneShot: Course = { steps: 1, schedule: "cubic", epochs: 0, rate: 1, augment: "" };

/**
 * Sets the lowest-scoring weights of the chosen sites to zero, in `steps` rounds with training
 * between them. Among equal scores the first elements go, so that a result can be reproduced
 * exactly.
 *
 * `find` lists the sites: `thetasOf` takes parts of forms as well, `layersOf` only whole weights.
 */
export async function pruneByScore<S extends Site = Site>(
  model: Model,
  options: Share & Pick<Options, "only" | "except"> & Partial<Course>,
  context: Context,
  score: Score<S>,
  find: typeof layersOf | typeof thetasOf = thetasOf,
): Promise<void> {
  if (options.sparsity === 0 && options.pattern === "") return;
  const { steps, schedule, epochs, rate, augment } = { ...oneShot, ...options };
  const { only, except } = options;
  for (let round = 1; round <= steps; round++) {
    // Skips are reported in the first round only; later rounds would repeat them.
    const quiet = round === 1 ? context : { ...context, skip() {} };
    const sites = find(model, options, quiet) as readonly Site[] as readonly S[];
    if (sites.length === 0) return;
    const share = options.sparsity * courses[schedule](round / steps);
    const scores = await score(sites);
    const removed = removedBy(sites, scores, { ...options, sparsity: share }, quiet);
    for (const [i, site] of sites.entries()) {
      await context.progress((round - 1) * sites.length + i, steps * sites.length);
      setZero(site, removed[i]);
    }
    if (round < steps) await context.train(model, { epochs, rate, augment, only, except });
  }
}

/** Stores the site's weight again with the marked elements at zero; its form stays the same. */
export function setZero(site: Site, removed: Uint8Array): void {
  storeWeight(
    site,
    withZeros(site.weight, (i) => removed[i] === 1),
  );
}

/**
 * Marks with 1 the elements of each site that are set to zero: `sparsity` of all weights (global),
 * of each layer, or of each row; or, with a pattern "n:m", all but n of every m. A weight that is
 * no matrix of rows is pruned as a whole layer instead of by rows.
 */
export function removedBy(
  sites: readonly Site[],
  scores: readonly ArrayLike<number>[],
  { sparsity, scope, pattern }: Share,
  context: Context,
): Uint8Array[] {
  const parts = sites.map(({ weight }, i) => withoutZeros(weight.values, scores[i]));
  if (pattern !== "") return sites.map((site, i) => byPattern(site, parts[i], pattern, context));
  if (scope === "global") {
    const falls = lowest(parts, sparsity);
    return parts.map((part) => Uint8Array.from(part, (score) => (falls(score) ? 1 : 0)));
  }
  return sites.map((site, i) => {
    const rows = scope === "row" ? rowsOf(site) : "";
    if (typeof rows !== "string") return byRow(rows, parts[i], sparsity);
    const falls = lowest([parts[i]], sparsity);
    return Uint8Array.from(parts[i], (score) => (falls(score) ? 1 : 0));
  });
}

/** Scores in which weights that are zero already come first. */
function withoutZeros(values: Float32Array, scores: ArrayLike<number>): Float32Array {
  return values.map((w, i) => (w === 0 ? -Infinity : scores[i]));
}

/** The lowest `share` of every row. */
function byRow(rows: Rows, scores: Float32Array, share: number): Uint8Array {
  const removed = new Uint8Array(scores.length);
  for (const places of placesOf(rows)) {
    const row = Float32Array.from(places, (place) => scores[place]);
    const falls = lowest([row], share);
    for (const [i, place] of places.entries()) if (falls(row[i])) removed[place] = 1;
  }
  return removed;
}

/** For every row, the flat positions of its elements in the weight. */
function* placesOf({ groups, rows, columns, at }: Rows): Generator<Uint32Array> {
  for (let group = 0; group < groups; group++) {
    for (let row = 0; row < rows; row++) {
      yield Uint32Array.from({ length: columns }, (_, column) => at(group, row, column));
    }
  }
}

/** "2:4" -> [2, 4], n limited to m; null for the empty text. */
export function parsePattern(text: string): readonly [number, number] | null {
  if (text === "") return null;
  const [n, m] = text.split(":").map(Number);
  return [Math.min(n, m), m];
}

/**
 * Marks all but the n best of every m consecutive columns in each row (Zhou et al. 2021, arXiv
 * 2102.04010). A weight that has no rows is skipped and keeps all elements.
 */
function byPattern(site: Site, scores: Float32Array, text: string, context: Context): Uint8Array {
  const [n, m] = parsePattern(text) as readonly [number, number];
  const removed = new Uint8Array(scores.length);
  const rows = rowsOf(site);
  if (typeof rows === "string") {
    context.skip(site.node.name, `${rows} for a pattern`);
    return removed;
  }
  for (const places of placesOf(rows)) {
    for (let start = 0; start < places.length; start += m) {
      const block = [...places.subarray(start, start + m)];
      block.sort((a, b) => scores[b] - scores[a] || a - b);
      for (const place of block.slice(n)) removed[place] = 1;
    }
  }
  return removed;
}

/**
 * A test whether a score is among the lowest `share` of all. Call it once for every score, in
 * order: if many scores equal the threshold (those of shared weights do), it accepts only as many
 * of them as the share allows.
 */
export function lowest(parts: readonly Float32Array[], share: number): (score: number) => boolean {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  all.sort();
  const count = Math.round(share * all.length);
  if (count === 0) return () => false;
  const cut = all[count - 1];
  let ties = count - all.indexOf(cut);
  return (score) => score < cut || (score === cut && ties-- > 0);
}
