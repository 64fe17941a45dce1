/** @file Losses as graphs: each gives a scalar, the mean over a batch, of its inputs' type. */
import type { Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";

const number = (g: Builder, like: Value, value: number): Value =>
  g.constant(value, { dtype: like.dtype ?? "float32", name: "scalar" });

/** The mean over rows of means: one float32 sum of a million elements would lose five digits. */
function meanOf(g: Builder, x: Value): Value {
  const { shape } = x;
  const isWide = shape && shape.length > 1 && typeof shape.at(-1) === "number";
  const rows = isWide ? g.ReduceMean(x, g.ints([-1], "axes"), { keepdims: 0 }) : x;
  return g.ReduceMean(rows, { keepdims: 0 });
}
const sumOverClasses = (g: Builder, x: Value): Value =>
  g.ReduceSum(x, g.ints([-1], "classes"), { keepdims: 0 });

/**
 * Cross-entropy of logits [..., C] against class indices [...] (int64, 0 to C - 1), with label
 * smoothing s (Szegedy et al. 2016, arXiv 1512.00567, section 7):
 *   L = -((1 - s) log p[label] + s mean(log p)),  p = softmax(logits)
 */
export function softmaxCrossEntropy(g: Builder, logits: Value, label: Value, smoothing = 0): Value {
  const logarithms = g.LogSoftmax(logits, { axis: -1 });
  const last = g.ints([-1], "classes");
  const chosen = g.GatherElements(logarithms, g.Unsqueeze(label, last), { axis: -1 });
  const hard = g.Neg(meanOf(g, chosen));
  if (smoothing === 0) return hard;
  const even = g.Neg(meanOf(g, logarithms));
  return mix(g, logits, smoothing, even, hard);
}

/** share * a + (1 - share) * b. */
function mix(g: Builder, like: Value, share: number, a: Value, b: Value): Value {
  return g.Add(g.Mul(a, number(g, like, share)), g.Mul(b, number(g, like, 1 - share)));
}

/** Mean squared error of two tensors of the same shape. */
export function mse(g: Builder, output: Value, target: Value): Value {
  const error = g.Sub(output, target);
  return meanOf(g, g.Mul(error, error));
}

/**
 * The mean over all pairs (s of the student, t of the teacher) of |s - t|^2 / |t|^2, so that layers
 * count the same whatever the size of their values.
 */
export function features(g: Builder, pairs: readonly (readonly [Value, Value])[]): Value {
  const shares = pairs.map(([student, teacher]) => {
    const energy = meanOf(g, g.Mul(teacher, teacher));
    return g.Div(mse(g, student, teacher), g.Max(energy, number(g, teacher, 1e-12)));
  });
  const sum = shares.length === 1 ? shares[0] : g.Sum(...shares);
  return g.Mul(sum, number(g, sum, 1 / shares.length));
}

/** Binary cross-entropy of logits z against targets t in [0, 1]: mean of ln(1 + e^z) - z t. */
export function bce(g: Builder, logits: Value, target: Value): Value {
  return meanOf(g, g.Sub(g.Softplus(logits), g.Mul(logits, target)));
}

/**
 * Knowledge distillation from a teacher's logits [..., C] (Hinton et al. 2015, arXiv 1503.02531):
 *   L = T^2 KL(softmax(teacher / T) || softmax(student / T)),  T = temperature
 * T^2 keeps the gradient's size independent of T.
 */
export function distillation(
  g: Builder,
  student: Value,
  teacher: Value,
  temperature: number,
): Value {
  const soften = (logits: Value): Value =>
    g.LogSoftmax(g.Mul(logits, number(g, student, 1 / temperature)), { axis: -1 });
  const [log, logTeacher] = [soften(student), soften(teacher)];
  const divergence = sumOverClasses(g, g.Mul(g.Exp(logTeacher), g.Sub(logTeacher, log)));
  return g.Mul(meanOf(g, divergence), number(g, student, temperature ** 2));
}

/** alpha * distillation + (1 - alpha) * cross-entropy with the labels. */
export function kd(
  g: Builder,
  student: Value,
  teacher: Value,
  label: Value,
  { temperature, alpha }: { readonly temperature: number; readonly alpha: number },
): Value {
  const soft = distillation(g, student, teacher, temperature);
  return mix(g, student, alpha, soft, softmaxCrossEntropy(g, student, label));
}
