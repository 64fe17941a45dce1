/** @file In which representation a layer is stored and computed, and which kind of layer it is. */
import type { Node, Value } from "../ir/graph.ts";
import type { Representation, Work } from "../targets/target.ts";
import { int8KernelOf } from "./int8.ts";
import { entryOf, type OpTable } from "./table.ts";
import { hasTrait } from "./traits.ts";

/** What a target's table is asked for a layer. */
export interface Computed {
  readonly representation: Representation;
  readonly work: Work;
}

type Rule = (node: Node) => Computed | null;

/** From so many rows on a product is one of many rows. */
const MANY = 16;

const sizes = (value: Value | null | undefined): readonly number[] =>
  (value?.shape ?? []).map((dim) => (typeof dim === "number" ? dim : 1));

/** A matrix product, by the rows of its output [..., rows, outputs]. */
function productOf({ output }: Node): Work {
  const rows = sizes(output).slice(0, -1);
  return rows.reduce((all, dim) => all * dim, 1) < MANY ? "product-1" : "product-128";
}

/** A convolution, by its weight [outputs, inputs of a group, ...kernel]; null for grouped ones. */
const convOf =
  (weight: number) =>
  (node: Node): Work | null => {
    const [, inputs, ...kernel] = sizes(node.inputs[weight]);
    if (node.int("group", 1) > 1) return inputs === 1 ? "depthwise" : null;
    return kernel.every((size) => size === 1) ? "pointwise" : "dense";
  };

const as =
  (representation: Representation, workOf: (node: Node) => Work | null): Rule =>
  (node) => {
    const work = workOf(node);
    return work && { representation, work };
  };

/** Whether a value was rounded, directly or before nodes that only move its elements. */
function isConverted(value: Value | null | undefined): boolean {
  const node = value?.producer;
  if (!node) return false;
  return hasTrait(node, "converts") || (isMover(node) && isConverted(node.inputs[0]));
}

const isMover = (node: Node): boolean => int8KernelOf(node)?.kind === "moves";

/** The representation of weights that an n-bit kernel unpacks. */
const byBits: Readonly<Record<number, Representation>> = {
  2: "weights-2",
  4: "weights-4",
  8: "weights-8",
};
const bitsOf = (value: Value | null | undefined): number =>
  Number(/\d+$/.exec(value?.dtype ?? "")?.[0] ?? 0);

/** A layer of standard operators: float16, or integers behind DequantizeLinear. */
const standard =
  (workOf: (node: Node) => Work | null, unpacks: boolean): Rule =>
  (node) => {
    const work = workOf(node);
    const [x, weight] = node.inputs;
    if (!work || !x || !weight) return null;
    if (x.dtype === "float16") return { representation: "float16", work };
    if (!isConverted(weight)) return null;
    if (isConverted(x)) return { representation: "static-int8", work };
    const representation = unpacks ? byBits[bitsOf(weight.producer?.inputs[0])] : undefined;
    return representation ? { representation, work } : null;
  };

const rules: OpTable<Rule> = {
  Conv: standard(convOf(1), false),
  Gemm: standard(productOf, true),
  MatMul: standard(productOf, true),
  QLinearConv: as("static-int8", convOf(3)),
  QLinearMatMul: as("static-int8", productOf),
  ConvInteger: as("dynamic-int8", convOf(1)),
  MatMulInteger: as("dynamic-int8", productOf),
  "com.microsoft:QGemm": as("static-int8", productOf),
  "com.microsoft:DynamicQuantizeMatMul": as("dynamic-int8", productOf),
  "com.microsoft:MatMulIntegerToFloat": as("dynamic-int8", productOf),
  "com.microsoft:MatMulNBits": (node) => {
    const representation = byBits[node.int("bits", 4)];
    return representation ? { representation, work: productOf(node) } : null;
  },
  "com.microsoft:GatherBlockQuantized": as("rows-4", () => "look-up"),
};

/** How a node computes, where that is not in float32; null where it is, or where no table knows. */
export const computedOf = (node: Node): Computed | null => entryOf(rules, node)?.(node) ?? null;
