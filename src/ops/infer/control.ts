/** @file Shapes of operators with bodies: If, Loop, Scan. */
import type { Dim, Graph, Node, Value } from "../../ir/graph.ts";
import {
  agree,
  axisOf,
  type InferContext,
  type InferRule,
  type InferRules,
  type Shape,
} from "./dims.ts";

function body(node: Node, name: string): Graph | null {
  const attribute = node.attributes[name];
  return attribute?.type === "graph" ? attribute.value : null;
}

/** If: the shapes of the branch that is known to run, otherwise what both branches agree on. */
const branch: InferRule = (node, context) => {
  const branches = [body(node, "then_branch"), body(node, "else_branch")];
  for (const graph of branches) if (graph) context.infer(graph);
  const condition = context.known(0)?.elements[0] ?? null;
  return node.outputs.map((_, i) => {
    const [a, b] = branches.map((graph) => graph?.outputs[i]?.shape ?? null);
    return condition === null ? agree(a, b) : condition ? a : b;
  });
};

/** Sets the type of a body's input. */
function setType(value: Value | undefined, from: Value | null, shape: Shape | null): void {
  if (!value) return;
  value.dtype = from?.dtype ?? value.dtype;
  value.shape = shape;
}

/**
 * The shapes of carried values that are the same before and after the body. `start` sets them for
 * the body's inputs; sizes that the body changes become unknown, until nothing changes any more.
 */
function settle(
  graph: Graph,
  context: InferContext,
  carried: readonly (Shape | null)[],
  start: (shapes: readonly (Shape | null)[]) => void,
  after: number,
): readonly (Shape | null)[] {
  let shapes = carried;
  // Each round can only make sizes unknown, so the loop ends after few of them.
  for (;;) {
    start(shapes);
    for (const node of graph.nodes) for (const output of node.outputs) output.shape = null;
    context.infer(graph);
    const next = shapes.map((shape, i) => agree(shape, graph.outputs[after + i]?.shape ?? null));
    if (JSON.stringify(next) === JSON.stringify(shapes)) return shapes;
    shapes = next;
  }
}

/**
 * Loop: body (iteration, condition, carried...) -> (condition, carried..., scanned...). Scanned
 * outputs get a new first axis of unknown size.
 */
const loop: InferRule = (node, context) => {
  const graph = body(node, "body");
  if (!graph) return node.outputs.map(() => null);
  const initial = node.inputs.slice(2);
  const [iteration, condition, ...states] = graph.inputs;
  if (iteration) [iteration.dtype, iteration.shape] = ["int64", []];
  if (condition) [condition.dtype, condition.shape] = ["bool", []];
  const carried = settle(
    graph,
    context,
    states.map((_, i) => initial[i]?.shape ?? null),
    (shapes) => {
      for (const [i, state] of states.entries()) setType(state, initial[i] ?? null, shapes[i]);
    },
    1,
  );
  const scanned = graph.outputs
    .slice(1 + carried.length)
    .map(({ shape }) => shape && [null, ...shape]);
  return [...carried, ...scanned];
};

/**
 * Scan: body (states..., slices...) -> (states..., slices...). Slices lack the scan axis, which
 * stacked outputs get back.
 */
const scan: InferRule = (node, context) => {
  const graph = body(node, "body");
  if (!graph) return node.outputs.map(() => null);
  const count = node.int("num_scan_inputs", 0);
  const states = node.inputs.length - count;
  const inputAxes = node.ints("scan_input_axes");
  const outputAxes = node.ints("scan_output_axes");
  let length: Dim = null;
  for (const [i, input] of node.inputs.slice(states).entries()) {
    const shape = input?.shape ?? null;
    const axis = shape && axisOf(inputAxes?.[i] ?? 0, shape.length);
    if (shape && axis !== null) length ??= shape[axis];
    const slice = shape && axis !== null ? shape.toSpliced(axis, 1) : null;
    setType(graph.inputs[states + i], input, slice);
  }
  const carried = settle(
    graph,
    context,
    node.inputs.slice(0, states).map((input) => input?.shape ?? null),
    (shapes) => {
      for (const [i, shape] of shapes.entries()) setType(graph.inputs[i], node.inputs[i], shape);
    },
    0,
  );
  const stacked = graph.outputs.slice(states).map(({ shape }, i) => {
    if (!shape) return null;
    return shape.toSpliced(axisOf(outputAxes?.[i] ?? 0, shape.length + 1), 0, length);
  });
  return [...carried, ...stacked];
};

export const inferControl: InferRules = { If: branch, Loop: loop, Scan: scan };
