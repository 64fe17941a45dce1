/** @file Nodes -> Weight: finds the form in which a weight is stored, and its parts. */
import type { DType } from "../ir/dtype.ts";
import { Graph, type Value } from "../ir/graph.ts";
import type { Tensor } from "../ir/tensor.ts";
import { constantValue, isConstantExpression, nodesOf } from "../ops/constant.ts";
import { inferNode } from "../ops/infer.ts";
import { castLevels, storedInputOf } from "../ops/storage.ts";
import { hasTrait } from "../ops/traits.ts";
import { product } from "../util/product.ts";
import type { Numbers } from "./element.ts";
import { matchForm } from "./match-form.ts";
import { bitsOf, type Coding, type FloatWeight, type Leaf, type Weight } from "./weight.ts";

/** Fewer numbers are read, or multiplied out, at once. */
const LARGE = 2 ** 22;

/**
 * The weight that `value` holds; null if it is no constant expression of real numbers. An
 * expression that a form of the table builds is read as that form, and its parts likewise; any
 * other expression is read as plain numbers.
 */
export function readWeight(value: Value): FloatWeight | null {
  const known = typeOf(value);
  if (!known || !/^b?float/.test(known.dtype)) return null;
  const { shape } = known;
  const found = matchForm(value, shape);
  if (!found) {
    const own = { form: null, shape, coding: floatCoding(value), at: value };
    const levels = storedLevels(value);
    if (levels) return lazyLeaf(own, () => (constantValue(levels) as Tensor).floats());
    const folded = constantValue(value);
    if (!folded) return null;
    const read = (): Float32Array => folded.floats();
    // Unaligned numbers of a file are copied when they are read.
    return folded.isInFile || folded.size >= LARGE
      ? lazyLeaf(own, read)
      : { ...own, values: read() };
  }
  const { form, parts } = found;
  const theta: Record<string, Weight> = {};
  for (const [name, at] of Object.entries(parts)) {
    const part = form.theta[name];
    const inner = part.integers ? readWhole(at, part.dtype, part.integers) : readWeight(at);
    if (!inner) return null;
    theta[name] = inner;
  }
  // W is computed only where it is asked for: counting numbers, for instance, needs the parts alone.
  let values: Float32Array | null = null;
  return {
    ...{ form, shape, theta, at: value },
    get values() {
      values ??= (constantValue(value) as Tensor).floats();
      return values;
    },
  };
}

/**
 * A copy of the value where one node makes it of many stored levels and their scales, which are
 * multiplied out only when they are asked for; else null. A copy, because the node may be changed by
 * then.
 */
function storedLevels({ producer, shape }: Value): Value | null {
  if (!producer || !hasTrait(producer, "converts")) return null;
  const { op, domain, attributes, inputs } = producer;
  const isStored = inputs.every((input) => !input || input.tensor !== null);
  const isInFile = inputs.some((input) => input?.tensor?.isInFile === true);
  const size = product((shape ?? [0]).map(Number));
  if (!isStored || !(isInFile || size >= LARGE)) return null;
  const graph = new Graph("levels");
  const constants = inputs.map(
    (input) => input && graph.addConstant(input.name, input.tensor as Tensor),
  );
  return graph.add(op, constants, { domain, attributes }).output;
}

/**
 * A leaf whose numbers are read when they are asked for and kept no longer than they are used:
 * methods list all weights of a model before they change the first.
 */
function lazyLeaf(
  own: Omit<Leaf<Float32Array>, "values">,
  read: () => Float32Array,
): Leaf<Float32Array> {
  let last: WeakRef<Float32Array> | null = null;
  return {
    ...own,
    get values() {
      const values = last?.deref() ?? read();
      last = new WeakRef(values);
      return values;
    },
  };
}

/** The type and shape of a constant expression, evaluated only where they are not inferred. */
function typeOf(value: Value): Pick<Tensor, "dtype" | "shape"> | null {
  if (!isConstantExpression(value)) return null;
  // The nodes may be new.
  if (!value.dtype || !value.shape) for (const node of nodesOf(value)) inferNode(node);
  const { dtype, shape } = value;
  if (!dtype || !shape?.every((dim) => typeof dim === "number")) return constantValue(value);
  return { dtype, shape: shape as readonly number[] };
}

/** A part of whole numbers: plain ones, or a form of them (a codebook of int8). */
function readWhole(value: Value, dtype: DType, range: readonly [number, number]): Weight | null {
  const known = typeOf(value);
  if (!known) return null;
  const { shape } = known;
  const found = matchForm(value, shape);
  if (found) {
    const theta: Record<string, Weight> = {};
    for (const [name, at] of Object.entries(found.parts)) {
      const { dtype: own, integers } = found.form.theta[name];
      const inner = readWhole(at, own, integers ?? [0, 0]);
      if (!inner) return null;
      theta[name] = inner;
    }
    return {
      ...{ form: found.form, shape, theta, at: value },
      get values() {
        return (constantValue(value) as Tensor).floats();
      },
    };
  }
  const signed = range[0] < 0;
  // The tensor is taken now, because the nodes may be changed before its numbers are asked for; they
  // are unpacked only then: counting, for instance, needs none.
  const stored = castLevels(value, dtype) ?? (constantValue(value) as Tensor);
  let numbers: Numbers | null = null;
  const read = (): Numbers => {
    numbers ??= wholeArray(stored.numbers(), dtype, range);
    return numbers;
  };
  return {
    ...{ form: null, shape, at: value },
    get values() {
      return read();
    },
    get coding(): Coding {
      return dtype === "int64" ? "int64" : { bits: bitsOf(read(), signed), signed };
    },
  };
}

/** An array that holds every number of the range, which takes at most 16 bits except in int64. */
function wholeArray(
  numbers: ArrayLike<number>,
  dtype: DType,
  [least, greatest]: readonly [number, number],
): Numbers {
  if (dtype === "int64") return Float64Array.from(numbers);
  if (least >= 0) return Uint16Array.from(numbers);
  const isByte = least >= -128 && greatest <= 127;
  return isByte ? Int8Array.from(numbers) : Int16Array.from(numbers);
}

function floatCoding(value: Value): Leaf["coding"] {
  const stored = storedType(value);
  return stored === "float16" || stored === "bfloat16" ? stored : "float32";
}

/** The type of the elements in the file, below any layout and Cast; null if that cannot be told. */
export function storedType(value: Value): DType | null {
  if (value.tensor) return value.tensor.dtype;
  const node = value.producer;
  const source = node && storedInputOf(node);
  const input = source === null ? null : node?.inputs[source];
  return input ? storedType(input) : null;
}
