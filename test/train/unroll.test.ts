import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { cloneModel, createModel, type Model } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { expandModel as unrollRecurrent } from "../../src/ops/grad/expansions.ts";
import { bindDims, inferNode } from "../../src/ops/infer.ts";
import { backward } from "../../src/train/backward.ts";
import { hoistConstants } from "../../src/train/branch.ts";
import { feedsOf as realFeeds, realModels } from "../support/real-models.ts";
import { type Case, checkCase, expectClose, runOrt } from "./gradients.ts";

type Op = "LSTM" | "GRU" | "RNN";
const gates = { LSTM: 4, GRU: 3, RNN: 1 } as const;
const [T, N, I, H] = [4, 3, 2, 3];

interface Form {
  readonly name: string;
  readonly op: Op;
  readonly attributes?: Readonly<Record<string, unknown>>;
  /** Optional inputs that are there. */
  readonly bias?: true;
  readonly start?: true;
  readonly peepholes?: true;
  readonly lengths?: readonly number[];
}

const both = { direction: "bidirectional" };
const forms: readonly Form[] = [
  ...(["LSTM", "GRU", "RNN"] as const).flatMap((op): Form[] => [
    { name: "bare", op },
    { name: "with bias and start", op, bias: true, start: true },
    { name: "reverse", op, bias: true, attributes: { direction: "reverse" } },
    { name: "both directions", op, bias: true, start: true, attributes: both },
    { name: "lengths", op, bias: true, start: true, lengths: [2, 4, 1], attributes: both },
    { name: "clip", op, bias: true, attributes: { clip: 0.4 } },
    { name: "batch first", op, bias: true, start: true, attributes: { ...both, layout: 1 } },
  ]),
  { name: "peepholes", op: "LSTM", bias: true, start: true, peepholes: true, attributes: both },
  { name: "linear before reset", op: "GRU", bias: true, attributes: { linear_before_reset: 1 } },
  { name: "the same without bias", op: "GRU", attributes: { linear_before_reset: 1 } },
  {
    name: "named activations",
    op: "LSTM",
    bias: true,
    attributes: {
      activations: ["HardSigmoid", "Softsign", "LeakyRelu"],
      activation_alpha: [0.3, 0.1],
      activation_beta: [0.4],
    },
  },
  { name: "affine", op: "RNN", attributes: { activations: ["Affine"], activation_alpha: [0.7] } },
];

const isBatchFirst = (form: Form): boolean => form.attributes?.layout === 1;
const directions = (form: Form): number => (form.attributes?.direction === "bidirectional" ? 2 : 1);

/** X, W, R, then what is there of B, h, c, P. */
function shapesOf(form: Form): number[][] {
  const [D, G] = [directions(form), gates[form.op]];
  const state = isBatchFirst(form) ? [N, D, H] : [D, N, H];
  return [
    isBatchFirst(form) ? [N, T, I] : [T, N, I],
    [D, G * H, I],
    [D, G * H, H],
    ...(form.bias ? [[D, 2 * G * H]] : []),
    ...(form.start ? [state] : []),
    ...(form.start && form.op === "LSTM" ? [state] : []),
    ...(form.peepholes ? [[D, 3 * H]] : []),
  ];
}

function make(form: Form, g: Builder, xs: readonly Value[]): readonly Value[] {
  const rest = xs.slice(3);
  const b = form.bias ? rest.shift() : null;
  const lengths = form.lengths ? g.constant(form.lengths, { dtype: "int32" }) : null;
  const inputs = [...xs.slice(0, 3), b, lengths, ...rest];
  const attributes = { hidden_size: H, ...form.attributes };
  return g.many(form.op, inputs, { outputs: form.op === "LSTM" ? 3 : 2, attributes });
}

/** All outputs in a row. */
const caseOf = (form: Form): Case => ({
  shapes: shapesOf(form),
  range: [-0.9, 1],
  make: (g, xs) => {
    const flat = make(form, g, xs).map((y) => g.Reshape(y, g.ints([-1])));
    return g.Concat(...flat, { axis: 0 });
  },
});

function modelOf(form: Form): { model: Model; feeds: Record<string, Tensor> } {
  const random = createRandom(2);
  const graph = new Graph("recurrent");
  const shapes = shapesOf(form);
  const xs = shapes.map((shape, i) => graph.addInput(`x${i}`, "float32", shape));
  const outputs = make(form, build(graph, "", inferNode), xs);
  for (const [i, output] of outputs.entries()) output.name = `y${i}`;
  graph.setOutputs(outputs);
  const feeds = Object.fromEntries(
    shapes.map((shape, i) => {
      const size = shape.reduce((a, b) => a * b, 1);
      const values = Array.from({ length: size }, () => 2 * random.float() - 1);
      return [`x${i}`, tensor("float32", shape, values)];
    }),
  );
  return { model: createModel(graph, 21), feeds };
}

describe("recurrent nodes", () => {
  const named = forms.map((form) => [`${form.op}, ${form.name}`, form] as const);

  test.each(named)("%s: unrolled, it gives what the operator gives", async (_, form) => {
    const { model, feeds } = modelOf(form);
    const unrolled = cloneModel(model);
    unrollRecurrent(unrolled);
    expect([...unrolled.graph.nodes].some(({ op }) => op === form.op)).toBe(false);
    const results = await runOrt(unrolled, feeds);
    // The engine has no kernel that puts the batch first.
    const expected = isBatchFirst(form)
      ? evaluateGraph(model.graph, feeds)
      : await runOrt(model, feeds);
    for (const [name, values] of Object.entries(expected)) {
      const numbers = "numbers" in values ? Float64Array.from(values.numbers()) : values;
      expectClose(results[name], numbers, 2e-6, name);
    }
  });

  test.each(named)("%s: its gradient is the same three ways", (_, form) => checkCase(caseOf(form)));

  test("an open batch", () => {
    const form: Form = { name: "open", op: "GRU", bias: true, attributes: { layout: 1 } };
    return checkCase({ ...caseOf(form), isOpen: true });
  });

  test("sequences of open length are refused with the remedy", () => {
    const { model } = modelOf({ name: "open", op: "LSTM" });
    model.graph.inputs[0].shape = ["T", N, I];
    expect(() => unrollRecurrent(model)).toThrow(
      "no-gradient: LSTM: LSTM is unrolled for its gradient, and the length of its sequences is " +
        "open. Bind that dimension: --dims <name>=<steps>, or freeze below it: --freeze <glob>.",
    );
  });
});

const silero = realModels.find(({ name }) => name === "silero_vad_16k_op15");

const toDouble = (x: Tensor): Tensor =>
  x.dtype === "float32" ? tensor("float64", x.shape, Float64Array.from(x.numbers())) : x;

/** Every weight of the branches, trainable, in this order. */
function openSilero(isDouble: boolean): { model: Model; weights: readonly Value[] } {
  const shapes = silero?.shapes[1] ?? {};
  const model = bindDims(readModel(readFileSync(silero?.path as string)), shapes);
  hoistConstants(model);
  const weights = [...model.graph.constants].filter(
    ({ dtype, tensor: x, uses }) => dtype === "float32" && (x?.size ?? 0) > 1 && uses.size > 0,
  );
  for (const graph of isDouble ? model.graph.walk() : []) {
    for (const value of [...graph.constants])
      graph.setConstant(value, toDouble(value.tensor as Tensor));
    for (const node of graph.nodes) {
      if (node.op === "Cast" && node.int("to") === 1) node.set("to", { type: "int", value: 11 });
    }
  }
  return { model, weights };
}

describe("silero_vad, an LSTM within an If", () => {
  test.skipIf(!silero?.path)("has the gradients that its output rises by", async () => {
    const { model, weights } = openSilero(false);
    const feeds = realFeeds(silero?.shapes[1] ?? {}) as Record<string, Tensor>;
    const gradients = [...backward(model, model.graph.outputs[0], weights).values()];
    const g = build(model.graph);
    model.graph.setOutputs(gradients.map((gradient) => g.Identity(gradient)));
    for (const [i, output] of model.graph.outputs.entries()) output.name = `d${i}`;
    const results = await runOrt(model, feeds);

    const exact = openSilero(true);
    const fed = Object.fromEntries(Object.entries(feeds).map(([k, x]) => [k, toDouble(x)]));
    for (const [i, value] of exact.weights.entries()) {
      const gradient = results[`d${i}`];
      const steepness = Math.hypot(...gradient);
      expect(steepness, value.name).toBeGreaterThan(0);
      const original = value.tensor as Tensor;
      const at = (step: number): number => {
        const moved = Float64Array.from(
          original.numbers(),
          (w, k) => w + (step * gradient[k]) / steepness,
        );
        exact.model.graph.setConstant(value, tensor("float64", original.shape, moved));
        const outputs = evaluateGraph(exact.model.graph, fed);
        exact.model.graph.setConstant(value, original);
        return [...outputs[exact.model.graph.outputs[0].name].numbers()].reduce((a, b) => a + b);
      };
      const slope = (at(1e-4) - at(-1e-4)) / 2e-4;
      expect(Math.abs(slope - steepness), value.name).toBeLessThan(2e-3 * steepness);
    }
  });
});
