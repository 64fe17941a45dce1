/** @file A tokenizer of whole words, in the JSON files that the library tokenizers reads. */
import type { JsonFiles } from "./net.ts";

interface WordTokenizer {
  /** Words, with the special ones, or how many. */
  readonly words: number | readonly string[];
  /** Special words at the beginning and end of each text. */
  readonly frame: readonly [string, string?];
  /** Most words of a text. */
  readonly length: number;
  /** Special words, which come first (default: BERT's). */
  readonly special?: readonly string[];
  readonly unknown?: string;
  readonly padding?: string;
  readonly className?: string;
}

const bertWords = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/** tokenizer.json and tokenizer_config.json: lower case, split at spaces, a number for each word. */
export function wordTokenizer({
  words,
  frame: [first, last],
  length,
  special = bertWords,
  unknown = "[UNK]",
  padding = "[PAD]",
  className = "BertTokenizer",
}: WordTokenizer): JsonFiles {
  const all = typeof words === "number" ? [...special, ...madeUp(words - special.length)] : words;
  const vocab = Object.fromEntries(all.map((word, i) => [word, i]));
  const mark = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const text = (id: string) => ({ Sequence: { id, type_id: 0 } });
  const framed = (...ids: string[]) => [
    mark(first),
    ...ids.map(text),
    ...(last ? [mark(last)] : []),
  ];
  const markOf = (id: string) => ({ id, ids: [vocab[id]], tokens: [id] });
  const ends = [first, ...(last ? [last] : [])];
  return {
    "tokenizer.json": {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: special.map((content) => ({
        ...{ id: vocab[content], content, special: true },
        ...{ single_word: false, lstrip: false, rstrip: false, normalized: false },
      })),
      normalizer: { type: "Lowercase" },
      pre_tokenizer: { type: "WhitespaceSplit" },
      post_processor: {
        type: "TemplateProcessing",
        single: framed("A"),
        pair: framed("A", "B"),
        special_tokens: Object.fromEntries(ends.map((id) => [id, markOf(id)])),
      },
      decoder: { type: "WordPiece", prefix: "##", cleanup: false },
      model: {
        type: "WordPiece",
        unk_token: unknown,
        continuing_subword_prefix: "##",
        max_input_chars_per_word: 100,
        vocab,
      },
    },
    "tokenizer_config.json": {
      tokenizer_class: className,
      model_max_length: length,
      clean_up_tokenization_spaces: false,
      ...{ unk_token: unknown, pad_token: padding },
      ...(special === bertWords && { cls_token: first, sep_token: last, mask_token: "[MASK]" }),
    },
  };
}

/** Words that can be read: the digits of their number, as syllables. */
export function madeUp(count: number): string[] {
  const [heads, tails] = ["bdfgklmnprstvz", "aeiou"];
  const base = heads.length * tails.length;
  return Array.from({ length: count }, (_, i) => {
    let [word, rest] = ["", i];
    do {
      const digit = rest % base;
      word = heads[Math.floor(digit / tails.length)] + tails[digit % tails.length] + word;
      rest = Math.floor(rest / base) - 1;
    } while (rest >= 0);
    return word;
  });
}
