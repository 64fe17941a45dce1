/** @file Types of all values: element types and shapes, through bodies, with the sizes that flow as data. */
import type { Dim, Graph, Node, Value } from "../ir/graph.ts";
import { cloneModel, type Model } from "../ir/model.ts";
import type { InferContext, InferRule, Shape } from "./infer/dims.ts";
import { dtypeOf } from "./infer/dtypes.ts";
import { type KnownMemo, knownOf } from "./infer/known.ts";
import { inferRuleOf } from "./infer/rules.ts";

export type { InferContext, InferRule } from "./infer/dims.ts";
export { inferRules } from "./infer/rules.ts";

/**
 * Gives every value its dtype and shape, as far as they follow from the inputs' and constants'.
 * What does not follow stays as it was declared, or null. Never throws on a model that was read.
 */
export function inferModel(model: Model): void {
  inferGraph(model.graph, new Map());
}

/** The same for one node, e.g. just added, whose inputs have their types. */
export function inferNode(node: Node): void {
  inferOne(node, new Map());
}

function inferGraph(graph: Graph, memo: KnownMemo): void {
  for (const node of graph.sorted()) inferOne(node, memo);
}

function inferOne(node: Node, memo: KnownMemo): void {
  const context: InferContext = {
    known: (index) => knownOf(node.inputs[index], memo),
    // A body may be inferred again with other types of its inputs.
    infer: (body) => inferGraph(body, new Map()),
  };
  const rule = inferRuleOf(node);
  if (!rule && node.domain !== "") return;
  const shapes = rule ? shapesOf(rule, node, context) : [];
  for (const [i, output] of node.outputs.entries()) {
    if (output.opaqueType) continue;
    output.dtype = dtypeOf(node, i) ?? output.dtype;
    output.shape = refine(shapes[i] ?? null, output);
  }
}

/** Where inputs do not fit a rule stumbles: verifying says so, here the shapes are not known. */
function shapesOf(rule: InferRule, node: Node, context: InferContext): ReturnType<InferRule> {
  try {
    return rule(node, context);
  } catch {
    return [];
  }
}

/** What was declared fills the gaps. */
function refine(shape: Shape | null, { shape: declared }: Value): Shape | null {
  if (!shape || !declared || shape.length !== declared.length) return shape ?? declared;
  return shape.map((dim, i) => dim ?? declared[i]);
}

/** A size by symbol ("N") or by input axis ("x.0"), or a whole shape by input name. */
export type Dims = Readonly<Record<string, number | readonly number[]>>;

/**
 * A copy with input sizes fixed, and inferred. `otherwise` stands for input sizes that are still
 * open then; without it they stay open.
 */
export function bindDims(model: Model, dims: Dims, otherwise: number | null = null): Model {
  const copy = cloneModel(model);
  const bound = new Map<string, number>();
  for (const [name, size] of Object.entries(dims)) {
    if (typeof size === "number") bound.set(name, size);
  }
  for (const input of copy.graph.inputs) {
    const given = Object.hasOwn(dims, input.name) ? dims[input.name] : null;
    const shape = typeof given === "number" ? null : given;
    const open = input.shape ?? shape?.map(() => null) ?? null;
    input.shape =
      open?.map((dim, i) => {
        const size =
          shape?.[i] ??
          bound.get(`${input.name}.${i}`) ??
          (typeof dim === "string" ? bound.get(dim) : dim) ??
          otherwise;
        if (typeof dim === "string" && size !== null) bound.set(dim, Number(size));
        return size ?? dim;
      }) ?? null;
  }
  const fix = (dim: Dim): Dim => (typeof dim === "string" ? (bound.get(dim) ?? dim) : dim);
  for (const graph of copy.graph.walk()) {
    for (const node of graph.nodes) {
      for (const output of node.outputs) output.shape = output.shape?.map(fix) ?? null;
    }
  }
  inferModel(copy);
  return copy;
}
