/** @file Vocabularies: which tokens there are, and how often a text has each. */
import { errors, fail } from "../errors.ts";
import { neededTokens } from "./renumber-tokenizer.ts";

/** Turns texts into the ids that a model reads. */
export interface Vocabulary {
  /** One more than the largest id. */
  readonly size: number;
  /** The id that stands for every text that has no token; null if there is none. */
  readonly unknown: number | null;
  /** The id that fills up short texts (0 where no token says so). */
  readonly padding: number;
  /** Ids of tokens that stand for no text: padding, ends of sentences, masks. */
  readonly special: readonly number[];
  /** The id that the model expects before every text; null where `encode` puts it there. */
  readonly start: number | null;
  encode(text: string): readonly number[];
  /** Tokens that a smaller tokenizer needs beside these (`neededTokens`). */
  needed(kept: Iterable<number>): readonly number[];
}

/**
 * A vocabulary from a file: `tokenizer.json` of Hugging Face, or plain JSON, { token: id } or
 * [token, ...], by which lower-case words between spaces are tokens. Rejects with TersorError
 * "bad-data" for any other content; `where` is the file's path.
 */
export async function readVocabulary(bytes: Uint8Array, where: string): Promise<Vocabulary> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw bad(where, "is no JSON");
  }
  if (typeof json !== "object" || json === null) throw bad(where, "holds no tokens");
  if ("model" in json && typeof json.model === "object") return trained(json as Trained, where);
  const tokens = Array.isArray(json)
    ? json.map((token, id) => [token, id] as const)
    : Object.entries(json);
  return plain(new Map(tokens), where);
}

const bad = (where: string, why: string) =>
  fail(
    errors.badData(
      where,
      `the vocabulary ${why}`,
      "Give a tokenizer.json of Hugging Face, or JSON as { token: id } or [token, ...]",
    ),
  );

/** <pad>, [CLS], <|endoftext|> */
const isSpecial = (token: string): boolean => /^(<[^<>\s]+>|\[[A-Z]+\])$/.test(token);
const isPadding = (token: string): boolean => /^(<|\[)pad(>|\])$/i.test(token);
/** The token before every text, from which classifiers read their answer. */
const isStart = (token: string): boolean => /^(<|\[)cls(>|\])$/i.test(token);
const isUnknown = (token: string): boolean => /^(<|\[)unk(nown)?(>|\])$/i.test(token);

function plain(ids: ReadonlyMap<string, number>, where: string): Vocabulary {
  const isSound = [...ids].every(([token, id]) => typeof token === "string" && isId(id));
  if (!isSound || ids.size === 0) throw bad(where, "is no list of tokens and ids");
  const tokens = [...ids.keys()];
  const unknown = ids.get(tokens.find(isUnknown) ?? "") ?? null;
  return {
    size: sizeOf(ids.values()),
    unknown,
    padding: ids.get(tokens.find(isPadding) ?? "") ?? 0,
    special: tokens.filter(isSpecial).map((token) => ids.get(token) as number),
    start: ids.get(tokens.find(isStart) ?? "") ?? null,
    encode: (text) =>
      text
        .toLowerCase()
        .split(/\s+/)
        .flatMap((word) => (word ? (ids.get(word) ?? unknown ?? []) : [])),
    needed: () => [],
  };
}

/** What is read here of a tokenizer.json. */
interface Trained {
  readonly model: { readonly unk_token?: string | null; readonly unk_id?: number | null };
  readonly added_tokens?: readonly { readonly id: number; readonly special?: boolean }[];
}

async function trained(json: Trained, where: string): Promise<Vocabulary> {
  // Few recipes need it, so that the package is loaded only where one does.
  const { Tokenizer } = await import("@huggingface/tokenizers");
  let tokenizer: InstanceType<typeof Tokenizer>;
  try {
    tokenizer = new Tokenizer(json, {});
  } catch (cause) {
    throw bad(where, `is refused: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  const { unk_token, unk_id } = json.model;
  const unknown = unk_id ?? (unk_token ? (tokenizer.token_to_id(unk_token) ?? null) : null);
  const special = (json.added_tokens ?? []).filter((token) => token.special);
  return {
    size: sizeOf(tokenizer.get_vocab().values()),
    unknown,
    padding: [...tokenizer.get_vocab()].find(([token]) => isPadding(token))?.[1] ?? 0,
    start: null,
    special: special.map(({ id }) => id),
    // Version 0.2.0 gives undefined for words that a WordLevel vocabulary does not have.
    encode: (text) =>
      (tokenizer.encode(text).ids as (number | undefined)[]).flatMap((id) => id ?? unknown ?? []),
    needed: (kept) => neededTokens(json, kept),
  };
}

const isId = (id: unknown): boolean => Number.isInteger(id) && (id as number) >= 0;

function sizeOf(ids: Iterable<number>): number {
  let size = 0;
  for (const id of ids) size = Math.max(size, id + 1);
  return size;
}
