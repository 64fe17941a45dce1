/** @file Leftover scales and shifts between convolutions become BatchNormalization, which keeps the layout. */
import type { Node, Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";
import { affineInput, affineOf, at, type Channels } from "./affine.ts";
import { defineRule } from "./rule.ts";

/** Operators that ONNX Runtime runs in its channel-blocked layout and those it fuses into them. */
const blocked: ReadonlySet<string> = new Set([
  "Conv",
  "MaxPool",
  "AveragePool",
  "HardSwish",
  "HardSigmoid",
  "Relu",
  "LeakyRelu",
  "Sigmoid",
  "Tanh",
  "Clip",
  "BatchNormalization",
]);

/**
 * An Add or Mul of a constant makes the engine leave the blocked layout and enter it again: two
 * copies of the tensor. As BatchNormalization (mean 0, variance 1) it stays inside.
 */
export const keepBlocked = defineRule({
  id: "keep-blocked",
  doc: "x * a, x + b between an activation and a padded Conv -> BatchNormalization",
  roots: ["Mul", "Add", "Sub", "Div"],
  apply(node, g) {
    const x = affineInput(node);
    if (!x || !endsBlocked(x) || !node.output.consumers.some((user) => isConv(user, node.output))) {
      return null;
    }
    const count = channelsOf(x);
    if (!count) return null;
    const affine = affineOf(node, count);
    if (!affine) return null;
    return normalization(g, x, affine, count);
  },
});

function normalization(
  g: Builder,
  x: Value,
  { scale, shift }: { scale: number | Float64Array; shift: number | Float64Array },
  { count }: Channels,
): Value {
  const vector = (name: string, of: (c: number) => number): Value =>
    g.constant(
      Array.from({ length: count }, (_, c) => of(c)),
      { name },
    );
  return g.BatchNormalization(
    x,
    vector("scale", (c) => at(scale, c)),
    vector("shift", (c) => at(shift, c)),
    vector("mean", () => 0),
    vector("variance", () => 1),
    { epsilon: 0 },
  );
}

/** Whether the value comes out of a Conv through nodes of the blocked layout. */
function endsBlocked(value: Value): boolean {
  for (let node = value.producer; node; node = node.inputs[0]?.producer ?? null) {
    if (node.domain !== "" || !blocked.has(node.op)) return false;
    if (node.op === "Conv") return true;
  }
  return false;
}

function isConv(user: Node, value: Value): boolean {
  return user.op === "Conv" && user.inputs[0] === value && user.inputs[1] !== value;
}

/** Channels of the images a Conv made. */
function channelsOf(value: Value): Channels | null {
  for (let node = value.producer; node; node = node.inputs[0]?.producer ?? null) {
    if (node.op !== "Conv") continue;
    const shape = node.inputs[1]?.shape;
    const [count] = shape ?? [];
    if (shape?.length !== 4 || typeof count !== "number" || node.inputs[1]?.dtype !== "float32")
      return null;
    return { count, after: 2, rank: 4 };
  }
  return null;
}
