/** @file SliceGPT: hidden states lose the directions in which they vary least, in all layers at once. */
import { z } from "zod";
import type { Context, Tap } from "../../context.ts";
import { calibrationOptions } from "../../evidence/options.ts";
import type { Node, Value } from "../../ir/graph.ts";
import type { Model } from "../../ir/model.ts";
import { fitBack, keptDirections } from "../../layers/slice.ts";
import { isNormalized, type Source, type Stream } from "../../layers/stream.ts";
import { residualStreams } from "../../layers/streams.ts";
import { turnStream, whyFixedWidth } from "../../layers/turn.ts";
import { symmetricEigen } from "../../numeric/eigen.ts";
import { transpose } from "../../numeric/matrix.ts";
import type { Builder } from "../../ops/builder.ts";
import { inferModel } from "../../ops/infer.ts";
import { linearOf } from "../../ops/linear.ts";
import { chosenLayers, siteOptions } from "../../weights/select.ts";
import { defineMethod } from "../method.ts";

/**
 * x' = x A with the eigenvectors A [D, D'] of the largest eigenvalues of C = E[n^T n], where n are the
 * normalized hidden states in front of all layers together: one matrix for all blocks, so that sums of
 * blocks need no matrix of their own. What makes x gets W A, what reads it R W, with R by least squares
 * from the states that are left, n ~ n' R (for A^T = R without `refit`).
 */
export const sliceHidden = defineMethod({
  title: "slices of hidden states (SliceGPT)",
  equation: "x' = x A, A: leading eigenvectors of E[x^T x]; W A, and A^T W behind it",
  cite: "Ashkboos et al. 2024, arXiv 2401.15024, section 3",
  summary:
    "Narrows the residual stream of a transformer to the directions in which it varies most: all layers around it become smaller.",
  needs: ["calibration"],
  options: z.object({
    ratio: z
      .number()
      .min(0)
      .max(0.95)
      .default(0.2)
      .meta({ description: "Share of the directions to cut.", search: [0.1, 0.2, 0.3] }),
    energy: z.number().min(0).max(1).default(0).meta({
      description: "Share of the variance to keep, in place of `ratio`; 0: `ratio` decides.",
    }),
    multiple: z
      .int()
      .min(1)
      .max(64)
      .default(4)
      .meta({
        description: "The width that is left is the next multiple of it; kernels prefer 8 or 16.",
        search: [4, 8, 16],
      }),
    refit: z
      .boolean()
      .default(true)
      .meta({
        description: "Layers read what is left by least squares, not by the transposed directions.",
        search: [true, false],
      }),
    ...calibrationOptions,
    ...siteOptions,
  }),
  survey: [{ ratio: 0.1 }, {}, { ratio: 0.3 }],
  neutral: { ratio: 0 },
  async apply(model, options, context) {
    const chosen = chosenLayers(model, options, context);
    const streams = residualStreams(model, chosen, context);
    await context.progress(0, streams.length);
    for (const [i, stream] of streams.entries()) {
      await slice(model, stream, options, context);
      await context.progress(i + 1, streams.length);
    }
  },
});

interface SliceOptions {
  readonly ratio: number;
  readonly energy: number;
  readonly multiple: number;
  readonly refit: boolean;
  readonly records: number;
}

async function slice(
  model: Model,
  stream: Stream,
  options: SliceOptions,
  context: Context,
): Promise<void> {
  const { block, isCentred } = stream;
  const maker = stream.constants.find(({ node }) => linearOf(node) !== null);
  const [reader] = stream.readers;
  const { name } = (maker ?? reader ?? stream.constants[0]).node;
  const fixed = whyFixedWidth(stream) ?? whyUnread(stream);
  if (fixed) return context.skip(name, fixed);
  const sources = sourcesOf(stream);
  const total = new Float64Array(block * block);
  const taps = sources.map((source) => statesOf(source, stream));
  await context.observe(
    model,
    taps,
    (_, gram, { share }) => addTo(total, gram.floats(), share),
    options.records,
  );
  const eigen = symmetricEigen(total, block);
  const width = widthOf(eigen.values, options);
  if (width >= block) return context.skip(name, `keeps all of its ${block} directions`);
  const make = keptDirections(eigen, width, isCentred);
  const back = new Map<Node | Value, Float64Array>();
  if (options.refit) {
    const sums = new Map(
      sources.map((source) => [keyOf(source), new Float64Array(width * (block + width))]),
    );
    await context.observe(
      model,
      sources.map((source) => cutStatesOf(source, stream, make)),
      ({ source }, moments, { share }) =>
        addTo(sums.get(keyOf(source)) as Float64Array, moments.floats(), share),
      options.records,
    );
    for (const [key, moments] of sums) back.set(key, fitBack(moments, width, block));
  }
  turnStream(stream, { make, read: (from) => back.get(keyOf(from)) ?? make });
  inferModel(model);
  context.group(name, block, width, "hidden states: the directions of least variance are cut");
}

const keyOf = ({ value, norm }: Source): Node | Value => norm ?? value;

function sourcesOf({ readers }: Stream): Source[] {
  return [...new Map(readers.map(({ from }) => [keyOf(from), from])).values()];
}

const whyUnread = ({ readers, isCentred }: Stream): string | null => {
  if (readers.length === 0) return "no layer reads its features";
  const isMixed = isCentred && readers.some(({ from }) => from.norm === null);
  return isMixed ? "some layers read its features without their normalization" : null;
};

function widthOf(values: Float64Array, { ratio, energy, multiple }: SliceOptions): number {
  const all = values.length;
  let count = Math.round(all * (1 - ratio));
  if (energy > 0) {
    const sum = values.reduce((a, b) => a + Math.max(0, b), 0);
    count = 0;
    for (let kept = 0; count < all && kept < energy * sum; count++)
      kept += Math.max(0, values[count]);
  }
  return Math.min(all, Math.max(2, Math.ceil(count / multiple) * multiple));
}

function addTo(total: Float64Array, values: Float32Array, share: number): void {
  for (let i = 0; i < total.length; i++) total[i] += values[i] * share;
}

/** The normalized states [positions, D] that layers read, before any scale. */
function states(g: Builder, x: Value, { norm }: Source, stream: Stream): Value {
  const rows = g.Reshape(x, g.ints([-1, stream.block]));
  if (!norm) return rows;
  const mean = (v: Value) => g.ReduceMean(v, g.ints([1], "axes"), { keepdims: 1 });
  const centred = stream.isCentred ? g.Sub(rows, mean(rows)) : rows;
  const power = g.Add(mean(g.Mul(centred, centred)), g.constant(norm.float("epsilon", 1e-5)));
  return g.Div(centred, g.Sqrt(power));
}

/** n^T n [D, D] of a batch. */
function statesOf(source: Source, stream: Stream): Tap {
  return {
    value: source.value,
    of(g, x) {
      const n = states(g, x, source, stream);
      return g.MatMul(g.Transpose(n, { perm: [1, 0] }), n);
    },
  };
}

/** n'^T [n', n] of a batch, with the states n' [positions, D'] that are left. */
function cutStatesOf(
  source: Source,
  stream: Stream,
  make: Float64Array,
): Tap & { readonly source: Source } {
  const { block } = stream;
  const width = make.length / block;
  const a = Float32Array.from(transpose(make, width, block));
  return {
    value: source.value,
    source,
    of(g, x) {
      const n = states(g, x, source, stream);
      let cut: Value = g.MatMul(n, g.constant(a, { shape: [block, width] }));
      if (isNormalized(source, stream)) {
        // With u = |n|^2 / D = s / (s + epsilon): s' + epsilon = (s + epsilon) (|n A|^2 / D + 1 - u).
        const share = (v: Value) =>
          g.Mul(
            g.ReduceSum(g.Mul(v, v), g.ints([1], "axes"), { keepdims: 1 }),
            g.constant(1 / block),
          );
        const left = g.Sub(g.Add(share(cut), g.constant(1)), share(n));
        cut = g.Div(cut, g.Sqrt(g.Max(left, g.constant(1e-12))));
      }
      const t = g.Transpose(cut, { perm: [1, 0] });
      return g.MatMul(t, g.Concat(cut, n, { axis: 1 }));
    },
  };
}
