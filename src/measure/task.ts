/** @file Finds the task (classification, tokens, targets ...) from the label and the outputs. */
import { errors, fail } from "../errors.ts";
import { dtypes } from "../ir/dtype.ts";
import type { Tensor } from "../ir/tensor.ts";
import type { Batch } from "./metrics/spec.ts";

/** What a label says of the outputs: what training learns by, and what several metrics judge by. */
export interface Task {
  /** See `rules` for the shapes; "none" is a dataset without labels. */
  readonly kind: "classes" | "binary" | "tokens" | "target" | "none" | "answers";
  /** Name of the output that is judged. */
  readonly output: string;
  /** Number of classes; null where the output does not hold class scores. */
  readonly classes: number | null;
  /** Whether the label has one column per class, with a single 1 in each row. */
  readonly oneHot: boolean;
}

interface LabelFacts {
  /** Elements per record; 1 for a one-hot label. */
  readonly size: number;
  /**
   * Whether the label holds class indices: it is of an integer type, one-hot, or a list with one
   * number per record. (Floating-point targets have two axes or more.)
   */
  readonly index: boolean;
}

interface OutputFacts {
  /** Elements per record. */
  readonly size: number;
  readonly lastAxis: number;
  /** Whether a record's output is one row: only one of its axes is longer than 1, none in front. */
  readonly flat: boolean;
}

interface Rule {
  readonly kind: Task["kind"];
  /** Whether a label of this kind can mean the task. */
  applies(label: LabelFacts | null): boolean;
  /** Whether an output can be judged by the label. */
  fits(output: OutputFacts, label: LabelFacts | null): boolean;
  classes(output: OutputFacts): number | null;
  /** Whether the output holds whole numbers, not floating-point ones (default false). */
  readonly integer?: boolean;
}

/** Whether the label is one class index per record. */
const single = (label: LabelFacts | null) => label?.index === true && label.size === 1;

/** In order of preference. N: records, C: classes, T: tokens per record, V: vocabulary. */
const rules: readonly Rule[] = [
  {
    kind: "none", // no label: the first output; a flat row counts as class scores, to count flips
    applies: (label) => label === null,
    fits: () => true,
    classes: ({ flat, size }) => (flat ? size : null),
  },
  {
    kind: "classes", // label [N], output [N, C]
    applies: single,
    fits: ({ flat }) => flat,
    classes: ({ size }) => size,
  },
  {
    kind: "binary", // label [N] of 0 and 1, output [N] or [N, 1]
    applies: single,
    fits: ({ size }) => size === 1,
    classes: () => 2,
  },
  {
    kind: "tokens", // label [N, T], output [N, T, V]
    applies: (label) => label?.index === true && label.size > 1,
    fits: ({ size, lastAxis }, label) => lastAxis > 1 && size === label!.size * lastAxis,
    classes: ({ lastAxis }) => lastAxis,
  },
  {
    kind: "target", // label of the same size as the output
    applies: (label) => label !== null && !single(label),
    fits: ({ size }, label) => size === label!.size,
    classes: () => null,
  },
  {
    kind: "answers", // no output with scores: whole numbers [N], the classes themselves
    applies: (label) => label === null || single(label),
    fits: ({ size }) => size === 1,
    classes: () => null,
    integer: true,
  },
];

/** A task of which a loss can be made: outputs hold scores or values, not the answers themselves. */
export type ScoredTask = Task & { readonly kind: Exclude<Task["kind"], "answers"> };

/**
 * The task of a batch of `records`, for training: the first rule that applies to the label, with the
 * first output of its type that fits it. Throws TersorError "label-mismatch", which names `where`
 * (the dataset), if no output with scores fits.
 */
export function scoredTaskOf(
  records: number,
  label: Tensor | null,
  outputs: Readonly<Record<string, Tensor>>,
  where: string,
): ScoredTask {
  const kinds = rules.map(({ kind }) => kind).filter((kind) => kind !== "answers");
  const task = taskFor(kinds, { records, label, outputs });
  if (typeof task !== "string") return task as ScoredTask;
  throw fail(errors.labelMismatch(where, label?.shape.join(",") ?? "", shapesOf(outputs)));
}

/** Whether labels of floats, or of more than one number per record, are targets of an output. */
export const isTarget = (batch: Batch): boolean =>
  batch.label !== null && typeof taskFor(["target"], batch) !== "string";

/** The names and shapes of outputs, for messages: "scores [1,10], boxes [1,10,4]". */
export const shapesOf = (outputs: Readonly<Record<string, Tensor>>): string =>
  Object.entries(outputs)
    .map(([name, { shape }]) => `${name} [${shape}]`)
    .join(", ");

/** The task of a batch, if it is one of these kinds; else why it is none of them. */
export function taskFor(kinds: readonly Task["kind"][], batch: Batch): Task | string {
  const { records, label, outputs } = batch;
  const oneHot = label !== null && isOneHot(label);
  const facts = label && {
    size: oneHot ? 1 : label.size / records,
    index: oneHot || label.shape.length === 1 || dtypes[label.dtype].kind === "int",
  };
  const known = rules.filter(({ kind }) => kinds.includes(kind));
  for (const rule of known.filter((rule) => rule.applies(facts))) {
    for (const [output, value] of Object.entries(outputs)) {
      const sizes = outputFacts(value, records);
      const kind = rule.integer ? "int" : "float";
      if (dtypes[value.dtype].kind === kind && rule.fits(sizes, facts)) {
        return { kind: rule.kind, output, classes: rule.classes(sizes), oneHot };
      }
    }
  }
  if (!label) return `the outputs are ${shapesOf(outputs)}, and there are no labels`;
  return `a label of shape [${label.shape}] fits none of the outputs ${shapesOf(outputs)}`;
}

function outputFacts({ shape, size }: Tensor, records: number): OutputFacts {
  const own = shape.length > 1 ? shape.slice(1) : shape;
  // The first axis of a recurrent state, for example, counts layers and not records.
  const isFirst = shape.length === 1 || shape[0] === records;
  return {
    size: size / records,
    lastAxis: shape.at(-1) ?? 1,
    flat: size > records && isFirst && own.filter((dim) => dim > 1).length === 1,
  };
}

/** Whether the label is [records, classes] with a single 1 in each row and 0 elsewhere. */
function isOneHot(label: Tensor): boolean {
  const [rows, columns] = label.shape;
  if (label.shape.length !== 2 || columns < 2) return false;
  const values = label.numbers();
  for (let row = 0; row < rows; row++) {
    let ones = 0;
    for (let i = row * columns; i < (row + 1) * columns; i++) {
      if (values[i] === 1) ones++;
      else if (values[i] !== 0) return false;
    }
    if (ones !== 1) return false;
  }
  return true;
}
