/** @file Refit: the remaining weights are fitted by least squares to what the layer gave before. */

import type { Context } from "../context.ts";
import type { Node, Value } from "../ir/graph.ts";
import { cloneGraph, copyNodes, type Model } from "../ir/model.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import { solveSpd } from "../numeric/cholesky.ts";
import { type Builder, build } from "../ops/builder.ts";
import type { Kept } from "../ops/coupling.ts";
import { inferModel } from "../ops/infer.ts";
import { factorBeside, linearOf } from "../ops/linear.ts";
import { hasTrait } from "../ops/traits.ts";
import { type WeightUse, weightsOf } from "../ops/weights.ts";
import { rewrite } from "../rewrite/index.ts";
import { leaf } from "../weights/weight.ts";
import { inputsOf, sampling } from "./inputs.ts";
import { type Rows, rowsOf } from "./rows.ts";
import { shiftOutputs } from "./shift.ts";

/** A layer that lost inputs. */
export interface Loss {
  readonly use: WeightUse;
  /**
   * What `shiftOutputs` has already added to its outputs, if that is not in an input
   * of the node itself.
   */
  readonly shift: Float64Array | null;
  /** True: no c is fitted, because the layer has no bias and an Add behind it would take time. */
  readonly isLinear?: boolean;
}

/** The model before pruning; `twins` maps values of the pruned model to it. */
export interface Original {
  readonly model: Model;
  readonly twins: ReadonlyMap<Value, Value>;
}

/**
 * Layers with more inputs are not fitted (half a minute each); they keep the correction by means.
 */
const LARGEST = 2048;
/**
 * lambda as a share of the mean of the diagonal. The one is taken whose solution fits
 * held-out records best.
 */
const DAMPINGS = [1e-4, 1e-3, 1e-2, 1e-1];
/** Systems with more unknowns take seconds each, and only MIDDLE is tried. */
const SMALL = 512;
const MIDDLE = 1e-2;
/** The damping if there is no second record to judge by. */
const CAUTIOUS = 0.1;

/**
 * Layer by layer in order of execution, with x what the layer reads now and y what it gave before:
 *   min over D, c of  mean |y - (W + D) x - c|^2 + lambda |D|^2
 * (He et al. 2017, arXiv 1707.06168, with the inputs of the pruned model). W + D replaces the
 * weight, and c goes into the bias.
 *
 * If the output of the layer goes into a sum (a residual connection), y is that sum: the layer then
 * also compensates what the other operand has lost. Both models run side by side in one graph, and
 * only X^T [X | R] leaves the engine. `kept` tells which outputs are left. Layers that cannot be
 * fitted are skipped with a reason.
 */
export async function refit(
  model: Model,
  original: Original,
  losses: readonly Loss[],
  kept: Pick<Kept, "indices">,
  records: number,
  context: Context,
): Promise<void> {
  const byNode = new Map(losses.map((loss) => [loss.use.node, loss]));
  const uses = weightsOf(model).filter(({ node, index }) => byNode.get(node)?.use.index === index);
  for (const [i, use] of uses.entries()) {
    await context.progress(i, uses.length);
    const layer = layerOf(use, model, original);
    if (typeof layer === "string") {
      context.skip(use.node.name, `is repaired by means alone: it ${layer}`);
      continue;
    }
    const halves = await observeLayer(model, original, layer, kept, records, context);
    if (halves.every((half) => half.records === 0)) {
      context.skip(
        use.node.name,
        "is repaired by means alone: it gives values that are not finite",
      );
      continue;
    }
    const own = byNode.get(use.node);
    const shift = solveLayer(layer, own?.isLinear ? halves.map(withoutConstant(layer)) : halves);
    const before = own?.shift;
    if (!shift || own?.isLinear) continue;
    const isCounted = layer.sum.path.length > 0;
    const left = before && !isCounted ? shift.map((c, row) => c - before[row]) : shift;
    shiftOutputs(use.node, left, "float32");
  }
}

/**
 * The same for layers that have all inputs and outputs still, such as those with shorter kernels.
 * No c is fitted for those of which `isLinear` holds.
 */
export function refitLayers(
  model: Model,
  original: Original,
  nodes: ReadonlySet<Node>,
  records: number,
  context: Context,
  isLinear: (node: Node) => boolean = () => false,
): Promise<void> {
  const losses = weightsOf(model).flatMap((use) =>
    nodes.has(use.node) && use.index === 1
      ? [{ use, shift: null, isLinear: isLinear(use.node) }]
      : [],
  );
  const indices = ({ shape }: Value, axis: number): number[] =>
    Array.from({ length: Number(shape?.[axis]) }, (_, i) => i);
  return refit(model, original, losses, { indices }, records, context);
}

/** Why a layer's weight cannot be fitted, whatever its size and operator; null if it can. */
export function whyClosed({ node, value }: WeightUse, model: Model): string | null {
  if (node.graph !== model.graph) return "is inside a branch or loop";
  if (value.tensor?.dtype !== "float32") return "stores its weight in fewer bits";
  return value.uses.size > 1 ? "shares its weight" : null;
}

/** Whether most weights are zero: a fit would fill the zeros that pruning made. */
export function isSparse(weight: Tensor): boolean {
  const numbers = Array.from(weight.numbers());
  return numbers.filter((w) => w === 0).length > numbers.length / 2;
}

interface Layer {
  readonly use: WeightUse;
  readonly rows: Rows;
  readonly shape: readonly number[];
  readonly values: Float32Array;
  readonly sum: Sum;
}

/**
 * The last sum that the output of a layer goes into, and which input of each Add leads back to it.
 */
interface Sum {
  readonly value: Value;
  readonly path: readonly number[];
}

/**
 * Follows Adds of equal shapes from the layer's output, as long as the original model has them too.
 */
function sumOf({ output }: Node, { twins }: Original): Sum {
  let sum: Sum = { value: output, path: [] };
  let { value, path } = sum;
  for (;;) {
    const [add, ...others] = value.consumers;
    if (!hasTrait(add, "adds") || others.length > 0 || value.isOutput) return sum;
    if (`${add.output.shape}` !== `${value.shape}`) return sum;
    path = [...path, add.inputs.indexOf(value)];
    value = add.output;
    if (twins.has(value)) sum = { value, path };
  }
}

function layerOf(use: WeightUse, model: Model, original: Original): Layer | string {
  const { value, node, role } = use;
  const why = whyClosed(use, model);
  if (why !== null) return why;
  const weight = value.tensor as Tensor;
  const { shape } = weight;
  const values = weight.floats();
  const rows = rowsOf({
    role,
    node,
    weight: leaf(values, shape),
  });
  if (typeof rows === "string") return rows;
  return rows.columns > LARGEST
    ? `has ${rows.columns} inputs; ${LARGEST} are the most`
    : { use, rows, shape, values, sum: sumOf(node, original) };
}

/** X^T [X | R] for each group, [columns + 1, columns + 1 + rows], summed over half of the records. */
interface Half {
  readonly moments: Float64Array;
  readonly records: number;
}

/** The records of even and of odd number: one half is fitted to, the other judges. */
type Halves = readonly [Half, Half];

/**
 * Runs the pruned and the original model in one graph on the calibration records and sums X^T [X |
 * R].
 */
async function observeLayer(
  model: Model,
  original: Original,
  layer: Layer,
  kept: Pick<Kept, "indices">,
  records: number,
  context: Context,
): Promise<Halves> {
  const { rows, use, sum } = layer;
  const own = new Map<Value, Value>();
  const graph = cloneGraph(model.graph, own);
  const other = new Map<Value, Value>();
  for (const [i, input] of original.model.graph.inputs.entries()) other.set(input, graph.inputs[i]);
  copyNodes(original.model.graph, graph, other);
  const g = build(graph, "refit");
  const now = own.get(sum.value) as Value;
  const before = other.get(original.twins.get(sum.value) as Value) as Value;
  const axis = use.role.kind === "conv" ? 1 : (sum.value.shape?.length ?? 2) - 1;
  const outputs = kept.indices(use.value, use.role.outputAxis);
  const residual = g.Sub(g.Gather(before, g.ints([...outputs]), { axis }), now);
  graph.setOutputs([residual]);
  const both: Model = { ...model, graph };
  rewrite(both, { rules: ["drop-dead"] });
  inferModel(both);
  const wide = rows.columns + 1 + rows.rows;
  const size = rows.groups * (rows.columns + 1) * wide;
  const of = (g: Builder, r: Value): Value => momentsOf(g, r, layer);
  const sumOver = async (from: 0 | 1): Promise<Half> => {
    const moments = new Float64Array(size);
    let seen = 0;
    await context.observe(
      both,
      [{ value: residual, of, optional: true }],
      (_, batch, fed) => {
        seen += fed.records;
        const sums = batch.floats();
        for (let i = 0; i < size; i++) moments[i] += sums[i] * fed.share;
      },
      { from, to: records, step: 2 },
    );
    return { moments, records: seen };
  };
  return [await sumOver(0), await sumOver(1)];
}

/**
 * X^T [X | R] of the residual r = y - W x. X gets a column of ones for c. The layer's node is found
 * again in a copy of the graph by walking back from r.
 */
function momentsOf(g: Builder, r: Value, { use, rows, shape, sum }: Layer): Value {
  const back = (value: Value, index: number) => value.producer?.inputs[index] as Value;
  const node = sum.path.reduceRight(back, back(r, 1)).producer as Node;
  const { index } = use;
  const x = inputsOf(g, { node, index }, factorBeside({ node, index }), rows, shape);
  const zero = g.constant(0, { shape: [1] });
  const ones = g.Add(g.Mul(g.Slice(x, g.ints([0]), g.ints([1]), g.ints([2])), zero), g.constant(1));
  const affine = g.Concat(x, ones, { axis: 2 });
  const all = g.Concat(affine, residuals(g, node, r, rows), { axis: 2 });
  return g.MatMul(g.Transpose(affine, { perm: [0, 2, 1] }), all);
}

/** The residual as [groups, positions, rows], at the positions that `inputsOf` sampled. */
function residuals(g: Builder, node: Node, r: Value, { rows, groups, columns }: Rows): Value {
  if (linearOf(node)?.kind !== "conv") return g.Reshape(r, g.ints([1, -1, rows], "shape"));
  const factor = sampling(node, columns * groups);
  const axes = (node.output.shape ?? []).map((_, i) => i).slice(2);
  const each = (n: number) => g.ints(axes.map(() => n));
  const some = factor > 1 ? g.Slice(r, each(0), each(2 ** 31 - 1), g.ints(axes), each(factor)) : r;
  const split = g.Reshape(some, g.ints([0, groups, rows, -1], "shape"));
  return g.Reshape(g.Transpose(split, { perm: [1, 0, 3, 2] }), g.ints([groups, -1, rows], "shape"));
}

/**
 * The moments as if the column of ones were orthogonal to all others and to R: its solution c is 0
 * then, and D is that of a fit without it.
 */
const withoutConstant =
  ({ rows: { groups, columns, rows } }: Layer) =>
  ({ moments, records }: Half): Half => {
    const [n, wide] = [columns + 1, columns + 1 + rows];
    const cleared = moments.slice();
    for (let group = 0; group < groups; group++) {
      const from = group * n * wide;
      for (let i = 0; i < columns; i++) cleared[from + i * wide + columns] = 0;
      for (let j = 0; j < wide; j++) if (j !== columns) cleared[from + columns * wide + j] = 0;
    }
    return { moments: cleared, records };
  };

/** Stores W + D and returns c [outputs] in units of W x; null if no damping improves the fit. */
function solveLayer(
  { use, rows, shape, values }: Layer,
  halves: readonly Half[],
): Float64Array | null {
  const { groups, columns, rows: outputs } = rows;
  const n = columns + 1;
  const size = n * (n + outputs);
  const alpha = linearOf(use.node)?.alpha ?? 1;
  const weights = values.slice();
  const shift = new Float64Array(groups * outputs);
  for (let group = 0; group < groups; group++) {
    const [first, second] = halves.map(({ moments }) => split(moments, group * size, n, outputs));
    const isJudged = halves.every((half) => half.records > 0);
    const damping = isJudged ? bestDamping(first, second, n, outputs) : CAUTIOUS;
    if (damping === null) continue;
    const whole = {
      gram: first.gram.map((x, i) => x + second.gram[i]),
      cross: first.cross.map((x, i) => x + second.cross[i]),
    };
    const d = solve(whole, n, outputs, damping);
    for (let row = 0; row < outputs; row++) {
      for (let column = 0; column < columns; column++) {
        weights[rows.at(group, row, column)] += d[column * outputs + row] / alpha;
      }
      shift[group * outputs + row] = d[columns * outputs + row] / alpha;
    }
  }
  const isSame = weights.every((w, i) => w === values[i]) && shift.every((c) => c === 0);
  if (isSame || !weights.every(Number.isFinite)) return null;
  const { value } = use;
  value.graph.setConstant(value, tensor("float32", shape, weights));
  return shift;
}

/** Normal equations: gram = X^T X [n, n], cross = X^T R [n, outputs]. */
interface Normal {
  readonly gram: Float64Array;
  readonly cross: Float64Array;
}

function split(half: Float64Array, from: number, n: number, outputs: number): Normal {
  const [gram, cross] = [new Float64Array(n * n), new Float64Array(n * outputs)];
  for (let i = 0, at = from; i < n; i++) {
    for (let j = 0; j < n; j++) gram[i * n + j] = half[at++];
    for (let j = 0; j < outputs; j++) cross[i * outputs + j] = half[at++];
  }
  return { gram, cross };
}

/** [D | c]^T [n, outputs] of (X^T X + lambda I) [D | c]^T = X^T R; the constant c is not damped. */
function solve({ gram, cross }: Normal, n: number, outputs: number, damping: number): Float64Array {
  let trace = 0;
  for (let i = 0; i < n - 1; i++) trace += gram[i * n + i];
  const level = (damping * trace) / (n - 1) || 1;
  const sum = gram.slice();
  for (let i = 0; i < n; i++) sum[i * n + i] += i < n - 1 ? level : 1e-9 * (sum[i * n + i] || 1);
  return solveSpd(sum, n, cross, outputs);
}

/**
 * The damping whose solution on `a` leaves the smallest error on `b`; null if every
 * one makes it larger.
 */
function bestDamping(a: Normal, b: Normal, n: number, outputs: number): number | null {
  let best: number | null = null;
  let least = 0;
  for (const damping of n > SMALL ? [MIDDLE] : DAMPINGS) {
    const change = changeBy(solve(a, n, outputs, damping), b, n, outputs);
    if (change < least) [best, least] = [damping, change];
  }
  return best;
}

/** |R - X d|^2 - |R|^2 = tr(d^T G d) - 2 tr(d^T B), with G = X^T X and B = X^T R. */
function changeBy(d: Float64Array, { gram, cross }: Normal, n: number, outputs: number): number {
  let sum = 0;
  const product = new Float64Array(outputs);
  for (let i = 0; i < n; i++) {
    product.fill(0);
    for (let j = 0; j < n; j++) {
      const factor = gram[i * n + j];
      for (let k = 0; k < outputs; k++) product[k] += factor * d[j * outputs + k];
    }
    for (let k = 0; k < outputs; k++) {
      sum += d[i * outputs + k] * (product[k] - 2 * cross[i * outputs + k]);
    }
  }
  return sum;
}
