/** @file Graph, Node, Value: a model as producers and uses. All edits go through these methods. */
import type { Attribute, Attributes } from "./attribute.ts";
import type { DType } from "./dtype.ts";
import { topological } from "./sort.ts";
import type { Tensor } from "./tensor.ts";

/** A size, a symbolic name ("N"), or null where nothing is known. */
export type Dim = number | string | null;

/** One place that reads a value: a node's input, or a graph's output, by index. */
export interface Use {
  readonly user: Node | Graph;
  readonly index: number;
}

/** What flows along an edge. Constant (initializer) when `tensor` is set. */
export class Value {
  /** Wanted name; made unique when the model is written. Graph inputs and outputs keep theirs. */
  name: string;
  dtype: DType | null = null;
  shape: readonly Dim[] | null = null;
  /** Sequence, map or optional types: kept as protobuf, never looked into. */
  opaqueType: unknown = null;
  tensor: Tensor | null = null;
  producer: Node | null = null;
  readonly uses = new Set<Use>();
  /** The graph (scope) this value belongs to. */
  readonly graph: Graph;

  constructor(graph: Graph, name: string) {
    this.graph = graph;
    this.name = name;
  }

  /** Nodes that read this value, each once, including nodes inside If/Loop bodies. */
  get consumers(): Node[] {
    const nodes = new Set<Node>();
    for (const { user } of this.uses) if (user instanceof Node) nodes.add(user);
    return [...nodes];
  }

  /** True when some graph returns this value. */
  get isOutput(): boolean {
    for (const { user } of this.uses) if (user instanceof Graph) return true;
    return false;
  }
}

export class Node {
  name: string;
  /** ONNX operator spelling. */
  readonly op: string;
  /** "" for ai.onnx. */
  readonly domain: string;
  attributes: Attributes;
  readonly outputs: readonly Value[];
  readonly graph: Graph;
  readonly #inputs: (Value | null)[] = [];
  readonly #uses: (Use | null)[] = [];

  /** Only Graph.add makes nodes. */
  constructor(
    graph: Graph,
    op: string,
    domain: string,
    name: string,
    attributes: Attributes,
    outputs: readonly Value[],
  ) {
    this.graph = graph;
    this.op = op;
    this.domain = domain;
    this.name = name;
    this.attributes = attributes;
    this.outputs = outputs;
    for (const output of outputs) output.producer = this;
  }

  /** Null where an optional input is left out. */
  get inputs(): readonly (Value | null)[] {
    return this.#inputs;
  }

  /** The first output. */
  get output(): Value {
    return this.outputs[0];
  }

  setInput(index: number, value: Value | null): void {
    while (this.#inputs.length <= index) {
      this.#inputs.push(null);
      this.#uses.push(null);
    }
    const old = this.#uses[index];
    if (old) this.#inputs[index]?.uses.delete(old);
    this.#inputs[index] = value;
    const use = value && { user: this, index };
    this.#uses[index] = use;
    if (use) value.uses.add(use);
  }

  /** Replaces the whole input list; trailing nulls are dropped. */
  setInputs(values: readonly (Value | null)[]): void {
    for (let i = 0; i < this.#inputs.length; i++) this.setInput(i, null);
    let length = values.length;
    while (length > 0 && !values[length - 1]) length--;
    this.#inputs.length = 0;
    this.#uses.length = 0;
    for (let i = 0; i < length; i++) this.setInput(i, values[i]);
  }

  set(name: string, attribute: Attribute | null): void {
    const { [name]: _, ...rest } = this.attributes;
    this.attributes = attribute ? { ...rest, [name]: attribute } : rest;
  }

  int(name: string): number | undefined;
  int(name: string, fallback: number): number;
  int(name: string, fallback?: number): number | undefined {
    const attribute = this.attributes[name];
    return attribute?.type === "int" ? attribute.value : fallback;
  }

  float(name: string): number | undefined;
  float(name: string, fallback: number): number;
  float(name: string, fallback?: number): number | undefined {
    const attribute = this.attributes[name];
    return attribute?.type === "float" ? attribute.value : fallback;
  }

  ints(name: string): readonly number[] | undefined {
    const attribute = this.attributes[name];
    return attribute?.type === "ints" ? attribute.value : undefined;
  }

  text(name: string): string | undefined;
  text(name: string, fallback: string): string;
  text(name: string, fallback?: string): string | undefined {
    const attribute = this.attributes[name];
    return attribute?.type === "string" ? attribute.value : fallback;
  }

  /** Bodies of If, Loop, Scan. */
  get subgraphs(): Graph[] {
    return Object.values(this.attributes).flatMap((attribute) =>
      attribute.type === "graph"
        ? [attribute.value]
        : attribute.type === "graphs"
          ? attribute.value
          : [],
    );
  }
}

export class Graph {
  name: string;
  readonly inputs: Value[] = [];
  /** The node whose body this graph is; null for a model's main graph. */
  owner: Node | null = null;
  readonly #nodes = new Set<Node>();
  readonly #constants = new Set<Value>();
  readonly #outputs: Value[] = [];
  readonly #uses: Use[] = [];

  constructor(name: string) {
    this.name = name;
  }

  /** In insertion order; see `sorted` for an executable order. */
  get nodes(): ReadonlySet<Node> {
    return this.#nodes;
  }

  /** Initializers. */
  get constants(): ReadonlySet<Value> {
    return this.#constants;
  }

  get outputs(): readonly Value[] {
    return this.#outputs;
  }

  addInput(name: string, dtype: DType | null, shape: readonly Dim[] | null): Value {
    const value = this.addValue(name);
    value.dtype = dtype;
    value.shape = shape;
    this.inputs.push(value);
    return value;
  }

  /** A value without a producer yet; readers and rewrites connect it. */
  addValue(name: string): Value {
    return new Value(this, name);
  }

  addConstant(name: string, tensor: Tensor): Value {
    const value = this.addValue(name);
    this.setConstant(value, tensor);
    return value;
  }

  /** Makes an unproduced value a constant, or gives a constant another tensor. */
  setConstant(value: Value, tensor: Tensor): void {
    value.tensor = tensor;
    value.dtype = tensor.dtype;
    value.shape = tensor.shape;
    this.#constants.add(value);
  }

  removeConstant(value: Value): void {
    value.tensor = null;
    this.#constants.delete(value);
  }

  /** Adds a node with `outputs` fresh values (names), or ready ones. Order does not matter. */
  add(
    op: string,
    inputs: readonly (Value | null)[],
    options: {
      readonly name?: string;
      readonly domain?: string;
      readonly attributes?: Attributes;
      readonly outputs?: readonly (string | Value)[];
    } = {},
  ): Node {
    const name = options.name ?? op;
    const outputs = (options.outputs ?? [name]).map((output) =>
      typeof output === "string" ? this.addValue(output) : output,
    );
    const { domain = "", attributes = {} } = options;
    const node = new Node(this, op, domain, name, attributes, outputs);
    node.setInputs(inputs);
    for (const subgraph of node.subgraphs) subgraph.owner = node;
    this.#nodes.add(node);
    return node;
  }

  /** Takes the node out and lets go of its inputs. Its outputs must have no uses left. */
  remove(node: Node): void {
    for (const body of node.subgraphs) body.dispose();
    node.setInputs([]);
    for (const output of node.outputs) output.producer = null;
    this.#nodes.delete(node);
  }

  /** Lets go of everything that nodes inside read from outside. */
  dispose(): void {
    for (const node of [...this.#nodes]) this.remove(node);
    while (this.#outputs.length > 0) this.#popOutput();
  }

  setOutput(index: number, value: Value): void {
    if (index < this.#outputs.length) this.#outputs[index].uses.delete(this.#uses[index]);
    const use = { user: this, index };
    this.#outputs[index] = value;
    this.#uses[index] = use;
    value.uses.add(use);
  }

  setOutputs(values: readonly Value[]): void {
    while (this.#outputs.length > 0) this.#popOutput();
    for (const [index, value] of values.entries()) this.setOutput(index, value);
  }

  #popOutput(): void {
    const value = this.#outputs.pop() as Value;
    value.uses.delete(this.#uses.pop() as Use);
  }

  /** Whether `by` can stand for `old` everywhere: an output's name may only move to a plain value. */
  replaceable(old: Value, by: Value): boolean {
    return !old.isOutput || (by.producer !== null && by.graph === old.graph && !by.isOutput);
  }

  /**
   * Every reader of `old` reads `by` instead. A name that the outside knows (a graph output) moves
   * along, so the model's interface stays. Ask `replaceable` first.
   */
  replace(old: Value, by: Value): void {
    if (old === by) return;
    if (!this.replaceable(old, by)) throw new Error(`${by.name} cannot take the name ${old.name}`);
    if (old.isOutput) [old.name, by.name] = [by.name, old.name];
    for (const { user, index } of [...old.uses]) {
      if (user instanceof Node) user.setInput(index, by);
      else user.setOutput(index, by);
    }
    by.dtype ??= old.dtype;
    by.shape ??= old.shape;
  }

  /** Nodes so that producers come before consumers, otherwise in insertion order. Throws on a cycle. */
  sorted(): Node[] {
    return topological(this);
  }

  /** This graph and all bodies nested in it, outermost first. */
  *walk(): Generator<Graph> {
    yield this;
    for (const node of this.#nodes) for (const body of node.subgraphs) yield* body.walk();
  }
}
