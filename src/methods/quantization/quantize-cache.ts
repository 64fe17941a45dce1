/** @file Keys and values of a decoder's cache in 8 or 4 bits. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { dtypes } from "../../ir/dtype.ts";
import { Node, type Value } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import { retype } from "../../ir/retyped.ts";
import { tensor } from "../../ir/tensor.ts";
import { scaleOf } from "../../numeric/level.ts";
import { type Builder, build } from "../../ops/builder.ts";
import { asksForSize, type Cache, cachesOf } from "../../ops/caches.ts";
import { inferModel } from "../../ops/infer.ts";
import { defineMethod } from "../method.ts";

const options = z.object({
  bits: z
    .int()
    .min(4)
    .max(8)
    .multipleOf(4)
    .default(8)
    .meta({
      description:
        "8; or 4, which only the kernel of GroupQueryAttention reads (com.microsoft, native).",
      search: [8],
    }),
  keys: z.enum(["channel", "tensor"]).default("channel").meta({
    description: "One scale for each channel of each head of the keys, or one for all of a layer.",
  }),
  values: z.enum(["channel", "tensor"]).default("channel").meta({
    description: "The same for the values.",
  }),
});

type Options = z.output<typeof options>;

/**
 * A decoder reads the keys and values of all earlier positions, which it gets as inputs and returns
 * with the new positions behind them. Both become integers of `bits` bits:
 *
 *   k = s q,   q = round(k / s),   s = max |k| / (2^(bits - 1) - 1) over the calibration records
 *
 * Scales are fixed, so positions are rounded once, when they enter the cache, and a run over the whole
 * text gives the scores of a run word by word. Few channels of the keys are far larger than others
 * (KIVI, section 3), so each channel has a scale of its own.
 *
 * With standard operators: Concat(past, QuantizeLinear(k / s, 1)), all int8, and DequantizeLinear * s
 * behind it. GroupQueryAttention does both in its kernel: scales are its inputs 12 and 13.
 */
export const quantizeCache = defineMethod({
  title: "quantized cache of keys and values",
  equation: "k = s q, q = round(k / s), s = max |k| / (2^(bits - 1) - 1)",
  cite: "Liu et al. 2024, arXiv 2402.02750, section 3 (scales by channel); Hooper et al. 2024, arXiv 2401.18079 (fixed scales)",
  summary:
    "Keys and values of a decoder's cache in 8 or 4 bits: a quarter of its memory. The inputs and outputs that hold it change their type.",
  needs: ["calibration"],
  grows: true,
  options,
  // Who runs the model has to know of the new types, so a survey does not choose them.
  survey: [],
  neutral: null,
  async apply(model, options, context) {
    // A kernel has keys and values, and takes both in one type.
    const caches = [...model.graph.nodes].map(cachesOf).flatMap((own) => {
      const reason = own.map((cache) => whyNot(cache, options)).find((why) => why !== null);
      if (reason) context.skip(own[0].node.name, reason);
      return reason ? [] : own;
    });
    await context.progress(0, caches.length);
    if (caches.length === 0) return;
    const pasts = caches.map(({ past }) => past);
    const before = bytesPerToken(pasts);
    const scales = await scalesOf(model, caches, options, context);
    for (const [i, cache] of caches.entries()) {
      if (cache.added) join(model, cache, cache.added, scales[i]);
      else setKernel(model, cache, scales[i], options.bits);
    }
    inferModel(model);
    context.note(`the cache takes ${bytesPerToken(pasts)} bytes per token instead of ${before}`);
  },
});

/** Why the cache stays as it is; null if it can be stored. */
function whyNot({ node, past, present, added }: Cache, { bits }: Options): string | null {
  const kind = past.dtype && dtypes[past.dtype].kind;
  if (kind !== "float") return `its cache is ${past.dtype ?? "of an unknown type"} already`;
  if (past.dtype !== "float32" && past.dtype !== "float16") return `its cache is ${past.dtype}`;
  const [, heads, , size] = past.shape ?? [];
  if (typeof heads !== "number" || typeof size !== "number") {
    return "the heads of its cache, or their size, are not known";
  }
  const other = past.consumers.find((reader) => reader !== node && !asksForSize(reader));
  if (other) return `its cache is also read by ${other.name}`;
  if (added && bits < 8) return "standard operators join caches of 8 bits only";
  if (!added && present.consumers.length > 0) {
    return `its cache is also read by ${present.consumers[0].name}`;
  }
  return null;
}

/** Bytes that one position takes in these caches [batch, heads, positions, size]. */
const bytesPerToken = (caches: readonly Value[]): number =>
  caches.reduce((sum, { dtype, shape }) => {
    const [, heads, , size] = shape as number[];
    return sum + (heads * size * dtypes[dtype!].bits) / 8;
  }, 0);

/** The scales of each cache: [heads * size], or [1] where there is one for all. */
async function scalesOf(
  model: Model,
  caches: readonly Cache[],
  { bits, ...options }: Options,
  context: Context,
): Promise<Float32Array[]> {
  const taps = caches.map(({ added, present, part }, i) => ({
    i,
    value: added ?? present,
    of: (g: Builder, x: Value): Value =>
      g.ReduceMax(g.Abs(x), g.ints(options[part] === "channel" ? [0, 2] : [0, 1, 2, 3]), {
        keepdims: 1,
      }),
  }));
  const largest: Float32Array[] = [];
  await context.observe(model, taps, ({ i }, batch) => {
    const found = batch.floats();
    largest[i] ??= new Float32Array(found.length);
    for (const [c, size] of found.entries()) largest[i][c] = Math.max(largest[i][c], size);
  });
  return largest.map((sizes) => sizes.map((size) => scaleOf(size, 2 ** (bits - 1) - 1)));
}

/** Concat(past, added) -> Concat(past, q) of int8, whose readers get s q. */
function join(model: Model, { node, past, present }: Cache, added: Value, scales: Float32Array) {
  const { graph } = node;
  const g = build(graph, node.name);
  const dtype = past.dtype!;
  const number = (
    values: Float32Array | readonly number[],
    shape: readonly number[],
    name: string,
  ): Value => g.constant(tensor(dtype, shape, values), { name });
  const zero = g.constant([0], { dtype: "int8", shape: [], name: "zero" });
  const [, heads, , size] = past.shape as number[];
  const scale = number(scales, scales.length > 1 ? [1, heads, 1, size] : [], "scale");
  // Not QuantizeLinear(added, scale): its scales lie along one axis, and ONNX Runtime 1.30 moves one that
  // follows a Transpose in front of it, where it then finds its zero point to be of the wrong type.
  const one = number([1], [], "one");
  const joined = g.Concat(past, g.QuantizeLinear(g.Div(added, scale), one, zero), { axis: 2 });
  const restored = g.Mul(g.DequantizeLinear(joined, one, zero), scale);
  for (const { user, index } of [...present.uses]) {
    if (user instanceof Node) user.setInput(index, restored);
  }
  retype(model, past, "int8");
  joined.dtype = "int8";
  graph.replace(present, joined);
  retype(model, joined, "int8");
  graph.remove(node);
}

/** The kernel of GroupQueryAttention with a cache of integers: two of 4 bits are in a byte. */
function setKernel(
  model: Model,
  { node, past, present, part }: Cache,
  scales: Float32Array,
  bits: number,
): void {
  const [, heads, , size] = past.shape as number[];
  const [letter, input] = part === "keys" ? (["k", 12] as const) : (["v", 13] as const);
  const isByChannel = scales.length > 1;
  const shape = isByChannel ? [1, heads, 1, size] : [1];
  node.setInput(
    input,
    build(node.graph, node.name).constant(scales, { shape, name: `${letter}_scale` }),
  );
  const value = isByChannel ? "PER_CHANNEL" : "PER_TENSOR";
  node.set(`${letter}_quant_type`, { type: "string", value });
  node.set("kv_cache_bit_width", { type: "int", value: bits });
  for (const cache of [past, present]) {
    const stored = [...(cache.shape ?? past.shape!).slice(0, 3), (size * bits) / 8];
    retype(model, cache, bits === 8 ? "int8" : "uint8", stored);
  }
}
