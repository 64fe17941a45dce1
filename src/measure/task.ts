/** @file Finds the task (classification, tokens, targets ...) from the label and the outputs. */
import { errors, fail } from "../errors.ts";
import { dtypes } from "../ir/dtype.ts";
import type { Tensor } from "../ir/tensor.ts";

/** How the outputs of a model are judged. */
export interface Task {
  /** See `rules` for the shapes; "none" is a dataset without labels. */
  readonly kind: "classes" | "binary" | "tokens" | "target" | "none" | "answers";
  /** Name of the output that is judged. */
  readonly output: string;
  /** Number of classes; null where the output does not hold class scores. */
  readonly classes: number | null;
  /** Whether the label has one column per class, with a single 1 in each row. */
  readonly oneHot: boolean;
  /** Whether the label has the shape of a picture: [N, C, H, W] or [N, H, W, C], C = 1, 3 or 4. */
  readonly picture: boolean;
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
  /** Whether a record's output is one row: only one of its axes is longer than 1. */
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

/**
 * The task of a batch of `records`: the first rule that applies to the label, with the first output
 * of its type that fits it. Throws TersorError "label-mismatch", which names `where` (the
 * dataset), if no output fits.
 */
export function taskOf(
  records: number,
  label: Tensor | null,
  outputs: Readonly<Record<string, Tensor>>,
  where: string,
): Task {
  const oneHot = label !== null && isOneHot(label);
  const facts = label && {
    size: oneHot ? 1 : label.size / records,
    index: oneHot || label.shape.length === 1 || dtypes[label.dtype].kind === "int",
  };
  for (const rule of rules.filter((rule) => rule.applies(facts))) {
    for (const [output, value] of Object.entries(outputs)) {
      const sizes = outputFacts(value, records);
      const kind = rule.integer ? "int" : "float";
      if (dtypes[value.dtype].kind === kind && rule.fits(sizes, facts)) {
        const { kind } = rule;
        const picture = label !== null && isPicture(label.shape);
        return { kind, output, classes: rule.classes(sizes), oneHot, picture };
      }
    }
  }
  const shapes = Object.entries(outputs).map(([name, { shape }]) => `${name} [${shape}]`);
  throw fail(errors.labelMismatch(where, label ? label.shape.join(",") : "", shapes.join(", ")));
}

/** A task of which a loss can be made: outputs hold scores or values, not the answers themselves. */
export type ScoredTask = Task & { readonly kind: Exclude<Task["kind"], "answers"> };

/** The task as `taskOf` finds it, for training. Throws "label-mismatch" if no output has scores. */
export function scoredTaskOf(...given: Parameters<typeof taskOf>): ScoredTask {
  const { kind, ...task } = taskOf(...given);
  if (kind !== "answers") return { ...task, kind };
  const [, label, outputs, where] = given;
  const shapes = Object.entries(outputs).map(([name, { shape }]) => `${name} [${shape}]`);
  throw fail(errors.labelMismatch(where, label ? label.shape.join(",") : "", shapes.join(", ")));
}

/**
 * The outputs that are compared with the original's: the judged one. Without labels these are all
 * floating-point outputs. Of several records in one run those without a batch as first axis are left
 * out, because their elements are not in the order of the records.
 */
export function comparedOutputs(
  { kind, output }: Task,
  records: number,
  outputs: Readonly<Record<string, Tensor>>,
): string[] {
  if (kind !== "none") return [output];
  const others = Object.entries(outputs).filter(
    ([name, { dtype, shape }]) =>
      name !== output &&
      dtypes[dtype].kind === "float" &&
      (records === 1 || (shape[0] ?? 1) === records),
  );
  return [output, ...others.map(([name]) => name)];
}

function isPicture(shape: readonly number[]): boolean {
  return shape.length === 4 && [shape[1], shape[3]].some((size) => [1, 3, 4].includes(size));
}

function outputFacts({ shape, size }: Tensor, records: number): OutputFacts {
  const own = shape.length > 1 ? shape.slice(1) : shape;
  return {
    size: size / records,
    lastAxis: shape.at(-1) ?? 1,
    flat: size > records && own.filter((dim) => dim > 1).length === 1,
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
