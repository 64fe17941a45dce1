/** @file The plan of int8: which nodes run on int8 kernels, which values they need as uint8. */

import type { Context } from "../context.ts";
import type { Graph, Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { QuantParams } from "../numeric/quantize.ts";
import { boundsOf } from "../ops/bounds.ts";
import { int8KernelOf, joinsIntegers } from "../ops/int8.ts";
import { integerActivationOf } from "../ops/int8-activations.ts";
import { linearOf, whyNotRight } from "../ops/linear.ts";
import { type WeightRole, type WeightUse, weightsOf } from "../ops/weights.ts";
import { readWeight } from "../weights/read.ts";
import { chosenLayers, type Selection } from "../weights/select.ts";
import { refusalOf, sharedOutside } from "../weights/sites.ts";
import type { FloatWeight } from "../weights/weight.ts";

/** A layer with a constant weight that is to be computed on integers. */
export interface Int8Layer {
  readonly node: Node;
  /** Which of the node's inputs is the weight, and which the activation. */
  readonly weightIndex: number;
  readonly inputIndex: number;
  readonly role: WeightRole;
}

/** Everything that will be quantized. */
export interface Plan {
  readonly layers: readonly Int8Layer[];
  /** Embedding tables: stored in 8 bits, looked up in float. */
  readonly tables: readonly (WeightUse & { readonly weight: FloatWeight })[];
  /** Layers that compute in float, with weights that are stored in 8 bits, each weight once. */
  readonly stored: readonly (WeightUse & { readonly weight: FloatWeight })[];
  /** Nodes without weights that run on integers between layers: Add, pools, Concat, activations. */
  readonly others: readonly Node[];
  /** Activations to round to uint8. */
  readonly values: ReadonlyMap<Value, Rounding>;
}

/** How a value is rounded to uint8. */
export interface Rounding {
  /**
   * The Relu or Clip that produces the value, if rounding does the same: the value is then rounded
   * at the input of that node.
   */
  readonly absorbed: Node | null;
  /** The levels that an activation on integers needs the value in; null if any will do. */
  readonly levels: QuantParams | null;
}

/** Which nodes are to be on integers. */
export interface Choice extends Selection {
  /** "weighted": only layers with weights; "all": also Add, pools, activations between them. */
  readonly ops: "weighted" | "all";
  /** Whether activations are also computed by integer forms that are only close to them: not, if missing. */
  readonly activations?: "exact" | "approximate";
  /**
   * Whether depthwise convolutions stay in float. They do where int8 ones are slow even between layers
   * that are in int8.
   */
  readonly floatDepthwise: boolean;
  /** Whether a layer is computed on integers; the others only store them. All are, if missing. */
  readonly computes?: (node: Node) => boolean;
}

/**
 * The plan for the chosen layers of a model. Layers that cannot run on an int8 kernel, or not
 * faster, are skipped with a reason.
 */
export function planInt8(model: Model, choice: Choice, context: Context): Plan {
  const { graph } = model;
  const layers: Int8Layer[] = [];
  const tables: (WeightUse & { weight: FloatWeight })[] = [];
  const stored: (WeightUse & { weight: FloatWeight })[] = [];
  const found = weightsOf(model);
  const chosen = chosenLayers(model, choice, context, found);
  const shared = sharedOutside(found, chosen);
  for (const use of found) {
    const { node, role, value, index } = use;
    if (!chosen.has(node)) continue;
    const isTable = role.kind === "embedding";
    const bound = isTable ? shared(value) : refusal(use, choice);
    const weight = bound ? null : readWeight(value);
    const reason = bound ?? refusalOf(value, weight);
    if (reason || !weight) context.skip(node.name, reason ?? "it has no weight");
    else if (isTable) tables.push({ ...use, weight });
    else if (choice.computes && !choice.computes(node)) stored.push({ ...use, weight });
    else layers.push({ node, role, weightIndex: index, inputIndex: index === 0 ? 1 : 0 });
  }
  const integer = new Set(layers.map(({ node, weightIndex }) => node.inputs[weightIndex]));
  const values = new Map<Value, Rounding>();
  const want = (value: Value): void => {
    if (!values.has(value)) values.set(value, { absorbed: absorbable(value), levels: null });
  };
  for (const { node, inputIndex } of layers) {
    want(rootOf(node.inputs[inputIndex] as Value));
    const kernel = int8KernelOf(node);
    if (kernel?.kind === "layer" && kernel.roundsOutput) want(afterActivation(node));
  }
  const others = choice.ops === "all" ? growBetween(graph, layers, values, want, choice) : [];
  for (const [value, levels] of fixedLevels(others)) {
    values.set(value, { absorbed: absorbable(value), levels });
  }
  const alone = stored.filter(
    ({ value }, i) => !integer.has(value) && stored.findIndex((one) => one.value === value) === i,
  );
  return { layers, tables, stored: alone, others, values };
}

/**
 * The plan without the nodes that read or give one of these values, which uint8 cannot hold because
 * they are not finite. Layers are skipped with this reason.
 */
export function leaveOut(plan: Plan, values: ReadonlySet<Value>, context: Context): Plan {
  if (values.size === 0) return plan;
  const isSound = (node: Node): boolean =>
    ![...node.inputs, afterActivation(node)].some((value) => value && values.has(rootOf(value)));
  const layers = plan.layers.filter(({ node }) => {
    if (isSound(node)) return true;
    context.skip(node.name, "reads or gives values that are not finite");
    return false;
  });
  const left = [...plan.values].filter(([value]) => !values.has(value));
  return { ...plan, layers, others: plan.others.filter(isSound), values: new Map(left) };
}

/**
 * Why a layer stays in float; null if it can be quantized. The limits on groups are measurements.
 */
function refusal(use: WeightUse, choice: Choice): string | null {
  const { node, role, value } = use;
  if (node.graph.owner) return `is inside a body of ${node.graph.owner.op}`;
  if (int8KernelOf(node)?.kind !== "layer") return `${node.op} has no fast int8 kernel here`;
  if (role.kind === "conv" && role.groups > 1) {
    const perGroup = value.shape?.[1];
    if (perGroup === 1 && choice.floatDepthwise) return "depthwise int8 is slow on the target";
    if (typeof perGroup === "number" && perGroup > 1 && perGroup <= 16) {
      return `${perGroup} channels per group: the int8 kernel is slower than float32`;
    }
  }
  const why = whyNotRight(use);
  if (why) return why;
  const linear = linearOf(node);
  const axes = value.shape?.length ?? 2;
  if (linear?.kind === "product" && axes !== 2) {
    return `its weight has ${axes} axes: the int8 kernel takes one matrix`;
  }
  return linear?.alpha === 1 && linear.beta === 1 ? null : "its product or bias is scaled";
}

/**
 * The nodes without weights that join: all those with an input that is rounded anyway. Their other
 * inputs and their output are then rounded too, so that one node may make the next one join.
 */
function growBetween(
  graph: Graph,
  layers: readonly Int8Layer[],
  values: ReadonlyMap<Value, unknown>,
  want: (value: Value) => void,
  choice: Choice,
): Node[] {
  const integer = new Set(layers.map(({ node }) => node));
  const others: Node[] = [];
  for (const node of graph.sorted()) {
    if (!canJoin(node, integer, choice)) continue;
    const inputs = inputsOf(node).map(rootOf);
    if (!inputs.some((input) => values.has(input))) continue;
    for (const input of inputs) want(input);
    want(afterActivation(node));
    others.push(node);
  }
  return others;
}

const inputsOf = (node: Node): Value[] => node.inputs.filter((input) => input !== null);

/** Whether a node without weights can run on integers, if one of its inputs is rounded anyway. */
function canJoin(node: Node, integer: ReadonlySet<Node>, choice: Choice): boolean {
  const inputs = inputsOf(node);
  if (inputs.map(rootOf).some((input) => input.tensor || input.dtype === "int64")) return false;
  if (joinsIntegers(node)) return true;
  const form = integerActivationOf(node);
  if (!form || (form.error > 0 && choice.activations !== "approximate")) return false;
  // The form reads levels anew, so nothing may stand between them and the node. It pays only where
  // its output is not read in float, and whoever reads it in float may need all its digits.
  return rootOf(inputs[0]) === inputs[0] && isReadAsIntegers(node.output, integer, choice);
}

/** Whether all that reads the value runs on integers: layers, or nodes that can join them. */
function isReadAsIntegers(value: Value, integer: ReadonlySet<Node>, choice: Choice): boolean {
  const isInteger = (node: Node): boolean =>
    isMoving(node)
      ? isReadAsIntegers(node.output, integer, choice)
      : integer.has(node) || canJoin(node, integer, choice);
  return !value.isOutput && value.uses.size > 0 && value.consumers.every(isInteger);
}

/** The activations among these nodes that are computed by an integer form, not as they are. */
export const formed = (nodes: readonly Node[]): Node[] =>
  nodes.filter((node) => integerActivationOf(node) !== null);

/** The values whose levels the integer forms of activations fix. */
function fixedLevels(others: readonly Node[]): Map<Value, QuantParams> {
  const fixed = new Map<Value, QuantParams>();
  for (const node of formed(others)) {
    const form = integerActivationOf(node);
    const [x] = inputsOf(node);
    if (form?.output) fixed.set(node.output, form.output(node));
    if (form?.input && x.uses.size === 1 && !fixed.has(x)) fixed.set(x, form.input(node));
  }
  return fixed;
}

/** Whether the operator only moves elements, so that integers pass it with their scale. */
export const isMoving = (node: Node): boolean => int8KernelOf(node)?.kind === "moves";

/**
 * The value that has to be rounded for `value` to be read as integers: operators that only move
 * elements are followed back to where the elements come from.
 */
export function rootOf(value: Value): Value {
  let root = value;
  for (let node = root.producer; node && isMoving(node); node = root.producer) {
    const [input] = node.inputs;
    // MaxPool's indices are no part of this.
    const [, ...indices] = node.outputs;
    if (!input || indices.some((output) => output.uses.size > 0)) break;
    root = input;
  }
  return root;
}

/**
 * The value to round behind a node: its output, or that of a Relu or Clip that is its only reader.
 */
export function afterActivation(node: Node): Value {
  const { output } = node;
  if (output.isOutput || output.uses.size !== 1) return output;
  const [next] = output.consumers;
  return next && isClamp(next) ? next.output : output;
}

/** The Relu or Clip that produces `value`, if nothing else reads its input; otherwise null. */
function absorbable(value: Value): Node | null {
  const node = value.producer;
  if (!node || !isClamp(node)) return null;
  const [input] = node.inputs;
  return input && !input.isOutput && input.uses.size === 1 && input.producer ? node : null;
}

/**
 * Whether the node bounds values from below by exactly 0. Levels with zero point 0
 * saturate there too.
 */
const isClamp = (node: Node): boolean => boundsOf(node)?.low === 0;
