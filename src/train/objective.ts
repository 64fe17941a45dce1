/** @file Objective: what training minimizes, chosen by name or by the kind of the labels. */
import { errors, fail } from "../errors.ts";
import type { Value } from "../ir/graph.ts";
import type { Builder } from "../ops/builder.ts";
import { hasTrait } from "../ops/traits.ts";
import { type HintLoss, type HintLossId, hintLosses } from "./hint-losses.ts";
import {
  bce,
  decoupled,
  distillation,
  kd,
  knownRows,
  mix,
  mse,
  softmaxCrossEntropy,
} from "./losses.ts";

export const losses = [
  "auto",
  "distil",
  "cross-entropy",
  "mse",
  "bce",
  "kd",
  "dkd",
  "logits",
  "features",
] as const;
export type LossId = (typeof losses)[number];

/** Losses against the label. The others compare with a teacher, or are chosen by what there is. */
const byLabel: ReadonlySet<LossId> = new Set(["cross-entropy", "mse", "bce"]);

/** Whether the loss compares probabilities of classes with the teacher's. */
export const comparesClasses = ({ id }: { readonly id: LossId }): boolean =>
  id === "kd" || id === "dkd";

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
  /** dkd: weight of what the teacher tells of the classes that are not the label. */
  readonly nontarget: number;
  /** Layers whose output is compared with the teacher's. */
  readonly hints: readonly string[];
  /** How it is compared. */
  readonly hintloss: HintLossId;
  /** Factor of the hints' loss, which is added to the loss of the output. */
  readonly hintweight: number;
}

/** How the label relates to the output that is judged, and the number of scores per prediction. */
export interface LossTarget {
  readonly kind: "classes" | "binary" | "tokens" | "target" | "none";
  readonly classes: number | null;
}

/** A loss, and what it uses. */
export interface Objective {
  readonly id: Exclude<LossId, "auto" | "distil">;
  /** Whether the labels are what is learned. */
  readonly label: boolean;
  /** Whether rows labelled `ignoreIndex` are left out. The labels are read for that, too. */
  readonly ignores: boolean;
  /** Whether the teacher's output is compared with. */
  readonly scores: boolean;
  /** Whether a teacher is asked at all, for its output or for hints. */
  readonly teacher: boolean;
}

type Kind = LossTarget["kind"];

/** The tasks that a loss fits, and what to say of the others. Losses left out fit all. */
const fitting: Partial<Record<LossId, readonly [readonly Kind[], string, string]>> = {
  "cross-entropy": [
    ["classes", "tokens"],
    "needs an output of one score per class",
    "Give --loss mse or logits",
  ],
  kd: [
    ["classes", "tokens", "none"],
    "needs an output of one score per class",
    "Give --loss mse or logits",
  ],
  dkd: [
    ["classes", "tokens"],
    "needs labels and an output of one score per class",
    "Give --loss kd or logits",
  ],
  mse: [
    ["target", "binary"],
    "needs a target of the output's own shape, and the labels are classes",
    "Give --loss cross-entropy",
  ],
  bce: [
    ["binary", "target"],
    "needs a label of 0 or 1 for each score, and the labels are classes",
    "Give --loss cross-entropy",
  ],
};

/**
 * The objective for a loss. "auto" distils if there is a teacher, and otherwise goes by the
 * label. Throws TersorError "bad-option" if the loss needs labels, a teacher or class
 * scores that are missing, and for label smoothing of a loss that is no cross-entropy.
 */
export function objectiveOf(
  { loss, smoothing, hints }: Pick<ObjectiveOptions, "loss" | "smoothing" | "hints">,
  target: LossTarget,
  hasTeacher: boolean,
): Objective {
  const { kind } = target;
  const id = loss === "auto" || loss === "distil" ? choose(target, hasTeacher) : loss;
  const scores = comparesClasses({ id }) || id === "logits";
  const rows = kind === "classes" || kind === "tokens" || kind === "binary";
  const objective = {
    id,
    label: id !== "logits" && id !== "features" && kind !== "none",
    ignores: rows && id !== "mse" && id !== "features",
    scores,
    teacher: scores || id === "features" || hints.length > 0,
  };
  const refuse = (why: string, remedy: string) => fail(errors.badOption(`loss ${id}`, why, remedy));
  if (objective.teacher && !hasTeacher) {
    throw refuse("needs a teacher other than the model itself", "Give --teacher <model>");
  }
  if (!objective.label && !(scores || id === "features")) {
    throw refuse(
      "needs labels, and the data have none",
      "Give labelled data, or --teacher <model>",
    );
  }
  const [kinds, why, remedy] = fitting[id] ?? [[kind], "", ""];
  if (!kinds.includes(kind) || (kind === "none" && id === "kd" && target.classes === null)) {
    throw refuse(why, remedy);
  }
  if (
    smoothing > 0 &&
    !(objective.label && (id === "cross-entropy" || id === "kd" || id === "dkd"))
  ) {
    const why = `loss ${id} has no cross-entropy with labels, whose labels it smooths`;
    throw fail(errors.badOption("smoothing", why, "Leave it out"));
  }
  return objective;
}

function choose({ kind, classes }: LossTarget, hasTeacher: boolean): Objective["id"] {
  if (hasTeacher) return classes !== null && kind !== "binary" ? "kd" : "logits";
  if (kind === "target") return "mse";
  return kind === "binary" ? "bce" : "cross-entropy";
}

/** An inner value of the student and the teacher's, and the axis of their channels. */
export interface HintPair {
  readonly student: Value;
  readonly teacher: Value;
  readonly axis: number;
}

export interface LossInputs {
  readonly output: Value;
  readonly label: Value | null;
  readonly teacher: Value | null;
  readonly hints: readonly HintPair[];
}

/**
 * The loss, a scalar, from the model's output, the label and the teacher's output (null where the
 * objective does not use them), plus the weighted loss of the hints.
 */
export function lossValue(
  g: Builder,
  objective: Objective,
  target: LossTarget,
  values: LossInputs,
  options: ObjectiveOptions,
): Value {
  const loss = outputLoss(g, objective, target, values, options);
  if (objective.id === "features" || values.hints.length === 0) return loss;
  return g.Add(loss, g.Mul(hintLoss(g, values, options), g.constant(options.hintweight)));
}

function outputLoss(
  g: Builder,
  { id, label: isLearned, ignores }: Objective,
  { kind, classes }: LossTarget,
  values: LossInputs,
  options: ObjectiveOptions,
): Value {
  const { output } = values;
  const width = kind === "binary" ? 1 : classes;
  const rows = (value: Value): Value =>
    width === null ? value : asRows(g, scoresOf(value), width);
  const label = values.label as Value;
  const teacher = values.teacher as Value;
  const known = ignores ? knownRows(g, label) : null;
  switch (id) {
    case "cross-entropy":
      return softmaxCrossEntropy(g, rows(output), label, options.smoothing, known);
    case "mse":
      return mse(g, output, g.Reshape(label, g.Shape(output)));
    case "bce": {
      const flat = (value: Value): Value => g.Reshape(value, g.ints([-1], "shape"));
      return bce(g, flat(scoresOf(output)), flat(label), known);
    }
    case "logits":
      return mse(g, rows(output), rows(teacher), known);
    case "kd": {
      const [student, guide] = [rows(output), rows(teacher)];
      if (!isLearned) return distillation(g, student, guide, options.temperature);
      return kd(g, student, guide, label, options, known);
    }
    case "dkd": {
      const [student, guide] = [rows(output), rows(teacher)];
      const soft = decoupled(g, student, guide, label, options, known);
      const hard = softmaxCrossEntropy(g, student, label, options.smoothing, known);
      return mix(g, student, options.alpha, soft, hard);
    }
    case "features":
      return hintLoss(g, values, options);
  }
}

/** The mean over the pairs of their loss. */
function hintLoss(
  g: Builder,
  { hints }: LossInputs,
  { hintloss }: Pick<ObjectiveOptions, "hintloss">,
): Value {
  const { pair }: HintLoss = hintLosses[hintloss];
  const parts = hints.map(({ student, teacher, axis }) => pair(g, student, teacher, axis));
  const sum = parts.length === 1 ? parts[0] : g.Sum(...parts);
  return g.Mul(sum, g.constant(1 / parts.length));
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
