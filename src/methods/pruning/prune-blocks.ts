/** @file Block pruning: removes whole residual blocks that hardly change their input. */
import { z } from "zod";
import type { Context, Observe } from "../../context.ts";
import { dtypes } from "../../ir/dtype.ts";
import type { Node, Value } from "../../ir/graph.ts";
import { cloneGraph, type Model } from "../../ir/model.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { refitLayers } from "../../layers/refit.ts";
import { type Block, blocksOf } from "../../layers/residual.ts";
import { type Builder, build } from "../../ops/builder.ts";
import { inferModel } from "../../ops/infer.ts";
import { linearOf } from "../../ops/linear.ts";
import { weightsOf } from "../../ops/weights.ts";
import { chosenLayers, siteOptions } from "../../weights/select.ts";
import { defineMethod } from "../method.ts";

/**
 * Blocks are ranked by their influence, the mean of 1 - cos(x_t, y_t) over the tokens t of the
 * calibration records; those of the least influence are removed, and refitted layers may stand in
 * their place. Blocks are finer than the paper's: a transformer layer is two of them, attention and
 * feed-forward.
 */
export const pruneBlocks = defineMethod({
  title: "block pruning",
  cite: "Men et al. 2024, ShortGPT, arXiv 2403.03853",
  summary: "Removes the residual blocks whose output is most like their input.",
  needs: ["calibration"],
  options: z.object({
    ratio: z
      .number()
      .min(0)
      .max(1)
      .default(0.25)
      .meta({
        description: "Share of the residual blocks to remove, at most.",
        search: [0.15, 0.25, 0.4],
      }),
    repair: z
      .enum(["least-squares", "none"])
      .default("least-squares")
      .meta({
        description:
          "What replaces removed blocks: one linear layer fitted to their output, or nothing.",
        search: ["least-squares", "none"],
      }),
    records: z.int().min(1).default(256).meta({
      description: "Calibration records to use, at most.",
    }),
    ...siteOptions,
  }),
  survey: [{ ratio: 0.25 }],
  neutral: { ratio: 0 },
  async apply(model, given, context) {
    const layers = weightsOf(model).map(({ node }) => node);
    const chosen = chosenLayers(model, given, context);
    const blocks = blocksOf(model, new Set(layers)).filter(({ layers: own }) =>
      own.every((node) => chosen.has(node)),
    );
    await context.progress(0, blocks.length);
    const count = Math.floor(given.ratio * blocks.length + 1e-9);
    if (count === 0) return;
    const influence = await influences(model, blocks, given.records, context.observe);
    const order = [...blocks.keys()].sort((a, b) => influence[a] - influence[b] || a - b);
    const gone = new Set(order.slice(0, count));
    await remove(model, blocks, gone, given, context);
    const tell = (i: number): string =>
      `${blocks[i].layers[0].name} ${influence[i].toPrecision(2)}${gone.has(i) ? " (gone)" : ""}`;
    context.warn(`influence of blocks, 1 - cos(in, out): ${order.map(tell).join(", ")}`);
  },
});

/**
 * Removes the blocks in `gone`. With repair, each run of consecutive ones is replaced by one linear
 * layer y ~ T x + c, which starts as the identity and is fitted by least squares (Shopkhoev et al.
 * 2025, ReplaceMe, arXiv 2505.02819).
 */
async function remove(
  model: Model,
  blocks: readonly Block[],
  gone: ReadonlySet<number>,
  { repair, records }: { readonly repair: "least-squares" | "none"; readonly records: number },
  context: Context,
): Promise<void> {
  const twins = new Map<Value, Value>();
  const original = { model: { ...model, graph: cloneGraph(model.graph, twins) }, twins };
  const stands = new Map<Value, Tensor | null>();
  const inRun = new Set([...gone].map((i) => blocks[i].through));
  for (const [i, block] of blocks.entries()) {
    if (!gone.has(i)) continue;
    const { sum } = block;
    const before = twins.get(sum.output) as Value;
    // Read again, because block.through may be the sum of a block that has been removed by now.
    const through = sum.inputs[block.at] as Value;
    const isLast = repair !== "none" && !inRun.has(sum.output);
    const stand = isLast ? identity(through, block) : null;
    model.graph.replace(sum.output, stand ?? through);
    if (!stand) continue;
    twins.set(stand, before);
    stands.set(stand, stand.producer?.inputs[1]?.tensor ?? null);
  }
  if (stands.size === 0) return;
  inferModel(model);
  const fitted = new Set([...stands.keys()].map(({ producer }) => producer as Node));
  await refitLayers(model, original, fitted, records, context);
  // A layer whose fit improved nothing is still the identity, and is removed.
  for (const [stand, start] of stands) {
    const [x, weight] = stand.producer?.inputs ?? [];
    if (x && weight?.tensor === start) model.graph.replace(stand, x);
  }
}

/**
 * A layer that changes nothing yet: a 1x1 Conv among convolutions, otherwise a MatMul. Null where
 * the number of channels is not known.
 */
function identity(x: Value, block: Block): Value | null {
  const shape = block.sum.output.shape ?? [];
  const isConv = isConvolutional(block);
  const size = shape.at(featureAxis(block));
  if (typeof size !== "number" || block.sum.output.dtype !== "float32") return null;
  const diagonal = Float32Array.from({ length: size * size }, (_, i) =>
    Number(i % (size + 1) === 0),
  );
  const g = build(x.graph, `${block.layers[0].name}/repair`);
  const kernel = isConv ? shape.slice(2).map(() => 1) : [];
  const weight = g.constant(diagonal, { shape: [size, size, ...kernel], name: "weight" });
  return isConv ? g.Conv(x, weight) : g.MatMul(x, weight);
}

const isConvolutional = ({ layers: [first] }: Block): boolean => linearOf(first)?.kind === "conv";

/** The axis of x and y that holds the features of a token: the channels of an image, or the last. */
const featureAxis = (block: Block): number => (isConvolutional(block) ? 1 : -1);

/**
 * The influence of each block (ShortGPT): with the vectors x_t and y_t of the features of a
 * token t, the mean over all tokens of all records
 *   1 - E_t x_t . y_t / (|x_t| |y_t|)
 * A token is an index of all axes but that of the features: a word, or a position of an image. The
 * cosine of two zero vectors is 1, and of one zero vector and another 0.
 */
async function influences(
  model: Model,
  blocks: readonly Block[],
  records: number,
  observe: Observe,
): Promise<number[]> {
  const sums = blocks.map(() => ({ total: 0, tokens: 0 }));
  const taps = blocks.map((block, i) => ({
    value: block.result,
    i,
    of: (g: Builder, y: Value) => {
      const sum = block.result === block.sum.output ? y : (y.producer?.inputs[0] as Value);
      const x = sum.producer?.inputs[block.at] as Value;
      // Squares of half-precision values would overflow, and a Cast may lie between x and y.
      const [a, b] = [x, y].map((value) => g.Cast(value, { to: dtypes.float32.code }));
      const axes = g.ints([featureAxis(block)], "axes");
      const dot = (p: Value, q: Value) => g.ReduceSum(g.Mul(p, q), axes, { keepdims: 0 });
      const [aa, bb] = [dot(a, a), dot(b, b)];
      const lengths = g.Mul(g.Sqrt(aa), g.Sqrt(bb));
      const bothZero = g.Cast(g.Equal(aa, bb), { to: dtypes.float32.code });
      return g.Where(g.Equal(lengths, g.constant(0)), bothZero, g.Div(dot(a, b), lengths));
    },
  }));
  await observe(
    model,
    taps,
    ({ i }, batch, { share }) => {
      const cosines = batch.floats();
      sums[i].total += cosines.reduce((a, b) => a + b, 0) * share;
      sums[i].tokens += cosines.length * share;
    },
    records,
  );
  return sums.map(({ total, tokens }) => 1 - total / tokens);
}
