/** @file Range: between which values the outputs of a model lie, whatever it reads. */
import type { Node, Value } from "../ir/graph.ts";
import { boundsOf } from "./bounds.ts";
import { entryOf, type OpTable } from "./table.ts";
import { hasTrait } from "./traits.ts";

export interface Range {
  readonly low: number;
  readonly high: number;
}

const unit: Range = { low: 0, high: 1 };
const signed: Range = { low: -1, high: 1 };

/** Operators whose outputs lie in one range whatever they read. */
const fixed: OpTable<Range> = {
  Cos: signed,
  Erf: signed,
  HardSigmoid: unit,
  Hardmax: unit,
  LpNormalization: signed,
  Sigmoid: unit,
  Sin: signed,
  Softmax: unit,
  Softsign: signed,
  Tanh: signed,
};

/**
 * Operators whose outputs lie in the common range of these inputs: they move, pick or average
 * elements. Those with the trait "rearranges" need no entry.
 */
const keeping: OpTable<readonly number[] | "all"> = {
  AveragePool: [0],
  Cast: [0],
  Concat: "all",
  Expand: [0],
  Gather: [0],
  GlobalAveragePool: [0],
  GlobalMaxPool: [0],
  Max: "all",
  MaxPool: [0],
  Min: "all",
  ReduceMax: [0],
  ReduceMean: [0],
  ReduceMin: [0],
  Slice: [0],
  Split: [0],
  Tile: [0],
  Where: [1, 2],
};

/** The inputs in whose common range the outputs of a node lie: it moves, picks or averages them. */
export function keptBy(node: Node): readonly number[] {
  const kept = hasTrait(node, "rearranges") ? [0] : entryOf(keeping, node);
  return kept === "all" ? [...node.inputs.keys()] : (kept ?? []);
}

/** A range that may be open at either end. */
interface Open {
  low: number;
  high: number;
}

/**
 * The range of a value; null if an end of it is open or not known. It is the union over the paths by
 * which elements get there. On each path it begins at an operator of `fixed`, or at one that only
 * bounds values, and operators of `keeping` hand it on.
 */
export function rangeOf(value: Value): Range | null {
  const all: Open = { low: Number.POSITIVE_INFINITY, high: Number.NEGATIVE_INFINITY };
  // What bounds a value on the way narrows the range of everything above it. The list grows while it
  // is walked, because chains may be longer than the call stack.
  const paths = [{ value, within: { low: -Infinity, high: Infinity } }];
  const seen = new Map<Value, Open>();
  for (const { value: at, within } of paths) {
    const before = seen.get(at);
    if (before && before.low <= within.low && before.high >= within.high) continue;
    seen.set(at, within);
    const { own, inputs } = stepAt(at);
    const narrowed = {
      low: Math.min(Math.max(own.low, within.low), within.high),
      high: Math.max(Math.min(own.high, within.high), within.low),
    };
    if (inputs.length === 0 || isClosed(narrowed)) {
      all.low = Math.min(all.low, narrowed.low);
      all.high = Math.max(all.high, narrowed.high);
    } else paths.push(...inputs.map((input) => ({ value: input, within: narrowed })));
    if (!isClosed(all) && inputs.length === 0) return null;
  }
  return isClosed(all) ? all : null;
}

const isClosed = ({ low, high }: Open): boolean => Number.isFinite(low) && Number.isFinite(high);

/** The range that a value has by its operator, and the values whose elements come through it. */
function stepAt(value: Value): { own: Open; inputs: readonly Value[] } {
  const open = { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };
  const node = value.producer;
  if (!node) return { own: open, inputs: [] };
  const known = entryOf(fixed, node);
  if (known) return { own: known, inputs: [] };
  const bounds = boundsOf(node);
  if (bounds) {
    const own = { low: bounds.low ?? open.low, high: bounds.high ?? open.high };
    return { own, inputs: given(node, [0]) };
  }
  if (hasTrait(node, "branches")) {
    const index = node.outputs.indexOf(value);
    return { own: open, inputs: node.subgraphs.map(({ outputs }) => outputs[index]) };
  }
  return { own: open, inputs: given(node, keptBy(node)) };
}

function given({ inputs }: Node, which: readonly number[]): Value[] {
  return which.map((index) => inputs[index]).filter((input) => input != null);
}
