/** @file Partly known elements of small tensors: how sizes flow through Shape, Gather, Mul ... */
import { dtypes } from "../../ir/dtype.ts";
import type { Dim, Node, Value } from "../../ir/graph.ts";
import { type Tensor, tensor } from "../../ir/tensor.ts";
import { product } from "../../util/product.ts";
import { broadcastPositions } from "../evaluate/elements.ts";
import { within } from "../evaluate/work.ts";
import { evaluateNode } from "../evaluate.ts";
import { isStatic, productDim } from "./dims.ts";

/** A tensor each of whose elements is a number, a symbol (the size of a dim) or unknown. */
export interface Known {
  readonly shape: readonly number[];
  readonly elements: readonly Dim[];
}

export type KnownMemo = Map<Value, Known | null>;

/** Shapes, axes and pads are small; larger tensors are data and not followed. */
const LIMIT = 1024;
/** The same for what computing their elements may take. */
const STEPS = 2 ** 18;

/**
 * What is known of a value's elements; null if not even their number is. Producers are evaluated
 * only as far as needed, each once per `memo`.
 */
export function knownOf(value: Value | null | undefined, memo: KnownMemo): Known | null {
  if (!value) return null;
  const done = memo.get(value);
  if (done !== undefined) return done;
  const blank = blankOf(value);
  memo.set(value, blank);
  const found =
    blank && ((value.tensor && ofTensor(value.tensor)) ?? ofProducer(value, blank, memo));
  memo.set(value, found);
  return found;
}

/** The elements as numbers; null unless all are known numbers. */
export function numbersOf(known: Known | null): number[] | null {
  const numbers = known?.elements.filter((element) => typeof element === "number");
  return numbers && numbers.length === known?.elements.length ? numbers : null;
}

/** All elements unknown; null if their number is unknown or too large. */
function blankOf(value: Value): Known | null {
  const { shape } = value;
  if (!isStatic(shape)) return null;
  const size = product(shape);
  return size > LIMIT ? null : { shape, elements: new Array<Dim>(size).fill(null) };
}

function ofTensor(x: Tensor): Known | null {
  const { kind } = dtypes[x.dtype];
  if (kind !== "int" && kind !== "float") return null;
  return { shape: x.shape, elements: Array.from(x.numbers()) };
}

/** The elements that the node producing `value` gives. */
function ofProducer(value: Value, blank: Known, memo: KnownMemo): Known {
  const node = value.producer;
  if (node?.domain !== "" || node.subgraphs.length > 0) return blank;
  if (node.op === "Shape") return { shape: blank.shape, elements: dimsOf(node) ?? blank.elements };
  if (node.op === "Size") {
    const shape = node.inputs[0]?.shape;
    return { shape: [], elements: [shape ? productDim(shape) : null] };
  }
  const inputs = node.inputs.map((input) => knownOf(input, memo));
  if (inputs.some((known, i) => !known && node.inputs[i])) return blank;
  const index = node.outputs.indexOf(value);
  try {
    const moved = Object.hasOwn(moves, node.op) ? moves[node.op] : undefined;
    const elements = within(STEPS, () =>
      moved ? ofMove(node, inputs, moved, index) : ofElements(node, inputs, blank, index),
    );
    return elements?.length === blank.elements.length ? { shape: blank.shape, elements } : blank;
  } catch {
    // Verifying the model reports inputs that do not fit; here the elements are just not known.
    return blank;
  }
}

/** The dims that a Shape node returns. */
function dimsOf(node: Node): readonly Dim[] | null {
  const shape = node.inputs[0]?.shape;
  return shape ? shape.slice(node.int("start", 0), node.int("end", shape.length)) : null;
}

/**
 * For operators that only move elements, the inputs whose elements are moved; other inputs are
 * axes, indices and shapes.
 */
const moves: Readonly<Record<string, readonly number[] | "all">> = {
  Concat: "all",
  Expand: [0],
  Flatten: [0],
  Gather: [0],
  GatherElements: [0],
  GatherND: [0],
  Identity: [0],
  Reshape: [0],
  ScatterElements: [0, 2],
  ScatterND: [0, 2],
  Slice: [0],
  Split: [0],
  Squeeze: [0],
  Tile: [0],
  Transpose: [0],
  Unsqueeze: [0],
};

/**
 * Evaluates the operator on the positions of the elements, then looks the elements up. So symbols
 * move like numbers.
 */
function ofMove(
  node: Node,
  inputs: readonly (Known | null)[],
  data: readonly number[] | "all",
  output: number,
): readonly Dim[] | null {
  const all: Dim[] = [];
  const feeds: (Tensor | null)[] = [];
  for (const [i, known] of inputs.entries()) {
    if (!known) {
      feeds.push(null);
    } else if (data === "all" || data.includes(i)) {
      const ids = known.elements.map((_, k) => all.length + k);
      feeds.push(tensor("int32", known.shape, ids));
      all.push(...known.elements);
    } else {
      const numbers = numbersOf(known);
      if (!numbers) return null;
      feeds.push(tensor("int64", known.shape, numbers));
    }
  }
  const result = evaluateNode(node, feeds)?.[output];
  return result ? Array.from(result.numbers(), (id) => all[id]) : null;
}

/**
 * What an operator gives for operands that are not all numbers. Symbols are sizes,
 * so never negative.
 */
const symbolic: Readonly<Record<string, (...operands: readonly Dim[]) => Dim>> = {
  Abs: (a) => a,
  Add: (a, b) => (a === 0 ? b : b === 0 ? a : null),
  Cast: (a) => a,
  Ceil: (a) => a,
  Div: (a, b) => (b === 1 ? a : a !== null && a === b ? 1 : null),
  Equal: (a, b) => (a !== null && a === b ? 1 : isNegative(a) || isNegative(b) ? 0 : null),
  Floor: (a) => a,
  Max: (a, b) => (a === b || isAtMostZero(b) ? a : isAtMostZero(a) ? b : null),
  Min: (a, b) => (a === b ? a : null),
  Mul: (a, b) => (a === 0 || b === 0 ? 0 : a === 1 ? b : b === 1 ? a : null),
  Round: (a) => a,
  Sub: (a, b) => (b === 0 ? a : a !== null && a === b ? 0 : null),
  Where: (c, a, b) => (c === null ? (a === b ? a : null) : c ? a : b),
};

const isNegative = (a: Dim): boolean => typeof a === "number" && a < 0;
const isAtMostZero = (a: Dim): boolean => typeof a === "number" && a <= 0;

/**
 * Evaluates the operator: in numbers where all operands are known, by `symbolic` for other
 * elements.
 */
function ofElements(
  node: Node,
  inputs: readonly (Known | null)[],
  blank: Known,
  output: number,
): readonly Dim[] | null {
  const isComplete = inputs.every((known) => !known || !!numbersOf(known));
  const rule = Object.hasOwn(symbolic, node.op) ? symbolic[node.op] : null;
  if (!isComplete && !rule) return null;
  const feeds = inputs.map((known, i) => {
    // An unknown element is replaced by 1; results that depend on it are not used.
    const elements = known?.elements.map((element) => (typeof element === "number" ? element : 1));
    return known && tensor(node.inputs[i]?.dtype ?? "int64", known.shape, elements as number[]);
  });
  const result = evaluateNode(node, feeds)?.[output];
  if (!result || result.strings) return null;
  const numbers = result.numbers();
  if (isComplete || !rule) return Array.from(numbers);
  const operands = inputs.filter((known) => known !== null);
  const at = operands.map((known) => broadcastPositions(known.shape, blank.shape));
  return Array.from(numbers, (number, i) => {
    const read = operands.map((known, k) => known.elements[at[k][i]]);
    return read.every((element) => typeof element === "number") ? number : rule(...read);
  });
}
