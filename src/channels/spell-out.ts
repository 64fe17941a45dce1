/**
 * @file Rewrites weights that are stored as bits, gaps or masks into plain constants, so that channels can
 * be cut out of them, and stores them in the smallest layout again afterwards.
 */
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
 * Replaces every such row by a plain constant of the same numbers, which coupling can follow along
 * each axis. Gives what stores them in the smallest layout again, whatever they have become.
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

/** Floats as they were stored; whole numbers in as few bits as are needed now. */
function elementOf(coding: Coding, now: Tensor): Element {
  if (coding === "int64") throw new Error("seeds are no row of bits");
  if (typeof coding === "string") return floatElement(coding);
  const { signed } = coding;
  return integerElement(bitsOf(Int16Array.from(now.numbers()), signed), signed, now.dtype);
}

/** Whether the numbers are one long row of bits or positions: no channel can be cut out of it. */
function isFlat(array: Value): boolean {
  const seen = new Set([array]);
  // Grows while it is walked: everything the array depends on.
  for (const { producer } of seen) {
    if (producer && isPackedRow(producer)) return true;
    for (const input of producer?.inputs ?? []) if (input) seen.add(input);
  }
  return false;
}
