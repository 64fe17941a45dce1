/** @file Second moments of what layers read: the Hessian of a layer's squared output error. */

import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { tensor } from "../ir/tensor.ts";
import { cholesky } from "../numeric/cholesky.ts";
import { multiplyTransposed, transpose } from "../numeric/matrix.ts";
import type { Builder } from "../ops/builder.ts";
import { type WeightUse, weightsOf } from "../ops/weights.ts";
import type { Context, Observe, Tap } from "./method.ts";
import { type Rows, rowsOf } from "./rows.ts";
import type { Site } from "./sites.ts";

/** Beyond this many inputs the matrix itself is too large (4096^2 float64: 134 MB). */
const LARGEST = 4096;
/** Elements of all matrices that one pass over the records fills. */
const PASS = 2 ** 25;
/** Elements of unfolded windows per record; more are sampled by longer strides. */
const WINDOWS = 2 ** 18;

/**
 * What a layer reads, x [columns] per row of its product: with y = W x,
 *   sum |dW x|^2 = tr(dW H dW^T),  H = sum x x^T,
 * so H (gram) or its diagonal (squares) says what an error of the weights costs (Hassibi, Stork
 * 1993; Frantar, Alistarh 2022, arXiv 2208.11580). Convolutions are unfolded exactly, per group.
 */
export interface Moments {
  readonly rows: Rows;
  /** Per group: [columns, columns], or [columns]. Mean over the records. */
  readonly groups: readonly Float64Array[];
}

export type Kind = "gram" | "squares";

/**
 * Of every site that has them; the others get the reason. Everything is summed inside the engine:
 * only the moments leave it. A weight that several nodes read has the sum over all of them.
 */
export async function momentsOf(
  model: Model,
  sites: readonly Site[],
  kind: Kind,
  records: number,
  context: Context,
): Promise<Map<Site, Moments | string>> {
  const found = new Map<Site, Moments | string>();
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
    const size = kind === "gram" ? rows.columns ** 2 : rows.columns;
    const groups = Array.from({ length: rows.groups }, () => new Float64Array(size));
    found.set(site, { rows, groups });
    for (const use of readers) taps.push(tapOf(use, site, rows, groups, kind));
  }
  for (const part of passes(taps)) await run(model, part, records, context.observe as Observe);
  return found;
}

interface SiteTap extends Tap {
  readonly groups: readonly Float64Array[];
}

async function run(
  model: Model,
  taps: readonly SiteTap[],
  records: number,
  observe: Observe,
): Promise<void> {
  await observe(
    model,
    taps,
    ({ groups }, batch) => {
      const sums = batch.floats();
      const [{ length }] = groups;
      for (const [g, total] of groups.entries()) {
        for (let i = 0; i < length; i++) total[i] += sums[g * length + i] / records;
      }
    },
    records,
  );
}

/** Runs of taps whose matrices fit into memory together. */
function* passes(taps: readonly SiteTap[]): Generator<SiteTap[]> {
  let part: SiteTap[] = [];
  let elements = 0;
  for (const tap of taps) {
    const size = tap.groups.length * tap.groups[0].length;
    if (part.length > 0 && elements + size > PASS) {
      yield part;
      [part, elements] = [[], 0];
    }
    part.push(tap);
    elements += size;
  }
  if (part.length > 0) yield part;
}

function refusal(
  model: Model,
  { role, value, node }: Site,
  { columns }: Rows,
  readers: readonly WeightUse[],
  kind: Kind,
): string | null {
  if (role.kind === "embedding") return "looks its weight up instead of multiplying by it";
  if (readers.length !== value.uses.size) return "something that is no layer reads its weight";
  if (readers.some((use) => use.node.graph !== model.graph)) return "is inside a branch or loop";
  if (role.kind === "conv" && readers.some((use) => use.node.op !== "Conv")) {
    return `${node.op} samples its input`;
  }
  const alike = readers.every((use) => use.node.op === node.op && use.index === readers[0].index);
  if (!alike) return "its weight is read in several ways";
  const limit = kind === "gram" ? LARGEST : 2 ** 24;
  return columns > limit ? `has ${columns} inputs; ${limit} are the most` : null;
}

function tapOf(
  { node, index }: WeightUse,
  { weight }: Site,
  rows: Rows,
  groups: readonly Float64Array[],
  kind: Kind,
): SiteTap {
  const data = node.inputs[node.op === "Conv" ? 0 : 1 - index] as Value;
  return {
    value: data,
    groups,
    of(g, x) {
      const inputs = inputsOf(g, { node, index }, x, rows, weight.shape);
      if (kind === "squares") return g.ReduceSumSquare(inputs, g.ints([1]), { keepdims: 0 });
      return g.MatMul(g.Transpose(inputs, { perm: [0, 2, 1] }), inputs);
    },
  };
}

/** What a layer's rows meet, x, as [groups, positions, columns]. */
export function inputsOf(
  g: Builder,
  { node, index }: Pick<WeightUse, "node" | "index">,
  x: Value,
  rows: Rows,
  shape: readonly number[],
): Value {
  return node.op === "Conv"
    ? windows(g, node, x, rows, shape)
    : factors(g, node, index, x, rows.columns);
}

/** The other factor of a product as [1, positions, columns]. */
function factors(g: Builder, node: Node, index: number, x: Value, columns: number): Value {
  const rank = x.shape?.length ?? 2;
  const isTurned =
    node.op === "Gemm"
      ? (node.int(index === 1 ? "transA" : "transB", 0) === 1) === (index === 1)
      : index === 0;
  const perm = Array.from({ length: rank }, (_, i) => i);
  if (rank > 1) [perm[rank - 2], perm[rank - 1]] = [rank - 1, rank - 2];
  const upright = isTurned ? g.Transpose(x, { perm }) : x;
  return g.Reshape(upright, g.ints([1, -1, columns], "shape"));
}

/** What a convolution's kernel meets, [groups, positions, columns]: one-hot kernels lay it out. */
function windows(
  g: Builder,
  node: Node,
  x: Value,
  { groups, columns }: Rows,
  [, depth, ...kernel]: readonly number[],
): Value {
  const taps = columns / depth;
  const channels = groups * depth;
  const hot = new Float32Array(channels * taps * taps);
  for (let row = 0; row < channels * taps; row++) hot[row * taps + (row % taps)] = 1;
  const unfold = g.graph.add(
    "Conv",
    [x, g.constant(tensor("float32", [channels * taps, 1, ...kernel], hot), { name: "unfold" })],
    { attributes: node.attributes },
  );
  unfold.set("group", { type: "int", value: channels });
  const factor = sampling(node, columns * groups);
  const strides = node.ints("strides") ?? kernel.map(() => 1);
  unfold.set("strides", { type: "ints", value: strides.map((stride) => stride * factor) });
  const split = g.Reshape(unfold.output, g.ints([0, groups, depth, taps, -1], "shape"));
  const turned = g.Transpose(split, { perm: [1, 0, 4, 3, 2] });
  return g.Reshape(turned, g.ints([groups, -1, columns], "shape"));
}

/** Every how many positions along each side: a sample of a large record's windows will do. */
export function sampling(node: Node, columns: number): number {
  const sides = (node.output.shape ?? []).slice(2);
  const isFixed = (node.text("auto_pad") ?? "NOTSET") === "NOTSET";
  if (!isFixed || !sides.every((side) => typeof side === "number")) return 1;
  const elements = (sides as number[]).reduce((a, b) => a * b, columns);
  return Math.ceil(Math.sqrt(Math.max(1, elements / WINDOWS)));
}

/** H + damping mean(diag H) I; a column without any input gets the mean alone. */
export function damped(gram: Float64Array, columns: number, damping: number): Float64Array {
  let trace = 0;
  for (let i = 0; i < columns; i++) trace += gram[i * columns + i];
  const level = (damping * trace) / columns || 1;
  const sum = gram.slice();
  for (let i = 0; i < columns; i++) sum[i * columns + i] += level;
  return sum;
}

/**
 * Upper triangular U of H^-1 = U^T U: H = R R^T with R upper triangular, U = R^-1. Reversed, R is the
 * ordinary lower factor, so nothing but one factor and its inverse is computed.
 */
export function inverseFactor(matrix: Float64Array, n: number): Float64Array<ArrayBuffer> {
  return invertLower(cholesky(matrix.slice().reverse(), n), n).reverse();
}

/**
 * The inverse X of a lower triangular matrix, in its place: X_i = (e_i - sum_{j<i} L_ij X_j) / L_ii,
 * four rows at once for all j before them, so that what is done is read a quarter as often.
 */
function invertLower(l: Float64Array<ArrayBuffer>, n: number): Float64Array<ArrayBuffer> {
  for (let first = 0; first < n; first += 4) {
    const count = Math.min(4, n - first);
    const given = l.slice(first * n, (first + count) * n);
    l.fill(0, first * n, (first + count) * n);
    if (count === 4) subtractDone(l, given, first, n);
    for (let row = 0; row < count; row++) {
      const to = (first + row) * n;
      for (let j = count === 4 ? first : 0; j < first + row; j++) {
        const factor = given[row * n + j];
        for (let k = 0, from = j * n; k <= j; k++) l[to + k] -= factor * l[from + k];
      }
      const scale = 1 / given[row * n + first + row];
      for (let k = 0; k < first + row; k++) l[to + k] *= scale;
      l[to + first + row] = scale;
    }
  }
  return l;
}

/** Takes L_ij X_j off the four rows from `first` on, for all j < first. */
function subtractDone(l: Float64Array, given: Float64Array, first: number, n: number): void {
  const a = first * n;
  for (let j = 0; j < first; j++) {
    const [f0, f1] = [given[j], given[n + j]];
    const [f2, f3] = [given[2 * n + j], given[3 * n + j]];
    for (let k = 0, from = j * n; k <= j; k++) {
      const x = l[from + k];
      l[a + k] -= f0 * x;
      l[a + n + k] -= f1 * x;
      l[a + 2 * n + k] -= f2 * x;
      l[a + 3 * n + k] -= f3 * x;
    }
  }
}

/** The inverse of a symmetric positive definite matrix, exactly symmetric. */
export function inverse(matrix: Float64Array, n: number): Float64Array {
  const columns = transpose(inverseFactor(matrix, n), n, n);
  return multiplyTransposed(columns, columns, n, n, n);
}
