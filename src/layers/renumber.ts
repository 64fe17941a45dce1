/** @file A pruned vocabulary by its new numbers: the model without the table of old ones. */
import type { Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { type Tensor, tensor } from "../ir/tensor.ts";
import { take } from "../ops/coupling/remove.ts";
import { inferModel } from "../ops/infer.ts";
import { fedBy, idMapsOf, numberReadersOf, placedScoresOf } from "../ops/look-up.ts";
import { rewrite } from "../rewrite/index.ts";

/** A model whose input holds the new numbers. */
export interface Renumbered {
  /** Name of the input. */
  readonly input: string;
  /** The old number of each new one, ascending. */
  readonly kept: readonly number[];
  /** Names of outputs whose last axis is now that of the new numbers. */
  readonly scores: readonly string[];
}

/**
 * Takes the table of old numbers out of a model whose vocabulary was pruned (layers/vocabulary.ts), in
 * place: what it gave for an old number that stays, it gives for the new one; a row that stands for
 * tokens that went and is none's own is left out. Scores of tokens that went are left out as well. `unknown`
 * is the old number of the unknown token, if there is one. Gives the reason where it is impossible.
 */
export function renumber(
  model: Model,
  { size, unknown }: { readonly size: number; readonly unknown: number | null },
): Renumbered | string {
  const maps = idMapsOf(model).filter(({ places }) => places.length >= size);
  if (maps.length === 0) return "has no table of old numbers in front of an embedding";
  const [{ places, ids }] = maps;
  const input = fedBy(ids) as Value;
  for (const map of maps) {
    const isSame =
      map.places.length === places.length && map.places.every((p, i) => p === places[i]);
    if (!isSame) return "has several tables of old numbers, which are not alike";
  }
  const { values, comparisons, others } = numberReadersOf(input);
  const other = others.find((node) => maps.every((map) => map.node !== node))?.name;
  if (other || [...values].some(({ isOutput }) => isOutput)) {
    return `gives the numbers of tokens to ${other ?? "an output"} as well, which knows the old ones`;
  }
  const kept = keptOf(places, unknown);
  if (typeof kept === "string") return kept;
  const scored = placedScoresOf(model, places.length).filter((head) =>
    kept.every((id, place) => head.places[id] === place),
  );
  const rows = Array.from(kept, (_, place) => place);
  for (const { ids: own, readers } of maps) {
    for (const reader of readers) {
      reader.setInput(1, own);
      const [table] = reader.inputs;
      // The last row may be the mean of the rows that went. Scores of a shared table lose it with it.
      const isOwn = table?.consumers.every((node) => readers.includes(node)) || scored.length > 0;
      if (table?.tensor && isOwn && table.tensor.shape[0] > rows.length) {
        table.graph.setConstant(table, take(table.tensor, 0, rows));
      }
    }
  }
  for (const { node, index } of comparisons) {
    const { name, tensor: old } = node.inputs[index] as Value & { readonly tensor: Tensor };
    // A number that no token has any more equals none.
    const places = Array.from(old.numbers(), (id) => kept.indexOf(Number(id)));
    node.setInput(index, node.graph.addConstant(name, tensor(old.dtype, old.shape, places)));
  }
  for (const { node, scores } of scored) node.graph.replace(node.output, scores);
  rewrite(model, { rules: ["drop-dead"] });
  inferModel(model);
  return { input: input.name, kept, scores: scored.map(({ scores }) => scores.name) };
}

/** The old number of each place, or why that is not known. */
function keptOf(places: readonly number[], unknown: number | null): number[] | string {
  const owners = new Map<number, number[]>();
  for (const [id, place] of places.entries()) owners.set(place, [...(owners.get(place) ?? []), id]);
  const kept: number[] = [];
  for (let place = 0; place < owners.size; place++) {
    const own = owners.get(place) ?? [];
    const [first, ...others] = own;
    const last = kept.at(-1) ?? -1;
    if (others.length === 0) kept.push(first);
    else if (unknown !== null && unknown > last && own.includes(unknown)) kept.push(unknown);
    else if (place < owners.size - 1) {
      return `reads row ${place} for several tokens, and none of them is known as the unknown one (unknown)`;
    }
  }
  return kept.every((id, i) => id !== undefined && (i === 0 || id > kept[i - 1]))
    ? kept
    : "has a table of numbers that is not one of a pruned vocabulary";
}
