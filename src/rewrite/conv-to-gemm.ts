/**
 * @file Replaces a 1x1 convolution of a single position, as in the head of a classifier,
 * by a matrix product.
 */
import type { Value } from "../ir/graph.ts";
import { isFoldable } from "./constants.ts";
import { defineRule } from "./rule.ts";

const flattening = new Set(["Reshape", "Flatten", "Squeeze"]);

/** Whether all readers flatten the value. */
function isFlattened(value: Value): boolean {
  return !value.isOutput && value.consumers.every(({ op }) => flattening.has(op));
}

export const convToGemm = defineRule({
  id: "conv-to-gemm",
  doc: "Conv of [N, C, 1, 1] by 1x1 kernels -> Flatten, Gemm, Unsqueeze (a classifier's head)",
  roots: ["Conv"],
  apply(node, g) {
    const [x, weight, bias] = node.inputs;
    const spatial = x?.shape?.slice(2);
    if (!spatial || spatial.length === 0 || spatial.some((dim) => dim !== 1)) return null;
    // In other places, such as squeeze-and-excite, the engine's blocked layout is faster
    // than a plain product.
    if (!isFlattened(node.output)) return null;
    const kernel = weight?.tensor;
    if (weight && weight.uses.size > 1) return "its weight is shared";
    if (!isFoldable(kernel) || kernel.shape.slice(2).some((dim) => dim !== 1)) return null;
    if (node.int("group", 1) !== 1 || node.ints("pads")?.some((pad) => pad !== 0)) return null;
    const matrix = g.constant(kernel.reshape(kernel.shape.slice(0, 2)), { name: "weight" });
    const rows = g.Gemm(g.Flatten(x, { axis: 1 }), matrix, bias, { transB: 1 });
    return g.Unsqueeze(rows, g.ints(spatial.map((_, i) => i + 2)));
  },
});
