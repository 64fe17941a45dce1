/**
 * @file A stream: values that can be multiplied by one matrix along their last axis together, with all
 * weights that make and read them.
 *
 * The residual stream of a transformer is one. With x' = x A for A [width, new width], what makes x
 * gets W A and what reads it gets R W, where x' R is x again, or near it (QuaRot, Ashkboos et al. 2024,
 * arXiv 2404.00456; SliceGPT, Ashkboos et al. 2024, arXiv 2401.15024, section 3). A normalization
 * without a scale passes A if A is orthogonal: its scale goes into the layers that read it. One that
 * subtracts the mean needs an A that keeps means as well.
 */
import type { Graph, Node, Value } from "../ir/graph.ts";
import { biasInputOf } from "../ops/bias.ts";
import { carriesOf, isMean, isSquared, lengthsOf } from "../ops/last-axis.ts";
import { linearOf, whyNotRight } from "../ops/linear.ts";
import { type Norm, normOf, operandOf } from "../ops/norms.ts";
import { isConstantExpression } from "../ops/weights.ts";

/** A scale of a normalization divides its shift if it is at least so much of the largest one. */
const SMALLEST = 1e-3;

/** An operand of a node that holds numbers for each feature. */
export interface Slot {
  readonly node: Node;
  readonly index: number;
  /** The axis of features, counted from the last one, 1. */
  readonly fromEnd: 1 | 2;
}

/** A weight whose inputs are features. */
export interface StreamReader extends Slot {
  /** The normalization, or the value, through which it reads the stream. */
  readonly from: Source;
  /** What multiplies each feature between the stream and the weight; null for 1. */
  readonly gain: Float64Array | null;
}

/** Where features leave the stream: a normalization of it, or a value of it as it is. */
export interface Source {
  /** The value of the stream. */
  readonly value: Value;
  readonly norm: Node | null;
}

/** All that changes together if a value is multiplied by a matrix along its last axis. */
export interface Stream {
  /** The length of the runs that the matrix multiplies: all features, or those of a head. */
  readonly block: number;
  readonly values: ReadonlySet<Value>;
  /** Constants that are part of it, along their last axis: weights, biases, tables, positions. */
  readonly constants: readonly Slot[];
  readonly readers: readonly StreamReader[];
  /** Normalizations in one node, of whose outputs only `readers` are left. */
  readonly norms: readonly Source[];
  /** Products with a constant for each feature, which `readers` can take over, and their data. */
  readonly gains: readonly { readonly node: Node; readonly x: Value }[];
  /** Means of squares along the last axis. */
  readonly means: readonly Node[];
  /** Nodes through which the matrix passes; some of them state sizes. */
  readonly carriers: ReadonlySet<Node>;
  /** Nodes that read the size of a value, which a new width would change. */
  readonly sized: readonly Node[];
  /** Whether the matrix has to keep the mean of the features. */
  readonly isCentred: boolean;
}

/**
 * The stream that a value belongs to, in blocks of `block`; the reason why no matrix passes, and the
 * values up to there, if there is none. Only weights of nodes in `chosen` may change.
 */
export function streamOf(
  value: Value,
  block: number,
  chosen: ReadonlySet<Node>,
): Stream | { readonly reason: string; readonly values: ReadonlySet<Value> } {
  const walk = new Walk(value.graph, block, chosen);
  try {
    walk.run(value);
    return walk;
  } catch (cause) {
    if (cause instanceof Refusal) return { reason: cause.message, values: walk.values };
    throw cause;
  }
}

/** Whether all layers that read the normalization do so without a node in between. */
export const readDirectly = ({ readers }: Pick<Stream, "readers">, norm: Node): boolean =>
  norm.output.consumers.every((node) => readers.some((reader) => reader.node === node));

class Refusal extends Error {}

class Walk implements Stream {
  readonly block: number;
  readonly values = new Set<Value>();
  readonly constants: Slot[] = [];
  readonly readers: StreamReader[] = [];
  readonly norms: Source[] = [];
  readonly gains: { node: Node; x: Value }[] = [];
  readonly means: Node[] = [];
  readonly carriers = new Set<Node>();
  readonly sized: Node[] = [];
  isCentred = false;
  readonly #graph: Graph;
  readonly #chosen: ReadonlySet<Node>;
  readonly #done = new Set<Node>();
  /** Values still to visit: decoders have thousands of nodes in a row. */
  readonly #pending: Value[] = [];

  constructor(graph: Graph, block: number, chosen: ReadonlySet<Node>) {
    this.#graph = graph;
    this.block = block;
    this.#chosen = chosen;
  }

  run(start: Value): void {
    this.#pending.push(start);
    for (let value = this.#pending.pop(); value; value = this.#pending.pop()) {
      if (this.values.has(value)) continue;
      this.values.add(value);
      this.#check(value);
      this.#make(value);
      for (const node of new Set(value.consumers)) this.#read(node, value);
    }
    this.#finish();
  }

  /** What can only be told when all values are known. */
  #finish(): void {
    for (const node of this.carriers) {
      const carried = carriesOf(node, this.block) ?? [];
      const other = node.inputs.find(
        (input, i) => input && !carried.includes(i) && this.values.has(input),
      );
      if (other) throw new Refusal(`${node.name} (${node.op}) reads it in two places`);
    }
    const makers = new Set(this.constants.map(({ node }) => node));
    const both = this.readers.find(({ node }) => makers.has(node));
    if (both) throw new Refusal(`${both.node.name} reads and makes it`);
    for (const { norm } of this.norms) if (norm) this.#checkShift(norm);
  }

  /** A shift that does not reach all layers as it is has to be divided by the scale. */
  #checkShift(norm: Node): void {
    const { scale, shift } = normOf(norm) as Norm;
    const given = shift === undefined ? null : norm.inputs[shift]?.tensor;
    if (!given || readDirectly(this, norm)) return;
    const sizes = Array.from(norm.inputs[scale]?.tensor?.numbers() ?? [], Math.abs);
    if (Math.min(...sizes) < SMALLEST * Math.max(...sizes)) {
      throw new Refusal(`the scale of ${norm.name} is too small to divide its shift by`);
    }
  }

  #check(value: Value): void {
    if (value.isOutput) throw new Refusal(`${value.name} is an output of the model`);
    if (value.graph !== this.#graph) throw new Refusal(`${value.name} crosses a body`);
    if (!value.producer) throw new Refusal(`${value.name} is an input of the model`);
    const last = value.shape?.at(-1);
    if (typeof last !== "number" || last % this.block !== 0) {
      throw new Refusal(`${value.name} has other features`);
    }
  }

  #make(value: Value): void {
    const node = value.producer as Node;
    if (value !== node.output) throw new Refusal(`its features are made by ${node.name}`);
    if (!this.#isLayer(node)) {
      this.#carry(node, "made");
      return;
    }
    if (this.#done.has(node)) return;
    this.#done.add(node);
    this.#weight(node, "makes");
    this.constants.push({ node, index: 1, fromEnd: linearOf(node)?.turned[1] ? 2 : 1 });
    const bias = biasInputOf(node);
    if (bias !== null && node.inputs[bias]) this.#constant(node, bias);
  }

  #read(node: Node, value: Value): void {
    const source = { value, norm: null };
    if (this.#isLayer(node) && node.inputs[0] === value) this.#reader(node, source, null);
    else if (normOf(node)?.channelAxis === -1 && node.inputs[0] === value) this.#norm(node, value);
    else if (isSquared(node, value)) this.means.push(...(lengthsOf(node) ?? []).filter(isMean));
    else if (this.#isGain(node, value)) this.#gain(node, source, value, null);
    else this.#carry(node, "read");
  }

  /** Whether the node is a product with a weight on the right. */
  #isLayer(node: Node): boolean {
    const [x, weight] = node.inputs;
    const isProduct = linearOf(node)?.kind === "product";
    return isProduct && weight != null && x !== weight && isConstantExpression(weight);
  }

  /** Operators that pass a matrix on: all that it has to multiply is part of the stream. */
  #carry(node: Node, what: string): void {
    if (this.#done.has(node)) return;
    this.#done.add(node);
    const found = carriesOf(node, this.block);
    if (!found) {
      throw new Refusal(
        `its features are ${what} by ${node.name} (${node.op}), which no matrix passes`,
      );
    }
    if (found.length === 0) {
      this.sized.push(node);
      return;
    }
    this.carriers.add(node);
    for (const i of found) {
      const input = node.inputs[i] as Value;
      if (isConstantExpression(input)) this.#constant(node, i);
      else this.#pending.push(input);
    }
    this.#pending.push(node.output);
  }

  #constant(node: Node, index: number): void {
    const value = node.inputs[index];
    if (value?.tensor?.dtype !== "float32") {
      throw new Refusal(`${node.name} (${node.op}) has an operand that is no float32 constant`);
    }
    this.constants.push({ node, index, fromEnd: 1 });
  }

  #norm(node: Node, value: Value): void {
    const { scale, shift, centres } = normOf(node) as Norm;
    const axis = node.int("axis", -1);
    const rank = value.shape?.length ?? 0;
    if ((axis + rank) % rank !== rank - 1 || this.block !== value.shape?.at(-1)) {
      throw new Refusal(`${node.name} normalizes over other axes than the last one`);
    }
    if (node.outputs.length > 1) throw new Refusal(`${node.name} gives its statistics too`);
    const own = node.inputs[scale]?.tensor;
    const added = shift === undefined ? null : node.inputs[shift];
    if (own?.dtype !== "float32" || (added && added.tensor?.dtype !== "float32")) {
      throw new Refusal(`${node.name} has an operand that is no float32 constant`);
    }
    if (centres) this.isCentred = true;
    const source = { value, norm: node };
    this.norms.push(source);
    this.#follow(node.output, source, Float64Array.from(own.numbers()));
  }

  /** Whether the node multiplies each feature by a constant of its own. */
  #isGain(node: Node, value: Value): boolean {
    const other = node.inputs[1 - node.inputs.indexOf(value)];
    const isVector = other?.tensor?.dtype === "float32" && other.tensor.size === this.block;
    const last = value.shape?.at(-1);
    return operandOf(node) === "scale" && isVector && last === this.block && last > 1;
  }

  #gain(node: Node, source: Source, value: Value, gain: Float64Array | null): void {
    const other = node.inputs[1 - node.inputs.indexOf(value)];
    const factor = Float64Array.from(other?.tensor?.numbers() ?? []);
    this.gains.push({ node, x: value });
    this.#follow(node.output, source, gain ? factor.map((x, i) => x * gain[i]) : factor);
  }

  /** Follows what a scale has multiplied to the layers that can take it over. */
  #follow(value: Value, source: Source, gain: Float64Array): void {
    if (value.isOutput) throw new Refusal(`${value.name} is an output of the model`);
    for (const node of new Set(value.consumers)) {
      if (this.#isLayer(node) && node.inputs[0] === value) this.#reader(node, source, gain);
      else if (this.#isGain(node, value)) this.#gain(node, source, value, gain);
      else {
        const carried = carriesOf(node, this.block);
        const places = node.inputs.flatMap((input, i) => (input === value ? [i] : []));
        if (carried?.length === 0) this.sized.push(node);
        else if (String(carried) === String(places)) {
          this.carriers.add(node);
          this.#follow(node.output, source, gain);
        } else throw new Refusal(`${node.name} (${node.op}) reads it behind a scale`);
      }
    }
  }

  #reader(node: Node, from: Source, gain: Float64Array | null): void {
    this.#weight(node, "reads");
    this.readers.push({ node, index: 1, fromEnd: linearOf(node)?.turned[1] ? 1 : 2, from, gain });
  }

  #weight(node: Node, what: string): void {
    const own = node.inputs[1]?.tensor;
    if (!this.#chosen.has(node)) throw new Refusal(`${node.name} ${what} it and is left out`);
    const why = whyNotRight({ node, index: 1 });
    if (why) throw new Refusal(`${node.name}: ${why}`);
    if (own?.dtype !== "float32") {
      throw new Refusal(`the weight of ${node.name} is stored in another form`);
    }
    if (own.shape.length !== 2) {
      throw new Refusal(`the weight of ${node.name} has ${own.shape.length} axes`);
    }
  }
}

/** Whether each position of a source has the same length, so that what is cut makes the rest longer. */
export function isNormalized({ value, norm }: Source, { means }: Stream): boolean {
  if (norm) return true;
  const factors = value.producer?.inputs.filter((input) => input?.shape?.at(-1) === 1) ?? [];
  return means.length > 0 && factors.some((factor) => factor !== null && !factor.tensor);
}
