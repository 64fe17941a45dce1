/** @file What a label and the outputs mean together: the task, and the output that is judged. */
import { errors, fail } from "../errors.ts";
import { dtypes } from "../ir/dtype.ts";
import type { Tensor } from "../ir/tensor.ts";

export interface Task {
  readonly kind: "classes" | "binary" | "tokens" | "target" | "none";
  /** Name of the judged output. */
  readonly output: string;
  /** Scores per prediction; null where the output is not read as class scores. */
  readonly classes: number | null;
  /** The label has one column per class with a single 1. */
  readonly oneHot: boolean;
}

/** Sizes per record. */
interface LabelFacts {
  readonly size: number;
  /** Whole numbers: of an integer type, one-hot, or a plain list (targets come in two axes or more). */
  readonly index: boolean;
}

interface OutputFacts {
  readonly size: number;
  readonly lastAxis: number;
  /** One axis only is longer than 1. */
  readonly flat: boolean;
}

interface Rule {
  readonly kind: Task["kind"];
  applies(label: LabelFacts | null): boolean;
  fits(output: OutputFacts, label: LabelFacts | null): boolean;
  classes(output: OutputFacts): number | null;
}

const single = (label: LabelFacts | null) => label?.index === true && label.size === 1;

/** In order of preference. */
const rules: readonly Rule[] = [
  {
    kind: "none", // the first output; one flat row per record is read as class scores, for the flips
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
    kind: "target", // label of the output's own size
    applies: (label) => label !== null && !single(label),
    fits: ({ size }, label) => size === label!.size,
    classes: () => null,
  },
];

/** The first rule, and within it the first floating-point output, that fits the label. */
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
      if (dtypes[value.dtype].kind === "float" && rule.fits(sizes, facts)) {
        return { kind: rule.kind, output, classes: rule.classes(sizes), oneHot };
      }
    }
  }
  const shapes = Object.entries(outputs).map(([name, { shape }]) => `${name} [${shape}]`);
  throw fail(errors.labelMismatch(where, label ? label.shape.join(",") : "", shapes.join(", ")));
}

function outputFacts({ shape, size }: Tensor, records: number): OutputFacts {
  const own = shape.length > 1 ? shape.slice(1) : shape;
  return {
    size: size / records,
    lastAxis: shape.at(-1) ?? 1,
    flat: size > records && own.filter((dim) => dim > 1).length === 1,
  };
}

/** Two axes, and every row a single 1 among zeros. */
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
