/** @file Rewrites weights stored as bits, gaps or masks into dense tensors, and back again. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { build } from "../ops/builder.ts";
import { constantValue } from "../ops/constant.ts";
import { isPackedRow } from "../ops/storage.ts";
import { weightsOf } from "../ops/weights.ts";
import { sweepFrom } from "../rewrite/drop-dead.ts";
import { type Element, floatElement, integerElement, type Numbers } from "../weights/element.ts";
import { elementsOf } from "../weights/elements.ts";
import { smallest } from "../weights/layout.ts";
import { readWeight } from "../weights/read.ts";
import { bitsOf, type Coding } from "../weights/weight.ts";

/**
 * Replaces every such array by a dense constant of the same numbers, whose axes coupling can
 * follow. Returns the function that stores them again in the smallest layout, at whatever shape
 * they have by then. Weights that are one constant already are left alone.
 */
export function spellOut(model: Model): () => void {
  const spelled = new Map<Value, Coding>();
  const seen = new Set<Value>();
  for (const { value } of weightsOf(model)) {
    const weight = readWeight(value);
    const leaf = weight && elementsOf(weight);
    const array = leaf?.at;
    if (!array || seen.has(array)) continue;
    seen.add(array);
    const numbers = isFlat(array) ? constantValue(array) : null;
    if (!numbers) continue;
    const { graph, name } = array;
    const plain = graph.addConstant(name, numbers);
    graph.replace(array, plain);
    sweepFrom(array.producer as Node);
    if (!plain.isOutput) plain.name = name;
    spelled.set(plain, leaf.coding);
  }
  return () => {
    for (const [plain, coding] of spelled) {
      const { tensor, graph, name } = plain;
      if (!tensor) continue;
      const stored = smallest(tensor.data() as Numbers, elementOf(coding, tensor));
      const packed = stored.build(build(graph), tensor.shape);
      graph.replace(plain, packed);
      if (!packed.isOutput) packed.name = name;
      graph.removeConstant(plain);
    }
  };
}

/**
 * How the elements are written again: floats as they were stored, whole numbers in as few bits as
 * the remaining ones need.
 */
function elementOf(coding: Coding, now: Tensor): Element {
  if (coding === "int64") throw new Error("seeds are no row of bits");
  if (typeof coding === "string") return floatElement(coding);
  const { signed } = coding;
  return integerElement(bitsOf(Int16Array.from(now.numbers()), signed), signed, now.dtype);
}

/**
 * Whether the array is computed from one long vector of packed bits or running sums (BitShift,
 * CumSum). No axis of the tensor can be cut out of such a vector.
 */
function isFlat(array: Value): boolean {
  const seen = new Set([array]);
  // The set grows while it is walked: it holds all values that the array depends on.
  for (const { producer } of seen) {
    if (producer && isPackedRow(producer)) return true;
    for (const input of producer?.inputs ?? []) if (input) seen.add(input);
  }
  return false;
}
