/** @file Replaces a MatMul of matrices and the Add of a row after it by one Gemm. */
import type { Value } from "../ir/graph.ts";
import { isOp } from "../ops/table.ts";
import { isFoldable, otherReaders, rankOf } from "./constants.ts";
import { defineRule } from "./rule.ts";

export const fuseGemm = defineRule({
  id: "fuse-gemm",
  doc: "MatMul (rank 2, constant weights) + Add of a constant row -> Gemm",
  roots: ["Add"],
  apply(node, g) {
    const product = node.inputs.find((input) => isOp(input?.producer, "MatMul"));
    const bias = node.inputs.find((input) => input !== product);
    const matMul = product?.producer;
    const [a, b] = matMul?.inputs ?? [];
    if (!product || !matMul || !a || !isFoldable(bias?.tensor) || !b?.tensor) return null;
    if (rankOf(a) !== 2 || b.tensor.shape.length !== 2) return null;
    const columns = b.tensor.shape[1];
    const row = bias.tensor.shape;
    if (bias.tensor.size !== columns || row.length > 2 || row.at(-1) !== columns) return null;
    return otherReaders(product, node) ?? g.Gemm(a, b, bias as Value);
  },
});
