/** @file Smaller tokenizers: texts whose tokens all stay have the same tokens, by their new numbers. */
import { describe, expect, test } from "vitest";
import { neededTokens, renumberTokenizer } from "../../src/evidence/renumber-tokenizer.ts";
import { readVocabulary } from "../../src/evidence/vocabulary.ts";

const read = (json: unknown) =>
  readVocabulary(new TextEncoder().encode(JSON.stringify(json)), "tokenizer.json");
const special = (content: string, id: number) => ({
  ...{ id, content, special: true, single_word: false },
  ...{ lstrip: false, rstrip: false, normalized: false },
});
const around = {
  ...{ version: "1.0", truncation: null, added_tokens: [] as object[], normalizer: null },
  ...{ pre_tokenizer: { type: "WhitespaceSplit" }, post_processor: null, decoder: null },
};
const numbered = (tokens: readonly string[]) => Object.fromEntries(tokens.map((t, i) => [t, i]));

// "abc" is made of ab + c, "bcd" of bc + d; "zz" and "bcd" are for other texts.
const bpeTokens = ["<s>", "a", "b", "c", "d", "z", "zz", "ab", "bc", "bcd", "abc", "</s>"];
const bpe = {
  ...around,
  added_tokens: [special("<s>", 0), special("</s>", 11)],
  post_processor: {
    type: "TemplateProcessing",
    single: [
      { SpecialToken: { id: "<s>", type_id: 0 } },
      { Sequence: { id: "A", type_id: 0 } },
    ].concat([{ SpecialToken: { id: "</s>", type_id: 0 } }]),
    pair: [],
    special_tokens: {
      "<s>": { id: "<s>", ids: [0], tokens: ["<s>"] },
      "</s>": { id: "</s>", ids: [11], tokens: ["</s>"] },
    },
  },
  padding: { strategy: "BatchLongest", pad_id: 11, pad_type_id: 0, pad_token: "</s>" },
  model: {
    type: "BPE",
    ...{ dropout: null, unk_token: null, continuing_subword_prefix: null },
    ...{ end_of_word_suffix: null, fuse_unk: false, byte_fallback: false },
    vocab: numbered(bpeTokens),
    merges: ["z z", "a b", "b c", "bc d", "ab c"],
  },
};

const unigram = {
  ...around,
  model: {
    ...{ type: "Unigram", unk_id: 1, byte_fallback: false },
    vocab: [
      ...([
        ["<pad>", 0],
        ["<unk>", 0],
        ["a", -3],
        ["b", -3],
      ] as const),
      ...([
        ["ab", -4],
        ["abab", -5],
        ["ba", -4.5],
      ] as const),
    ],
  },
};
const words = ["[PAD]", "[UNK]", "cat", "dog", "##s", "bird", "do", "##g"];
const wordPiece = {
  ...around,
  model: {
    ...{ type: "WordPiece", unk_token: "[UNK]", continuing_subword_prefix: "##" },
    ...{ max_input_chars_per_word: 100, vocab: numbered(words) },
  },
};

describe("tokens and their numbers", () => {
  test.each([
    ["BPE", bpe, "abc d", [0, 10, 4, 11], [0, 1, 2, 3, 4, 5, 7, 10, 11]],
    ["WordPiece", wordPiece, "cats dogs owl", [2, 4, 3, 4, 1], [0, 1, 2, 3, 4]],
    ["Unigram", unigram, "abab a", [5, 2], [0, 1, 2, 5]],
    ["a list of words", words, "cat dog owl", [2, 3, 1], [0, 1, 2, 3]],
    ["words with numbers", numbered(words), "cat dog owl", [2, 3, 1], [0, 1, 2, 3]],
  ])("%s", async (_, json, text, ids, kept) => {
    expect((await read(json)).encode(text)).toEqual(ids);
    const smaller = await read(renumberTokenizer(json, kept, "tokenizer.json"));
    expect(smaller.size).toBe(kept.length);
    expect(smaller.encode(text)).toEqual(ids.map((id) => kept.indexOf(id)));
  });

  test("a cut word becomes smaller tokens, or the unknown one", async () => {
    // Without dog (3): do ##g, which are 4 and 5 of [PAD] [UNK] cat ##s do ##g.
    const smaller = await read(renumberTokenizer(wordPiece, [0, 1, 2, 4, 6, 7], "t.json"));
    expect(smaller.encode("dog dogs bird")).toEqual([4, 5, 4, 5, 3, 1]);
    expect(smaller.unknown).toBe(1);
    expect((await read(renumberTokenizer(unigram, [1, 2, 3], "t.json"))).unknown).toBe(0);
  });

  test("special tokens and padding have their new numbers wherever the file says them", () => {
    const kept = [0, 1, 2, 3, 4, 5, 11];
    const found = renumberTokenizer(bpe, kept, "t.json") as typeof bpe;
    expect(found.added_tokens).toEqual([special("<s>", 0), special("</s>", 6)]);
    expect(found.post_processor.special_tokens["</s>"].ids).toEqual([6]);
    expect(found.padding.pad_id).toBe(6);
    expect(found.model.merges).toEqual([]);
    const pair = { type: "BertProcessing", sep: ["</s>", 11], cls: ["<s>", 0] };
    const sequence = { type: "Sequence", processors: [pair] };
    const other = renumberTokenizer({ ...bpe, post_processor: sequence }, kept, "t.json");
    expect((other as { post_processor: unknown }).post_processor).toEqual({
      type: "Sequence",
      processors: [{ ...pair, sep: ["</s>", 6] }],
    });
  });
});

describe("tokens that others are made of", () => {
  test("parts of merges, in turn, and letters where no token is the unknown one", () => {
    expect([...neededTokens(bpe, [10])].sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 7]);
    const known = { ...bpe, model: { ...bpe.model, unk_token: "<s>" } };
    expect([...neededTokens(known, [9])].sort((a, b) => a - b)).toEqual([2, 3, 4, 8]);
    expect(neededTokens(wordPiece, [2])).toEqual([]);
  });

  test("without them the tokenizer is refused", () => {
    expect(() => renumberTokenizer(bpe, [0, 1, 2, 3, 4, 5, 10, 11], "t.json")).toThrow(
      /"ab".*ids=outside/,
    );
    expect(() => renumberTokenizer(words, [0, 99], "t.json")).toThrow(/no token for the number 99/);
  });
});
