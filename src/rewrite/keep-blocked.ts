/**
 * @file Replaces scales and shifts between convolutions that could not be folded by depthwise 1x1
 * Convs, which keep the engine's blocked layout.
 */
import type { Node, Value } from "../ir/graph.ts";
import { isOp } from "../ops/table.ts";
import { affineInput, affineOf, at, type Channels } from "./affine.ts";
import { defineRule } from "./rule.ts";

/** Operators that ONNX Runtime runs in its channel-blocked layout, or fuses into such a node. */
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
 * At an Add or Mul of a constant the engine leaves the blocked layout and enters it again, which
 * copies the tensor twice. Another Conv stays in the layout. (BatchNormalization would, too, but it
 * would change how the model is trained.)
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

/**
 * The channels of the Conv that the value comes from through nodes of the blocked layout;
 * null if there is none.
 */
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

/** Whether the node is a Conv of `value`. */
function isConv(user: Node, value: Value): boolean {
  return isOp(user, "Conv") && user.inputs[0] === value && user.inputs[1] !== value;
}
