/** @file Tokenizers of fewer tokens: tokenizer.json, or a plain list of words, with new numbers. */
import { errors, fail } from "../errors.ts";

/** What is read and changed here of a tokenizer.json; everything else stays as it is. */
interface TokenizerFile {
  readonly model: TokenModel;
  readonly added_tokens?: readonly { readonly id: number }[];
  readonly post_processor?: Processor | null;
  readonly padding?: { readonly pad_id?: number } | null;
}

interface TokenModel {
  readonly type?: string;
  /** Unigram: [token, score] by number; the others: numbers by token. */
  readonly vocab?: Readonly<Record<string, number>> | readonly (readonly [string, number])[];
  /** BPE: "a b" or [a, b], the first ones are applied first. */
  readonly merges?: readonly (string | readonly [string, string])[];
  readonly continuing_subword_prefix?: string | null;
  readonly unk_token?: string | null;
  readonly unk_id?: number | null;
  readonly byte_fallback?: boolean;
}

/** RobertaProcessing and BertProcessing have `sep` and `cls`, TemplateProcessing special tokens. */
interface Processor {
  readonly processors?: readonly Processor[];
  readonly sep?: readonly [string, number];
  readonly cls?: readonly [string, number];
  readonly special_tokens?: Readonly<Record<string, { readonly ids: readonly number[] }>>;
}

const isTokenizer = (json: unknown): json is TokenizerFile =>
  typeof json === "object" && json !== null && "model" in json && typeof json.model === "object";

/**
 * Tokens that a smaller tokenizer needs beside `kept`, or other tokens would be found in texts whose
 * tokens all stay: of BPE the parts of merges, in turn; where no token stands for what is unknown, also
 * the single letters and bytes. [] for tokenizers that need none.
 */
export function neededTokens(json: unknown, kept: Iterable<number>): number[] {
  if (!isTokenizer(json)) return [];
  const { model } = json;
  const ids = new Map(tokensOf(model));
  const before = new Set(kept);
  const found = new Set(before);
  for (const [token, id] of ids) {
    const isByte = /^<0x[0-9A-F]{2}>$/.test(token);
    const isLetter = model.merges && !model.unk_token && [...token].length === 1;
    if (isLetter || (isByte && model.byte_fallback)) found.add(id);
  }
  const parts = new Map<number, number[]>();
  for (const { left, right, whole } of mergesOf(model)) {
    const made = ids.get(whole);
    const own = [left, right].flatMap((token) => ids.get(token) ?? []);
    if (made !== undefined) parts.set(made, [...(parts.get(made) ?? []), ...own]);
  }
  // The set grows while it is walked.
  for (const id of found) for (const part of parts.get(id) ?? []) found.add(part);
  return [...found].filter((id) => !before.has(id));
}

/**
 * The tokenizer with the tokens `kept` alone, ascending old numbers; the new number of each is its place
 * among them. Texts whose tokens all stay have the same tokens. Throws TersorError "bad-data" where a
 * number has no token, and where a merge needs a token that is not kept.
 */
export function renumberTokenizer(json: unknown, kept: readonly number[], where: string): unknown {
  const places = new Map(kept.map((id, place) => [id, place]));
  if (!isTokenizer(json)) {
    const ids = new Map(
      Array.isArray(json)
        ? json.map((token: string, id) => [token, id] as const)
        : Object.entries(json as Record<string, number>),
    );
    const left = [...ids].filter(([, id]) => places.has(id));
    checkAll(kept, left, where);
    if (Array.isArray(json)) return kept.map((id) => json[id]);
    return Object.fromEntries(left.map(([token, id]) => [token, places.get(id)]));
  }
  const { model, added_tokens: added = [], post_processor: processor, padding } = json;
  const extra = added.map(({ id }) => ["", id] as const);
  checkAll(kept, [...tokensOf(model), ...extra], where);
  const pad = padding?.pad_id === undefined ? undefined : places.get(padding.pad_id);
  return {
    ...json,
    model: renumbered(model, places, where),
    added_tokens: added.flatMap((token) => {
      const id = places.get(token.id);
      return id === undefined ? [] : [{ ...token, id }];
    }),
    ...(processor && { post_processor: processed(processor, places) }),
    ...(padding && pad !== undefined && { padding: { ...padding, pad_id: pad } }),
  };
}

const tokensOf = ({ vocab = {} }: TokenModel): (readonly [string, number])[] =>
  Array.isArray(vocab)
    ? vocab.map(([token], id) => [token, id] as const)
    : Object.entries(vocab as Record<string, number>);

function mergesOf({ merges = [], continuing_subword_prefix }: TokenModel) {
  const prefix = continuing_subword_prefix ?? "";
  return merges.map((merge) => {
    const [left, right] = typeof merge === "string" ? merge.split(" ") : merge;
    const tail = prefix && right.startsWith(prefix) ? right.slice(prefix.length) : right;
    return { merge, left, right, whole: left + tail };
  });
}

function checkAll(
  kept: readonly number[],
  tokens: readonly (readonly [string, number])[],
  where: string,
): void {
  const known = new Set(tokens.map(([, id]) => id));
  const missing = kept.find((id) => !known.has(id));
  if (missing === undefined) return;
  const why = `has no token for the number ${missing}, whose row the model keeps`;
  throw fail(errors.badData(where, why, "Give the tokenizer that the model was pruned with"));
}

function renumbered(
  model: TokenModel,
  places: ReadonlyMap<number, number>,
  where: string,
): TokenModel {
  const all = tokensOf(model);
  const left = new Map(
    all.flatMap(([token, id]) => {
      const place = places.get(id);
      return place === undefined ? [] : [[token, place] as const];
    }),
  );
  if (Array.isArray(model.vocab)) {
    const vocab = model.vocab.filter((_, id) => places.has(id));
    return { ...model, vocab, ...("unk_id" in model && { unk_id: unknownOf(model, places) }) };
  }
  const vocab = Object.fromEntries([...left].sort(([, a], [, b]) => a - b));
  if (!model.merges) return { ...model, vocab };
  const merges = mergesOf(model).filter(({ left: a, right: b, whole }) => {
    if (!left.has(whole)) return false;
    const gone = [a, b].find((token) => !left.has(token));
    if (gone === undefined) return true;
    const why = `makes the token "${whole}" from "${gone}", which the model has no row for`;
    throw fail(errors.badData(where, why, "Prune the vocabulary with ids=outside"));
  });
  return { ...model, vocab, merges: merges.map(({ merge }) => merge) };
}

const unknownOf = ({ unk_id }: TokenModel, places: ReadonlyMap<number, number>): number | null =>
  typeof unk_id === "number" ? (places.get(unk_id) ?? null) : null;

function processed(own: Processor, places: ReadonlyMap<number, number>): Processor {
  const at = (id: number): number => places.get(id) ?? id;
  const pair = ([token, id]: readonly [string, number]) => [token, at(id)] as const;
  const { processors, sep, cls, special_tokens: special } = own;
  return {
    ...own,
    ...(processors && { processors: processors.map((one) => processed(one, places)) }),
    ...(sep && { sep: pair(sep) }),
    ...(cls && { cls: pair(cls) }),
    ...(special && {
      special_tokens: Object.fromEntries(
        Object.entries(special).map(([name, one]) => [name, { ...one, ids: one.ids.map(at) }]),
      ),
    }),
  };
}
