/** @file Integers: which ones a graph input may hold, by the operators that its elements reach. */
import { dtypes } from "../ir/dtype.ts";
import { Graph, type Node, type Value } from "../ir/graph.ts";
import { constantValue } from "./constant.ts";
import { axisOf, type Shape, shapeOf } from "./infer/dims.ts";
import { keptBy, type Range } from "./range.ts";
import { entryOf, isOp, type OpTable } from "./table.ts";
import { hasTrait } from "./traits.ts";

/** The integers that input `index` of a node may hold; null if all may be, or if it is not known. */
type LimitRule = (node: Node, index: number) => Range | null;

const below = (size: number): Range => ({ low: 0, high: size - 1 });
const exactly = (size: number): Range => ({ low: size, high: size });
const flag: Range = { low: 0, high: 1 };

/** f of sizes that are numbers; null where one is not known. */
function bySize(
  f: (...sizes: number[]) => Range,
  ...sizes: readonly (Shape[number] | undefined)[]
): Range | null {
  const known = sizes.filter((size) => typeof size === "number");
  return known.length === sizes.length ? f(...known) : null;
}

/** Rows of the table that is input `table`, along `axis` of it. */
const rows = (node: Node, table: number, axis: number): Range | null => {
  const shape = shapeOf(node, table);
  return shape && bySize(below, shape[axisOf(axis, shape.length)]);
};

/** Input 1 holds indices along `axis` of input 0. */
const alongAxis: LimitRule = (node, index) =>
  index === 1 ? rows(node, 0, node.int("axis", 0)) : null;

/** Input 1 holds tuples of indices into the leading axes of input 0; all keep to the shortest. */
const tuples: LimitRule = (node, index) => {
  const length = shapeOf(node, 1)?.at(-1);
  const first = node.int("batch_dims", 0);
  const axes = typeof length === "number" ? shapeOf(node, 0)?.slice(first, first + length) : null;
  return index === 1 && axes ? bySize((...sizes) => below(Math.min(...sizes)), ...axes) : null;
};

/** Lengths of the sequences in x [T, N, F] (layout 1: [N, T, F]): the whole. */
const recurrent: LimitRule = (node, index) =>
  index === 4 ? bySize(exactly, shapeOf(node, 0)?.[node.int("layout", 0)]) : null;

/** Input i holds rows of the table that is input `tables[i]`. */
const tables =
  (tables: Readonly<Record<number, number>>): LimitRule =>
  (node, index) =>
    Object.hasOwn(tables, index) ? rows(node, tables[index], 0) : null;

const limits: OpTable<LimitRule> = {
  GRU: recurrent,
  Gather: alongAxis,
  GatherElements: alongAxis,
  GatherND: tuples,
  LSTM: recurrent,
  OneHot: (node, index) => {
    const depth = index === 0 && node.inputs[1] ? constantValue(node.inputs[1]) : null;
    return depth && below(depth.numbers()[0]);
  },
  RNN: recurrent,
  RotaryEmbedding: tables({ 3: 1 }),
  ScatterElements: alongAxis,
  ScatterND: tuples,
  TopK: (node, index) => {
    const shape = shapeOf(node, 0);
    const size = shape?.[axisOf(node.int("axis", -1), shape.length)];
    return index === 1 ? bySize((high) => ({ low: 1, high }), size) : null;
  },
  "com.microsoft:EmbedLayerNormalization": (node, index) =>
    index === 7 ? flag : tables({ 0: 2, 1: 4, 8: 3 })(node, index),
  "com.microsoft:GatherBlockQuantized": (node, index) =>
    index === 1 ? rows(node, 0, node.int("gather_axis", 0)) : null,
  // Inputs 5 and 6 count the tokens with those in the cache (input 3 [N, heads, P, E]): the last
  // position of each sequence, and their number.
  "com.microsoft:GroupQueryAttention": (node, index) => {
    if (index !== 5 && index !== 6) return null;
    const past = node.inputs[3] ? shapeOf(node, 3)?.[2] : 0;
    return bySize((p, s) => exactly(index === 6 ? p + s : p + s - 1), past, shapeOf(node, 0)?.[1]);
  },
  "com.microsoft:RotaryEmbedding": tables({ 1: 2 }),
};

/** What has become of an element v on its way: scale v + offset, the offset from `low` to `high`. */
interface Step {
  readonly scale: number;
  readonly low: number;
  readonly high: number;
}

type StepRule = (step: Step, constant: Range, index: number) => Step | null;

/** Arithmetic with a constant whose elements lie in a range; `index` is the input with v. */
const arithmetic: OpTable<StepRule> = {
  Add: ({ scale, low, high }, by) => ({ scale, low: low + by.low, high: high + by.high }),
  Mul: ({ scale, low, high }, { low: a, high: b }) =>
    a === b && a > 0 ? { scale: scale * a, low: low * a, high: high * a } : null,
  Sub: ({ scale, low, high }, by, index) =>
    index === 0
      ? { scale, low: low - by.high, high: high - by.low }
      : { scale: -scale, low: by.low - high, high: by.high - low },
};

/** A file could be made in which an element gets somewhere in endlessly many ways. */
const MOST = 10_000;

/** What the readers of an input say. */
interface Findings {
  /** Ranges that it must keep to, or the engine stops. */
  readonly hard: Range[];
  /** A number that it is compared with, so that the graph does what it is made for. */
  readonly asked: Range[];
  /** Whether it is compared with 0 or 1, or turned into a number or a truth value. */
  isFlag: boolean;
}

/**
 * The integers that an input may hold: indices stay inside their table, lengths are those of what
 * they count, a number that the graph compares the input with is taken, masks are 0 or 1. Null where
 * nothing says it. Sizes must be inferred; of open ones nothing follows.
 */
export function integersOf(input: Value): Range | null {
  const found: Findings = { hard: [], asked: [], isFlag: false };
  const start: Step = { scale: 1, low: 0, high: 0 };
  const steps = [{ value: input, step: start }];
  const seen = new Set<string>();
  const ids = new Map<Value, number>();
  // The list grows while it is walked.
  for (const { value, step } of steps) {
    if (!ids.has(value)) ids.set(value, ids.size);
    const key = `${ids.get(value)} ${step.scale} ${step.low} ${step.high}`;
    if (seen.has(key)) continue;
    if (seen.size === MOST) break;
    seen.add(key);
    for (const { user, index } of value.uses) {
      if (user instanceof Graph) {
        const { owner } = user;
        if (owner && hasTrait(owner, "branches")) steps.push({ value: owner.outputs[index], step });
        continue;
      }
      note(user, index, step, found);
      const next = follow(user, index, step);
      if (next) steps.push(...user.outputs.map((output) => ({ value: output, step: next })));
    }
  }
  if (found.hard.length > 0) {
    const low = Math.max(...found.hard.map((range) => range.low));
    const high = Math.min(...found.hard.map((range) => range.high));
    return low <= high ? { low, high } : null;
  }
  return found.asked[0] ?? (found.isFlag ? flag : null);
}

/** What becomes of the element in a node that it enters by input `index`; null where it ends. */
function follow(node: Node, index: number, step: Step): Step | null {
  // A truth value is not the element any more.
  if (keptBy(node).includes(index)) return node.output.dtype === "bool" ? null : step;
  const rule = entryOf(arithmetic, node);
  const constant = rule && rangeOfConstant(node.inputs[1 - index]);
  return rule && constant ? rule(step, constant, index) : null;
}

/** Adds what the node says of an element that enters it by input `index`. */
function note(node: Node, index: number, step: Step, found: Findings): void {
  const limit = entryOf(limits, node)?.(node, index);
  if (limit) found.hard.push(before(step, limit));
  const constant = isOp(node, "Equal") && rangeOfConstant(node.inputs[1 - index]);
  if (constant && constant.low === constant.high) {
    const { low, high } = before(step, constant);
    if (low === 0 || low === 1) found.isFlag = true;
    else if (low === high) found.asked.push({ low, high });
  }
  const [input, output] = [node.inputs[index], node.outputs[0]];
  const isTurned = keptBy(node).includes(index) && isInteger(input) && !isInteger(output);
  if (isTurned && input && dtypes[input.dtype ?? "int64"].bits >= 32) found.isFlag = true;
}

/** The elements v for which the step ends in the range, whatever the offset. */
function before({ scale, low, high }: Step, range: Range): Range {
  const [a, b] = [(range.low - low) / scale, (range.high - high) / scale];
  return { low: 0 + Math.ceil(scale > 0 ? a : b), high: 0 + Math.floor(scale > 0 ? b : a) };
}

/** The smallest and largest element of a constant; null for other values, and for large ones. */
function rangeOfConstant(value: Value | null | undefined): Range | null {
  const numbers = value && constantValue(value)?.numbers();
  if (!numbers || numbers.length === 0 || numbers.length > LIMIT) return null;
  return { low: Math.min(...numbers), high: Math.max(...numbers) };
}

/** Offsets and the like have few elements; a larger constant is a weight. */
const LIMIT = 1024;

function isInteger(value: Value | null | undefined): boolean {
  const { dtype } = value ?? {};
  return dtype != null && dtype !== "bool" && dtypes[dtype].kind === "int";
}
