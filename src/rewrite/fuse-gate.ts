/** @file A residual gate, x + x g, becomes x (1 + g), where g is the smaller tensor. */
import type { Value } from "../ir/graph.ts";
import { match, op } from "./match.ts";
import { defineRule } from "./rule.ts";

export const fuseGate = defineRule({
  id: "fuse-gate",
  doc: "x + x * g -> x * (g + 1), for a g of one number per channel",
  roots: ["Add"],
  apply(node, g) {
    const found = match(op("Add", "x", op("Mul", "x", "gate")), node);
    if (!found || !isPerChannel(found.gate, found.x)) return null;
    const { x, gate } = found;
    return g.Mul(x, g.Add(gate, g.constant([1], { dtype: "float32", shape: [] })));
  },
});

/** [N, C, 1, 1] beside [N, C, H, W]: the addition then touches few numbers. */
function isPerChannel(gate: Value, x: Value): boolean {
  const [s, t] = [gate.shape, x.shape];
  if (!s || !t || s.length !== t.length || s.length < 3 || gate.dtype !== "float32") return false;
  return s.slice(2).every((dim) => dim === 1) && t.slice(2).some((dim) => dim !== 1);
}
