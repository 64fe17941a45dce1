/** @file ONNX bytes -> Model: names resolved to values, constants lifted, functions inlined. */
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
import { constantOf, readAttributes } from "./attribute-proto.ts";
import { densify } from "./sparse.ts";
import { type OpenExternal, readTensor } from "./tensor-proto.ts";
import { upgrade } from "./upgrade.ts";

export interface ReadOptions {
  /** What errors call the model; usually its path. */
  readonly name?: string;
  /** Opens external data; without it a model that needs some is refused. */
  readonly external?: OpenExternal;
}

/**
 * Reads a model and brings it to tersor's operator set. Weights stay views of `bytes`.
 * Throws TersorError "not-a-model", "bad-tensor", "unsupported-opset", "missing-external",
 * "external-outside".
 */
export function readModel(bytes: Uint8Array, options: ReadOptions = {}): Model {
  const where = options.name ?? "model";
  const proto = parse(bytes, where);
  const reader = createReader(proto, where, options.external ?? null);
  const model = createModel(new Graph(proto.graph?.name || "graph"), reader.opset);
  for (const { domain, version } of proto.opsetImport) {
    if (!isStandard(domain)) model.domains.set(domain, Number(version));
  }
  model.irVersion = Number(proto.irVersion);
  model.producer = [proto.producerName, proto.producerVersion].filter(Boolean).join(" ");
  for (const { key, value } of proto.metadataProps) model.metadata.set(key, value);
  reader.readGraph(model.graph, proto.graph as GraphProto, null);
  nameNodes(model.graph);
  try {
    for (const graph of model.graph.walk()) graph.sorted();
  } catch (cause) {
    throw fail(errors.notAModel(where, (cause as Error).message), cause);
  }
  upgrade(model, { where, versions: reader.versions });
  return model;
}

const isStandard = (domain: string): boolean => domain === "" || domain === "ai.onnx";

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

/** Names visible at one place: this graph's, then those of the graphs around it. */
interface Scope {
  readonly graph: Graph;
  readonly values: Map<string, Value>;
  readonly outer: Scope | null;
}

interface Reader {
  readonly opset: number;
  /** Operator-set version of nodes that came from functions with another one than the model's. */
  readonly versions: Map<Node, number>;
  readGraph(graph: Graph, proto: GraphProto, outer: Scope | null): void;
}

function createReader(proto: ModelProto, where: string, external: OpenExternal | null): Reader {
  const tensors = { where, external };
  const versions = new Map<Node, number>();
  const functions = new Map(
    proto.functions.map((f) => [functionKey(f.domain, f.name, f.overload), f]),
  );
  const imports = new Map(proto.opsetImport.map((o) => [o.domain, Number(o.version)]));
  const opset = imports.get("") ?? imports.get("ai.onnx") ?? 1;
  const reject = (why: string): Error => fail(errors.notAModel(where, why));
  const active: string[] = [];

  function readGraph(graph: Graph, proto: GraphProto, outer: Scope | null): void {
    const scope: Scope = { graph, values: new Map(), outer };
    const initialized = new Set(proto.initializer.map(({ name }) => name));
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
    readNodes(proto.node, scope, graph.name);
    const outputs = proto.output.map((output) => {
      const value = resolve(scope, output.name, `graph ${graph.name || "body"} returns`);
      readType(value, output.type);
      return value;
    });
    graph.setOutputs(outputs);
    for (const info of proto.valueInfo) {
      const value = scope.values.get(info.name);
      if (value) readType(value, info.type);
    }
  }

  /** Two passes, because nodes may come in any order. */
  function readNodes(nodes: readonly NodeProto[], scope: Scope, owner: string): void {
    for (const node of nodes) {
      for (const name of node.output) if (name) define(scope, name, scope.graph.addValue(name));
    }
    for (const node of nodes) readNode(node, scope, owner, {});
  }

  function readNode(node: NodeProto, scope: Scope, owner: string, bound: Attributes): void {
    const inputs = node.input.map((name) =>
      name === "" ? null : resolve(scope, name, `node ${node.name || node.opType} reads`),
    );
    const outputs = node.output.map(
      (name) => (name && scope.values.get(name)) || scope.graph.addValue(""),
    );
    const domain = isStandard(node.domain) ? "" : node.domain;
    const called = functions.get(functionKey(node.domain, node.opType, node.overload));
    const attributes = readAttributes(node.attribute, bound, tensors, (body) => {
      const graph = new Graph(body.name);
      readGraph(graph, body, scope);
      return graph;
    });
    if (called) {
      inline(called, inputs, outputs, attributes, scope);
      return;
    }
    if (domain !== "" && !imports.has(domain) && owner !== "function") {
      throw reject(
        `node ${node.name || node.opType} is of domain "${domain}", which is not imported`,
      );
    }
    const constant = domain === "" && node.opType === "Constant" && constantOf(attributes);
    if (constant) {
      scope.graph.setConstant(outputs[0], constant);
      return;
    }
    const added = scope.graph.add(node.opType, inputs, {
      name: node.name,
      domain,
      attributes,
      outputs: outputs.length > 0 ? outputs : [node.name],
    });
    const version = functionVersion();
    if (version !== undefined && version !== opset) versions.set(added, version);
  }

  const calls: FunctionProto[] = [];
  function functionVersion(): number | undefined {
    const imported = calls.at(-1)?.opsetImport.find(({ domain }) => isStandard(domain));
    return imported && Number(imported.version);
  }

  /** The body's nodes take the call's place; its outputs are the call's outputs. */
  function inline(
    called: FunctionProto,
    inputs: readonly (Value | null)[],
    outputs: readonly Value[],
    attributes: Attributes,
    outer: Scope,
  ): void {
    const key = functionKey(called.domain, called.name, called.overload);
    if (active.includes(key)) throw reject(`function ${called.name} calls itself`);
    active.push(key);
    calls.push(called);
    const { graph } = outer;
    const scope: Scope = { graph, values: new Map(), outer: null };
    const absent = new Set<string>();
    for (const [i, name] of called.input.entries()) {
      const value = inputs[i];
      if (value) scope.values.set(name, value);
      else absent.add(name);
    }
    const body = called.node.map((node) =>
      absent.size === 0
        ? node
        : { ...node, input: node.input.map((name) => (absent.has(name) ? "" : name)) },
    );
    for (const [i, name] of called.output.entries()) {
      if (outputs[i] && !scope.values.has(name)) scope.values.set(name, outputs[i]);
    }
    for (const node of body) {
      for (const name of node.output) {
        if (name && !scope.values.has(name)) scope.values.set(name, graph.addValue(name));
      }
    }
    const defaults = readAttributes(called.attributeProto, {}, tensors, () => {
      throw reject(`function ${called.name} has a graph as a default`);
    });
    const bound = { ...defaults, ...attributes };
    for (const node of body) readNode(node, scope, "function", bound);
    // A function may return one of its inputs unchanged.
    for (const [i, name] of called.output.entries()) {
      const inner = scope.values.get(name);
      if (outputs[i] && inner && inner !== outputs[i]) {
        graph.add("Identity", [inner], { name: outputs[i].name, outputs: [outputs[i]] });
      }
    }
    calls.pop();
    active.pop();
  }

  function define(scope: Scope, name: string, value: Value): void {
    if (scope.values.has(name)) throw reject(`"${name}" is produced twice`);
    scope.values.set(name, value);
  }

  function resolve(scope: Scope, name: string, who: string): Value {
    for (let s: Scope | null = scope; s; s = s.outer) {
      const value = s.values.get(name);
      if (value) return value;
    }
    throw reject(`${who} "${name}", which nothing produces`);
  }

  return { opset, versions, readGraph };
}

const functionKey = (domain: string, name: string, overload: string): string =>
  `${isStandard(domain) ? "" : domain}\n${name}\n${overload}`;

function readType(value: Value, type: TypeProto | undefined): void {
  if (!type || value.tensor) return;
  if (type.value.case !== "tensorType") {
    if (type.value.case) value.opaqueType = type;
    return;
  }
  value.dtype = dtypeOfCode(type.value.value.elemType) ?? null;
  const dims = type.value.value.shape?.dim;
  value.shape = dims ? dims.map(({ value: dim }): Dim => readDim(dim)) : null;
}

function readDim(dim: { case: string | undefined; value?: bigint | string | undefined }): Dim {
  if (dim.case === "dimParam") return (dim.value as string) || null;
  const size = Number(dim.value ?? -1);
  return size >= 0 ? size : null;
}

/** Unique, non-empty node names: profiles and reports are keyed by them. */
function nameNodes(root: Graph): void {
  const taken = new Set<string>();
  for (const graph of root.walk()) {
    for (const node of graph.nodes) {
      const base = node.name || node.outputs[0]?.name || node.op;
      let name = base;
      for (let i = 1; taken.has(name); i++) name = `${base}_${i}`;
      taken.add(name);
      node.name = name;
    }
  }
}
