/** @file Looks rows of an embedding up while they are small: only these rows become floats. */
import { dtypes } from "../ir/dtype.ts";
import { Graph, type Node, type Value } from "../ir/graph.ts";
import { type Builder, build } from "../ops/builder.ts";
import { type WeightUse, weightRole } from "../ops/weights.ts";
import type { Numbers } from "./element.ts";
import { elementsOf } from "./elements.ts";
import { expand } from "./expand.ts";
import type { Part, Shape } from "./form.ts";
import type { Composed, Leaf, Weight, Whole } from "./weight.ts";

/**
 * A table W [rows, features] = f(theta) is stored as theta, and a look-up gives f(theta[ids]): row i
 * of W depends on row i of those parts that are laid out like W, and on all of the others (a
 * codebook). So memory stays small at run time too, while f(theta) behind a look-up would be folded
 * into floats when the engine loads the model. Other readers of the table (scores of a language
 * model are often computed from it) get W as the same parts give it, so that it is stored once.
 */
export function storeRows({ value, node }: Pick<WeightUse, "value" | "node">, table: Composed) {
  const { graph } = value;
  const read = partReader(build(graph, value.name || node.name), table, table);
  for (const reader of rowReaders(value)) {
    const rows = read(build(reader.graph, reader.name), reader.inputs[1]);
    if (!reader.output.isOutput) rows.name = reader.output.name;
    reader.graph.replace(reader.output, rows);
    reader.graph.remove(reader);
  }
  if (value.uses.size > 0) graph.replace(value, read(build(graph, value.name || node.name), null));
  if (value.tensor) graph.removeConstant(value);
}

/**
 * Whether each row of the weight depends on the same row of its parts: scales may run along rows or
 * blocks of rows, but not along blocks of the vocabulary.
 */
export function hasRows(weight: Weight): boolean {
  if (weight.form === null) return true;
  const { shape, theta } = weight as Composed;
  const rank = rankOf(weight as Composed);
  return Object.values(theta).every((part) => {
    if (part.shape.length !== rank) return part.form === null;
    return part.shape[0] === 1 || (part.shape[0] === shape[0] && hasRows(part));
  });
}

/** The axes of the parts that are laid out like the weight, with blocks split off. */
const rankOf = (weight: Composed): number => (elementsOf(weight) ?? weight).shape.length;

/** Why rows of the table cannot be looked up before they are computed; null if they can. */
export function whyNotRows({ value, role }: Pick<WeightUse, "value" | "role">): string | null {
  if (role.inputAxis !== 0) return "looks up columns of its table, which are not stored together";
  if (value.isOutput) return "its table is an output of the model";
  const isOpen = rowReaders(value).some(({ inputs: [, ids] }) => !ids?.shape);
  return isOpen ? "the rank of its indices is not known" : null;
}

/** The nodes that look rows of `value` [rows, features] up. */
export function rowReaders(value: Value): Node[] {
  return [...value.uses].flatMap(({ user, index }) => {
    const role = user instanceof Graph ? null : weightRole(user, index);
    return role?.kind === "embedding" && role.inputAxis === 0 ? [user as Node] : [];
  });
}

/** Adds the nodes that compute a part: its rows at `ids`, or all of it (null). */
type Read = (g: Builder, ids: Value | null | undefined) => Value;

/** Stores a part, and gives the function that reads it. */
function partReader(g: Builder, table: Composed, weight: Weight, part?: Part, name?: string): Read {
  const [rows] = table.shape;
  if (weight.form === null) {
    return isByRow(weight.shape, table, rows)
      ? leafReader(g, weight as Leaf, part, name)
      : wholeReader(g, weight, part, name);
  }
  const { form, shape, theta } = weight as Composed;
  const parts = Object.entries(form.theta).map(
    ([key, own]) => [key, own, partReader(g, weight as Composed, theta[key], own, key)] as const,
  );
  return (at, ids) => {
    const values: Record<string, Value> = {};
    for (const [key, own, read] of parts) {
      const value = read(at, ids);
      const dims = theta[key].shape;
      value.dtype = own.dtype;
      value.shape = isByRow(dims, weight as Composed, rows) ? rowsOf(dims, ids) : dims;
      values[key] = value;
    }
    return form.build(at, values, rowsOf(shape, ids));
  };
}

/** Whether a part of this shape has a row for each row of the weight. */
const isByRow = (part: Shape, weight: Composed, rows: number): boolean =>
  part.length === rankOf(weight) && part[0] === rows;

/** The shape with the axes of `ids` in place of the rows: 0 stands for a size that stays. */
const rowsOf = (shape: Shape, ids: Value | null | undefined): Shape =>
  ids ? [...(ids.shape ?? []).map(() => 0), ...shape.slice(1)] : shape;

/** A part that every row needs as a whole. */
function wholeReader(g: Builder, weight: Weight, part?: Part, name?: string): Read {
  const value = expand(g, weight, part, name);
  return () => value;
}

/** Numbers of rows, stored in whole bytes or several in a byte. */
function leafReader(g: Builder, leaf: Leaf, part?: Part, name = "levels"): Read {
  const { shape, values, coding } = leaf;
  const to = { to: dtypes[part?.dtype ?? "float32"].code };
  const widen = (at: Builder, x: Value, stored: string): Value =>
    stored === (part?.dtype ?? "float32") ? x : at.Cast(x, to);
  const gather = (at: Builder, stored: Value, ids: Value | null | undefined): Value =>
    ids ? at.Gather(stored, ids, { axis: 0 }) : stored;
  if (typeof coding === "string") {
    // A number per row: without the last axis no method takes these scales for an embedding.
    const isVector = shape.length === 2 && shape[1] === 1;
    const dims = isVector ? shape.slice(0, 1) : shape;
    const stored = g.constant(values, { dtype: coding, shape: dims, name });
    return (at, ids) => {
      const rows = widen(at, gather(at, stored, ids), coding);
      return isVector ? at.Unsqueeze(rows, at.ints([-1], "axes")) : rows;
    };
  }
  const width = widthOf(coding, shape.at(-1) ?? 1);
  if (width >= 8) {
    const dtype = `${coding.signed ? "" : "u"}int${width as 8 | 16}` as const;
    const stored = g.constant(values, { dtype, shape, name });
    return (at, ids) => widen(at, gather(at, stored, ids), dtype);
  }
  const offset = coding.signed ? 2 ** (width - 1) : 0;
  const stored = g.constant(packRows(values, shape.at(-1) ?? 1, width, offset), {
    ...{ dtype: "uint8", shape: [...shape.slice(0, -1), ((shape.at(-1) ?? 1) * width) / 8], name },
  });
  return (at, ids) => {
    const codes = at.Cast(unpackRows(at, gather(at, stored, ids), width), to);
    const { dtype } = part ?? { dtype: "float32" as const };
    return offset === 0 ? codes : at.Sub(codes, at.constant(offset, { dtype, name: "offset" }));
  };
}

/** Bits that a level takes: 2 or 4 if whole bytes hold the levels of a row, otherwise 8 or 16. */
function widthOf({ bits, signed }: Whole, length: number): number {
  // One signed bit means -1 or +1, which two bits hold as they are.
  const least = bits === 1 && signed ? 2 : bits;
  return [2, 4, 8, 16].find((width) => width >= least && (length * width) % 8 === 0) ?? 16;
}

/**
 * Levels of `width` bits in bytes, lowest bits first. With m bytes for `length` levels, byte j holds
 * levels j, j + m, j + 2 m ..., so that each shift gives a run of neighbours.
 */
function packRows(levels: Numbers, length: number, width: number, offset: number): Uint8Array {
  const m = (length * width) / 8;
  const bytes = new Uint8Array((levels.length * width) / 8);
  for (let i = 0; i < levels.length; i++) {
    const at = i % length;
    const byte = ((i - at) / length) * m + (at % m);
    bytes[byte] |= (levels[i] + offset) << (Math.floor(at / m) * width);
  }
  return bytes;
}

/** [..., m] bytes -> [..., m 8 / width] levels, of which the last shift needs no mask. */
function unpackRows(g: Builder, bytes: Value, width: number): Value {
  const uint8 = (x: number, name: string): Value => g.constant(x, { dtype: "uint8", name });
  const mask = uint8(2 ** width - 1, "mask");
  const runs: Value[] = [];
  for (let shift = 0; shift < 8; shift += width) {
    const moved =
      shift === 0 ? bytes : g.BitShift(bytes, uint8(shift, "shift"), { direction: "RIGHT" });
    runs.push(shift + width < 8 ? g.BitwiseAnd(moved, mask) : moved);
  }
  return g.Concat(...runs, { axis: -1 });
}
