/** @file Leftover scales and shifts between convolutions become depthwise 1x1 Convs, which keep the layout. */
import type { Node, Value } from "../ir/graph.ts";
import { affineInput, affineOf, at, type Channels } from "./affine.ts";
import { defineRule } from "./rule.ts";

/** What ONNX Runtime runs in its channel-blocked layout, and what it fuses into that. */
const blocked: ReadonlySet<string> = new Set([
  "AveragePool",
  "Clip",
  "Conv",
  "HardSigmoid",
  "HardSwish",
  "LeakyRelu",
  "MaxPool",
  "Relu",
  "Sigmoid",
  "Tanh",
]);

/**
 * An Add or Mul of a constant makes the engine leave the blocked layout and enter it again: two
 * copies of the tensor. As one more Conv it stays inside. (BatchNormalization would do as well, but
 * means something else to whoever trains the model.)
 */
export const keepBlocked = defineRule({
  id: "keep-blocked",
  doc: "x * a, x + b between an activation and a padded Conv -> depthwise 1x1 Conv",
  roots: ["Mul", "Add", "Sub", "Div"],
  afterTraining: true,
  apply(node, g) {
    const x = affineInput(node);
    const channels = x && channelsBehind(x);
    if (!channels || !node.output.consumers.some((user) => isConv(user, node.output))) return null;
    const affine = affineOf(node, channels);
    if (!affine) return null;
    const { count } = channels;
    const scale = Array.from({ length: count }, (_, c) => at(affine.scale, c));
    const shift = Array.from({ length: count }, (_, c) => at(affine.shift, c));
    return g.Conv(
      x,
      g.constant(scale, { shape: [count, 1, 1, 1], name: "scale" }),
      g.constant(shift, { name: "shift" }),
      { group: count },
    );
  },
});

/** Channels of the images of a Conv that the value comes out of through nodes of the blocked layout. */
function channelsBehind(value: Value): Channels | null {
  let node = value.producer;
  while (node && node.domain === "" && blocked.has(node.op) && node.op !== "Conv") {
    node = node.inputs[0]?.producer ?? null;
  }
  if (node?.op !== "Conv" || node.domain !== "" || node.inputs[1]?.dtype !== "float32") return null;
  const { shape } = node.inputs[1];
  const count = shape?.[0];
  return shape?.length === 4 && typeof count === "number" ? { count, after: 2, rank: 4 } : null;
}

function isConv(user: Node, value: Value): boolean {
  return user.op === "Conv" && user.inputs[0] === value && user.inputs[1] !== value;
}
