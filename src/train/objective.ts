/** @file Objective: what training minimizes, chosen by name or by the kind of the labels. */
import { errors, fail } from "../errors.ts";
import { dtypes } from "../ir/dtype.ts";
import type { Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";
import { hasTrait } from "../ops/traits.ts";
import { bce, distillation, features, kd, mse, softmaxCrossEntropy } from "./losses.ts";

export const losses = ["auto", "cross-entropy", "mse", "bce", "kd", "logits", "features"] as const;
export type LossId = (typeof losses)[number];

/** Losses against the label. The others compare with a teacher, or are chosen by what there is. */
const byLabel: ReadonlySet<LossId> = new Set(["cross-entropy", "mse", "bce"]);

/**
 * What training with this loss needs. A teacher is no need: the model before compression can teach.
 */
export function needsOfLoss({ loss }: Pick<ObjectiveOptions, "loss">) {
  return byLabel.has(loss) ? (["training", "labels"] as const) : (["training"] as const);
}

export interface ObjectiveOptions {
  readonly loss: LossId;
  /** Label smoothing of the cross-entropy. */
  readonly smoothing: number;
  /** Distillation: temperature of the softmax, and the teacher's share of the loss. */
  readonly temperature: number;
  readonly alpha: number;
  /** Factor of the hints' loss, which is added to the loss of the output. */
  readonly hintweight: number;
}

/** How the label relates to the output that is judged, and the number of scores per prediction. */
export interface LossTarget {
  readonly kind: "classes" | "binary" | "tokens" | "target" | "none";
  readonly classes: number | null;
}

/** A loss, and whether it uses the label and the teacher. */
export interface Objective {
  readonly id: Exclude<LossId, "auto">;
  readonly label: boolean;
  readonly teacher: boolean;
}

/**
 * The objective for a loss. "auto" distils if there is a teacher, and otherwise goes by the
 * label. Throws TersorError "bad-option" if the loss needs labels, a teacher or class
 * scores that are missing.
 */
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
  /** Pairs of inner values of the student and the teacher. */
  readonly hints: readonly (readonly [Value, Value])[];
}

/**
 * The loss, a scalar, from the model's output, the label and the teacher's output (null where the
 * objective does not use them), plus the weighted loss of the hints.
 */
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

/**
 * The scores before the model's own softmax or sigmoid. The losses contain their own, which
 * does not overflow.
 */
export function scoresOf(output: Value): Value {
  const { producer } = output;
  return hasTrait(producer, "probabilities") ? (producer?.inputs[0] as Value) : output;
}

/** Scores of any shape with C classes -> [rows, C]. */
function asRows(g: Builder, scores: Value, classes: number): Value {
  const { shape } = scores;
  if (shape?.length === 2 && shape[1] === classes) return scores;
  return g.Reshape(scores, g.ints([-1, classes], "shape"));
}

/** Cross-entropy over the tokens whose label is not negative; negative labels mark padding. */
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
