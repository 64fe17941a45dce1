/** @file How far float16 would overflow in a layer: its inputs, its outputs, and the sums inside. */
import type { Observe } from "../context.ts";
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { biasInputOf } from "../ops/bias.ts";
import type { Builder } from "../ops/builder.ts";
import { factorBeside } from "../ops/linear.ts";
import type { WeightUse } from "../ops/weights.ts";

/** The largest finite float16. */
export const HALF_MAX = 65504;

/**
 * Why each layer would overflow in float16, by the largest magnitudes on calibration records; layers
 * that would not are missing. What is compared with 65504 are its input x, its output W x + b, and
 *   |W| |x| + |b|,
 * which no partial sum exceeds, in whatever order the engine adds.
 */
export async function overflowsOf(
  model: Model,
  layers: readonly Pick<WeightUse, "node" | "index">[],
  observe: Observe,
): Promise<Map<Node, string>> {
  const taps = layers.flatMap(({ node, index }) => {
    const x = factorBeside({ node, index });
    const tap = (value: Value, text: string, of: (g: Builder, v: Value) => Value) => ({
      ...{ node, value, text, optional: true, largest: 0 },
      of: (g: Builder, v: Value): Value => g.ReduceMax(g.Abs(of(g, v)), { keepdims: 0 }),
    });
    return [
      tap(x, `reads ${x.name}, which reaches`, (_, v) => v),
      tap(node.output, `gives ${node.output.name}, which reaches`, (_, v) => v),
      tap(x, `sums up to`, (g, v) => absolute(g, node, index, v)),
    ];
  });
  if (taps.length > 0) {
    await observe(model, taps, (tap, batch) => {
      tap.largest = batch.floats().reduce((a, b) => Math.max(a, b), tap.largest);
    });
  }
  const found = new Map<Node, string>();
  for (const { node, index } of layers) {
    const constants = [index, biasInputOf(node) ?? -1].map((i) => node.inputs[i]?.tensor);
    const most = Math.max(...constants.map(largestIn));
    if (most > HALF_MAX) {
      found.set(node, `its weights reach ${most.toPrecision(3)}: float16 ends at ${HALF_MAX}`);
    }
  }
  for (const { node, text, largest } of taps) {
    if (largest <= HALF_MAX || found.has(node)) continue;
    const size = largest.toPrecision(3);
    found.set(node, `${text} ${size} on calibration records: float16 ends at ${HALF_MAX}`);
  }
  return found;
}

const largestIn = (constant: Tensor | null | undefined): number =>
  constant?.floats().reduce((a, b) => Math.max(a, Math.abs(b)), 0) ?? 0;

/** The layer on |x| with |W| and |b|. */
function absolute(g: Builder, node: Node, index: number, x: Value): Value {
  const bias = biasInputOf(node);
  const inputs = node.inputs.map((input, i) => {
    if (i === 1 - index) return g.Abs(x);
    const constant = input?.tensor;
    return constant && (i === index || i === bias) ? g.Abs(g.constant(constant)) : null;
  });
  return g.graph.add(node.op, inputs, { attributes: node.attributes }).output;
}
