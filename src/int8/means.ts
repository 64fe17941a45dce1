/** @file Channel means of what layers read, and of the error that rounding it causes. */
import type { Observe } from "../context.ts";
import { meansOf } from "../evidence/pooled.ts";
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { QuantParams } from "../numeric/quantize.ts";
import type { Builder } from "../ops/builder.ts";
import { linearOf } from "../ops/linear.ts";
import type { ChannelMeans } from "./bias-correction.ts";
import { type Plan, rootOf } from "./plan.ts";

/** Calibration records for the means that biases are corrected by. */
const MEAN_RECORDS = 64;

/** For each layer of the plan, the means of its input, and of the error that rounding it causes. */
export async function observeMeans(
  model: Model,
  plan: Plan,
  params: ReadonlyMap<Value, QuantParams>,
  observe: Observe,
): Promise<Map<Node, ChannelMeans>> {
  const pairs = plan.layers.flatMap(({ node, inputIndex }) => {
    const value = node.inputs[inputIndex] as Value;
    const rounding = params.get(rootOf(value));
    const rank = value.shape?.length;
    if (!rounding || !rank) return [];
    const axis = ((linearOf(node)?.channelAxis ?? -1) + rank) % rank;
    const each = (g: Builder, x: Value): Value => g.Sub(round(g, x, rounding), x);
    return [{ node, exact: { value, axis }, error: { value, axis, each } }];
  });
  const sources = pairs.flatMap(({ exact, error }) => [exact, error]);
  const means = await meansOf(model, sources, observe, MEAN_RECORDS);
  return new Map(
    pairs.flatMap(({ node, ...pair }) => {
      const [exact, error] = [means.get(pair.exact), means.get(pair.error)];
      return exact && error ? [[node, { exact, error }] as const] : [];
    }),
  );
}

/** Rounds to uint8 and back, as the quantized model will. */
function round(g: Builder, value: Value, { scale, zeroPoint }: QuantParams): Value {
  const s = g.constant(scale);
  const z = g.constant(zeroPoint, { dtype: "uint8" });
  return g.DequantizeLinear(g.QuantizeLinear(value, s, z), s, z);
}
