/** @file Replaces a residual gate x + x g by x (1 + g), where g is the smaller tensor. */
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

/**
 * Whether the gate is [N, C, 1, 1] and x is [N, C, H, W], so that 1 + g adds fewer
 * numbers than x + x g.
 */
function isPerChannel(gate: Value, x: Value): boolean {
  const [s, t] = [gate.shape, x.shape];
  if (!s || !t || s.length !== t.length || s.length < 3 || gate.dtype !== "float32") return false;
  return s.slice(2).every((dim) => dim === 1) && t.slice(2).some((dim) => dim !== 1);
}
