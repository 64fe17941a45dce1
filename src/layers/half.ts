/** @file Layers computed in float16: their input, weight and bias are 16 bits wide, and their sums. */
import { dtypes } from "../ir/dtype.ts";
import type { Value } from "../ir/graph.ts";
import { tensor } from "../ir/tensor.ts";
import { biasInputOf } from "../ops/bias.ts";
import { build } from "../ops/builder.ts";
import type { WeightUse } from "../ops/weights.ts";

/** Why a layer cannot be computed in float16; null if it can. */
export function whyNotHalf({ node, index }: Pick<WeightUse, "node" | "index">): string | null {
  const [weight, bias] = [node.inputs[index], node.inputs[biasInputOf(node) ?? -1]];
  if (weight?.tensor?.dtype !== "float32") return "its weight is stored in another form";
  if (bias && bias.tensor?.dtype !== "float32") return "its bias is no float32 constant";
  return node.inputs[1 - index]?.dtype === "float32" ? null : "its input is not float32";
}

/**
 * y = layer(x) -> Cast(layer(Cast(x, float16)), float32). `casts` holds the inputs that were cast
 * already, since several layers may read one.
 */
export function computeInHalf(
  { node, index }: Pick<WeightUse, "node" | "index">,
  casts: Map<Value, Value>,
): void {
  const { graph, name } = node;
  const x = node.inputs[1 - index] as Value;
  const half = { to: dtypes.float16.code };
  const cast = casts.get(x) ?? typed(build(graph, x.name).Cast(x, half), "float16", x);
  casts.set(x, cast);
  const bias = biasInputOf(node);
  const inputs = node.inputs.map((input, i) => {
    if (i === 1 - index) return cast;
    if (!input?.tensor || (i !== index && i !== bias)) return null;
    const { shape } = input.tensor;
    return graph.addConstant(input.name, tensor("float16", shape, input.tensor.floats()));
  });
  const { output } = graph.add(node.op, inputs, { name, attributes: node.attributes });
  typed(output, "float16", node.output);
  const wide = typed(
    build(graph, name).Cast(output, { to: dtypes.float32.code }),
    "float32",
    node.output,
  );
  const old = node.inputs.filter((input) => input !== null);
  graph.replace(node.output, wide);
  graph.remove(node);
  for (const value of old) if (value.tensor && value.uses.size === 0) graph.removeConstant(value);
}

function typed(value: Value, dtype: "float16" | "float32", like: Value): Value {
  value.dtype = dtype;
  value.shape = like.shape;
  return value;
}
