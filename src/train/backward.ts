/** @file Reverse-mode differentiation, graph -> graph: adds the nodes that compute gradients. */
import { errors, fail } from "../errors.ts";
import { dtypes } from "../ir/dtype.ts";
import type { Graph, Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { type Builder, build } from "../ops/builder.ts";
import { expandNodes } from "../ops/grad/expansions.ts";
import { outerProductOf } from "../ops/grad/linear.ts";
import {
  defaultForms,
  type Forms,
  type Gradients,
  type GradNode,
  gradRuleOf,
} from "../ops/grad.ts";
import { inferModel, inferNode } from "../ops/infer.ts";
import { hasTrait } from "../ops/traits.ts";
import { blockConvolutions } from "./block.ts";
import { branchGradients, type Differentiate } from "./branch.ts";

const freeze = "Freeze below it: --freeze <glob>";

/**
 * For weights: what their own gradients see in the place of what the layer reads. Gradients of
 * everything else are as they are.
 */
export type StandIns = ReadonlyMap<Value, (g: Builder, x: Value) => Value>;

const unrolling = "Export the model with it unrolled, or freeze below it: --freeze <glob>";

/**
 * Adds d loss / d value for each wanted constant, input or intermediate value to the model's main
 * graph, and returns the value that holds each gradient (two may share one). A loss of several
 * elements counts as their sum.
 *
 * Integers have no gradient, except levels that quantizing makes, which pass it straight through.
 * On the way recurrent nodes are unrolled, Attention is expanded to plain nodes, and If is
 * differentiated branch by branch. `forms` chooses the nodes for convolutions; blocked forms only
 * give right results on the processor that they were tried on. `standIns` changes what the gradients
 * of single weights are computed from.
 *
 * Throws TersorError "no-gradient" for a node without a rule between a wanted value and the loss,
 * and for a wanted value on which the loss does not depend.
 */
export function backward(
  model: Model,
  loss: Value,
  wanted: readonly Value[],
  {
    forms = defaultForms,
    standIns = new Map(),
  }: { readonly forms?: Forms; readonly standIns?: StandIns } = {},
): ReadonlyMap<Value, Value> {
  inferModel(model);
  const { graph } = model;
  const before = { nodes: new Set(graph.nodes), constants: new Set(graph.constants) };
  const found = differentiate(graph, new Map([[loss, [onesLike(graph, loss)]]]), wanted, {
    forms,
    standIns,
  });
  const result = new Map<Value, Value>();
  for (const [value, gradient] of found) {
    if (!gradient) {
      const why = `does not lead to the loss "${loss.name}" through differentiable operators`;
      throw fail(errors.noGradient(value.name, why, "Leave it out of what is trained"));
    }
    result.set(value, gradient);
  }
  sweep(graph, before, new Set([loss, ...result.values()]));
  blockConvolutions(model, before.nodes, forms);
  return result;
}

interface How {
  readonly forms: Forms;
  readonly standIns: StandIns;
}

/**
 * Gradients of `wanted` in one graph. `parts` holds what is known already of the gradients of the
 * values to start from (the loss). Nodes are visited in reverse order; a value's gradient is the
 * sum of what its readers contribute, which all come before it.
 */
function differentiate(
  graph: Graph,
  parts: Map<Value, Value[]>,
  wanted: readonly Value[],
  how: How,
): ReadonlyMap<Value, Value | null> {
  const targets = [...parts.keys()];
  const passOf = () => {
    const order = graph.sorted();
    const live = liveValues(order, targets, wanted);
    const isOn = (node: Node) =>
      node.outputs.some((output) => live.has(output)) && readsLive(node, live);
    return { live, order: order.filter(isOn) };
  };
  let pass = passOf();
  if (expandNodes(graph, pass.order)) pass = passOf();
  const { live, order } = pass;

  const gradients = new Map<Value, Value>();
  const settle = (value: Value): Value | null => {
    if (!live.has(value)) return null;
    const known = gradients.get(value) ?? total(graph, value, parts.get(value) ?? []);
    if (known) gradients.set(value, known);
    return known;
  };
  for (const node of order.toReversed()) {
    const dys = node.outputs.map(settle);
    if (dys.every((dy) => dy === null)) continue;
    for (const [value, part] of partsOf(node, dys, live, how)) {
      parts.set(value, [...(parts.get(value) ?? []), part]);
    }
  }
  return new Map(wanted.map((value) => [value, settle(value)]));
}

/** What a node adds to the gradients of the values that it reads. */
function partsOf(
  node: Node,
  dys: Gradients,
  live: ReadonlySet<Value>,
  how: How,
): (readonly [Value, Value])[] {
  if (hasTrait(node, "branches")) {
    const captured = [...new Set(readsOf(node))].filter((value) => live.has(value));
    const inside: Differentiate = (...args) => differentiate(...args, how);
    const made = branchGradients(node, dys, captured, inside);
    return captured.map((value, i) => [value, made[i]]);
  }
  const found = apply(node, dys, how.forms);
  return node.inputs.flatMap((input, i) => {
    if (!input || !live.has(input)) return [];
    const seen = how.standIns.get(input);
    const gradient = seen ? apply(standIn(node, i, seen), dys, how.forms)[i] : found[i];
    if (!gradient) {
      const why = `${node.op} has no gradient rule for its input "${input.name}"`;
      throw fail(errors.noGradient(node.name, why, freeze));
    }
    return [[input, unbroadcast(typed(node.graph, node.name), gradient, input)] as const];
  });
}

/**
 * Whether a value can have a gradient: real numbers, and the first output of nodes whose integers
 * stand for real numbers. The range that dynamic quantization measures has none.
 */
function isReal(value: Value): boolean {
  const { producer } = value;
  if (hasTrait(producer, "straightThrough")) return value === producer?.output;
  return value.dtype === null || dtypes[value.dtype].kind === "float";
}

/** All values that a node reads, including those that its bodies capture. */
function readsOf(node: Node): Value[] {
  const reads = node.inputs.filter((input) => input !== null);
  for (const body of node.subgraphs) {
    for (const graph of body.walk()) {
      for (const inner of graph.nodes) reads.push(...inner.inputs.filter((x) => x !== null));
      reads.push(...graph.outputs);
    }
  }
  return reads;
}

const readsLive = (node: Node, live: ReadonlySet<Value>): boolean =>
  readsOf(node).some((value) => live.has(value));

/** The values on a path from a wanted value to a target, by one pass forward and one backward. */
function liveValues(
  order: readonly Node[],
  targets: readonly Value[],
  wanted: readonly Value[],
): Set<Value> {
  const moving = new Set(wanted.filter(isReal));
  for (const node of order) {
    if (!readsLive(node, moving)) continue;
    for (const output of node.outputs) if (isReal(output)) moving.add(output);
  }
  const live = new Set(targets.filter((target) => moving.has(target)));
  for (const node of order.toReversed()) {
    if (!node.outputs.some((output) => live.has(output))) continue;
    for (const value of readsOf(node)) if (moving.has(value)) live.add(value);
  }
  return live;
}

/** The node with others of its inputs than `index` replaced, for a rule to look at. */
function standIn(node: Node, index: number, seen: (g: Builder, x: Value) => Value): Node {
  const g = typed(node.graph, node.name);
  const inputs = node.inputs.map((x, i) => (x && i !== index && !x.tensor ? seen(g, x) : x));
  return Object.create(node, { inputs: { value: inputs } }) as Node;
}

/** The gradients of a node's inputs by its rule. */
function apply(node: Node, dys: Gradients, forms: Forms): Gradients {
  const rule = gradRuleOf(node);
  if (!rule) {
    const remedy = hasTrait(node, "repeats") ? unrolling : freeze;
    throw fail(errors.noGradient(node.name, `${node.op} has no gradient rule`, remedy));
  }
  const g = typed(node.graph, node.name);
  if (typeof rule !== "function") return rule.many(g, dys, node as GradNode);
  const other = dys.findIndex((dy, i) => i > 0 && dy !== null);
  if (other > 0) {
    const why = `${node.op} has no gradient rule for its output "${node.outputs[other].name}"`;
    throw fail(errors.noGradient(node.name, why, freeze));
  }
  return rule(g, dys[0] as Value, node as GradNode, forms);
}

/** d loss / d loss: ones in the shape of the loss. */
function onesLike(graph: Graph, loss: Value): Value {
  const g = typed(graph, loss.name);
  const one = g.constant(1, { dtype: loss.dtype ?? "float32", name: "one" });
  return loss.shape?.length === 0 ? one : g.Expand(one, g.Shape(loss));
}

/**
 * The gradient of a value with several readers: the sum of their contributions. Several
 * products A_i^T D_i, as the steps of an unrolled LSTM give for one weight, become one product
 * of longer matrices.
 */
function total(graph: Graph, value: Value, parts: readonly Value[]): Value | null {
  if (parts.length < 2) return parts[0] ?? null;
  const g = typed(graph, value.name);
  const products = parts.map(({ producer }) => outerProductOf(producer));
  if (parts.length > 2 && !products.includes(null)) {
    const [left, right] = [0, 1].map((side) =>
      g.Concat(...products.map((pair) => (pair as readonly Value[])[side]), { axis: 0 }),
    );
    return g.MatMul(g.Transpose(left, { perm: [1, 0] }), right);
  }
  return parts.length === 2 ? g.Add(parts[0], parts[1]) : g.Sum(...parts);
}

/**
 * A builder that infers types at once, since rules look at the types of what they have just added.
 */
const typed = (graph: Graph, name: string): Builder => build(graph, `grad/${name}`, inferNode);

/** Sums a gradient over the axes along which `x` was broadcast, so that it has the shape of `x`. */
function unbroadcast(g: Builder, gradient: Value, x: Value): Value {
  const [from, to] = [gradient.shape, x.shape];
  if (!from || !to) return dynamicUnbroadcast(g, gradient, x);
  const lead = from.length - to.length;
  const isSame = (axis: number): boolean => to[axis] !== null && from[axis + lead] === to[axis];
  if (lead === 0 && to.every((_, axis) => isSame(axis))) return gradient;
  const isClear = to.every((dim, axis) => isSame(axis) || dim === 1 || from[axis + lead] === 1);
  if (!isClear) return dynamicUnbroadcast(g, gradient, x);
  const axes = from.flatMap((_, axis) => (axis < lead || !isSame(axis - lead) ? [axis] : []));
  const sum = axes.length > 0 ? g.ReduceSum(gradient, g.ints(axes, "axes")) : gradient;
  if (lead === 0) return sum;
  const dropped = Array.from({ length: lead }, (_, axis) => axis);
  return g.Squeeze(sum, g.ints(dropped, "axes"));
}

/**
 * The same for shapes that are known at run time only: sums over the axes where the shape of `x`,
 * padded with 1 in front, is 1.
 */
function dynamicUnbroadcast(g: Builder, gradient: Value, x: Value): Value {
  const shape = g.Shape(x);
  const one = g.ints([1], "one");
  const lead = g.Sub(g.Shape(g.Shape(gradient)), g.Shape(shape));
  const padded = g.Concat(g.Expand(one, lead), shape, { axis: 0 });
  const axes = g.Reshape(g.NonZero(g.Equal(padded, one)), g.ints([-1], "shape"));
  const sum = g.ReduceSum(gradient, axes, { noop_with_empty_axes: 1 });
  return g.Reshape(sum, shape);
}

/** Removes the nodes and constants that rules have added and nothing reads. */
function sweep(
  graph: Graph,
  before: { readonly nodes: ReadonlySet<Node>; readonly constants: ReadonlySet<Value> },
  kept: ReadonlySet<Value>,
): void {
  const isIdle = (value: Value): boolean => value.uses.size === 0 && !kept.has(value);
  // Rules add nodes after those that they read, so in reverse order readers are removed first.
  for (const node of [...graph.nodes].toReversed()) {
    if (!before.nodes.has(node) && node.outputs.every(isIdle)) graph.remove(node);
  }
  for (const value of graph.constants) {
    if (!before.constants.has(value) && isIdle(value)) graph.removeConstant(value);
  }
}
