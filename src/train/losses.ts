/** @file Losses as graphs: each gives a scalar, the mean over a batch, of its inputs' type. */
import { type DType, dtypes } from "../ir/dtype.ts";
import type { Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";
import { ignoreIndex } from "../util/ignore-index.ts";

export const number = (g: Builder, like: Value, value: number): Value =>
  g.constant(value, { dtype: like.dtype ?? "float32", name: "scalar" });

/** The mean over rows of means: one float32 sum of a million elements would lose five digits. */
export function meanOf(g: Builder, x: Value): Value {
  return g.ReduceMean(meansOf(g, x), { keepdims: 0 });
}

/** [..., C] -> the mean of each row [...]. */
function meansOf(g: Builder, x: Value): Value {
  const { shape } = x;
  const isWide = shape && shape.length > 1 && typeof shape.at(-1) === "number";
  return isWide ? g.ReduceMean(x, g.ints([-1], "axes"), { keepdims: 0 }) : x;
}

/**
 * The mean over rows [N]. With `known` [N] of ones and zeros, as numbers, only over the rows where it
 * is 1; 0 if there is none.
 */
function overRows(g: Builder, rows: Value, known: Value | null): Value {
  if (!known) return g.ReduceMean(rows, { keepdims: 0 });
  const sum = g.ReduceSum(g.Mul(rows, known), null, { keepdims: 0 });
  const count = g.ReduceSum(known, null, { keepdims: 0 });
  return g.Div(sum, g.Max(count, number(g, known, 1)));
}

/** Where labels [N] are not `ignoreIndex`: ones and zeros [N] of the type `dtype`. */
export function knownRows(g: Builder, label: Value, dtype: DType = "float32"): Value {
  const isIgnored = g.Equal(label, number(g, label, ignoreIndex));
  return g.Cast(g.Not(isIgnored), { to: dtypes[dtype].code });
}

const sumOverClasses = (g: Builder, x: Value): Value =>
  g.ReduceSum(x, g.ints([-1], "classes"), { keepdims: 0 });

/**
 * Cross-entropy of logits [N, C] against class indices [N] (int64, 0 to C - 1), with label smoothing
 * s (Szegedy et al. 2016, arXiv 1512.00567, section 7):
 *   L = -((1 - s) log p[label] + s mean(log p)),  p = softmax(logits)
 * With `known` [N] the mean is over the rows where it is 1; other labels may be any number.
 */
export function softmaxCrossEntropy(
  g: Builder,
  logits: Value,
  label: Value,
  smoothing = 0,
  known: Value | null = null,
): Value {
  const logarithms = g.LogSoftmax(logits, { axis: -1 });
  const last = g.ints([-1], "classes");
  const at = known ? g.Max(label, number(g, label, 0)) : label;
  const chosen = g.GatherElements(logarithms, g.Unsqueeze(at, last), { axis: -1 });
  const hard = g.Neg(overRows(g, g.Squeeze(chosen, last), known));
  if (smoothing === 0) return hard;
  const even = g.Neg(overRows(g, meansOf(g, logarithms), known));
  return mix(g, logits, smoothing, even, hard);
}

/** share * a + (1 - share) * b. */
export function mix(g: Builder, like: Value, share: number, a: Value, b: Value): Value {
  return g.Add(g.Mul(a, number(g, like, share)), g.Mul(b, number(g, like, 1 - share)));
}

/**
 * Mean squared error of two tensors of the same shape; with `known` [N] of rows [N, C], over the rows
 * where it is 1.
 */
export function mse(g: Builder, output: Value, target: Value, known: Value | null = null): Value {
  const error = g.Sub(output, target);
  const squares = g.Mul(error, error);
  return known ? overRows(g, meansOf(g, squares), known) : meanOf(g, squares);
}

/**
 * Binary cross-entropy of logits z against targets t in [0, 1], both of the same shape: mean of
 * ln(1 + e^z) - z t. With `known`, of the same shape, over the elements where it is 1.
 */
export function bce(g: Builder, logits: Value, target: Value, known: Value | null = null): Value {
  const losses = g.Sub(g.Softplus(logits), g.Mul(logits, target));
  return known ? overRows(g, losses, known) : meanOf(g, losses);
}

/**
 * Knowledge distillation from a teacher's logits [N, C] (Hinton et al. 2015, arXiv 1503.02531):
 *   L = T^2 KL(softmax(teacher / T) || softmax(student / T)),  T = temperature
 * T^2 keeps the gradient's size independent of T. With `known` [N] the mean is over the rows where it
 * is 1.
 */
export function distillation(
  g: Builder,
  student: Value,
  teacher: Value,
  temperature: number,
  known: Value | null = null,
): Value {
  const soften = (logits: Value): Value =>
    g.LogSoftmax(g.Mul(logits, number(g, student, 1 / temperature)), { axis: -1 });
  const [log, logTeacher] = [soften(student), soften(teacher)];
  const divergence = sumOverClasses(g, g.Mul(g.Exp(logTeacher), g.Sub(logTeacher, log)));
  return g.Mul(overRows(g, divergence, known), number(g, student, temperature ** 2));
}

interface Shares {
  readonly temperature: number;
  /** The teacher's share of the loss. */
  readonly alpha: number;
  /** Label smoothing of the cross-entropy. */
  readonly smoothing?: number;
}

/** alpha * distillation + (1 - alpha) * cross-entropy with the labels, over the same rows. */
export function kd(
  g: Builder,
  student: Value,
  teacher: Value,
  label: Value,
  { temperature, alpha, smoothing = 0 }: Shares,
  known: Value | null = null,
): Value {
  const soft = distillation(g, student, teacher, temperature, known);
  const hard = softmaxCrossEntropy(g, student, label, smoothing, known);
  return mix(g, student, alpha, soft, hard);
}

/**
 * Decoupled knowledge distillation (Zhao et al. 2022, arXiv 2203.08679, eq. 7): with p the teacher's
 * and q the student's probability of the label, p_k / (1 - p) those of the other classes k among
 * themselves, all at the temperature T,
 *   L = T^2 (KL([p, 1 - p] || [q, 1 - q]) + nontarget KL(p_k / (1 - p) || q_k / (1 - q)))
 * Plain distillation is this with 1 - p in the place of `nontarget`, which hardly teaches anything
 * where the teacher is sure. Logits [N, C], label [N].
 */
export function decoupled(
  g: Builder,
  student: Value,
  teacher: Value,
  label: Value,
  { temperature, nontarget }: { readonly temperature: number; readonly nontarget: number },
  known: Value | null = null,
): Value {
  const classes = student.shape?.at(-1) as number;
  const dtype = student.dtype ?? "float32";
  const indices = g.constant(
    Array.from({ length: classes }, (_, k) => k),
    { dtype: "int64", shape: [1, classes] },
  );
  const isLabel = g.Equal(g.Unsqueeze(label, g.ints([1], "axes")), indices);
  const target = g.Cast(isLabel, { to: dtypes[dtype].code });
  const other = g.Sub(number(g, student, 1), target);
  // log p, log p_k / (1 - p) and log (1 - p), which is the difference of both for every k.
  const logsOf = (logits: Value) => {
    const soft = g.Mul(logits, number(g, logits, 1 / temperature));
    const all = g.LogSoftmax(soft, { axis: -1 });
    const without = g.Sub(soft, g.Mul(target, number(g, soft, 1000)));
    const others = g.LogSoftmax(without, { axis: -1 });
    const differences = g.Mul(other, g.Sub(all, others));
    return {
      label: sumOverClasses(g, g.Mul(target, all)),
      rest: g.Mul(sumOverClasses(g, differences), number(g, soft, 1 / (classes - 1))),
      others,
    };
  };
  const [s, t] = [logsOf(student), logsOf(teacher)];
  const part = (a: Value, b: Value): Value => g.Mul(g.Exp(a), g.Sub(a, b));
  const ofLabel = g.Add(part(t.label, s.label), part(t.rest, s.rest));
  const ofOthers = sumOverClasses(g, g.Mul(other, part(t.others, s.others)));
  const rows = g.Add(ofLabel, g.Mul(ofOthers, number(g, student, nontarget)));
  return g.Mul(overRows(g, rows, known), number(g, student, temperature ** 2));
}
