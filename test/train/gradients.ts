/** @file Gradients three ways: ONNX Runtime, the float64 reference, central differences. */
import * as ort from "onnxruntime-node";
import { expect } from "vitest";
import type { DType } from "../../src/ir/dtype.ts";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { cloneModel, createModel, type Model } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { createRandom, type Random } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { inferNode } from "../../src/ops/infer.ts";
import { backward } from "../../src/train/backward.ts";

type Feeds = Record<string, Tensor>;
export type Make = (g: Builder, xs: readonly Value[]) => Value;

export interface Case {
  /** Of the inputs, all differentiated. */
  readonly shapes: readonly (readonly number[])[];
  readonly make: Make;
  /** Inputs are uniform in this range (default -2 to 2). */
  readonly range?: readonly [number, number];
  /** Axis 0 of the first input is left open. */
  readonly isOpen?: true;
  /** What differences are taken of, where the rule is straight through. */
  readonly surrogate?: Make;
  readonly opset?: number;
}

/** Scalars of the element type under test. */
export const num = (g: Builder, like: Value, x: number): Value =>
  g.constant(x, { dtype: like.dtype as DType });

function model(case_: Case, make: Make, dtype: DType, seed: number): { model: Model; loss: Value } {
  const random = createRandom(seed);
  const graph = new Graph("case");
  const xs = case_.shapes.map((shape, i) =>
    graph.addInput(
      `x${i}`,
      dtype,
      case_.isOpen && i === 0 ? shape.map((dim, axis) => (axis === 0 ? "N" : dim)) : shape,
    ),
  );
  const g = build(graph, "", inferNode);
  const y = make(g, xs);
  graph.setOutputs([y]);
  const made = createModel(graph, case_.opset ?? 21);
  const { shape, size } = evaluateGraph(graph, feedsOf(case_, dtype))[y.name];
  const weights = Array.from({ length: size }, () => Math.fround(random.float() * 2 - 1));
  const loss = g.ReduceSum(g.Mul(y, g.constant(weights, { dtype, shape })), { keepdims: 0 });
  graph.setOutputs([loss]);
  return { model: made, loss };
}

function feedsOf({ shapes, range: [low, high] = [-2, 2] }: Case, dtype: DType): Feeds {
  const random = createRandom(5);
  const entries = shapes.map((shape, i) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const value = (): number => Math.fround(low + (high - low) * random.float());
    return [`x${i}`, tensor(dtype, shape, Array.from({ length: size }, value))] as const;
  });
  return Object.fromEntries(entries);
}

/** Runs a model with ONNX Runtime. */
export async function runOrt(model: Model, feeds: Feeds): Promise<Record<string, Float32Array>> {
  const session = await ort.InferenceSession.create(concat(writeModel(model)), {
    logSeverityLevel: 3,
    intraOpNumThreads: 1,
    graphOptimizationLevel: "basic",
  });
  const tensors = Object.entries(feeds).map(
    ([name, x]) =>
      [name, new ort.Tensor(x.dtype as "float32", x.data() as Float32Array, x.shape)] as const,
  );
  const results = await session.run(Object.fromEntries(tensors));
  await session.release();
  return Object.fromEntries(
    Object.entries(results).map(([name, { data }]) => [name, data as Float32Array]),
  );
}

/** Central differences of the only output at chosen elements of one input. */
export function differences(
  graph: Graph,
  feeds: Feeds,
  name: string,
  at: readonly number[],
  step = 1e-5,
): number[] {
  const output = graph.outputs[0].name;
  const { shape } = feeds[name];
  const values = Float64Array.from(feeds[name].numbers());
  const loss = (i: number, x: number): number => {
    const moved = values.with(i, x);
    const fed = { ...feeds, [name]: tensor("float64", shape, moved) };
    return evaluateGraph(graph, fed)[output].numbers()[0];
  };
  return at.map((i) => (loss(i, values[i] + step) - loss(i, values[i] - step)) / (2 * step));
}

export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what: string,
): void {
  expect(actual.length, what).toBe(expected.length);
  let scale = 1;
  for (let i = 0; i < expected.length; i++) scale = Math.max(scale, Math.abs(expected[i]));
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i] - expected[i]);
    if (!(error <= tolerance * scale)) {
      expect.fail(`${what}[${i}] is ${actual[i]}, expected ${expected[i]}`);
    }
  }
}

/** Up to `count` different elements. */
export function someOf(size: number, count: number, random: Random): number[] {
  const all = Array.from({ length: size }, (_, i) => i);
  return size <= count ? all : random.shuffle(all).slice(0, count);
}

/** The gradients of every input agree, and are as they should be. */
export async function checkCase(case_: Case): Promise<void> {
  const [single, double] = (["float32", "float64"] as const).map((dtype) => {
    const { model: made, loss } = model(case_, case_.make, dtype, 11);
    const gradients = backward(made, loss, made.graph.inputs);
    // Two inputs may share one gradient.
    const g = build(made.graph);
    made.graph.setOutputs([...gradients.values()].map((gradient) => g.Identity(gradient)));
    return made;
  });
  const forward = model(case_, case_.surrogate ?? case_.make, "float64", 11).model;
  const names = single.graph.inputs.map((_, i) => `dx${i}`);
  for (const { graph } of [single, double]) {
    for (const [i, name] of names.entries()) graph.outputs[i].name = name;
  }
  const feeds = feedsOf(case_, "float64");
  const engine = await runOrt(cloneModel(single), feedsOf(case_, "float32"));
  const reference = evaluateGraph(double.graph, feeds);
  const random = createRandom(3);
  for (const [i, name] of names.entries()) {
    const exact = reference[name];
    expect(exact.shape, name).toEqual(case_.shapes[i]);
    expectClose(engine[name], exact.numbers(), 2e-5, `ONNX Runtime's ${name}`);
    const at = someOf(exact.size, 10, random);
    const slopes = differences(forward.graph, feeds, `x${i}`, at);
    const chosen = at.map((k) => exact.numbers()[k]);
    expectClose(chosen, slopes, 1e-6, `the reference's ${name} at ${at}`);
  }
}
