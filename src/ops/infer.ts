/** @file Type inference: element types and shapes of all values, with sizes that flow as data. */
import type { Dim, Graph, Node, Value } from "../ir/graph.ts";
import { cloneModel, type Model } from "../ir/model.ts";
import { spend, within } from "./evaluate/work.ts";
import type { InferContext, InferRule, Shape } from "./infer/dims.ts";
import { dtypeOf } from "./infer/dtypes.ts";
import { type KnownMemo, knownOf } from "./infer/known.ts";
import { inferRuleOf } from "./infer/rules.ts";

export type { InferContext, InferRule } from "./infer/dims.ts";
export { inferRules } from "./infer/rules.ts";

/**
 * Sets the dtype and shape of every value, as far as they follow from those of inputs and
 * constants. What does not follow stays as it was declared, or null. Never throws for a
 * model that was read.
 */
export function inferModel(model: Model): void {
  let nodes = 0;
  for (const graph of model.graph.walk()) nodes += graph.nodes.size;
  within(MOST + MOST_PER_NODE * nodes, () => inferGraph(model.graph, new Map()));
}

/**
 * Steps that a model may take: loops in loops multiply, each inferred several times. What is left
 * when they are spent stays unknown.
 */
const MOST = 2 ** 24;
const MOST_PER_NODE = 2 ** 12;
/** Steps that a node counts as, besides elements that are computed. */
const PER_NODE = 32;

/** The same for one node, for instance a new one, whose inputs have their types. */
export function inferNode(node: Node): void {
  inferOne(node, new Map());
}

function inferGraph(graph: Graph, memo: KnownMemo): void {
  for (const node of graph.sorted()) inferOne(node, memo);
}

function inferOne(node: Node, memo: KnownMemo): void {
  const context: InferContext = {
    known: (index) => knownOf(node.inputs[index], memo),
    // A body is inferred again if the types of its inputs change, so it gets a new memo.
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

/**
 * The shapes by a rule. A rule may throw on inputs that do not fit; verifying the model reports
 * that, and here the shapes are just not known.
 */
function shapesOf(rule: InferRule, node: Node, context: InferContext): ReturnType<InferRule> {
  try {
    spend(PER_NODE);
    return rule(node, context);
  } catch {
    return [];
  }
}

/** The inferred shape, with gaps filled by the declared one. Numbers that are no size are gaps. */
function refine(inferred: Shape | null, { shape: declared }: Value): Shape | null {
  const shape = inferred?.map((dim) => (isSize(dim) ? dim : null));
  if (!shape || !declared || shape.length !== declared.length) return shape ?? declared;
  return shape.map((dim, i) => dim ?? declared[i]);
}

/** Whether a dim may be one: products and quotients of lies are fractions, NaN or beyond 2^53. */
const isSize = (dim: Dim | undefined): boolean =>
  typeof dim !== "number" || (Number.isSafeInteger(dim) && dim >= 0);

/** A size by symbol ("N") or by input axis ("x.0"), or a whole shape by input name. */
export type Dims = Readonly<Record<string, number | readonly number[]>>;

/**
 * A copy of the model with input sizes fixed, and inferred. Sizes that are still open become
 * `otherwise`, or stay open if it is null.
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
