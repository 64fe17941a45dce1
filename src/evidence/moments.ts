/** @file Second moments of what layers read: the Hessian of a layer's squared output error. */

import type { Context, Observe, Records, Tap } from "../context.ts";
import type { Model } from "../ir/model.ts";
import { inputsOf } from "../layers/inputs.ts";
import { type Rows, rowsOf } from "../layers/rows.ts";
import { factorBeside, linearOf } from "../ops/linear.ts";
import { type WeightUse, weightsOf } from "../ops/weights.ts";
import type { LayerSite } from "../weights/sites.ts";

/** Layers with more inputs get no Gram matrix: 4096^2 float64 are 134 MB already. */
const LARGEST = 4096;
/** Largest number of elements of all matrices that one pass over the records fills. */
const PASS = 2 ** 25;

/**
 * The second moments of a layer's inputs x [columns]. For y = W x,
 *   sum |dW x|^2 = tr(dW H dW^T),  H = sum x x^T,
 * so H (gram), or its diagonal (squares), says what an error of the weights costs (Hassibi,
 * Stork 1993; Frantar, Alistarh 2022, arXiv 2208.11580). A convolution has one x per
 * position of its window.
 */
export interface Moments {
  readonly rows: Rows;
  /**
   * For each group of a convolution (one otherwise) H [columns, columns], or what else `Kind`
   * tells: the sum over records and positions, divided by the number of records that ran.
   */
  readonly groups: readonly Float64Array[];
  /** Records that ran. */
  readonly records: number;
}

/** gram: H. squares: its diagonal. sums: sum x [columns], then how many x there are. */
export type Kind = "gram" | "squares" | "sums";

/**
 * The moments of every site, or the reason why a site has none (looked up, inside a branch, too
 * many inputs, never finite). Sums are computed inside the engine, and only they leave it. A weight that several
 * nodes read has the sum over all of them. Weights with many inputs are observed in several passes.
 */
export async function momentsOf(
  model: Model,
  sites: readonly LayerSite[],
  kind: Kind,
  records: Records,
  context: Context,
): Promise<Map<LayerSite, Moments | string>> {
  const found = new Map<LayerSite, Moments | string>();
  const uses = weightsOf(model);
  const taps: SiteTap[] = [];
  for (const site of sites) {
    const readers = uses.filter(({ value }) => value === site.value);
    const rows = rowsOf(site);
    const reason = typeof rows === "string" ? rows : refusal(model, site, rows, readers, kind);
    if (typeof rows === "string" || reason) {
      found.set(site, reason as string);
      continue;
    }
    const size = { gram: rows.columns ** 2, squares: rows.columns, sums: rows.columns + 1 }[kind];
    const groups = Array.from({ length: rows.groups }, () => new Float64Array(size));
    const sums: Sums = { site, rows, groups, readers: readers.length, records: 0 };
    for (const use of readers) taps.push(tapOf(use, site, rows, sums, kind));
  }
  for (const part of passes(taps)) await run(model, part, records, context.observe);
  for (const { site, rows, groups, readers, records } of new Set(taps.map(({ sums }) => sums))) {
    for (const sum of groups) for (let i = 0; i < sum.length; i++) sum[i] *= readers / records;
    const moments = { rows, groups, records: records / readers };
    found.set(site, records === 0 ? "reads values that are not finite" : moments);
  }
  return found;
}

/** The sums of one site. `records` counts each record once for every reader. */
interface Sums {
  readonly site: LayerSite;
  readonly rows: Rows;
  readonly groups: readonly Float64Array[];
  readonly readers: number;
  records: number;
}

interface SiteTap extends Tap {
  readonly sums: Sums;
}

async function run(
  model: Model,
  taps: readonly SiteTap[],
  records: Records,
  observe: Observe,
): Promise<void> {
  await observe(
    model,
    taps,
    ({ sums }, batch, fed) => {
      const values = batch.floats();
      const [{ length }] = sums.groups;
      sums.records += fed.records;
      for (const [g, total] of sums.groups.entries()) {
        for (let i = 0; i < length; i++) total[i] += values[g * length + i] * fed.share;
      }
    },
    records,
  );
}

/** Splits the taps into runs whose matrices fit into memory together. */
function* passes(taps: readonly SiteTap[]): Generator<SiteTap[]> {
  let part: SiteTap[] = [];
  let elements = 0;
  for (const tap of taps) {
    const { groups } = tap.sums;
    const size = groups.length * groups[0].length;
    if (part.length > 0 && elements + size > PASS) {
      yield part;
      [part, elements] = [[], 0];
    }
    part.push(tap);
    elements += size;
  }
  if (part.length > 0) yield part;
}

/** Why the inputs of a weight cannot be observed; null if they can. */
function refusal(
  model: Model,
  { role, value, node }: LayerSite,
  { columns }: Rows,
  readers: readonly WeightUse[],
  kind: Kind,
): string | null {
  if (role.kind === "embedding") return "looks its weight up instead of multiplying by it";
  if (readers.length !== value.uses.size) return "something that is no layer reads its weight";
  if (readers.some((use) => use.node.graph !== model.graph)) return "is inside a branch or loop";
  if (role.kind === "conv" && readers.some((use) => linearOf(use.node)?.kind !== "conv")) {
    return `${node.op} samples its input`;
  }
  const alike = readers.every((use) => use.node.op === node.op && use.index === readers[0].index);
  if (!alike) return "its weight is read in several ways";
  const limit = kind === "gram" ? LARGEST : 2 ** 24;
  return columns > limit ? `has ${columns} inputs; ${limit} are the most` : null;
}

function tapOf(
  { node, index }: WeightUse,
  { weight }: LayerSite,
  rows: Rows,
  sums: Sums,
  kind: Kind,
): SiteTap {
  return {
    value: factorBeside({ node, index }),
    sums,
    optional: true,
    of(g, x) {
      const inputs = inputsOf(g, { node, index }, x, rows, weight.shape);
      if (kind === "squares") return g.ReduceSumSquare(inputs, g.ints([1]), { keepdims: 0 });
      if (kind === "sums") {
        const zeros = g.Mul(g.Slice(inputs, g.ints([0]), g.ints([1]), g.ints([2])), g.constant(0));
        const all = g.Concat(inputs, g.Add(zeros, g.constant(1)), { axis: 2 });
        return g.ReduceSum(all, g.ints([1]), { keepdims: 0 });
      }
      return g.MatMul(g.Transpose(inputs, { perm: [0, 2, 1] }), inputs);
    },
  };
}
