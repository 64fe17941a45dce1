/** @file Look-ups: rows of constant tables, chosen by the integers that a model reads. */
import type { Node, Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import type { Tensor } from "../ir/tensor.ts";
import { constantValue } from "./constant.ts";
import { isOp } from "./table.ts";
import { hasTrait } from "./traits.ts";

/** A node that gives the rows `ids` of a table [rows, ...], which the file stores as it is. */
export interface LookUp {
  readonly node: Node;
  readonly table: Value & { readonly tensor: Tensor };
  readonly ids: Value;
}

/** Every look-up by an integer input of the model, in execution order. */
export function lookUpsOf(model: Model): LookUp[] {
  return [...model.graph.walk()].flatMap((graph) =>
    graph.sorted().flatMap((node) => {
      const [table, ids] = node.inputs;
      if (!isOp(node, "Gather") || !table?.tensor || !ids || node.int("axis", 0) !== 0) return [];
      return fedBy(ids) ? [{ node, table: table as LookUp["table"], ids }] : [];
    }),
  );
}

/**
 * The input of the model that a value holds the numbers of, in another type or shape perhaps; null
 * where it is computed otherwise.
 */
export function fedBy(value: Value): Value | null {
  for (let at = value; ; ) {
    const node = at.producer;
    if (!node) return at.tensor || at.graph.owner ? null : at;
    if (!isOp(node, "Cast") && !hasTrait(node, "rearranges")) return null;
    at = node.inputs[0] as Value;
  }
}

/** A table of whole numbers in front of look-ups: row places[id] of their tables is that of an id. */
export interface IdMap {
  readonly node: Node;
  readonly ids: Value;
  readonly places: readonly number[];
  /** The nodes that read tables by its numbers; nothing else reads them. */
  readonly readers: readonly Node[];
}

/** Every such table behind an integer input of the model. */
export function idMapsOf(model: Model): IdMap[] {
  return lookUpsOf(model).flatMap(({ node, table, ids }) => {
    const { dtype, shape } = table.tensor;
    if (shape.length !== 1 || !/^u?int/.test(dtype)) return [];
    const readers: Node[] = [];
    // The list grows while it is walked.
    const pending = [node.output];
    for (const value of pending) {
      if (value.isOutput) return [];
      for (const reader of value.consumers) {
        if (isOp(reader, "Cast")) pending.push(reader.output);
        else if (isOp(reader, "Gather") && reader.inputs[1] === value) readers.push(reader);
        else return [];
      }
    }
    const places = Array.from(table.tensor.numbers(), Number);
    return readers.length > 0 ? [{ node, ids, places, readers }] : [];
  });
}

/** An output whose scores were put at other places along the last axis: y_i = padded_places[i]. */
export interface PlacedScores {
  readonly node: Node;
  /** The scores, without the constant one behind them that all others get. */
  readonly scores: Value;
  readonly places: readonly number[];
}

/** The outputs of the model with `count` scores at places of a table. */
export function placedScoresOf({ graph }: Model, count: number): PlacedScores[] {
  return [...graph.nodes].flatMap((node) => {
    const [padded, indices] = node.inputs;
    if (!isOp(node, "Gather") || node.int("axis", 0) !== -1 || !padded || !indices) return [];
    const pad = padded.producer;
    const places = isOp(pad, "Pad") ? constantValue(indices) : null;
    if (places?.shape.length !== 1 || places.size !== count || !pad?.inputs[0]) return [];
    return [{ node, scores: pad.inputs[0], places: Array.from(places.numbers(), Number) }];
  });
}

/** What reads the numbers of an integer input. */
export interface NumberReaders {
  /** The input, and the same numbers in other types and shapes. */
  readonly values: ReadonlySet<Value>;
  /** Nodes that tell which numbers equal a constant one, and that constant's input. */
  readonly comparisons: readonly { readonly node: Node; readonly index: number }[];
  /** All others but those that read the sizes alone. */
  readonly others: readonly Node[];
}

export function numberReadersOf(input: Value): NumberReaders {
  const values = new Set([input]);
  const comparisons: { node: Node; index: number }[] = [];
  const others: Node[] = [];
  // The set grows while it is walked.
  for (const value of values) {
    for (const node of value.consumers) {
      const beside = node.inputs[1 - node.inputs.indexOf(value)];
      if (isOp(node, "Shape") || isOp(node, "Size")) continue;
      if (isOp(node, "Cast") || (hasTrait(node, "rearranges") && node.inputs[0] === value)) {
        values.add(node.output);
      } else if (isOp(node, "Equal") && beside?.tensor) {
        comparisons.push({ node, index: node.inputs.indexOf(beside) });
      } else others.push(node);
    }
  }
  return { values, comparisons, others };
}
