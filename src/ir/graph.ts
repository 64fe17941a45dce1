/**
 * @file Graph, Node and Value: a model as values with their producers and uses. Graphs are edited
 * only through these methods, which keep producers and uses consistent.
 */
import type { Attribute, Attributes } from "./attribute.ts";
import type { DType } from "./dtype.ts";
import { topological } from "./sort.ts";
import type { Tensor } from "./tensor.ts";

/** A size, a symbolic name ("N"), or null where nothing is known. */
export type Dim = number | string | null;

/**
 * One place where a value is read: input number `index` of a node, or output number
 * `index` of a graph.
 */
export interface Use {
  readonly user: Node | Graph;
  readonly index: number;
}

/**
 * An edge of the graph. It has a `tensor` if it is a constant (an initializer in ONNX), a
 * `producer` if a node computes it, and neither if it is a graph input.
 */
export class Value {
  /** The wanted name. Writing makes it unique; graph inputs and outputs keep theirs. */
  name: string;
  dtype: DType | null = null;
  shape: readonly Dim[] | null = null;
  /** The protobuf type of a sequence, map or optional, which is kept but never interpreted. */
  opaqueType: unknown = null;
  tensor: Tensor | null = null;
  producer: Node | null = null;
  /** Every place that reads this value. */
  readonly uses = new Set<Use>();
  /** The graph whose scope this value belongs to. */
  readonly graph: Graph;

  constructor(graph: Graph, name: string) {
    this.graph = graph;
    this.name = name;
  }

  /** The nodes that read this value, each once, including nodes in bodies of If and Loop. */
  get consumers(): Node[] {
    const nodes = new Set<Node>();
    for (const { user } of this.uses) if (user instanceof Node) nodes.add(user);
    return [...nodes];
  }

  /** Whether some graph returns this value. */
  get isOutput(): boolean {
    for (const { user } of this.uses) if (user instanceof Graph) return true;
    return false;
  }
}

/** A node: one call of an operator. */
export class Node {
  name: string;
  /** The operator, in ONNX's spelling. */
  readonly op: string;
  /** The operator set of the operator; "" for ai.onnx. */
  readonly domain: string;
  attributes: Attributes;
  readonly outputs: readonly Value[];
  readonly graph: Graph;
  readonly #inputs: (Value | null)[] = [];
  readonly #uses: (Use | null)[] = [];

  /** Only Graph.add calls this, so that every node is in a graph. */
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
    for (const [key, attribute] of Object.entries(attributes)) checkInts(key, attribute);
    this.attributes = attributes;
    this.outputs = outputs;
    for (const output of outputs) output.producer = this;
  }

  /** The inputs; null for an optional input that is left out. */
  get inputs(): readonly (Value | null)[] {
    return this.#inputs;
  }

  /** The first output. */
  get output(): Value {
    return this.outputs[0];
  }

  /** Connects input `index`; inputs before it that do not exist yet are left out. */
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

  /** Replaces all inputs. Nulls at the end are dropped. */
  setInputs(values: readonly (Value | null)[]): void {
    for (let i = 0; i < this.#inputs.length; i++) this.setInput(i, null);
    let length = values.length;
    while (length > 0 && !values[length - 1]) length--;
    this.#inputs.length = 0;
    this.#uses.length = 0;
    for (let i = 0; i < length; i++) this.setInput(i, values[i]);
  }

  /**
   * Sets an attribute, or removes it if `attribute` is null. Throws RangeError for ints that are no
   * integers.
   */
  set(name: string, attribute: Attribute | null): void {
    if (attribute) checkInts(name, attribute);
    const { [name]: _, ...rest } = this.attributes;
    this.attributes = attribute ? { ...rest, [name]: attribute } : rest;
  }

  /**
   * An attribute's value, or `fallback` if the node has no attribute of that name and type. The
   * same holds for `float`, `ints` and `text`.
   */
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

  /** The bodies of If, Loop and Scan. */
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

/** Throws RangeError for ints that are no integers: sizes computed from a file that lies. */
function checkInts(name: string, { type, value }: Attribute): void {
  if (type === "int" ? Number.isInteger(value) : type !== "ints" || value.every(Number.isInteger)) {
    return;
  }
  throw new RangeError(`the attribute ${name} is ${value}`);
}

/** A graph: a model's main graph or the body of a node. It owns nodes and values. */
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

  /** The nodes in insertion order; `sorted` gives an order of execution. */
  get nodes(): ReadonlySet<Node> {
    return this.#nodes;
  }

  /** The constants (initializers in ONNX). */
  get constants(): ReadonlySet<Value> {
    return this.#constants;
  }

  get outputs(): readonly Value[] {
    return this.#outputs;
  }

  /** Adds an input, whose type and shape are null where they are not known. */
  addInput(name: string, dtype: DType | null, shape: readonly Dim[] | null): Value {
    const value = this.addValue(name);
    value.dtype = dtype;
    value.shape = shape;
    this.inputs.push(value);
    return value;
  }

  /** Makes a value without a producer, for readers and rewrites that connect it later. */
  addValue(name: string): Value {
    return new Value(this, name);
  }

  addConstant(name: string, tensor: Tensor): Value {
    const value = this.addValue(name);
    this.setConstant(value, tensor);
    return value;
  }

  /** Makes a value without a producer a constant, or gives a constant another tensor. */
  setConstant(value: Value, tensor: Tensor): void {
    value.tensor = tensor;
    value.dtype = tensor.dtype;
    value.shape = tensor.shape;
    this.#constants.add(value);
  }

  /** Makes a constant a value without a tensor again. */
  removeConstant(value: Value): void {
    value.tensor = null;
    this.#constants.delete(value);
  }

  /**
   * Adds a node. `outputs` are existing values without a producer, or names of new ones; by default
   * one new value with the node's name. Nodes may be added in any order.
   */
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

  /** Removes a node and its uses of other values. Its outputs must have no uses left. */
  remove(node: Node): void {
    for (const body of node.subgraphs) body.dispose();
    node.setInputs([]);
    for (const output of node.outputs) output.producer = null;
    this.#nodes.delete(node);
  }

  /** Removes all nodes and outputs, so that no values of enclosing graphs are used any more. */
  dispose(): void {
    for (const node of [...this.#nodes]) this.remove(node);
    while (this.#outputs.length > 0) this.#popOutput();
  }

  /** Makes `value` output number `index`. */
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

  /**
   * Whether `by` can take the place of `old` everywhere. If `old` is an output, its name moves to
   * `by`, which must then be a node's output in the same graph that is not an output of it yet.
   */
  replaceable(old: Value, by: Value): boolean {
    return !old.isOutput || (by.producer !== null && by.graph === old.graph && !by.isOutput);
  }

  /**
   * Makes every reader of `old` read `by`. The name of a graph output moves along, so that the
   * model's interface does not change. Throws where `replaceable` is false.
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

  /**
   * The nodes with producers before consumers, otherwise in insertion order. Throws
   * RangeError on a cycle.
   */
  sorted(): Node[] {
    return topological(this);
  }

  /** This graph and all bodies nested in it, outermost first. */
  *walk(): Generator<Graph> {
    yield this;
    for (const node of this.#nodes) for (const body of node.subgraphs) yield* body.walk();
  }
}
