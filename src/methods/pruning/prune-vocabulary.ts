/** @file Removes rows of embedding tables whose tokens a text does not have. */
import { z } from "zod";
import type { Context } from "../../context.ts";
import { errors, fail } from "../../errors.ts";
import { countRows } from "../../evidence/row-counts.ts";
import { readVocabulary, type Vocabulary } from "../../evidence/vocabulary.ts";
import type { Model } from "../../ir/model.ts";
import { type Kept, keepRows, type TableGroup, tableGroups } from "../../layers/vocabulary.ts";
import { inferModel } from "../../ops/infer.ts";
import { weightsOf } from "../../ops/weights.ts";
import { select, siteOptions } from "../../weights/select.ts";
import { defineMethod } from "../method.ts";

const options = z.object({
  tokenizer: z.string().default("").meta({
    description:
      "File: tokenizer.json of Hugging Face, or a JSON list of words by id. It names special tokens and the unknown one.",
  }),
  corpus: z.string().default("").meta({
    description:
      "File of texts, one a line, for the tokenizer; else calibration records are counted.",
  }),
  frequency: z
    .int()
    .min(1)
    .default(1)
    .meta({ description: "Tokens stay that occur so often.", search: [1, 2, 4] }),
  keep: z
    .int()
    .min(0)
    .default(0)
    .meta({ description: "So many tokens stay at most, the most frequent ones; 0: no limit." }),
  unknown: z.int().min(-1).default(-1).meta({
    description:
      "Id whose row stands for tokens that went; -1: the tokenizer's, or the mean of their rows.",
  }),
  ids: z.enum(["inside", "outside"]).default("inside").meta({
    description:
      "outside: also keep the tokens that a smaller tokenizer needs (the parts of merges); tersor renumber then takes the table of old numbers out of the model and writes that tokenizer. inside: the model keeps the table.",
  }),
  head: z.boolean().default(false).meta({
    description:
      "Also remove what computes the scores of these tokens; the scores keep their places, at -10000.",
  }),
  ...siteOptions,
});

type Options = z.output<typeof options>;

/**
 * E'[j] = E[k_j] for the kept ids k, and a look-up reads E'[map[id]] with map[k_j] = j, and the place
 * of the unknown token for all others. So the model takes the same ids as before. `tersor renumber`
 * (recipe/renumber.ts) takes map away afterwards, for users who can change the tokenizer: recipes
 * cannot, because the records they are measured on hold the old ids.
 */
export const pruneVocabulary = defineMethod({
  title: "vocabulary pruning",
  cite: "Abdaoui, Pradel, Sigel 2020, arXiv 2010.05609 (Load What You Need)",
  summary: "Removes rows of embedding tables whose tokens a text, or the data, does not have.",
  needs: ({ tokenizer, corpus }) => (tokenizer && corpus ? [] : ["calibration"]),
  options,
  survey: [],
  neutral: null,
  async apply(model, options, context) {
    if ((options.corpus || options.ids === "outside") && !options.tokenizer) {
      const why = `${options.corpus ? "corpus" : "ids=outside"} needs a tokenizer`;
      throw fail(errors.badOption("prune-vocabulary", why, "Add tokenizer=FILE"));
    }
    const groups = chosenGroups(model, options);
    await context.progress(0, groups.length);
    if (groups.length === 0) return;
    const { tokenizer } = options;
    const vocabulary = tokenizer
      ? await readVocabulary(await context.read(tokenizer), tokenizer)
      : null;
    const counts = await countTokens(model, groups, vocabulary, options, context);
    for (const group of groups) {
      const { rows, nodes } = group;
      const seen = counts.get(group) ?? new Float64Array(rows);
      const kept = keptOf(seen, vocabulary, options);
      const reason = whyNotCut(group, kept, vocabulary, options);
      if (reason) {
        for (const { name } of nodes) context.skip(name, reason);
        continue;
      }
      keepRows(group, kept, options.head);
      context.group(nodes[0].name, rows, kept.ids.length, coverage(seen, kept));
    }
    inferModel(model);
  },
});

/** The groups whose look-ups are all chosen; other layers may be named too, but have no rows. */
function chosenGroups(model: Model, selection: Options): TableGroup[] {
  const groups = tableGroups(model);
  const layers = [
    ...weightsOf(model),
    ...groups.flatMap(({ nodes }) => nodes.map((node) => ({ node }))),
  ];
  const chosen = select(
    layers.map(({ node }) => node),
    selection,
  );
  return groups.filter(({ nodes }) => nodes.every((node) => chosen.has(node)));
}

/** How often each id occurs: in the corpus, or in the calibration records where there is none. */
async function countTokens(
  model: Model,
  groups: readonly TableGroup[],
  vocabulary: Vocabulary | null,
  { corpus }: Options,
  context: Context,
): Promise<Map<TableGroup, Float64Array>> {
  const counts = new Map(groups.map((group) => [group, new Float64Array(group.rows)]));
  if (!vocabulary || !corpus) {
    const lookUps = Array.from(counts, ([{ ids }, own]) => ({ ids, counts: own }));
    await countRows(model, lookUps, context);
    return counts;
  }
  const lines = new TextDecoder().decode(await context.read(corpus)).split(/\r?\n/);
  const seen = new Float64Array(vocabulary.size);
  for (const [i, line] of lines.entries()) {
    if (i % 1000 === 0) await context.progress(i, lines.length);
    for (const id of vocabulary.encode(line)) seen[id]++;
  }
  for (const own of counts.values()) own.set(seen.subarray(0, own.length));
  return counts;
}

/** The rows that stay: those of special tokens, and the most frequent others. */
function keptOf(
  seen: Float64Array,
  vocabulary: Vocabulary | null,
  { frequency, keep, unknown: given, ids: place }: Options,
): Kept {
  const unknown = given >= 0 ? given : (vocabulary?.unknown ?? null);
  const needed = new Set([...(vocabulary?.special ?? []), ...(unknown === null ? [] : [unknown])]);
  const order = Array.from(seen, (_, id) => id)
    .filter((id) => !needed.has(id) && seen[id] >= frequency)
    .sort((a, b) => seen[b] - seen[a] || a - b);
  const room = keep > 0 ? Math.max(0, keep - needed.size) : order.length;
  const own = [...needed, ...order.slice(0, room)];
  const parts = place === "outside" ? (vocabulary?.needed(own) ?? []) : [];
  const ids = [...own, ...parts].filter((id) => id < seen.length);
  return { ids: ids.sort((a, b) => a - b), unknown };
}

/** Why no row goes; null if some do. */
function whyNotCut(
  { rows, tables, outside, heads, isTied }: TableGroup,
  { ids, unknown }: Kept,
  vocabulary: Vocabulary | null,
  { head, unknown: given }: Options,
): string | null {
  if (vocabulary && rows < vocabulary.size) {
    return `has ${rows} rows for the ${vocabulary.size} tokens of the tokenizer`;
  }
  if (given >= rows) return `has ${rows} rows, and none for unknown=${given}`;
  if (outside) return `shares its table with ${outside}, which reads all rows`;
  if (isTied && !head) {
    return `shares its table with ${heads.map(({ node }) => node.name)}: head=true prunes both`;
  }
  if (unknown === null && tables.some(({ tensor }) => tensor.dtype !== "float32")) {
    return "its rows have no mean, being levels: say which token is unknown=ID";
  }
  const left = ids.length + (unknown === null ? 1 : 0);
  const bytes = tables.reduce((sum, { tensor }) => sum + tensor.byteLength, 0);
  const places = rows * (left <= 2 ** 8 ? 1 : left <= 2 ** 16 ? 2 : 4);
  const saved = (bytes * (rows - left)) / rows - places;
  return saved > 0 ? null : `${left} of its ${rows} rows stay, too many to save bytes`;
}

function coverage(seen: Float64Array, { ids }: Kept): string {
  const all = seen.reduce((a, b) => a + b, 0);
  const own = ids.reduce((sum, id) => sum + seen[id], 0);
  return `${((100 * own) / (all || 1)).toFixed(2)} % of the tokens that were counted keep their row`;
}
