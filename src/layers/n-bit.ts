/** @file Weights that stay integers behind DequantizeLinear, for the n-bit MatMul of ONNX Runtime. */
import { build } from "../ops/builder.ts";
import { linearOf, whyNotRight } from "../ops/linear.ts";
import { pays, type TargetDevice } from "../targets/target.ts";
import { transposed } from "../weights/elements.ts";
import { leafOf } from "../weights/form.ts";
import type { ThetaSite } from "../weights/sites.ts";
import type { Composed, Whole } from "../weights/weight.ts";

/**
 * Why ONNX Runtime 1.30 would not run its n-bit MatMul on such weights, or not fast; null if it
 * would. `block`: weights per scale, 0 for one scale per output.
 */
export function missingKernel(bits: number, block: number, target: TargetDevice): string | null {
  if (bits !== 4 && bits !== 8) return `there is no ${bits}-bit MatMul`;
  if (block !== 0 && ![16, 32, 64, 128, 256].includes(block)) {
    return `there is no n-bit MatMul for blocks of ${block}`;
  }
  const kernel = bits === 4 ? "weights-4" : "weights-8";
  return pays(target, kernel) ? null : `the n-bit MatMul is slow on ${target.id}`;
}

/** Whether the layer is x W and the only reader of its weight. */
export function isProduct({ node, value, weight, part }: ThetaSite): boolean {
  const { shape } = weight;
  if (part || shape.length !== 2 || value.uses.size !== 1 || node.inputs[1] !== value) return false;
  return linearOf(node)?.kind === "product" && whyNotRight({ node, index: 1 }) === null;
}

/**
 * Stores integers -> DequantizeLinear, which ONNX Runtime fuses with a MatMul x W to MatMulNBits.
 */
export function storeDequantized(
  { value, node }: Pick<ThetaSite, "value" | "node">,
  grid: Composed,
): void {
  const isTurned = linearOf(node)?.turned[1] ?? false;
  const weight = isTurned ? (transposed(grid) ?? grid) : grid;
  const { shape } = weight;
  const levels = leafOf<Int8Array>(weight, "levels");
  const scale = leafOf<Float32Array>(weight, "scale");
  const { bits } = levels.coding as Whole;
  // If an axis is split into blocks, the scale has a 1 in the place of their size. Else each output has
  // a scale: the last axis, also where there is one output only.
  const axis =
    levels.shape.length > shape.length
      ? levels.shape.findIndex((dim, i) => dim !== shape[i])
      : scale.shape.findLastIndex((dim, i) => dim === shape[i]);
  const block = levels.shape.length > shape.length ? levels.shape[axis + 1] : null;
  const dims = block ? scale.shape.toSpliced(axis + 1, 1) : [shape[axis]];
  const g = build(value.graph);
  const stored = g.constant(levels.values, {
    dtype: bits === 4 ? "int4" : "int8",
    shape,
    name: "levels",
  });
  const steps = g.constant(scale.values, { shape: dims, name: "scale" });
  const attributes = block ? { axis, block_size: block } : { axis };
  node.setInput(1, g.DequantizeLinear(stored, steps, attributes));
  if (isTurned) node.set("transB", null);
  if (value.tensor) value.graph.removeConstant(value);
}
