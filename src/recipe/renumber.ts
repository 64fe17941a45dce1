/** @file Renumber: a model of a pruned vocabulary by its new numbers, and the tokenizer that gives them. */
import { errors, fail } from "../errors.ts";
import { renumberTokenizer } from "../evidence/renumber-tokenizer.ts";
import { readVocabulary } from "../evidence/vocabulary.ts";
import { cloneModel, type Model } from "../ir/model.ts";
import { type Renumbered, renumber } from "../layers/renumber.ts";
import { inferModel } from "../ops/infer.ts";
import type { Loaded } from "./load.ts";

export interface RenumberOptions {
  /** Path of the tokenizer that the vocabulary was pruned with, for messages. */
  readonly where: string;
  /** The unknown token's old number; undefined: what the tokenizer says. */
  readonly unknown?: number | undefined;
}

export interface RenumberedModel extends Renumbered {
  readonly model: Model;
  /** The new tokenizer, as JSON. */
  readonly tokenizer: string;
  /** Tokens of the tokenizer before. */
  readonly before: number;
  /** Special tokens whose number changed: [old, new]. */
  readonly moved: readonly (readonly [number, number])[];
}

/**
 * Takes the table of old numbers out of a model whose vocabulary was pruned, so that its input holds
 * the numbers of a smaller tokenizer, which is given as well. Outputs for tokens that stay are the same.
 * `tokenizer` are the bytes of tokenizer.json or of a list of words. Throws TersorError "bad-data"
 * for a tokenizer that does not fit, and "bad-usage" for a model without such a table.
 */
export async function renumberModel(
  { name, model }: Pick<Loaded, "name" | "model">,
  tokenizer: Uint8Array,
  { where, unknown }: RenumberOptions,
): Promise<RenumberedModel> {
  const vocabulary = await readVocabulary(tokenizer, where);
  const own = cloneModel(model);
  inferModel(own);
  const { size } = vocabulary;
  const found = renumber(own, { size, unknown: unknown ?? vocabulary.unknown });
  if (typeof found === "string") {
    throw fail(errors.badUsage(name, found, "Give a model whose vocabulary was pruned"));
  }
  const unk = vocabulary.unknown;
  if (unk !== null && !found.kept.includes(unk)) {
    const why = `has the unknown token ${unk}, for which the model has no row of its own`;
    throw fail(errors.badData(where, why, "Prune the vocabulary with this tokenizer"));
  }
  const json: unknown = JSON.parse(new TextDecoder().decode(tokenizer));
  const smaller = renumberTokenizer(json, found.kept, where);
  return {
    ...found,
    model: own,
    tokenizer: `${JSON.stringify(smaller, null, 2)}\n`,
    before: size,
    moved: vocabulary.special.flatMap((id) => {
      const place = found.kept.indexOf(id);
      return place < 0 || place === id ? [] : [[id, place] as const];
    }),
  };
}
