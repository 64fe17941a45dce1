/** @file Static embeddings: a text encoder becomes one vector per token and their mean. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { countRows } from "../../evidence/row-counts.ts";
import { dtypes } from "../../ir/dtype.ts";
import type { Value } from "../../ir/graph.ts";
import { cloneGraph, type Model } from "../../ir/model.ts";
import { type Tensor, tensor } from "../../ir/tensor.ts";
import { solveSpd } from "../../numeric/cholesky.ts";
import { symmetricEigen } from "../../numeric/eigen.ts";
import { type Builder, build } from "../../ops/builder.ts";
import { inferModel, inferNode } from "../../ops/infer.ts";
import { lookUpsOf } from "../../ops/look-up.ts";
import { rewrite } from "../../rewrite/index.ts";
import { defineMethod } from "../method.ts";

/** Rows of the vocabulary in one run of the encoder. */
const BATCH = 256;
/** Damping of the fit, as a share of the mean square of what it reads. */
const DAMPING = 0.01;

const options = z.object({
  dims: z
    .int()
    .min(1)
    .default(256)
    .meta({
      description: "Numbers per token, at most as many as the text's vector has.",
      search: [16, 64, 256],
    }),
  pad: z.int().min(-1).default(0).meta({
    description: "The token that fills up records, for models without a mask as input; -1: none.",
  }),
  rare: z.number().min(0).max(1).default(0.001).meta({
    description:
      "a of the weight a / (a + p) for tokens of frequency p in the calibration records; 0: all count alike.",
  }),
  fit: z.boolean().default(true).meta({
    description: "Fit what follows the mean to the encoder's vectors of calibration records.",
  }),
  records: z
    .int()
    .min(1)
    .default(512)
    .meta({ description: "Calibration records to look at, at most." }),
});

/**
 * One pass over the vocabulary: x_t is the vector that the encoder gives for the token t alone (behind
 * the token that begins every record, if there is one), p_t how often it occurs. With the first `dims`
 * principal directions V and the mean m of all x_t,
 *   E_t = a / (a + p_t) V (x_t - m),   z = mean over the record's tokens of E_t,   y = P z + c
 * stands for the vector of the text. P and c undo V and m, or are fitted by least squares to the
 * encoder's vectors of calibration records. What the model computes from that vector stays. Word order
 * is lost.
 */
export const staticEmbeddings = defineMethod({
  title: "static embeddings for a text encoder",
  cite: "Tulkens, van Dongen 2024, model2vec; weights: Arora et al. 2017, A simple but tough-to-beat baseline for sentence embeddings, section 3",
  equation: "y = P mean_t(E_t) + c, E_t = a / (a + p_t) V (encoder(t) - m)",
  summary:
    "Replaces a text encoder by a table with a vector for each token, and the mean over a text.",
  needs: [],
  options,
  survey: [{}, { dims: 16 }],
  neutral: null,
  async apply(model, given, context) {
    await context.progress(0, 3);
    const place = placeIn(model);
    if (typeof place === "string") {
      context.skip(model.graph.outputs[0]?.producer?.name ?? "the output", place);
      return;
    }
    const first = context.hasCalibration ? await tokensOf(model, place, given, context) : null;
    const vectors = await vectorsOf(model, place, first?.begin ?? null, context);
    await context.progress(1, 3);
    const weights = Float64Array.from({ length: place.rows }, (_, t) =>
      given.rare > 0 && first ? given.rare / (given.rare + first.shares[t]) : 1,
    );
    const table = reduced(vectors, place.width, given.dims, weights);
    const fitted = given.fit && first ? await fitBack(model, place, table, given, context) : null;
    await context.progress(2, 3);
    replaceEncoder(model, place, table, fitted ?? table, given.pad);
  },
});

/** Where the encoder begins and ends. */
interface Place {
  /** Token numbers [N, T], an input of the model. */
  readonly ids: Value;
  /** 1 for tokens and 0 for padding [N, T], if the model has such an input. */
  readonly mask: Value | null;
  /** Rows of the vocabulary. */
  readonly rows: number;
  /** The vector of the text [N, width], through which all outputs are computed. */
  readonly pooled: Value;
  readonly width: number;
}

/** The place, or why there is none. */
function placeIn(model: Model): Place | string {
  const { graph } = model;
  const isTokens = ({ dtype, shape }: Value): boolean =>
    (dtype === "int64" || dtype === "int32") && shape?.length === 2;
  const tables = lookUpsOf(model).filter(({ ids }) => graph.inputs.includes(ids) && isTokens(ids));
  const [largest] = tables.sort((a, b) => b.table.tensor.shape[0] - a.table.tensor.shape[0]);
  if (!largest) return "no input holds token numbers [N, T] that look up a table";
  const { ids } = largest;
  const fixed = ids.shape?.filter((dim) => typeof dim === "number") ?? [];
  if (fixed.length > 0) {
    return `the input ${ids.name} has the fixed shape [${ids.shape}], and tokens are encoded one by one: free both axes`;
  }
  const others = graph.inputs.filter((input) => input !== ids);
  const strange = others.find((input) => !isTokens(input));
  if (strange) return `the input ${strange.name} is neither tokens nor a mask`;
  const pooled = graph
    .sorted()
    .flatMap((node) => node.outputs)
    .find((value) => isWhole(model, value));
  if (!pooled) return "no value [N, width] lies between the tokens and all outputs";
  return {
    ids,
    mask: others.find(({ name }) => /mask/i.test(name)) ?? null,
    ...{ rows: largest.table.tensor.shape[0], pooled, width: pooled.shape?.[1] as number },
  };
}

/** Whether a value [N, width] is all that the outputs know of the inputs. */
function isWhole({ graph }: Model, value: Value): boolean {
  const { shape, dtype } = value;
  if (shape?.length !== 2 || typeof shape[1] !== "number" || shape[1] < 2) return false;
  if (dtype !== "float32" || value.graph !== graph || graph.outputs.includes(value)) return false;
  if (shape[0] !== graph.inputs[0].shape?.[0]) return false;
  const seen = new Set<Value>([value]);
  const pending = [...graph.outputs];
  let isRead = false;
  for (let at = pending.pop(); at; at = pending.pop()) {
    if (at === value) isRead = true;
    if (seen.has(at)) continue;
    seen.add(at);
    if (graph.inputs.includes(at)) return false;
    for (const node of at.producer ? [at.producer] : []) {
      if (node.subgraphs.length > 0) return false;
      for (const input of node.inputs) if (input) pending.push(input);
    }
  }
  return isRead;
}

/** How often each token occurs in calibration records, and the one that begins all of them. */
async function tokensOf(
  model: Model,
  { ids, rows }: Place,
  { records, pad }: z.output<typeof options>,
  context: Context,
): Promise<{ readonly shares: Float64Array; readonly begin: number | null }> {
  const counts = new Float64Array(rows);
  await countRows(model, [{ ids, counts }], context, records);
  const begins = new Set<number>();
  const first = { value: ids };
  await context.observe(
    model,
    [first],
    (_, batch) => {
      const [count, length] = batch.shape;
      const numbers = batch.numbers();
      for (let i = 0; i < count; i++) begins.add(Number(numbers[i * length]));
    },
    records,
  );
  if (pad >= 0 && pad < rows) counts[pad] = 0;
  const sum = counts.reduce((a, b) => a + b, 0) || 1;
  const [begin] = begins;
  return { shares: counts.map((count) => count / sum), begin: begins.size === 1 ? begin : null };
}

/** The encoder's vector of each token alone, [rows, width]. */
async function vectorsOf(
  model: Model,
  { ids, mask, rows, pooled, width }: Place,
  begin: number | null,
  context: Context,
): Promise<Float32Array> {
  const twins = new Map<Value, Value>();
  const graph = cloneGraph(model.graph, twins);
  const encoder: Model = { ...model, graph };
  const vector = build(graph, "vector").Identity(twins.get(pooled));
  vector.name = "tersor_vector";
  graph.setOutputs([vector]);
  rewrite(encoder, { rules: ["drop-dead"] });
  const starts = Array.from({ length: Math.ceil(rows / BATCH) }, (_, i) => i * BATCH);
  const batches = starts.map((start) => {
    const count = Math.min(BATCH, rows - start);
    const before = begin === null ? [] : [begin];
    const shape = [count, before.length + 1];
    const tokens = Array.from({ length: count }, (_, i) => [...before, start + i]).flat();
    return Object.fromEntries(
      model.graph.inputs.map((input) => {
        const same = (number: number) => new Array<number>(tokens.length).fill(number);
        const values = input === ids ? tokens : same(input === mask ? 1 : 0);
        return [input.name, tensor(input.dtype ?? "int64", shape, values)];
      }),
    );
  });
  const all = new Float32Array(rows * width);
  for (const [i, outputs] of (await context.run(encoder, batches)).entries()) {
    all.set(outputs.tersor_vector.floats(), starts[i] * width);
  }
  return all;
}

/** P [dims, width] and c [width] of y = z P + c. */
interface Back {
  readonly back: Float32Array;
  readonly offset: Float32Array;
}

interface Table extends Back {
  /** E [rows, dims]. */
  readonly values: Float32Array;
  readonly dims: number;
}

/** Principal components of the rows x_t [rows, width], weighted, and the way back. */
function reduced(x: Float32Array, width: number, most: number, weights: Float64Array): Table {
  const rows = weights.length;
  const dims = Math.min(most, width);
  const mean = new Float64Array(width);
  for (let i = 0; i < x.length; i++) mean[i % width] += x[i] / rows;
  const covariance = new Float64Array(width * width);
  for (let t = 0; t < rows; t++) {
    for (let i = 0; i < width; i++) {
      const a = x[t * width + i] - mean[i];
      for (let j = 0; j <= i; j++) covariance[i * width + j] += a * (x[t * width + j] - mean[j]);
    }
  }
  const { vectors } = symmetricEigen(covariance, width);
  const values = new Float32Array(rows * dims);
  for (let t = 0; t < rows; t++) {
    for (let k = 0; k < dims; k++) {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += vectors[k * width + i] * (x[t * width + i] - mean[i]);
      values[t * dims + k] = weights[t] * sum;
    }
  }
  const back = Float32Array.from(vectors.subarray(0, dims * width));
  return { values, dims, back, offset: Float32Array.from(mean) };
}

/**
 * P and c of least sum_n |P z_n + c - y_n|^2 over calibration records n, with y_n the encoder's vector:
 * from centred z and y, P = (Z'Z + d I)^-1 Z'Y, c = mean y - P mean z.
 */
async function fitBack(
  model: Model,
  { ids, mask, pooled, width }: Place,
  { values, dims }: Table,
  { pad, records }: z.output<typeof options>,
  context: Context,
): Promise<Back | null> {
  const taps = [{ value: ids }, { value: pooled }, ...(mask ? [{ value: mask }] : [])];
  const [z, y]: [number[][], number[][]] = [[], []];
  const batch = new Map<(typeof taps)[number], Tensor>();
  await context.observe(
    model,
    taps,
    (tap, found) => {
      batch.set(tap, found);
      if (batch.size < taps.length) return;
      const [tokens, texts, masks] = taps.map((each) => batch.get(each) as Tensor);
      batch.clear();
      const [count, length] = tokens.shape;
      const [numbers, target] = [tokens.numbers(), texts.floats()];
      const counted = masks?.numbers();
      for (let n = 0; n < count; n++) {
        const sum = new Array<number>(dims).fill(0);
        let seen = 0;
        for (let i = n * length; i < (n + 1) * length; i++) {
          const token = Number(numbers[i]);
          if (counted ? Number(counted[i]) === 0 : token === pad) continue;
          seen++;
          for (let k = 0; k < dims; k++) sum[k] += values[token * dims + k];
        }
        z.push(sum.map((total) => total / Math.max(1, seen)));
        y.push(Array.from(target.subarray(n * width, (n + 1) * width)));
      }
    },
    records,
  );
  if (z.length < 2) return null;
  const [meanZ, meanY] = [meanOf(z), meanOf(y)];
  const gram = new Float64Array(dims * dims);
  const cross = new Float64Array(dims * width);
  for (const [n, row] of z.entries()) {
    for (let i = 0; i < dims; i++) {
      const a = row[i] - meanZ[i];
      for (let j = 0; j < dims; j++) gram[i * dims + j] += a * (row[j] - meanZ[j]);
      for (let j = 0; j < width; j++) cross[i * width + j] += a * (y[n][j] - meanY[j]);
    }
  }
  let trace = 0;
  for (let i = 0; i < dims; i++) trace += gram[i * dims + i];
  if (!(trace > 0)) return null;
  for (let i = 0; i < dims; i++) gram[i * dims + i] += (DAMPING * trace) / dims;
  const back = Float32Array.from(solveSpd(gram, dims, cross, width));
  const offset = Float32Array.from(meanY, (mean, j) =>
    meanZ.reduce((rest, own, i) => rest - own * back[i * width + j], mean),
  );
  return { back, offset };
}

const meanOf = (rows: readonly (readonly number[])[]): number[] =>
  rows[0].map((_, i) => rows.reduce((sum, row) => sum + row[i] / rows.length, 0));

/** Computes the vector of the text from the table instead. */
function replaceEncoder(
  model: Model,
  { ids, mask, pooled, rows, width }: Place,
  { values, dims }: Table,
  { back, offset }: Back,
  pad: number,
): void {
  const { graph } = model;
  const g = build(graph, "static", inferNode);
  const table = g.constant(values, { shape: [rows, dims], name: "embeddings" });
  const vectors = g.Gather(table, ids);
  const mean = maskedMean(g, vectors, countedOf(g, ids, mask, pad));
  const matrix = g.constant(back, { shape: [dims, width], name: "back" });
  const text = g.Add(g.MatMul(mean, matrix), g.constant(offset, { name: "offset" }));
  graph.replace(pooled, text);
  rewrite(model, { rules: ["drop-dead"] });
  inferModel(model);
}

/** Ones for tokens and zeros for padding, float32 [N, T]; null where all count. */
function countedOf(g: Builder, ids: Value, mask: Value | null, pad: number): Value | null {
  const to = dtypes.float32.code;
  if (mask) return g.Cast(mask, { to });
  if (pad < 0) return null;
  const padding = g.constant(pad, { dtype: ids.dtype ?? "int64", name: "pad" });
  return g.Cast(g.Not(g.Equal(ids, padding)), { to });
}

/** [N, T, dims] -> the mean over the tokens that count [N, dims]. */
function maskedMean(g: Builder, vectors: Value, counted: Value | null): Value {
  const axis = g.ints([1], "axis");
  if (!counted) return g.ReduceMean(vectors, axis, { keepdims: 0 });
  const kept = g.Mul(vectors, g.Unsqueeze(counted, g.ints([2], "last")));
  const count = g.Max(g.ReduceSum(counted, axis, { keepdims: 1 }), g.constant(1, { name: "one" }));
  return g.Div(g.ReduceSum(kept, axis, { keepdims: 0 }), count);
}
