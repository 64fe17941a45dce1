/** @file Layouts: all elements, or the non-zero ones with their positions, what is smaller. */
import type { Value } from "../ir/graph.ts";
import { tensor } from "../ir/tensor.ts";
import { countZeros } from "../numeric/finite.ts";
import type { Builder } from "../ops/builder.ts";
import { placesNumbers, storedInputOf } from "../ops/storage.ts";
import { type Element, integerElement, NODE_BYTES, type Numbers } from "./element.ts";

/** A way to write one flat array. */
export interface Layout {
  readonly name: "dense" | "gaps8" | "gaps4" | "mask";
  /** Estimated file bytes, nodes included. */
  readonly bytes: number;
  build(g: Builder, shape: readonly number[]): Value;
}

/** The smallest layout of `values`. Sparse layouts leave zeros out; -0 counts as 0. */
export function smallest(values: Numbers, element: Element): Layout {
  const kept = values.length - countZeros(values);
  const plain = dense(values, element);
  // A sparse layout takes at least 4 bits for each kept element, or a bit for every element.
  const places = Math.min(kept / 2, values.length / 8);
  if (element.bytes(kept) + places >= plain.bytes) return plain;
  return layoutsOf(values, element, kept).reduce((best, next) =>
    next.bytes < best.bytes ? next : best,
  );
}

/**
 * Every layout that may be the smallest: sparse ones if more than a tenth of the elements is zero,
 * so that fewer than 0.9 of them are `kept`.
 */
export function layoutsOf(
  values: Numbers,
  element: Element,
  kept = values.length - countZeros(values),
): Layout[] {
  const candidates = [dense(values, element)];
  if (kept < 0.9 * values.length) {
    const positions = nonzeros(values, kept);
    candidates.push(gaps(values, positions, element, 8), gaps(values, positions, element, 4));
    candidates.push(mask(values, positions, element));
  }
  return candidates;
}

/** Whether `value` is written by a sparse layout: it stores the non-zero elements alone. */
export function isSparse(value: Value): boolean {
  const node = value.producer;
  if (!node || placesNumbers(node)) return node !== null;
  const source = storedInputOf(node);
  const input = source === null ? null : node.inputs[source];
  return input ? isSparse(input) : false;
}

/** The places of the `kept` elements that are not zero. */
function nonzeros(values: Numbers, kept: number): Uint32Array {
  const positions = new Uint32Array(kept);
  for (let i = 0, n = 0; i < values.length; i++) if (values[i] !== 0) positions[n++] = i;
  return positions;
}

function dense(values: Numbers, element: Element): Layout {
  return {
    name: "dense",
    bytes: element.bytes(values.length),
    build: (g, shape) => element.build(g, values, shape),
  };
}

/**
 * Relative positions (Han et al. 2016, arXiv 1510.00149, section 2): each kept element stores its
 * distance from the one before. A distance above 2^bits - 1 is bridged by fillers of value zero.
 * CumSum turns distances into positions, and ScatterElements writes the elements into zeros.
 */
function gaps(values: Numbers, positions: Uint32Array, element: Element, bits: 4 | 8): Layout {
  const reach = 2 ** bits - 1;
  let count = positions.length;
  for (let i = 0, at = 0; i < positions.length; i++) {
    count += Math.max(0, Math.ceil((positions[i] - at) / reach) - 1);
    at = positions[i];
  }
  const gapElement = integerElement(bits, false, "int32");
  return {
    name: bits === 8 ? "gaps8" : "gaps4",
    bytes: gapElement.bytes(count) + element.bytes(count) + NODE_BYTES * 5,
    build(g, shape) {
      const distance = new Uint8Array(count);
      const kept = new Float64Array(count);
      let n = 0;
      let at = 0;
      for (const position of positions) {
        for (; position - at > reach; at += reach) distance[n++] = reach;
        distance[n] = position - at;
        kept[n++] = values[position];
        at = position;
      }
      const zero = tensor(element.dtype, [1], [0]);
      const zeros = g.ConstantOfShape(g.ints([values.length]), { value: zero });
      const steps = gapElement.build(g, distance, [count]);
      const where = g.CumSum(steps, g.constant(0, { dtype: "int32" }));
      const flat = g.ScatterElements(zeros, where, element.build(g, kept, [count]), { axis: 0 });
      return g.Reshape(flat, g.ints(shape, "shape"));
    },
  };
}

/**
 * One bit per element tells whether it is kept. CumSum over the bits gives the rank of each kept
 * element, and Gather looks its value up; rank 0 is a zero.
 */
function mask(values: Numbers, positions: Uint32Array, element: Element): Layout {
  const bit = integerElement(1, false, "int32");
  const count = positions.length + 1;
  return {
    name: "mask",
    bytes: bit.bytes(values.length) + element.bytes(count) + NODE_BYTES * 3,
    build(g, shape) {
      const flags = new Uint8Array(values.length);
      for (const position of positions) flags[position] = 1;
      const kept = new Float64Array(count);
      for (let i = 0; i < positions.length; i++) kept[i + 1] = values[positions[i]];
      const ones = bit.build(g, flags, [values.length]);
      const rank = g.CumSum(ones, g.constant(0, { dtype: "int32" }));
      const flat = g.Gather(element.build(g, kept, [count]), g.Mul(rank, ones), { axis: 0 });
      return g.Reshape(flat, g.ints(shape, "shape"));
    },
  };
}
