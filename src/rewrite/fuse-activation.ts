/**
 * @file Replaces activations that are written in arithmetic by the one operator that the engine
 * fuses into a Conv.
 */
import type { Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";
import { either, type Match, match, op, opWith } from "./match.ts";
import { defineRule } from "./rule.ts";

const third = 1 / 6;
const relu6Shifted = op("Clip", op("Add", "x", 3), 0, 6);
const gate = either(
  op("Div", relu6Shifted, 6),
  op("Mul", relu6Shifted, third),
  opWith("HardSigmoid", { alpha: third, beta: 0.5 }, "x"),
);

const hardSwishes = [
  op("Mul", "x", gate),
  op("Div", op("Mul", "x", relu6Shifted), 6),
  op("Mul", op("Mul", "x", relu6Shifted), third),
  op("Mul", op("Mul", "x", third), relu6Shifted),
  op("Mul", op("Div", "x", 6), relu6Shifted),
];

/**
 * HardSwish(x) = x max(0, min(1, x / 6 + 1/2)). ONNX Runtime fuses HardSwish into the convolution
 * before it, but not the same in arithmetic.
 */
export const fuseHardSwish = defineRule({
  id: "fuse-hardswish",
  doc: "x * Clip(x + 3, 0, 6) / 6, x * HardSigmoid(x) -> HardSwish(x)",
  roots: ["Mul", "Div"],
  apply(node, g) {
    for (const pattern of hardSwishes) {
      const found = match(pattern, node);
      if (found) return g.HardSwish(found.x);
    }
    return null;
  },
});

/** HardSigmoid(x) = max(0, min(1, alpha x + beta)) */
export const fuseHardSigmoid = defineRule({
  id: "fuse-hardsigmoid",
  doc: "Clip(x + b, 0, c) / c, Clip(a x + b, 0, 1) -> HardSigmoid(x)",
  roots: ["Mul", "Div", "Clip"],
  apply(node, g) {
    const clipped = op("Clip", op("Add", "x", "#b"), 0, "#c");
    const divided = match(op("Div", clipped, "#d"), node);
    if (divided) return hardSigmoid(g, divided, divided["#d"]);
    const scaled = match(op("Mul", clipped, "#d"), node);
    if (scaled) return hardSigmoid(g, scaled, 1 / scaled["#d"]);
    const unit =
      match(op("Clip", op("Add", op("Mul", "x", "#a"), "#b"), 0, 1), node) ??
      match(op("Clip", op("Add", op("Div", "x", "#d"), "#b"), 0, 1), node);
    if (!unit) return null;
    const alpha = "#a" in unit ? unit["#a"] : 1 / unit["#d"];
    return g.HardSigmoid(unit.x, { alpha, beta: unit["#b"] });
  },
});

function hardSigmoid(
  g: Builder,
  { x, "#b": b, "#c": c }: Match<"x" | "#b" | "#c">,
  divisor: number,
): Value | null {
  const isUnit = Math.abs(c - divisor) <= 1e-6 * c;
  return isUnit && c > 0 ? g.HardSigmoid(x, { alpha: 1 / c, beta: b / c }) : null;
}

const erf = either(op("Erf", op("Div", "x", Math.SQRT2)), op("Erf", op("Mul", "x", Math.SQRT1_2)));
const halfTail = op("Add", erf, 1);

/** Gelu(x) = x Phi(x), Phi(x) = (1 + erf(x / sqrt 2)) / 2 (Hendrycks & Gimpel, arXiv 1606.08415) */
const gelus = [
  op("Mul", op("Mul", "x", halfTail), 0.5),
  op("Div", op("Mul", "x", halfTail), 2),
  op("Mul", op("Mul", "x", 0.5), halfTail),
  op("Mul", op("Div", "x", 2), halfTail),
  op("Mul", "x", op("Mul", halfTail, 0.5)),
  op("Mul", "x", op("Div", halfTail, 2)),
];

/**
 * The tanh approximation of Gelu, x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, with the cube
 * as Pow or as products.
 */
const cube = either(
  op("Pow", "x", 3),
  op("Mul", "x", op("Mul", "x", "x")),
  op("Mul", op("Mul", "x", "x"), "x"),
);
const inner = op("Add", "x", op("Mul", cube, 0.044715));
const tanh = op("Tanh", op("Mul", inner, Math.sqrt(2 / Math.PI)));
const tanhTail = op("Add", tanh, 1);
const tanhGelus = [
  op("Mul", op("Mul", "x", tanhTail), 0.5),
  op("Mul", op("Mul", "x", 0.5), tanhTail),
  op("Mul", "x", op("Mul", tanhTail, 0.5)),
];

export const fuseGelu = defineRule({
  id: "fuse-gelu",
  doc: "x * (1 + Erf(x / sqrt 2)) / 2 and its tanh approximation -> Gelu(x)",
  roots: ["Mul", "Div"],
  apply(node, g) {
    for (const pattern of gelus) {
      const found = match(pattern, node);
      if (found) return g.Gelu(found.x);
    }
    for (const pattern of tanhGelus) {
      const found = match(pattern, node);
      if (found) return g.Gelu(found.x, { approximate: "tanh" });
    }
    return null;
  },
});
