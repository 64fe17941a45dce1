/**
 * @file A text encoder with a vocabulary of 20,000 words, most of which its texts never use: trained
 * here on SST-2, then its table of words is made small in several ways. Writes results/sentences.json.
 * `npm run bench:sentences`.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { transformers } from "../src/nets/transformers/index.ts";
import { wordTokenizer } from "../src/nets/transformers/tokenizer.ts";
import { compress, load, train } from "../src/node.ts";
import { createRandom } from "../src/numeric/random.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import { assets } from "../test/support/assets.ts";
import { writeRun } from "./record.ts";

const folder = fileURLToPath(new URL("../tersor-out/sentences/", import.meta.url));
const vocabulary = 20_000;
const sizes = { words: vocabulary, width: 64, layers: 2, heads: 4, inner: 128, positions: 64 };
const special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

const recipes = [
  "quantize-embeddings",
  "quantize-embeddings:bits=4",
  "prune-vocabulary",
  "factor-svd:only=*words*",
  "factor-svd:only=*words* > quantize-embeddings:bits=4",
  "quantize-embeddings:bits=4 > quantize-weights:bits=8",
  "prune-vocabulary > quantize-embeddings:bits=4 > quantize-dynamic",
  "static-embeddings:dims=64",
  "static-embeddings:dims=32 > quantize-embeddings",
] as const;

/** A row of the page. */
export interface SentenceRow {
  readonly recipe: string;
  readonly bytes: number;
  readonly packed: number | null;
  /** Percent of the test set, and points lost with their 95 % interval. */
  readonly accuracy: number;
  readonly drop: number | null;
  readonly ci95: readonly number[] | null;
  readonly speedup: number | null;
}

export interface SentenceBench {
  readonly words: number;
  readonly bytes: number;
  readonly accuracy: number;
  readonly rows: readonly SentenceRow[];
}

/** The most frequent words of all texts in shared/assets. */
function commonWords(): string[] {
  const counts = new Map<string, number>();
  const texts = [
    "sst2/train.tsv",
    "stories/tinyshakespeare.txt",
    "stories/tinystories_excerpt.txt",
  ];
  for (const text of texts) {
    const words = readFileSync(assets(`data/${text}`) ?? "", "utf8")
      .toLowerCase()
      .split(/\s+/);
    for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const sorted = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  return sorted
    .map(([word]) => word)
    .filter((word) => word !== "")
    .slice(0, vocabulary - special.length);
}

mkdirSync(folder, { recursive: true });
const words = [...special, ...commonWords()];
const made = transformers["text-encoder"].make(createRandom(1), {
  ...sizes,
  words: words.length,
  classes: 2,
});
writeFileSync(`${folder}start.onnx`, concat(writeModel(made.model)));
const files = wordTokenizer({ words, frame: ["[CLS]", "[SEP]"], length: sizes.positions });
writeFileSync(`${folder}tokenizer.json`, JSON.stringify(files["tokenizer.json"]));
const text = (part: string) => {
  const path = assets(`data/sst2/${part}.tsv`) ?? "";
  return { spec: `text:${path}`, options: { tokenizer: `${folder}tokenizer.json` } };
};

const around = { data: text("test"), calib: text("train"), deterministic: true, timingSeconds: 1 };
const start = await load(`${folder}start.onnx`);
const trained = await train(start, {
  ...{ data: around.calib, test: around.data, deterministic: true, timingSeconds: 1 },
  options: { epochs: 5, batch: 32, rate: 0.001, optimizer: "adamw", holdout: 0.1 },
});
writeFileSync(`${folder}model.onnx`, trained.bytes);
console.log("trained", trained.result.metric?.value);

const model = await load(`${folder}model.onnx`);
const rows: SentenceRow[] = [];
let accuracy = 0;
for (const recipe of recipes) {
  const { result, baseline } = await compress(model, { ...around, recipe });
  accuracy = baseline.metric?.value ?? 0;
  const { metric, bytes, delta } = result;
  rows.push({
    ...{ recipe, bytes: bytes.raw, packed: bytes.packed, accuracy: metric?.value ?? 0 },
    ...{ drop: metric?.drop ?? null, ci95: metric?.dropCi95 ?? null, speedup: delta.infer },
  });
  console.log(recipe, bytes.raw, metric?.value, metric?.drop);
}
writeRun("sentences", {
  ...{ words: words.length, bytes: trained.bytes.length, accuracy, rows },
} satisfies SentenceBench);
