/**
 * @file Reads ONNX bytes into a Model: names become values, Constant nodes constants, and
 * functions are inlined.
 */
import { fromBinary } from "@bufbuild/protobuf";
import {
  type FunctionProto,
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  type TypeProto,
} from "onnx-buf";
import { errors, fail } from "../errors.ts";
import type { Attributes } from "../ir/attribute.ts";
import { dtypeOfCode } from "../ir/dtype.ts";
import { type Dim, Graph, type Node, type Value } from "../ir/graph.ts";
import { createModel, type Model } from "../ir/model.ts";
import { uniqueNames } from "../ir/names.ts";
import { constantOf, readAttributes } from "./attribute-proto.ts";
import { densify } from "./sparse.ts";
import { type OpenExternal, readTensor } from "./tensor-proto.ts";
import { OPSET, upgrade } from "./upgrade.ts";

/** How a model is read. */
export interface ReadOptions {
  /** The name of the model in errors; usually its path. */
  readonly name?: string;
  /** Opens external data. Without it, a model that has some is refused. */
  readonly external?: OpenExternal;
}

/**
 * Reads a model and converts it to tersor's operator set (upgrade.ts). Weights stay views of
 * `bytes`. Throws TersorError "not-a-model", "bad-tensor", "unsupported-opset", "missing-external"
 * or "external-outside".
 */
export function readModel(bytes: Uint8Array, options: ReadOptions = {}): Model {
  return readDeclared(bytes, options).model;
}

/** A model with what only its file says. */
export interface Declared {
  readonly model: Model;
  /** The operator set that the file declares; the model is converted to another. */
  readonly opset: number;
  /** Whether some node names inputs that are left out behind its last one. */
  readonly namesLeftOut: boolean;
}

/** The same, with what only the file says. */
export function readDeclared(bytes: Uint8Array, options: ReadOptions = {}): Declared {
  const where = options.name ?? "model";
  const proto = parse(bytes, where);
  const reader = createReader(proto, where, options.external ?? null);
  const model = createModel(new Graph(proto.graph?.name || "graph"), reader.opset);
  model.irVersion = Number(proto.irVersion);
  model.producer = [proto.producerName, proto.producerVersion].filter(Boolean).join(" ");
  for (const { key, value } of proto.metadataProps) model.metadata.set(key, value);
  reader.readGraph(model.graph, proto.graph as GraphProto, null);
  for (const [domain, version] of reader.domains) model.domains.set(domain, version);
  nameNodes(model.graph);
  try {
    for (const graph of model.graph.walk()) graph.sorted();
  } catch (cause) {
    throw fail(errors.notAModel(where, (cause as Error).message), cause);
  }
  upgrade(model, { where, versions: reader.versions });
  nameNodes(model.graph);
  const namesLeftOut = nodesIn(proto.graph as GraphProto).some(({ input }) => input.at(-1) === "");
  return { model, opset: reader.opset, namesLeftOut };
}

/** The nodes of a graph and of the graphs inside it. */
const nodesIn = (graph: GraphProto): NodeProto[] =>
  graph.node.flatMap((node) => [
    node,
    ...node.attribute.flatMap(({ g, graphs }) => [...(g ? [g] : []), ...graphs].flatMap(nodesIn)),
  ]);

const isStandard = (domain: string): boolean => domain === "" || domain === "ai.onnx";

/** The protobuf message, which must have a graph, an output and an operator set. */
function parse(bytes: Uint8Array, where: string): ModelProto {
  let proto: ModelProto;
  try {
    proto = fromBinary(ModelProtoSchema, bytes, { readUnknownFields: false });
  } catch (cause) {
    throw fail(errors.notAModel(where, (cause as Error).message), cause);
  }
  const missing = !proto.graph
    ? "it has no graph"
    : proto.graph.output.length === 0
      ? "its graph returns nothing"
      : proto.opsetImport.length === 0
        ? "it names no operator set"
        : null;
  if (missing) throw fail(errors.notAModel(where, missing));
  return proto;
}

/** The visible names: those of the graph, then those of the enclosing graphs. */
interface Scope {
  readonly graph: Graph;
  /** The value of each name; null for an input of a function that the call leaves out. */
  readonly values: Map<string, Value | null>;
  readonly outer: Scope | null;
  /** The attributes of the function call whose body this is. */
  readonly bound: Attributes;
}

/** Reads graphs, and collects the operator sets that they use. */
interface Reader {
  readonly opset: number;
  /**
   * Operator sets other than ai.onnx: those of the model and of inlined functions. Domains that
   * contain only functions are left out, because nothing of them remains.
   */
  readonly domains: ReadonlyMap<string, number>;
  /** The operator-set version of nodes from functions that import another one than the model. */
  readonly versions: Map<Node, number>;
  readGraph(graph: Graph, proto: GraphProto, outer: Scope | null): void;
}

function createReader(proto: ModelProto, where: string, external: OpenExternal | null): Reader {
  const tensors = { where, external };
  const versions = new Map<Node, number>();
  const functions = new Map(
    proto.functions.map((f) => [functionKey(f.domain, f.name, f.overload), f]),
  );
  const imports = importsOf(proto.opsetImport);
  const opset = imports.get("") ?? OPSET;
  const inlinedDomains = new Set(["", ...proto.functions.map(({ domain }) => domain)]);
  const domains = new Map([...imports].filter(([domain]) => !inlinedDomains.has(domain)));
  const reject = (why: string): Error => fail(errors.notAModel(where, why));
  const active: string[] = [];
  /** The operator sets that each function being inlined imports, innermost last. */
  const calls: Map<string, number>[] = [];
  let inlined = 0;
  let depth = 0;

  function readGraph(graph: Graph, proto: GraphProto, outer: Scope | null): void {
    enter();
    const scope: Scope = { graph, values: new Map(), outer, bound: outer?.bound ?? {} };
    const initialized = new Set([
      ...proto.initializer.map(({ name }) => name),
      ...proto.sparseInitializer.map(({ values }) => values?.name),
    ]);
    for (const input of proto.input) {
      // Before IR version 4 every initializer was also listed as an input.
      if (initialized.has(input.name)) continue;
      const value = graph.addInput(input.name, null, null);
      readType(value, input.type);
      define(scope, input.name, value);
    }
    for (const initializer of proto.initializer) {
      const value = graph.addConstant(initializer.name, readTensor(initializer, tensors));
      define(scope, initializer.name, value);
    }
    for (const sparse of proto.sparseInitializer) {
      const name = sparse.values?.name ?? "";
      define(scope, name, graph.addConstant(name, densify(sparse, tensors)));
    }
    readNodes(proto.node, scope);
    const outputs = proto.output.map((output) => {
      const who = `graph ${graph.name || "body"} returns`;
      const value = resolve(scope, output.name, who);
      if (!value) throw reject(`${who} "${output.name}", which the call leaves out`);
      readType(value, output.type);
      return value;
    });
    graph.setOutputs(outputs);
    for (const info of proto.valueInfo) {
      const value = scope.values.get(info.name);
      if (value) readType(value, info.type);
    }
    depth--;
  }

  /** Counts the nesting. Throws where it is too deep. */
  function enter(): void {
    if (++depth > maxDepth) throw reject(`its bodies and functions nest over ${maxDepth} deep`);
  }

  /** Defines all outputs first, because nodes may come in any order. */
  function readNodes(nodes: readonly NodeProto[], scope: Scope): void {
    for (const node of nodes) {
      for (const name of node.output) if (name) define(scope, name, scope.graph.addValue(name));
    }
    for (const node of nodes) readNode(node, scope);
  }

  /** Adds a node to the graph, inlines a function or makes a Constant node a constant. */
  function readNode(node: NodeProto, scope: Scope): void {
    // Functions that call functions can grow exponentially. A small file must not become a huge
    // graph.
    if (calls.length > 0 && ++inlined > maxInlined) {
      throw reject(`its functions unfold to over ${maxInlined} nodes`);
    }
    const inputs = node.input.map((name) =>
      name === "" ? null : resolve(scope, name, `node ${node.name || node.opType} reads`),
    );
    const outputs = node.output.map(
      (name) => (name && scope.values.get(name)) || scope.graph.addValue(""),
    );
    const domain = isStandard(node.domain) ? "" : node.domain;
    const called = functions.get(functionKey(node.domain, node.opType, node.overload));
    const attributes = readAttributes(node.attribute, scope.bound, tensors, (body) => {
      const graph = new Graph(body.name);
      readGraph(graph, body, scope);
      return graph;
    });
    if (called) {
      inline(called, inputs, outputs, attributes, scope);
      return;
    }
    const version = calls.at(-1)?.get(domain) ?? imports.get(domain);
    if (version === undefined) {
      throw reject(
        `node ${node.name || node.opType} is of domain "${domain}", which is not imported`,
      );
    }
    if (domain !== "" && !domains.has(domain)) domains.set(domain, version);
    const constant = domain === "" && node.opType === "Constant" && constantOf(attributes);
    if (constant && outputs.length > 0) {
      scope.graph.setConstant(outputs[0], constant);
      return;
    }
    const added = scope.graph.add(node.opType, inputs, {
      name: node.name,
      domain,
      attributes,
      outputs: outputs.length > 0 ? outputs : [node.name],
    });
    if (domain === "" && version !== opset) versions.set(added, version);
  }

  /**
   * Puts the nodes of a function's body in the place of a call. The body's outputs become
   * the call's outputs.
   */
  function inline(
    called: FunctionProto,
    inputs: readonly (Value | null)[],
    outputs: readonly Value[],
    attributes: Attributes,
    outer: Scope,
  ): void {
    const key = functionKey(called.domain, called.name, called.overload);
    if (active.includes(key)) throw reject(`function ${called.name} calls itself`);
    enter();
    active.push(key);
    calls.push(importsOf(called.opsetImport));
    const { graph } = outer;
    const defaults = readAttributes(called.attributeProto, {}, tensors, () => {
      throw reject(`function ${called.name} has a graph as a default`);
    });
    const bound = { ...defaults, ...attributes };
    const scope: Scope = { graph, values: new Map(), outer: null, bound };
    for (const [i, name] of called.input.entries()) scope.values.set(name, inputs[i] ?? null);
    for (const [i, name] of called.output.entries()) {
      if (outputs[i] && !scope.values.has(name)) scope.values.set(name, outputs[i]);
    }
    const produced = new Set(called.input);
    for (const node of called.node) {
      for (const name of node.output) {
        if (name === "") continue;
        if (produced.has(name)) throw reject(`"${name}" is produced twice`);
        produced.add(name);
        if (!scope.values.has(name)) scope.values.set(name, graph.addValue(name));
      }
    }
    for (const node of called.node) readNode(node, scope);
    for (const [i, name] of called.output.entries()) {
      const inner = produced.has(name) ? scope.values.get(name) : null;
      if (!inner) {
        throw reject(`function ${called.name} returns "${name}", which nothing produces`);
      }
      // A function may return one of its inputs unchanged, or the same value twice.
      if (outputs[i] && inner !== outputs[i]) {
        graph.add("Identity", [inner], { name: outputs[i].name, outputs: [outputs[i]] });
      }
    }
    calls.pop();
    active.pop();
    depth--;
  }

  /** Adds a name to the scope. Throws where it is taken. */
  function define(scope: Scope, name: string, value: Value): void {
    if (scope.values.has(name)) throw reject(`"${name}" is produced twice`);
    scope.values.set(name, value);
  }

  /**
   * The value of a name in this scope or an enclosing one; `who` is the subject of the error's
   * sentence.
   */
  function resolve(scope: Scope, name: string, who: string): Value | null {
    for (let s: Scope | null = scope; s; s = s.outer) {
      const value = s.values.get(name);
      if (value !== undefined) return value;
    }
    throw reject(`${who} "${name}", which nothing produces`);
  }

  return { opset, domains, versions, readGraph };
}

/** How deep bodies and functions may nest, so that recursion does not overflow the stack. */
const maxDepth = 200;

/** The most nodes that functions may be inlined to. */
const maxInlined = 200_000;

/** The version of each operator set, with "" for ai.onnx. */
function importsOf(imports: ModelProto["opsetImport"]): Map<string, number> {
  return new Map(
    imports.map(({ domain, version }) => [isStandard(domain) ? "" : domain, Number(version)]),
  );
}

const functionKey = (domain: string, name: string, overload: string): string =>
  `${isStandard(domain) ? "" : domain}\n${name}\n${overload}`;

/** Sets the type and the shape of a value from the file. */
function readType(value: Value, type: TypeProto | undefined): void {
  if (!type || value.tensor) return;
  if (type.value.case !== "tensorType") {
    if (type.value.case) value.opaqueType = type;
    return;
  }
  // A body may return a value of an enclosing graph and give less information about its type.
  value.dtype = dtypeOfCode(type.value.value.elemType) ?? value.dtype;
  const dims = type.value.value.shape?.dim;
  if (dims) value.shape = dims.map(({ value: dim }): Dim => readDim(dim));
}

/** A size, a symbolic name, or null where neither is given. */
function readDim(dim: { case: string | undefined; value?: bigint | string | undefined }): Dim {
  if (dim.case === "dimParam") return (dim.value as string) || null;
  const size = Number(dim.value ?? -1);
  return Number.isSafeInteger(size) && size >= 0 ? size : null;
}

/**
 * Gives every node a unique name that is not empty, because profiles and reports refer to nodes by
 * name. A node without one is called by its operator and its place among them: Conv_0, Conv_1.
 */
function nameNodes(root: Graph): void {
  const unique = uniqueNames();
  const counts = new Map<string, number>();
  for (const graph of root.walk()) {
    for (const node of graph.nodes) {
      const place = counts.get(node.op) ?? 0;
      counts.set(node.op, place + 1);
      node.name = unique(node.name || `${node.op}_${place}`);
    }
  }
}
