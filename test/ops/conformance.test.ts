import { expect, test } from "vitest";
import { TersorError } from "../../src/errors.ts";
import type { Graph } from "../../src/ir/graph.ts";
import type { Model } from "../../src/ir/model.ts";
import type { Tensor } from "../../src/ir/tensor.ts";
import { cast } from "../../src/ops/evaluate/cast.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { nodeCases, readCase } from "./node-cases.ts";

/** Operators left out on purpose. Any other one without a rule fails the test. */
const leftOut: Readonly<Record<string, string>> = {
  Adagrad: "training",
  Adam: "training",
  Momentum: "training",
  Bernoulli: "random",
  RandomUniformLike: "random",
  DFT: "signal",
  MelWeightMatrix: "signal",
  STFT: "signal",
  GridSample: "detection",
  NonMaxSuppression: "detection",
  RoiAlign: "detection",
  StringNormalizer: "text",
  TfIdfVectorizer: "text",
};

const skippedCases: readonly (readonly [RegExp, string])[] = [
  [/^test_training_dropout(_default)?(_mask)?$/, "random"],
  // The data align the end of a fractional size; ONNX Runtime, and we, align the last element.
  [/^test_resize_downsample_scales_(cubic|linear)_align_corners$/, "fractional corner"],
];

const names = nodeCases();

/** How far apart two outputs are, in units of the tolerance that ONNX's own runner uses. */
function distance(actual: Tensor, expected: Tensor): number {
  if (actual.strings || expected.strings) {
    return JSON.stringify(actual.strings) === JSON.stringify(expected.strings) ? 0 : Infinity;
  }
  const [a, b] = [actual, expected].map((x) => decoded(x).numbers());
  const isFloat = /float/.test(expected.dtype);
  const relative = { bfloat16: 1e-2, float16: 2e-3 }[expected.dtype as string] ?? 1e-3;
  let worst = 0;
  for (let i = 0; i < b.length; i++) {
    if (Object.is(a[i], b[i]) || a[i] === b[i]) continue;
    if (!isFloat) return Infinity;
    const error = Math.abs(a[i] - b[i]) / (1e-7 + relative * Math.abs(b[i]));
    worst = Math.max(worst, Number.isNaN(error) ? Infinity : error);
  }
  return worst;
}

/** The 8- and 4-bit floats as numbers. */
function decoded(x: Tensor): Tensor {
  return /float[48]/.test(x.dtype) ? (cast(x, "float32") as Tensor) : x;
}

function tally(counts: Map<string, number>): string {
  return [...counts].map(([reason, count]) => `${reason}: ${count}`).join(", ");
}

test.skipIf(names.length === 0)("evaluates ONNX's operator tests", () => {
  const failures: string[] = [];
  const skipped = new Map<string, number>();
  let passed = 0;
  for (const name of names) {
    const found = skippedCases.find(([pattern]) => pattern.test(name))?.[1] ?? readCase(name);
    if (typeof found === "string") {
      skipped.set(found, (skipped.get(found) ?? 0) + 1);
      continue;
    }
    const { model, inputs, outputs } = found;
    const feeds = Object.fromEntries(model.graph.inputs.map(({ name: n }, i) => [n, inputs[i]]));
    try {
      const results = Object.values(evaluateGraph(model.graph, feeds));
      const wrong = outputs.flatMap((expected, i) => {
        const actual = results[i];
        const type = (x: Tensor): string => `${x.dtype}[${x.shape}]`;
        if (type(actual) !== type(expected)) return `${type(actual)} not ${type(expected)}`;
        const error = distance(actual, expected);
        return error <= 1 ? [] : `output ${i} is off by ${error} tolerances`;
      });
      if (wrong.length > 0) failures.push(`${name}: ${wrong.join("; ")}`);
      else passed++;
    } catch (error) {
      const op = error instanceof TersorError && error.code === "no-rule" && opIn(error.what);
      const reason = op && leftOut[op];
      if (!reason) failures.push(`${name}: ${error}`);
      else skipped.set(reason, (skipped.get(reason) ?? 0) + 1);
    }
  }
  console.info(`evaluate: ${passed} passed; skipped ${tally(skipped)}`);
  expect(failures).toEqual([]);
  expect(passed).toBeGreaterThan(840);
});

const opIn = (what: string): string => /operator (\S+)/.exec(what)?.[1] ?? "";

const modes = {
  /** Sizes, axes and pads come in at run time. */
  fed: (_: Model) => {},
  /** All inputs but the first are constants, as exporters write them. */
  constant: (model: Model, inputs: readonly Tensor[]) => {
    const { graph } = model;
    for (const [i, value] of graph.inputs.splice(1).entries()) {
      graph.setConstant(value, inputs[i + 1]);
    }
  },
};

test.skipIf(names.length === 0).each(["fed", "constant"] as const)(
  "infers the types of ONNX's operator tests (%s)",
  (mode) => {
    const failures: string[] = [];
    const skipped = new Map<string, number>();
    const counts = { complete: 0, partial: 0, none: 0 };
    const open = new Set<string>();
    for (const name of names) {
      const found = readCase(name);
      if (typeof found === "string") {
        skipped.set(found, (skipped.get(found) ?? 0) + 1);
        continue;
      }
      const { model, inputs, outputs } = found;
      forget(model.graph);
      for (const [i, input] of model.graph.inputs.entries()) input.shape = inputs[i].shape;
      modes[mode](model, inputs);
      inferModel(model);
      for (const [i, expected] of outputs.entries()) {
        const { dtype, shape } = model.graph.outputs[i];
        const says = `${dtype}[${shape}] for ${expected.dtype}[${expected.shape}]`;
        const isWrong = shape?.some((dim, k) => dim !== null && dim !== expected.shape[k]);
        if (isWrong || (shape && shape.length !== expected.shape.length)) {
          failures.push(`${name}: ${says}`);
        }
        if (dtype !== null && dtype !== expected.dtype) failures.push(`${name}: ${says}`);
        const degree = !shape ? "none" : shape.includes(null) || !dtype ? "partial" : "complete";
        counts[degree]++;
        if (degree !== "complete") open.add([...model.graph.nodes].at(-1)?.op ?? "");
      }
    }
    console.info(
      `infer (${mode}): ${JSON.stringify(counts)}; skipped ${tally(skipped)}; open ${[...open].sort()}`,
    );
    expect(failures).toEqual([]);
    expect(counts.complete).toBeGreaterThan(mode === "fed" ? 900 : 990);
  },
);

function forget(root: Graph): void {
  for (const graph of root.walk()) {
    for (const node of graph.nodes) {
      for (const output of node.outputs) {
        output.dtype = null;
        output.shape = null;
      }
    }
  }
}
