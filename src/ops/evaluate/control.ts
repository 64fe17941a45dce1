/** @file Evaluation of If, Loop and Scan, whose bodies the driver runs. */
import { errors, fail } from "../../errors.ts";
import type { Graph, Node } from "../../ir/graph.ts";
import { type Tensor, tensor } from "../../ir/tensor.ts";
import {
  axisOf,
  type EvaluateRule,
  type EvaluateRules,
  optional,
  pick,
  positions,
  stridesOf,
} from "./elements.ts";
import { concat } from "./movement.ts";

/** The body stored in a node's attribute. Throws TersorError "bad-operands" if there is none. */
function body(node: Node, name: string): Graph {
  const attribute = node.attributes[name];
  if (attribute?.type !== "graph") {
    throw fail(errors.badOperands(node.name, `${node.op} has no ${name}`));
  }
  return attribute.value;
}

const isTrue = (x: Tensor): boolean => x.numbers()[0] !== 0;

/** Largest number of iterations; a malicious file must not occupy the reader for ever. */
const MAX_RUNS = 100_000;

/** If: runs the branch that the condition selects. */
const branch: EvaluateRule = ([condition], node, context) =>
  context.run(body(node, isTrue(condition) ? "then_branch" : "else_branch"), []);

/**
 * Loop: body (iteration, condition, states...) -> (condition, states..., scanned...). Stops after
 * `trips` iterations or when the condition is false; scanned values of all iterations are stacked.
 */
const loop: EvaluateRule = (inputs, node, context) => {
  const graph = body(node, "body");
  const trips = optional(inputs, 0)?.numbers()[0] ?? Infinity;
  const start = optional(inputs, 1);
  let goes = start === null || isTrue(start);
  let states = inputs.slice(2);
  const scanned: Tensor[][] = graph.outputs.slice(1 + states.length).map(() => []);
  for (let i = 0; goes && i < trips; i++) {
    if (i >= MAX_RUNS) throw fail(errors.badOperands(node.name, `runs over ${MAX_RUNS} times`));
    const given = [tensor("int64", [], i), tensor("bool", [], goes ? 1 : 0), ...states];
    const [condition, ...rest] = context.run(graph, given);
    goes = isTrue(condition);
    for (const [k, list] of scanned.entries()) list.push(rest[states.length + k]);
    states = rest.slice(0, states.length);
  }
  const stacked = scanned.map((list, k) => stack(list, 0) ?? empty(graph, 1 + states.length + k));
  return stacked.includes(null) ? null : [...states, ...(stacked as Tensor[])];
};

/** A scanned output of a loop that ran no iteration; null if the body's type is not known. */
function empty(graph: Graph, index: number): Tensor | null {
  const { dtype, shape } = graph.outputs[index];
  const dims = shape?.map((dim) => (typeof dim === "number" ? dim : 0));
  return dtype && dims ? tensor(dtype, [0, ...dims], []) : null;
}

/** The slices along a new axis; null if there are none. */
function stack(slices: readonly Tensor[], axis: number): Tensor | null {
  if (slices.length === 0) return null;
  const at = axisOf(axis, slices[0].shape.length + 1);
  return concat(
    slices.map((slice) => slice.reshape(slice.shape.toSpliced(at, 0, 1))),
    at,
  );
}

/** One index of an axis, without that axis. */
function sliceAt(x: Tensor, axis: number, index: number): Tensor {
  const strides = stridesOf(x.shape);
  const shape = x.shape.toSpliced(axis, 1);
  return pick(x, shape, positions(shape, strides.toSpliced(axis, 1), index * strides[axis]));
}

/**
 * Scan: body (states..., slices...) -> (states..., slices...), once per index of the scanned axes,
 * in either direction for each input and output.
 */
const scan: EvaluateRule = (inputs, node, context) => {
  const graph = body(node, "body");
  const count = node.int("num_scan_inputs", 0);
  let states = inputs.slice(0, inputs.length - count);
  const sources = inputs.slice(inputs.length - count);
  const axes = sources.map((x, i) =>
    axisOf(node.ints("scan_input_axes")?.[i] ?? 0, x.shape.length),
  );
  const length = sources[0].shape[axes[0]];
  const scanned: Tensor[][] = graph.outputs.slice(states.length).map(() => []);
  for (let step = 0; step < length; step++) {
    const slices = sources.map((x, i) => {
      const isBackward = node.ints("scan_input_directions")?.[i] === 1;
      return sliceAt(x, axes[i], isBackward ? length - 1 - step : step);
    });
    const results = context.run(graph, [...states, ...slices]);
    states = results.slice(0, states.length);
    for (const [k, list] of scanned.entries()) {
      const isBackward = node.ints("scan_output_directions")?.[k] === 1;
      if (isBackward) list.unshift(results[states.length + k]);
      else list.push(results[states.length + k]);
    }
  }
  const stacked = scanned.map((list, k) => stack(list, node.ints("scan_output_axes")?.[k] ?? 0));
  return stacked.includes(null) ? null : [...states, ...(stacked as Tensor[])];
};

export const controls = { If: branch, Loop: loop, Scan: scan } satisfies EvaluateRules;
