/** @file Text and sequences of different length: ids, padding, masks, labels, blocks. */
import { describe, expect, test } from "vitest";
import { subset } from "../../src/data/dataset.ts";
import { openData } from "../../src/data/open.ts";
import type { DataOptions } from "../../src/data/options.ts";
import { parseModel } from "../../src/ir/parse.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { folder, port, refusal } from "./folder.ts";

const words = ["[PAD]", "[UNK]", "a", "b", "c"];
const wordLevel = {
  version: "1.0",
  added_tokens: [{ id: 0, content: "[PAD]", special: true }],
  normalizer: { type: "Lowercase" },
  pre_tokenizer: { type: "Whitespace" },
  post_processor: null,
  decoder: null,
  model: {
    type: "WordLevel",
    unk_token: "[UNK]",
    vocab: Object.fromEntries(words.map((word, id) => [word, id])),
  },
};
const files = {
  "d.txt": "a b\n\nC x a b\n",
  "d.tsv": "a b\t1\nc\t0\n",
  "tokenizer.json": JSON.stringify(wordLevel),
};
const encoder = [
  port(["N", "T"], "input_ids", "int64"),
  port(["N", "T"], "attention_mask", "int64"),
];
const decoder = parseModel(`<ir_version: 10, opset_import: ["" : 21]>
  g (int64[N,T] input_ids) => (float[N,T,5] y) <float[5,5] e = random(1)> { y = Gather (e, input_ids) }`);
inferModel(decoder);

async function read(name: string, options: DataOptions, isDecoder = false) {
  const root = folder(files);
  const around = { model: isDecoder ? decoder : null, beside: [`${root}/`] };
  const ports = isDecoder ? encoder.slice(0, 1) : encoder;
  return openData(`text:${root}/${name}`, ports, options, nodePlatform, {}, around);
}
const rows = (values: ArrayLike<number> | undefined) => Array.from(values ?? []);

describe("text", () => {
  test("a record a line, padded within the batch, with a mask", async () => {
    const data = await read("d.txt", {});
    expect([data.length, data.labelled]).toEqual([2, false]);
    const { inputs, lengths } = await data.read([0, 1]);
    expect(rows(inputs.input_ids.numbers())).toEqual([2, 3, 0, 0, 4, 1, 2, 3]);
    expect(rows(inputs.attention_mask.numbers())).toEqual([1, 1, 0, 0, 1, 1, 1, 1]);
    expect(lengths).toEqual([2, 4]);
    expect((await data.read([0])).inputs.input_ids.shape).toEqual([1, 2]);
  });

  test("long lines are cut at --size; a class behind the tab is the label", async () => {
    const data = await read("d.tsv", { size: [1] });
    const { inputs, label } = await data.read([1, 0]);
    expect(rows(inputs.input_ids.numbers())).toEqual([4, 2]);
    expect(rows(label?.numbers())).toEqual([0, 1]);
    expect([...(data.labels ?? [])]).toEqual([1, 0]);
  });

  test("a decoder's labels are the next tokens, and padding is ignored", async () => {
    const lines = await (await read("d.txt", {}, true)).read([0, 1]);
    expect(rows(lines.inputs.input_ids.numbers())).toEqual([2, 0, 0, 4, 1, 2]);
    expect(rows(lines.label?.numbers())).toEqual([3, -100, -100, 1, 2, 3]);
    const blocks = await read("d.txt", { size: [2] }, true);
    expect(blocks.length).toBe(3);
    // a b c x a b: each block's labels reach one token into the next.
    const { inputs, label } = await blocks.read([0, 1, 2]);
    expect(rows(inputs.input_ids.numbers())).toEqual([2, 3, 4, 1, 2, 0]);
    expect(rows(label?.numbers())).toEqual([3, 4, 1, 2, 3, -100]);
  });

  test("refuses what has no tokenizer, and a model without ids", async () => {
    const root = folder({ "d.txt": "a" });
    const open = (ports: typeof encoder) => () =>
      openData(`text:${root}/d.txt`, ports, {}, nodePlatform);
    expect(await refusal(open(encoder), root)).toBe(
      "unknown-data: text:/d.txt: there is no tokenizer.json beside the model. Name it: --tokenizer tokenizer.json.",
    );
    expect(await refusal(open([port(["N", 4])]), root)).toContain(
      "text fills one input of token ids",
    );
  });
});

describe("JSON lines of different length", () => {
  const jsonl = (lines: object[], ports: typeof encoder, options: DataOptions = {}) => {
    const root = folder({ "d.jsonl": lines.map((line) => JSON.stringify(line)).join("\n") });
    return openData(`jsonl:${root}/d.jsonl`, ports, options, nodePlatform);
  };

  test("are padded with zeros, labels of tokens with -100, and masked", async () => {
    const lines = [
      { input_ids: [5, 6, 7], label: [1, 2, 3] },
      { input_ids: [8], label: [4] },
    ];
    const data = await jsonl(lines, encoder, { input: "attention_mask=mask" });
    const { inputs, label } = await data.read([1, 0]);
    expect(rows(inputs.input_ids.numbers())).toEqual([8, 0, 0, 5, 6, 7]);
    expect(rows(inputs.attention_mask.numbers())).toEqual([1, 0, 0, 1, 1, 1]);
    expect(rows(label?.numbers())).toEqual([4, -100, -100, 1, 2, 3]);
  });

  test("padded to the longest of all, for batches of one shape; parts of them, too", async () => {
    const lines = [[5, 6, 7], [8], [9, 4]].map((input_ids, i) => ({ input_ids, label: i }));
    const data = await jsonl(lines, encoder, { input: "attention_mask=mask" });
    const even = await subset(data, [1, 2]).even?.();
    const { inputs, label } = await even!.read([0]);
    expect(rows(inputs.input_ids.numbers())).toEqual([8, 0, 0]);
    expect(rows(inputs.attention_mask.numbers())).toEqual([1, 0, 0]);
    expect(rows(label?.numbers())).toEqual([1]);
    expect(even!.even).toBeUndefined();
  });

  test("steps of several features, one class for each record", async () => {
    const lines = [
      {
        x: [
          [1, 2],
          [3, 4],
        ],
        label: 1,
      },
      { x: [[5, 6]], label: 0 },
    ];
    const data = await jsonl(lines, [port(["N", "T", 2])]);
    const { inputs, label } = await data.read([0, 1]);
    expect([inputs.x.shape, rows(inputs.x.numbers())]).toEqual([
      [2, 2, 2],
      [1, 2, 3, 4, 5, 6, 0, 0],
    ]);
    expect(rows(label?.numbers())).toEqual([1, 0]);
  });

  test("of an input whose size the model fixes are refused as before", async () => {
    const lines = [{ x: [1, 2] }, { x: [1] }];
    expect(await refusal(() => jsonl(lines, [port(["N", 2])]))).toContain(
      "Give every record the same fields",
    );
  });
});
