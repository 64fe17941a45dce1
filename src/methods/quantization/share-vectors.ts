/** @file Product quantization: runs of weights become indices into codebooks of vectors. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { type Moments, momentsOf } from "../../evidence/moments.ts";
import { calibrationOptions } from "../../evidence/options.ts";
import type { Model } from "../../ir/model.ts";
import { kmeansVectors, type Metric } from "../../numeric/kmeans-vectors.ts";
import type { Random } from "../../numeric/random.ts";
import { product } from "../../util/product.ts";
import type { Shape } from "../../weights/form.ts";
import { indexBits } from "../../weights/forms/codebook.ts";
import { vectors as vectorsForm } from "../../weights/forms/vectors.ts";
import { siteOptions } from "../../weights/select.ts";
import { type LayerSite, storeWeight, type ThetaSite, thetasOf } from "../../weights/sites.ts";
import { type Composed, composed, leaf, wholeLeaf } from "../../weights/weight.ts";
import { defineMethod } from "../method.ts";

/**
 * Each row of W (all that one output reads) is cut into runs of d weights, and a run becomes an index
 * into a codebook of vectors, found by k-means. The error of a run w is
 *   (w - c)^T M (w - c)
 * with M = 1 (weights) or the block of E[x x^T] for the inputs x that the run multiplies: summed over
 * the runs of a row that is the squared error of the output, but for what runs have in common.
 *
 * A run of a convolution lies inside one window, along the kernel positions of one input channel, as
 * neighbouring positions are alike (Stock et al. 2020, section 3.3), if `size` allows for a part of a
 * window. 1 x 1 windows have runs of input channels.
 */
export const shareVectors = defineMethod({
  title: "product quantization",
  equation: "min over c: sum (w - c)^T M (w - c) for runs w of W, M = 1 or a block of E[x x^T]",
  cite: "Gong et al. 2014, arXiv 1412.6115; Wu et al. 2016, arXiv 1512.06473; Stock et al. 2020, arXiv 1907.05686",
  summary: "Runs of weights become indices into codebooks of vectors, rebuilt at load.",
  needs: ({ error }) => (error === "weights" ? [] : ["calibration"]),
  simplifyFirst: true,
  options: z.object({
    size: z
      .int()
      .min(2)
      .max(64)
      .default(2)
      .meta({
        description:
          "Most weights in a run: the largest number that divides the kernel positions of a convolution, or else a row's inputs, and is no larger.",
        search: [2, 4, 8, 9],
      }),
    bits: z
      .int()
      .min(1)
      .max(12)
      .default(8)
      .meta({
        description:
          "A codebook has 2^bits vectors, but at most a quarter of the runs that it stands for.",
        search: [6, 8, 10],
      }),
    stages: z
      .int()
      .min(1)
      .max(8)
      .default(1)
      .meta({
        description: "Codebooks that are added up, each fitted to what the earlier ones leave.",
        search: [1, 2],
      }),
    codebooks: z
      .enum(["shared", "own"])
      .default("shared")
      .meta({
        description: "One codebook for all runs of a row (shared), or one for each of them (own).",
        search: ["shared", "own"],
      }),
    error: z
      .enum(["weights", "diagonal", "outputs"])
      .default("weights")
      .meta({
        description:
          "The error of weights, or of outputs by the inputs' second moments: their diagonal, or the whole block of a run (needs calibration records).",
        search: ["weights", "outputs"],
      }),
    records: calibrationOptions.records,
    ...siteOptions,
  }),
  survey: [{}, { bits: 6, stages: 2, error: "outputs" }],
  neutral: null,
  async apply(model, options, context) {
    const sites = thetasOf(model, options, context);
    const cuts = sites.flatMap((site) => {
      const cut = cutOf(site, options.size);
      if (typeof cut === "string") context.skip(site.node.name, cut);
      return typeof cut === "string" ? [] : [{ site, cut }];
    });
    const metrics = await metricsOf(model, cuts, options, context);
    for (const [i, { site, cut }] of cuts.entries()) {
      await context.progress(i, cuts.length);
      const random = context.random.fork(`${site.node.name} ${i}`);
      const found = quantize(site, cut, metrics[i], options, random);
      if (typeof found === "string") context.skip(site.node.name, found);
      else storeWeight(site, found);
    }
  },
});

type Options = z.output<typeof shareVectors.options>;

/** How a weight is cut into runs. */
interface Cut {
  readonly rows: number;
  readonly runs: number;
  /** Weights in a run. */
  readonly size: number;
  /** Whether rows of runs are columns of the weight as it is stored. */
  readonly isTurned: boolean;
  /** Kernel positions: the row's order is inputs, then positions fastest. */
  readonly taps: number;
}

function cutOf({ role, weight }: ThetaSite, most: number): Cut | string {
  const { shape, values } = weight;
  const isConv = role?.kind === "conv" && role.outputAxis === 0;
  // A row of an embedding is a token.
  const along =
    role?.kind === "embedding" ? role.outputAxis : (role?.inputAxis ?? shape.length - 1);
  const isTurned = !isConv && along === 0 && shape.length === 2;
  if (!isConv && !isTurned && along !== shape.length - 1) return "sums over an axis in the middle";
  const columns = isConv ? values.length / shape[0] : shape[along];
  const taps = isConv ? product(shape.slice(2)) : 1;
  const inside = taps > 1 ? largestDivisor(taps, most) : 1;
  const size = inside > 1 ? inside : largestDivisor(columns, most);
  if (size < 2) return `has ${columns} inputs, which no run divides`;
  return { rows: values.length / columns, runs: columns / size, size, isTurned, taps };
}

/** The largest number up to `most` that divides n. */
function largestDivisor(n: number, most: number): number {
  let size = Math.min(most, n);
  while (n % size > 0) size--;
  return size;
}

interface Job {
  readonly site: ThetaSite;
  readonly cut: Cut;
}

/** The quadratic forms of the runs of each weight; null where all weights count alike. */
async function metricsOf(
  model: Model,
  jobs: readonly Job[],
  { error, records }: Options,
  context: Context,
): Promise<(Metric | null)[]> {
  if (error === "weights") return jobs.map(() => null);
  const layers = jobs.flatMap(({ site }) => (site.role ? [site as LayerSite] : []));
  const kind = error === "outputs" ? "gram" : "squares";
  const moments = await momentsOf(model, layers, kind, records, context);
  return jobs.map(({ site, cut }) => {
    const found = moments.get(site as LayerSite) ?? "stores a part of a form";
    if (typeof found !== "string") return metricOf(found, cut);
    context.warn(`${site.node.name} ${found}: its weights count alike`);
    return null;
  });
}

/** A share of the mean of the diagonal that is added to it, as by GPTQ: inputs may never vary. */
const DAMPING = 0.01;

/** The blocks of E[x x^T], or of its diagonal, on the runs of each group. */
function metricOf({ rows, groups }: Moments, { runs, size, taps }: Cut): Metric {
  const { columns } = rows;
  const depth = columns / taps;
  /** Moments count inputs fastest, weights kernel positions. */
  const place = (column: number): number => (column % taps) * depth + Math.floor(column / taps);
  const matrices = groups.flatMap((moments) => {
    const isGram = moments.length > columns;
    const at = (a: number, b: number): number => {
      if (isGram) return moments[place(a) * columns + place(b)];
      return a === b ? moments[place(a)] : 0;
    };
    let trace = 0;
    for (let a = 0; a < columns; a++) trace += at(a, a);
    const damping = (DAMPING * trace) / columns || 1;
    return Array.from({ length: runs }, (_, run) =>
      Float64Array.from({ length: size * size }, (_, j) => {
        const [a, b] = [Math.floor(j / size), j % size];
        return at(run * size + a, run * size + b) + (a === b ? damping : 0);
      }),
    );
  });
  // Vectors are counted by rows, then runs.
  const of = (i: number): number => Math.floor(i / runs / rows.rows) * runs + (i % runs);
  return { matrices, of };
}

/** The weight as sums of codebook vectors, or the reason why it has too few runs. */
function quantize(
  { weight }: ThetaSite,
  cut: Cut,
  metric: Metric | null,
  { bits, stages, codebooks }: Options,
  random: Random,
): Composed | string {
  const { rows, runs, size, isTurned } = cut;
  const { shape, values } = weight;
  const books = codebooks === "own" ? runs : 1;
  const members = (rows * runs) / books;
  // Stock et al. 2020, section 4.1: in small layers, more vectors take more bytes than they save.
  const entries = Math.min(2 ** bits, Math.floor(members / 4));
  if (entries < 2) return `has ${members} runs of ${size} weights for a codebook, too few`;
  const rest = new Float64Array(values.length);
  for (let i = 0; i < rest.length; i++) {
    const [row, column] = [Math.floor(i / (runs * size)), i % (runs * size)];
    rest[i] = values[isTurned ? column * rows + row : i];
  }
  const book = new Float32Array(stages * books * entries * size);
  const index = new Uint16Array(stages * rows * runs);
  for (let stage = 0; stage < stages; stage++) {
    for (let b = 0; b < books; b++) {
      /** The number of the book's m-th vector among all. */
      const vector = (m: number): number => (books === 1 ? m : m * runs + b);
      const x = new Float64Array(members * size);
      for (let i = 0; i < x.length; i++) {
        x[i] = rest[vector(Math.floor(i / size)) * size + (i % size)];
      }
      const own = metric && { ...metric, of: (m: number) => metric.of(vector(m)) };
      const found = kmeansVectors(x, size, entries, { metric: own, random });
      book.set(found.centroids, (stage * books + b) * entries * size);
      for (const [m, entry] of found.index.entries()) {
        const i = vector(m);
        const [row, run] = [Math.floor(i / runs), i % runs];
        index[stage * rows * runs + (isTurned ? run * rows + row : i)] = entry;
        for (let a = 0; a < size; a++) rest[i * size + a] -= found.centroids[entry * size + a];
      }
    }
  }
  const isPlain = stages === 1 && books === 1;
  const dims: Shape = isTurned ? [runs, rows] : [rows, runs];
  return composed(vectorsForm, shape, {
    codebook: leaf(book, isPlain ? [entries, size] : [stages, books, entries, size]),
    index: wholeLeaf(index, isPlain ? dims : [stages, ...dims], false, indexBits(entries)),
  });
}
