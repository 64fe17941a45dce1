/** @file Repeats channels: where they are made, or by a Gather in front of the layers that read them. */
import type { Node, Value } from "../ir/graph.ts";
import type { Tensor } from "../ir/tensor.ts";
import { build } from "../ops/builder.ts";
import { take } from "../ops/coupling/remove.ts";
import { linearOf } from "../ops/linear.ts";
import { operandOf } from "../ops/norms.ts";
import { changeConstant, type Span, type WeightSlot } from "./rescale.ts";
import type { Read } from "./spans.ts";

/**
 * Whether the channels of a span can be repeated where they are made: by plain layers, not by a
 * normalization, whose statistics would change, nor by one that keeps channels apart.
 */
export function canWiden({ makers, readers, constants, products }: Span): boolean {
  const isPlain = ({ node }: { node: Node }): boolean =>
    linearOf(node) !== null || operandOf(node) === "shift";
  return (
    makers.length > 0 &&
    products.size === 0 &&
    constants.every(isPlain) &&
    [...makers, ...readers].every(({ role }) => role.groups === 1)
  );
}

/**
 * Makes the channels `sources` of what the span had, in this order; its readers have to get as many
 * inputs. A layer that makes and reads the span's channels gets its outputs here.
 */
export function widen(
  { values, channels, makers, constants }: Span,
  sources: readonly number[],
): void {
  for (const { node, index, role } of makers) {
    const weight = node.inputs[index]?.tensor as Tensor;
    changeConstant(node, index, take(weight, role.outputAxis, sources));
  }
  for (const { node, index, fromEnd } of constants) {
    const constant = node.inputs[index]?.tensor as Tensor;
    const axis = constant.shape.length - fromEnd;
    // An axis of size 1 counts for all channels.
    if (axis >= 0 && constant.shape[axis] === channels) {
      changeConstant(node, index, take(constant, axis, sources));
    }
  }
  for (const [value, axis] of values) {
    value.shape = (value.shape ?? []).with(axis, sources.length);
  }
}

/** Puts Gather(x, sources) in front of layers that read x, whose weights are `slots`. */
export function gatherChannels(
  { value, axis }: Pick<Read, "value" | "axis">,
  slots: readonly WeightSlot[],
  sources: readonly number[],
): void {
  const g = build(value.graph, `${value.name}/split`);
  const channels = g.constant(sources, { dtype: "int32", name: "channels" });
  const gathered: Value = g.Gather(value, channels, { axis });
  gathered.dtype = value.dtype;
  gathered.shape = (value.shape ?? []).with(axis, sources.length);
  for (const { node, index } of slots) node.setInput(1 - index, gathered);
}
