/** @file Tables of a vocabulary: rows that are looked up by the same ids, cut together. */

import { dtypes } from "../ir/dtype.ts";
import { Graph, type Node, type Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import { biasReadBy } from "../ops/bias.ts";
import { type Builder, build } from "../ops/builder.ts";
import { take } from "../ops/coupling/remove.ts";
import { whyNotRight } from "../ops/linear.ts";
import { lookUpsOf } from "../ops/look-up.ts";
import { hasTrait } from "../ops/traits.ts";
import { type WeightUse, weightsOf } from "../ops/weights.ts";

/** Tables [rows, ...] that the same integers look up: an embedding, or its levels and scales. */
export interface TableGroup {
  readonly ids: Value;
  readonly rows: number;
  /** The look-ups. */
  readonly nodes: readonly Node[];
  readonly tables: readonly (Value & { readonly tensor: Tensor })[];
  /** Layers whose outputs are scores of the same tokens. */
  readonly heads: readonly WeightUse[];
  /** What else reads a table, by name, so that its rows have to stay; null if nothing does. */
  readonly outside: string | null;
  /** Whether some head shares a table. */
  readonly isTied: boolean;
}

/** Which rows stay. */
export interface Kept {
  /** Old ids in ascending order. */
  readonly ids: readonly number[];
  /** The old id whose row stands for those that went; null: a new last row, their mean. */
  readonly unknown: number | null;
}

/** The tables that integer inputs look up, grouped by these integers and their numbers of rows. */
export function tableGroups(model: Model): TableGroup[] {
  const found = new Map<
    Value,
    Map<number, { node: Node; table: TableGroup["tables"][number] }[]>
  >();
  for (const { node, table, ids } of lookUpsOf(model)) {
    const [rows] = table.tensor.shape;
    const byRows = found.get(ids) ?? new Map();
    byRows.set(rows, [...(byRows.get(rows) ?? []), { node, table }]);
    found.set(ids, byRows);
  }
  const linear = weightsOf(model).filter(({ role }) => role.kind === "linear");
  return [...found].flatMap(([ids, byRows]) =>
    Array.from(byRows, ([rows, lookUps]): TableGroup => {
      const nodes = lookUps.map(({ node }) => node);
      const tables = [...new Set(lookUps.map(({ table }) => table))];
      const heads = linear.filter((use) => isHead(use, rows, tables));
      const tied = heads.filter(({ value }) => isTied(value, tables));
      const known = new Set([...nodes, ...tied.map(({ node }) => node)]);
      for (const { value } of tied) if (value.producer) known.add(value.producer);
      const outside = outsideOf(tables, known);
      return { ids, rows, nodes, tables, heads, outside, isTied: tied.length > 0 };
    }),
  );
}

/** Whether the layer gives, as an output of the model, a score for each row of the tables. */
function isHead(use: WeightUse, rows: number, tables: readonly Value[]): boolean {
  const { node, value, role } = use;
  if (value.shape?.[role.outputAxis] !== rows || whyNotRight(use) !== null) return false;
  const scores = biasReadBy(node)?.node.output ?? node.output;
  const [next, ...others] = scores.consumers;
  const isLast = next && others.length === 0 && hasTrait(next, "probabilities");
  if (!scores.isOutput && !(isLast && next.output.isOutput)) return false;
  if (value.tensor) return value.uses.size === 1 || tables.includes(value);
  // A transposed table: what reads it sees the rows that stay.
  const from = value.producer?.ints("perm") ? value.producer.inputs[0] : null;
  return from !== null && from !== undefined && tables.includes(from);
}

/** The name of a node that reads one of the tables as well; "an output" if the model gives it. */
function outsideOf(tables: readonly Value[], known: ReadonlySet<Node>): string | null {
  for (const { user } of tables.flatMap(({ uses }) => [...uses])) {
    if (user instanceof Graph) return "an output of the model";
    if (!known.has(user)) return user.name;
  }
  return null;
}

/** Cuts the tables, and with `head` the layers of the scores; ids and scores keep their places. */
export function keepRows(group: TableGroup, kept: Kept, head: boolean): void {
  const { tables, nodes, ids, rows } = group;
  const places = new Map(kept.ids.map((id, place) => [id, place]));
  const rest = kept.unknown === null ? kept.ids.length : (places.get(kept.unknown) as number);
  if (head) for (const use of group.heads) cutHead(use, kept, rows, tables);
  for (const table of tables) {
    const cut = take(table.tensor, 0, kept.ids);
    table.graph.setConstant(
      table,
      kept.unknown === null ? withMean(cut, table.tensor, places) : cut,
    );
  }
  const map = Array.from({ length: rows }, (_, id) => places.get(id) ?? rest);
  const mapped = new Map<Graph, Value>();
  for (const node of nodes) {
    const at = mapped.get(node.graph) ?? lookUp(build(node.graph, `${node.name}/new`), map, ids);
    mapped.set(node.graph, at);
    node.setInput(1, at);
  }
}

/** map[ids], the map in as few bytes as hold its numbers. */
function lookUp(g: Builder, map: readonly number[], ids: Value): Value {
  return g.Cast(g.Gather(places(g, map), ids, { axis: 0 }), { to: dtypes.int32.code });
}

function places(g: Builder, map: readonly number[]): Value {
  const most = map.reduce((a, b) => Math.max(a, b), 0);
  const dtype = most < 2 ** 8 ? "uint8" : most < 2 ** 16 ? "uint16" : "int32";
  return g.constant(map, { dtype, name: "ids" });
}

/** The rows that stay, and as the last row the mean of all others. */
function withMean(cut: Tensor, whole: Tensor, places: ReadonlyMap<number, number>): Tensor {
  const size = whole.size / whole.shape[0];
  const mean = new Float64Array(size);
  const gone = whole.shape[0] - places.size;
  const values = whole.floats();
  for (let row = 0; row < whole.shape[0]; row++) {
    if (places.has(row)) continue;
    for (let i = 0; i < size; i++) mean[i] += values[row * size + i] / gone;
  }
  const grown = new Float32Array(cut.size + size);
  grown.set(cut.floats());
  grown.set(mean, cut.size);
  return tensor("float32", [places.size + 1, ...whole.shape.slice(1)], grown);
}

/** The score of a token that went: after a softmax its probability is 0. */
const GONE = -10_000;

/**
 * y [..., rows] = x W + b without the columns that go. Behind it a constant score is added and every
 * token gets the score at its new place, so that the model's output keeps its shape.
 */
function cutHead(
  { node, value, role }: WeightUse,
  kept: Kept,
  rows: number,
  tables: readonly Value[],
): void {
  const bias = biasReadBy(node);
  if (bias?.value.tensor && bias.value.shape?.at(-1) === rows) {
    const axis = bias.value.tensor.shape.length - 1;
    const cut = take(bias.value.tensor, axis, kept.ids);
    bias.node.setInput(bias.index, bias.value.graph.addConstant(bias.value.name, cut));
  }
  if (value.tensor && !tables.includes(value)) {
    value.graph.setConstant(value, take(value.tensor, role.outputAxis, kept.ids));
  }
  const old = bias?.node.output ?? node.output;
  const g = build(old.graph, node.name);
  // A tied table has the mean as its last row, whose score nothing asks for.
  const count = kept.ids.length + (kept.unknown === null && isTied(value, tables) ? 1 : 0);
  const at = new Map(kept.ids.map((id, place) => [id, place]));
  const map = Array.from({ length: rows }, (_, id) => at.get(id) ?? count);
  const padded = g.Pad(old, g.ints([0, 1], "pads"), g.constant(GONE), g.ints([-1], "axes"));
  const scores = g.Gather(padded, g.Cast(places(g, map), { to: dtypes.int32.code }), { axis: -1 });
  old.graph.replace(old, scores);
  (padded.producer as Node).setInput(0, old);
}

const isTied = (value: Value, tables: readonly Value[]): boolean =>
  !value.tensor || tables.includes(value);
