/**
 * @file Factors per channel that move between layers, without a change of the function.
 *
 * Channel c of a value is divided by s_c > 0 where it is made, and multiplied by s_c where it is
 * read: with f(x / s) = f(x) / s, as for Relu,
 *   W2 f(W1 x + b) = (W2 diag(s)) f(diag(1 / s) (W1 x + b))
 * (Nagel et al. 2019, arXiv 1906.04721, eq. 6 to 9). A value may also be made by the scale and shift
 * of a normalization or by a product with constants, and read by several layers.
 */
import type { Graph, Node, Value } from "../ir/graph.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import { biasInputOf } from "../ops/bias.ts";
import { build } from "../ops/builder.ts";
import { linearOf, whyNotRight } from "../ops/linear.ts";
import { normOf, operandOf } from "../ops/norms.ts";
import { hasTrait } from "../ops/traits.ts";
import { isConstantExpression, type WeightRole, weightRole } from "../ops/weights.ts";
import { product } from "../util/product.ts";

/** The weight of a layer that makes or reads the channels. */
export interface WeightSlot {
  readonly node: Node;
  readonly index: number;
  readonly role: WeightRole;
  /** "makes": its outputs are the channels; "reads": its inputs are. */
  readonly side: "makes" | "reads";
}

/** What the layers of these weights read, each value once. */
export const readBy = (slots: readonly WeightSlot[]): Value[] => [
  ...new Set(slots.map(({ node, index }) => node.inputs[1 - index] as Value)),
];

/** A constant operand that follows the channels: a bias, a scale, a shift. */
interface ConstantSlot {
  readonly node: Node;
  readonly index: number;
  /** The axis of channels, counted from the last one, 1. */
  readonly fromEnd: number;
  /** Whether it is multiplied by s and not divided: it takes the factor out again. */
  readonly isReader: boolean;
}

/** Values whose channels can only be scaled together, and all that has to change with them. */
export interface Span {
  /** The axis of channels of each value. */
  readonly values: ReadonlyMap<Value, number>;
  readonly channels: number;
  readonly makers: readonly WeightSlot[];
  readonly readers: readonly WeightSlot[];
  readonly constants: readonly ConstantSlot[];
  /** Nodes that multiply the channels by another activation. */
  readonly products: ReadonlySet<Node>;
}

/**
 * The span of a value whose channels run along `axis`, or the reason why they cannot be scaled.
 * Only weights of layers in `chosen` may change.
 */
export function spanOf(value: Value, axis: number, chosen: ReadonlySet<Node>): Span | string {
  const channels = value.shape?.[axis];
  if (typeof channels !== "number") return "the number of its input channels is not known";
  const span = new Walk(value.graph, channels, chosen);
  try {
    span.visit(value, axis);
    span.checkProducts();
  } catch (cause) {
    if (cause instanceof Refusal) return cause.message;
    throw cause;
  }
  return span;
}

class Refusal extends Error {}

/**
 * The weight of a layer that reads `value` with its channels along `axis`; the reason why its
 * inputs cannot be scaled, if they cannot.
 */
export function readerOf(node: Node, value: Value, axis: number): WeightSlot | string {
  const walk = new Walk(value.graph, 0, new Set([node]));
  try {
    walk.reader(node, value, axis);
    return walk.readers[0];
  } catch (cause) {
    if (cause instanceof Refusal) return cause.message;
    throw cause;
  }
}

/** Walks from a value to all that has to be scaled with it; throws a Refusal where that ends. */
class Walk implements Span {
  readonly values = new Map<Value, number>();
  readonly makers: WeightSlot[] = [];
  readonly readers: WeightSlot[] = [];
  readonly constants: ConstantSlot[] = [];
  readonly channels: number;
  readonly #graph: Graph;
  readonly #chosen: ReadonlySet<Node>;
  readonly #done = new Set<Node>();
  readonly products = new Set<Node>();

  constructor(graph: Graph, channels: number, chosen: ReadonlySet<Node>) {
    this.#graph = graph;
    this.channels = channels;
    this.#chosen = chosen;
  }

  visit(value: Value, axis: number): void {
    if (this.values.has(value)) return;
    if (value.isOutput) throw new Refusal(`${value.name} is an output of the model`);
    if (value.graph !== this.#graph) throw new Refusal(`${value.name} crosses a body`);
    if (value.shape?.[axis] !== this.channels) {
      throw new Refusal(`${value.name} has other channels`);
    }
    this.values.set(value, axis);
    const { producer } = value;
    if (!producer) throw new Refusal(`${value.name} is an input of the model`);
    this.#make(producer, value, axis);
    for (const node of new Set(value.consumers)) this.#read(node, value, axis);
  }

  /** Two scaled factors would scale their product twice. */
  checkProducts(): void {
    for (const node of this.products) {
      const scaled = node.inputs.filter((input) => input && this.values.has(input));
      if (scaled.length !== 1) throw new Refusal(`${node.name} (${node.op}) multiplies them`);
    }
  }

  #make(node: Node, value: Value, axis: number): void {
    const rank = value.shape?.length ?? 0;
    if (value !== node.output) throw new Refusal(`${node.name} (${node.op}) makes them`);
    const norm = normOf(node);
    if (linearOf(node)) this.#maker(node, axis, rank);
    else if (norm?.channelAxis && (norm.channelAxis + rank) % rank === axis) {
      this.#constant(node, norm.scale, 1);
      if (norm.shift !== undefined && node.inputs[norm.shift]) this.#constant(node, norm.shift, 1);
    } else if (operandOf(node) === "scale") {
      const at = node.inputs.findIndex((input) => input?.tensor);
      if (at >= 0) this.#constant(node, at, rank - axis);
      else this.#factor(node, axis);
    } else this.#through(node, axis, "made");
  }

  #read(node: Node, value: Value, axis: number): void {
    const rank = value.shape?.length ?? 0;
    if (linearOf(node)) this.reader(node, value, axis);
    else if (operandOf(node) === "scale") {
      const at = node.inputs.findIndex((input) => input?.tensor);
      if (at >= 0) this.#constant(node, at, rank - axis, true);
      else {
        this.products.add(node);
        this.visit(node.output, axis);
      }
    } else this.#through(node, axis, "read");
  }

  /** Operators that pass a factor on: sums, and f with f(s x) = s f(x) for each channel. */
  #through(node: Node, axis: number, what: string): void {
    if (this.#done.has(node)) return;
    this.#done.add(node);
    if (operandOf(node) === "shift") {
      const rank = node.output.shape?.length ?? 0;
      for (const [i, input] of node.inputs.entries()) {
        if (input?.tensor) this.#constant(node, i, rank - axis);
        else if (input) this.visit(input, axis + (input.shape?.length ?? 0) - rank);
      }
    } else if (isGainless(node)) this.visit(node.inputs[0] as Value, axis);
    else
      throw new Refusal(
        `its input is ${what} by ${node.name} (${node.op}), which no factor passes`,
      );
    this.visit(node.output, axis);
  }

  /** A product of two activations is scaled with either of them: the first that can be is taken. */
  #factor(node: Node, axis: number): void {
    this.products.add(node);
    if (node.inputs.some((input) => input && this.values.has(input))) return;
    const before = [...this.values];
    const lists = [this.makers, this.readers, this.constants] as unknown[][];
    const lengths = lists.map(({ length }) => length);
    const [done, products] = [[...this.#done], [...this.products]];
    let why: unknown;
    for (const input of node.inputs) {
      try {
        this.visit(input as Value, axis);
        return;
      } catch (cause) {
        why ??= cause;
        this.values.clear();
        for (const [value, own] of before) this.values.set(value, own);
        for (const [i, list] of lists.entries()) list.length = lengths[i];
        restore(this.#done, done);
        restore(this.products, products);
      }
    }
    throw why;
  }

  #maker(node: Node, axis: number, rank: number): void {
    const slot = this.#weight(node, "makes");
    if (axis !== channelAxisOf(node, rank)) throw new Refusal(`${node.name} mixes them`);
    if (slot.role.kind === "convtranspose" && slot.role.groups > 1) {
      throw new Refusal(`${node.name} makes them in groups`);
    }
    this.makers.push(slot);
    const bias = biasInputOf(node);
    if (bias !== null && node.inputs[bias]) this.#constant(node, bias, 1);
  }

  reader(node: Node, value: Value, axis: number): void {
    const slot = this.#weight(node, "reads");
    const isData = node.inputs[1 - slot.index] === value && slot.index === 1;
    if (!isData || node.inputs.filter((input) => input === value).length > 1) {
      throw new Refusal(`${node.name} reads them in another place than its data`);
    }
    if (axis !== channelAxisOf(node, value.shape?.length ?? 0))
      throw new Refusal(`${node.name} does not sum over them`);
    this.readers.push(slot);
  }

  /** The layer's weight, if it may be changed. */
  #weight(node: Node, side: WeightSlot["side"]): WeightSlot {
    const index = [1, 0].find((i) => node.inputs[i] && isConstantExpression(node.inputs[i])) ?? -1;
    const value = node.inputs[index];
    const role = value && weightRole(node, index);
    if (!role) throw new Refusal(`${node.name} (${node.op}) has no constant weight`);
    if (!this.#chosen.has(node))
      throw new Refusal(`${node.name} makes or reads the same channels and is left out`);
    const why = whyNotRight({ node, index });
    if (why) throw new Refusal(`${node.name}: ${why}`);
    const { tensor: own } = value;
    if (own?.dtype !== "float32")
      throw new Refusal(`the weight of ${node.name} is stored in another form`);
    if (value.uses.size > 1) throw new Refusal(`${node.name} shares its weight`);
    if (role.kind === "linear" && own.shape.length !== 2) {
      throw new Refusal(`the weight of ${node.name} has ${own.shape.length} axes`);
    }
    return { node, index, role, side };
  }

  #constant(node: Node, index: number, fromEnd: number, isReader = false): void {
    const value = node.inputs[index];
    if (value?.tensor?.dtype !== "float32") {
      throw new Refusal(`${node.name} (${node.op}) has an operand that is no float32 constant`);
    }
    this.constants.push({ node, index, fromEnd, isReader });
  }
}

function restore<T>(set: Set<T>, content: readonly T[]): void {
  set.clear();
  for (const each of content) set.add(each);
}

/** The axis of channels in what a layer reads and gives, of a rank. */
const channelAxisOf = (node: Node, rank: number): number =>
  ((linearOf(node)?.channelAxis ?? -1) + rank) % rank;

/** Whether f(s x) = s f(x) for each channel, the channels staying where they are. */
const isGainless = (node: Node): boolean =>
  hasTrait(node, "separate") && hasTrait(node, "homogeneous") && !hasTrait(node, "rearranges");

/** The channel of each element of a slot's weight, by its position in the row-major tensor. */
export function channelAt(
  { role, side }: WeightSlot,
  shape: readonly number[],
): (i: number) => number {
  const along = (axis: number): ((i: number) => number) => {
    const inner = product(shape.slice(axis + 1));
    return (i) => Math.floor(i / inner) % shape[axis];
  };
  const [output, input] = [along(role.outputAxis), along(role.inputAxis)];
  if (side === "makes") return output;
  if (role.groups === 1 || role.kind !== "conv") return input;
  const perGroup = shape[role.outputAxis] / role.groups;
  return (i) => Math.floor(output(i) / perGroup) * shape[role.inputAxis] + input(i);
}

/** Whether the layer reads each channel by filters of its own. */
export function isDepthwise({ node, index, role }: WeightSlot): boolean {
  const [outputs, perGroup] = node.inputs[index]?.shape ?? [];
  return role.groups > 1 && perGroup === 1 && outputs === role.groups;
}

/** max |w| over the elements that belong to each channel [channels], of all slots together. */
export function largestWeights(slots: readonly WeightSlot[], channels: number): Float64Array {
  const largest = new Float64Array(channels);
  for (const slot of slots) {
    const weight = slot.node.inputs[slot.index]?.tensor as Tensor;
    const channel = channelAt(slot, weight.shape);
    for (const [i, w] of weight.floats().entries()) {
      const c = channel(i);
      largest[c] = Math.max(largest[c], Math.abs(w));
    }
  }
  return largest;
}

/**
 * Divides the channels of a span by `s` [channels] where they are made, and multiplies its readers.
 * Its values get new names: errors by layer compare values of one name, and these have changed.
 */
export function moveScales(span: Span, s: ArrayLike<number>): void {
  const { values, makers, readers, constants } = span;
  for (const value of values.keys()) if (!value.name.endsWith("_eq")) value.name += "_eq";
  for (const slot of makers) scaleWeight(slot, (c) => 1 / s[c]);
  for (const slot of readers) scaleWeight(slot, (c) => s[c]);
  for (const { node, index, fromEnd, isReader } of constants) {
    const old = node.inputs[index]?.tensor as Tensor;
    changeConstant(node, index, scaled(old, fromEnd, s, isReader ? 1 : -1));
  }
}

/** Multiplies the weight of a slot by a factor for each channel. */
export function scaleWeight(slot: WeightSlot, factor: (channel: number) => number): void {
  const { node, index } = slot;
  const old = node.inputs[index]?.tensor as Tensor;
  const channel = channelAt(slot, old.shape);
  const values = old.floats().map((w, i) => w * factor(channel(i)));
  changeConstant(node, index, tensor("float32", old.shape, values));
}

/** The constant times s^sign along an axis; an axis of size 1, or a missing one, is filled up. */
function scaled(old: Tensor, fromEnd: number, s: ArrayLike<number>, sign: 1 | -1): Tensor {
  const missing = Math.max(0, fromEnd - old.shape.length);
  const shape = [...Array.from({ length: missing }, () => 1), ...old.shape];
  const axis = shape.length - fromEnd;
  const inner = product(shape.slice(axis + 1));
  const [size, whole] = [shape[axis], s.length];
  const values = old.floats();
  const longer = new Float32Array((values.length / size) * whole);
  for (let i = 0; i < longer.length; i++) {
    const channel = Math.floor(i / inner) % whole;
    const row = Math.floor(i / inner / whole);
    const at = size === whole ? i : row * inner + (i % inner);
    longer[i] = sign > 0 ? values[at] * s[channel] : values[at] / s[channel];
  }
  return tensor("float32", shape.with(axis, whole), longer);
}

/** Puts a tensor in the place of a constant; other readers keep theirs. */
export function changeConstant(node: Node, index: number, by: Tensor): void {
  const old = node.inputs[index] as Value;
  if (old.uses.size === 1) old.graph.setConstant(old, by);
  else node.setInput(index, build(node.graph, old.name).constant(by, { name: "scaled" }));
}
