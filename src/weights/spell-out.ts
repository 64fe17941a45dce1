/** @file Weights stored as bits, gaps or masks, written out for who cuts their axes, and packed again. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { build } from "../ops/builder.ts";
import { constantValue } from "../ops/constant.ts";
import { weightsOf } from "../ops/weights.ts";
import { sweepFrom } from "../rewrite/drop-dead.ts";
import { type Element, floatElement, integerElement, type Numbers } from "./element.ts";
import { smallest } from "./layout.ts";
import { bitsOf, storedType } from "./read.ts";

/** Through these a weight is one long row of bits or positions: no channel can be cut out of it. */
const flat: ReadonlySet<string | undefined> = new Set(["BitShift", "CumSum"]);

/** The numbers a stored weight is made of: an index, levels, or the weight itself. */
interface Stored {
  readonly array: Value;
  readonly kind: "float" | "levels" | "index";
}

/**
 * Replaces every such row by a plain constant of the same numbers, which coupling can follow along
 * each axis. Gives what stores them in the smallest layout again, whatever they have become.
 */
export function spellOut(model: Model): () => void {
  const spelled = new Map<Value, (numbers: Tensor) => Element>();
  const seen = new Set<Value>();
  for (const { value } of weightsOf(model)) {
    const { array, kind } = storedIn(value);
    const numbers = seen.has(array) || !isFlat(array) ? null : constantValue(array);
    seen.add(array);
    if (!numbers) continue;
    const half = storedType(array);
    const dtype = half === "float16" || half === "bfloat16" ? half : "float32";
    const { graph, name } = array;
    const plain = graph.addConstant(name, numbers);
    graph.replace(array, plain);
    sweepFrom(array.producer as Node);
    if (!plain.isOutput) plain.name = name;
    spelled.set(plain, (now) => {
      if (kind === "float") return floatElement(dtype);
      const levels = Int16Array.from(now.numbers());
      const isSigned = kind === "levels";
      const bits = isSigned ? bitsOf(Int8Array.from(levels)) : bitsOfIndex(levels);
      return integerElement(bits, isSigned, now.dtype);
    });
  }
  return () => {
    for (const [plain, elementOf] of spelled) {
      const { tensor, graph, name } = plain;
      if (!tensor) continue;
      const stored = smallest(tensor.data() as Numbers, elementOf(tensor));
      const packed = stored.build(build(graph), tensor.shape);
      graph.replace(plain, packed);
      if (!packed.isOutput) packed.name = name;
      graph.removeConstant(plain);
    }
  };
}

/** Where `expandFloat` and `expandInt8` put the numbers of a weight. */
function storedIn(value: Value): Stored {
  const node = value.producer;
  const [first, second] = node?.inputs ?? [];
  if (first && node?.op === "DequantizeLinear") {
    const inner = storedIn(first);
    return inner.kind === "float" ? { ...inner, kind: "levels" } : inner;
  }
  // Over a mask there is a Reshape.
  if (second && node?.op === "Gather" && first?.shape?.length === 1) {
    return { array: second, kind: "index" };
  }
  const product = node?.op === "Reshape" && first?.producer?.op === "Mul" ? first.producer : node;
  const [levels, scale] = product?.inputs ?? [];
  if (levels && product?.op === "Mul" && scale?.tensor?.dtype === "float32") {
    return { array: levels, kind: "levels" };
  }
  return { array: value, kind: "float" };
}

function isFlat(array: Value): boolean {
  const seen = new Set([array]);
  // Grows while it is walked: everything the array depends on.
  for (const { producer } of seen) {
    if (flat.has(producer?.op)) return true;
    for (const input of producer?.inputs ?? []) if (input) seen.add(input);
  }
  return false;
}

function bitsOfIndex(index: Int16Array): number {
  const top = index.reduce((most, entry) => Math.max(most, entry), 1);
  return 32 - Math.clz32(top);
}
