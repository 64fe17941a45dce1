/** @file Losses that compare inner values of a student with those of its teacher. */
import type { Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";
import { meanOf, mse, number } from "./losses.ts";

/** Which shapes a student's value and a teacher's may have to be compared. */
export type Likeness = "same" | "same but channels" | "any";

export interface HintLoss {
  readonly doc: string;
  readonly fits: Likeness;
  /** Whether the student's value first goes through a layer that learns with it and is not kept. */
  readonly adapts?: boolean;
  /** The loss of one pair, a scalar: student and teacher [N, ...], `axis` the one of channels. */
  pair(g: Builder, student: Value, teacher: Value, axis: number): Value;
}

/** By the name of the option `hintloss`. */
export const hintLosses = {
  mse: {
    doc: "squared error, as a share of the teacher's squares",
    fits: "same",
    pair: relativeError,
  },
  fitnet: {
    doc: "the same behind a regressor that learns with it, so that widths may differ",
    fits: "same but channels",
    adapts: true,
    pair: relativeError,
  },
  attention: {
    doc: "where the squares of all channels together are large",
    fits: "same but channels",
    pair: attention,
  },
  selectivity: {
    doc: "the distribution over channels of where they are active",
    fits: "same but channels",
    pair: selectivity,
  },
  relations: {
    doc: "distances and angles between the records of a batch",
    fits: "any",
    pair: relations,
  },
  contrast: {
    doc: "each record nearer to its own teacher's value than to those of other records",
    fits: "same but channels",
    adapts: true,
    pair: contrast,
  },
} as const satisfies Record<string, HintLoss>;

export type HintLossId = keyof typeof hintLosses;

/** |s - t|^2 / |t|^2. */
function relativeError(g: Builder, student: Value, teacher: Value): Value {
  const energy = meanOf(g, g.Mul(teacher, teacher));
  return g.Div(mse(g, student, teacher), g.Max(energy, number(g, teacher, 1e-12)));
}

/** [N, ..., C, ...] -> [N, C, positions]. */
function byChannel(g: Builder, x: Value, axis: number): Value {
  const rank = x.shape?.length ?? 2;
  const others = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== 0 && i !== axis);
  const moved = axis === 1 ? x : g.Transpose(x, { perm: [0, axis, ...others] });
  const channels = x.shape?.[axis] as number;
  return g.Reshape(moved, g.ints([0, channels, -1], "shape"));
}

/** x / |x| along the last axis. */
function normalized(g: Builder, x: Value): Value {
  const square = g.ReduceSum(g.Mul(x, x), g.ints([-1], "axes"), { keepdims: 1 });
  return g.Div(x, g.Sqrt(g.Add(square, number(g, x, 1e-12))));
}

/**
 * Attention transfer (Zagoruyko, Komodakis 2017, arXiv 1612.03928, eq. 2, p = 2): with the map
 * Q = mean_c A_c^2 [positions] of each record,
 *   L = mean over records of |Q_s / |Q_s| - Q_t / |Q_t||^2
 */
function attention(g: Builder, student: Value, teacher: Value, axis: number): Value {
  const [s, t] = [student, teacher].map((x) => {
    const channels = byChannel(g, x, axis);
    const map = g.ReduceMean(g.Mul(channels, channels), g.ints([1], "axes"), { keepdims: 0 });
    return normalized(g, map);
  });
  const error = g.Sub(s, t);
  const rows = g.ReduceSum(g.Mul(error, error), g.ints([-1], "axes"), { keepdims: 0 });
  return g.ReduceMean(rows, { keepdims: 0 });
}

/**
 * Neuron selectivity transfer (Huang, Wang 2017, arXiv 1707.01219, eq. 6): the squared maximum mean
 * discrepancy between the maps of the student's channels and of the teacher's, each of length 1, with
 * the kernel k(x, y) = (x . y)^2:
 *   L = mean k(t, t') + mean k(s, s') - 2 mean k(s, t)
 */
function selectivity(g: Builder, student: Value, teacher: Value, axis: number): Value {
  const [s, t] = [student, teacher].map((x) => normalized(g, byChannel(g, x, axis)));
  const kernel = (a: Value, b: Value): Value => {
    const dots = g.MatMul(a, g.Transpose(b, { perm: [0, 2, 1] }));
    return g.ReduceMean(g.Mul(dots, dots), { keepdims: 0 });
  };
  const cross = g.Mul(kernel(s, t), number(g, s, 2));
  return g.Sub(g.Add(kernel(t, t), kernel(s, s)), cross);
}

/**
 * Relations between the records i, j, k of a batch (Park et al. 2019, arXiv 1904.05068, eq. 3 to 9),
 * h the Huber loss and m the mean distance of different records:
 *   L = mean h(d_ij^s / m^s - d_ij^t / m^t) + 2 mean h(cos_ijk^s - cos_ijk^t)
 * A single record has no relations, and no loss.
 */
function relations(g: Builder, student: Value, teacher: Value): Value {
  const [s, t] = [student, teacher].map((x) => distancesAndAngles(g, x));
  const distance = huber(g, g.Sub(s.distances, t.distances));
  const angle = huber(g, g.Sub(s.angles, t.angles));
  return g.Add(distance, g.Mul(angle, number(g, angle, 2)));
}

/** Distances [N, N] over the mean of different records, and cosines [N, N, N] of the angles at j between i and k. */
function distancesAndAngles(g: Builder, x: Value) {
  const flat = g.Reshape(x, g.ints([0, -1], "shape"));
  const gram = g.MatMul(flat, g.Transpose(flat, { perm: [1, 0] }));
  const squares = g.ReduceSum(g.Mul(flat, flat), g.ints([1], "axes"), { keepdims: 0 });
  const at = (value: Value, ...axes: number[]): Value => g.Unsqueeze(value, g.ints(axes, "axes"));
  const sums = g.Add(at(squares, 1), at(squares, 0));
  const apart = g.Sub(sums, g.Mul(gram, number(g, gram, 2)));
  // A record's distance to itself is 0, where the root has no slope: 1 stands for it below a fraction.
  const [same, others] = [diagonalOf(g, gram, 1, 0), diagonalOf(g, gram, 0, 1)];
  const positive = g.Max(g.Mul(apart, others), number(g, gram, 1e-12));
  const lengths = g.Sqrt(g.Add(positive, same));
  const own = g.Mul(lengths, others);
  const size = gram.shape?.[0] as number;
  const pairs = Math.max(1, size * (size - 1));
  const mean = g.Mul(g.ReduceSum(own, null, { keepdims: 0 }), number(g, own, 1 / pairs));
  const distances = g.Div(own, g.Max(mean, number(g, own, 1e-12)));
  // (x_i - x_j) . (x_k - x_j) = G_ik - G_ij - G_jk + G_jj, as [i, j, k].
  const products = g.Add(
    g.Sub(g.Sub(at(gram, 1), at(gram, 2)), at(gram, 0)),
    g.Reshape(squares, g.ints([1, -1, 1], "shape")),
  );
  return { distances, angles: g.Div(products, g.Mul(at(lengths, 2), at(lengths, 0))) };
}

/** The mean of x^2 / 2 where |x| <= 1, of |x| - 1/2 elsewhere. */
function huber(g: Builder, x: Value): Value {
  const size = g.Abs(x);
  const inner = g.Min(size, number(g, x, 1));
  const half = g.Mul(g.Mul(inner, inner), number(g, x, 0.5));
  return g.ReduceMean(g.Add(half, g.Sub(size, inner)), { keepdims: 0 });
}

/** How sharply `contrast` tells records apart: the temperature of its softmax. */
const SHARPNESS = 0.1;

/**
 * Contrast within the batch (Tian et al. 2020, arXiv 1910.10699, with the other records of the batch
 * as negatives, as InfoNCE, van den Oord et al. 2018, arXiv 1807.03748): with the means over
 * positions s_i and t_i, each of length 1,
 *   L = -mean_i log softmax_j(s_i . t_j / 0.1)[i]
 */
function contrast(g: Builder, student: Value, teacher: Value, axis: number): Value {
  const [s, t] = [student, teacher].map((x) => {
    const pooled = g.ReduceMean(byChannel(g, x, axis), g.ints([-1], "axes"), { keepdims: 0 });
    return normalized(g, pooled);
  });
  const scores = g.Mul(g.MatMul(s, g.Transpose(t, { perm: [1, 0] })), number(g, s, 1 / SHARPNESS));
  const logs = g.LogSoftmax(scores, { axis: -1 });
  const size = scores.shape?.[0] as number;
  const diagonal = g.Mul(logs, diagonalOf(g, scores, 1, 0));
  return g.Mul(g.ReduceSum(diagonal, null, { keepdims: 0 }), number(g, s, -1 / size));
}

/** `on` on the diagonal of a matrix of the size of x [N, N], `off` elsewhere. */
function diagonalOf(g: Builder, x: Value, on: number, off: number): Value {
  const size = x.shape?.[0] as number;
  const values = Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? on : off));
  return g.constant(values, { shape: [size, size], dtype: x.dtype ?? "float32" });
}
