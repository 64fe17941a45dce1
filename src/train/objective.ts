/** @file Objective: what a run of training minimizes, chosen by name or by what the label is. */
import { errors, fail } from "../errors.ts";
import { dtypes } from "../ir/dtype.ts";
import type { Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";
import { hasTrait } from "../ops/traits.ts";
import { bce, distillation, features, kd, mse, softmaxCrossEntropy } from "./losses.ts";

export const losses = ["auto", "cross-entropy", "mse", "bce", "kd", "logits", "features"] as const;
export type LossId = (typeof losses)[number];

/** Losses that compare with the label; the others have a teacher, or choose by what there is. */
const byLabel: ReadonlySet<LossId> = new Set(["cross-entropy", "mse", "bce"]);

/** What a run of training cannot do without (a teacher it can: the model as it was may teach). */
export function needsOfLoss({ loss }: Pick<ObjectiveOptions, "loss">) {
  return byLabel.has(loss) ? (["training", "labels"] as const) : (["training"] as const);
}

export interface ObjectiveOptions {
  readonly loss: LossId;
  /** Label smoothing of the cross-entropy. */
  readonly smoothing: number;
  /** Distillation: softmax temperature, and the teacher's share of the loss. */
  readonly temperature: number;
  readonly alpha: number;
  /** Weight of the hints beside the loss of the output. */
  readonly hintweight: number;
}

/** What the label and the judged output are to each other, and how many scores a prediction has. */
export interface LossTarget {
  readonly kind: "classes" | "binary" | "tokens" | "target" | "none";
  readonly classes: number | null;
}

/** Which of the two the loss looks at besides the student's output. */
export interface Objective {
  readonly id: Exclude<LossId, "auto">;
  readonly label: boolean;
  readonly teacher: boolean;
}

/** Throws TersorError "bad-option" where the labels or the teacher that the loss needs are missing. */
export function objectiveOf(loss: LossId, target: LossTarget, hasTeacher: boolean): Objective {
  const id = loss === "auto" ? choose(target, hasTeacher) : loss;
  const objective = {
    id,
    label: id !== "logits" && id !== "features" && target.kind !== "none",
    teacher: id === "kd" || id === "logits" || id === "features",
  };
  const refuse = (why: string, remedy: string) => fail(errors.badOption(`loss ${id}`, why, remedy));
  if (objective.teacher && !hasTeacher) throw refuse("needs a teacher", "Give --teacher <model>");
  if (!objective.label && !objective.teacher) {
    throw refuse(
      "needs labels, and the data have none",
      "Give labelled data, or --teacher <model>",
    );
  }
  const scored = id === "cross-entropy" || id === "kd";
  if (scored && target.kind !== "classes" && target.kind !== "tokens") {
    if (id !== "kd" || target.kind !== "none" || target.classes === null) {
      throw refuse("needs an output of one score per class", "Give --loss mse or logits");
    }
  }
  return objective;
}

function choose({ kind, classes }: LossTarget, hasTeacher: boolean): Objective["id"] {
  if (hasTeacher) return classes !== null && kind !== "binary" ? "kd" : "logits";
  if (kind === "target") return "mse";
  return kind === "binary" ? "bce" : "cross-entropy";
}

export interface LossInputs {
  readonly output: Value;
  readonly label: Value | null;
  readonly teacher: Value | null;
  /** Inner values of the student and the teacher. */
  readonly hints: readonly (readonly [Value, Value])[];
}

/** One number from the judged output, the label and the teacher's output, null where not looked at. */
export function lossValue(
  g: Builder,
  { id }: Objective,
  target: LossTarget,
  values: LossInputs,
  options: ObjectiveOptions,
): Value {
  if (id === "features") return features(g, values.hints);
  const loss = outputLoss(g, id, target, values, options);
  if (values.hints.length === 0) return loss;
  return g.Add(loss, g.Mul(features(g, values.hints), g.constant(options.hintweight)));
}

function outputLoss(
  g: Builder,
  id: Exclude<Objective["id"], "features">,
  target: LossTarget,
  values: LossInputs,
  options: ObjectiveOptions,
): Value {
  const rows = (value: Value): Value =>
    target.classes === null ? value : asRows(g, scoresOf(value), target.classes);
  const { label } = values;
  const teacher = values.teacher as Value;
  switch (id) {
    case "cross-entropy":
      return target.kind === "tokens"
        ? tokenLoss(g, rows(values.output), label as Value)
        : softmaxCrossEntropy(g, rows(values.output), label as Value, options.smoothing);
    case "mse":
      return mse(g, values.output, label as Value);
    case "bce":
      return bce(g, g.Reshape(scoresOf(values.output), g.ints([-1], "shape")), label as Value);
    case "logits":
      return mse(g, rows(values.output), rows(teacher));
    case "kd": {
      const [student, guide] = [rows(values.output), rows(teacher)];
      if (!label) return distillation(g, student, guide, options.temperature);
      return kd(g, student, guide, label, options);
    }
  }
}

/** Before the model's own softmax or sigmoid: the losses have theirs, which does not overflow. */
export function scoresOf(output: Value): Value {
  const { producer } = output;
  return hasTrait(producer, "probabilities") ? (producer?.inputs[0] as Value) : output;
}

/** [..., C] in whatever shape -> [rows, C]. */
function asRows(g: Builder, scores: Value, classes: number): Value {
  const { shape } = scores;
  if (shape?.length === 2 && shape[1] === classes) return scores;
  return g.Reshape(scores, g.ints([-1, classes], "shape"));
}

/** Cross-entropy over the tokens whose label is not negative (padding). */
function tokenLoss(g: Builder, logits: Value, label: Value): Value {
  const zero = g.constant(0, { dtype: "int64", name: "zero" });
  const known = g.Cast(g.GreaterOrEqual(label, zero), { to: dtypes.float32.code });
  const last = g.ints([-1], "classes");
  const at = g.Unsqueeze(g.Max(label, zero), last);
  const picked = g.Squeeze(
    g.GatherElements(g.LogSoftmax(logits, { axis: -1 }), at, { axis: -1 }),
    last,
  );
  const sum = g.ReduceSum(g.Mul(picked, known), null, { keepdims: 0 });
  const count = g.ReduceSum(known, null, { keepdims: 0 });
  return g.Neg(g.Div(sum, g.Max(count, g.constant(1))));
}
