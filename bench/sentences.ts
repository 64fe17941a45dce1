/**
 * @file Text encoders with a vocabulary of 20,000 words: trained on SST-2, then made small. The
 * classifier is judged by accuracy; the encoder before its last layer, which gives a vector for each
 * text, by recall at 10 (the neighbours of its vectors) and their cosine. Recipes are chosen by
 * argument (a part of their text); rows that are there already are kept. Writes results/sentences.json.
 *
 * The vocabulary is that of a general tokenizer: the words of the training texts and, after them, the
 * most frequent words of other texts, which the task does not need.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import type { Value } from "../src/ir/graph.ts";
import { textEncoder } from "../src/nets/transformers/text-encoder.ts";
import { wordTokenizer } from "../src/nets/transformers/tokenizer.ts";
import { compress, load, text, train } from "../src/node.ts";
import { createRandom } from "../src/numeric/random.ts";
import { readModel } from "../src/onnx/read.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import { assets } from "../test/support/assets.ts";
import { readRun, writeRun } from "./record.ts";

const root = new URL("../", import.meta.url).pathname;
const work = `${root}tersor-out/sentences/`;
const threads = Number(process.env.SENTENCES_THREADS ?? 2);
const quick = { threads, timingSeconds: 1, deterministic: true } as const;
const WORDS = 20_000;
const [width, positions] = [64, 64];

/** One recipe on both models. */
export interface SentenceRow {
  readonly bytes: number;
  readonly packed: number;
  /** Percent on the test set. */
  readonly accuracy: number;
  readonly speedup: number | null;
  readonly ci95: readonly [number, number] | null;
  /** Percent of the ten nearest texts that stay. */
  readonly recall: number;
  /** What is said beside it: the mean cosine of old and new vectors. */
  readonly words: string;
  readonly cpuSeconds: number;
}

/** bench/results/sentences.json of one CPU. */
export interface SentenceRun {
  readonly command: string;
  readonly words: number;
  readonly original: {
    readonly bytes: number;
    readonly packed: number | null;
    readonly accuracy: number;
  };
  /** By recipe. */
  readonly rows: Readonly<Record<string, SentenceRow>>;
}

const recipes = [
  "store-float16",
  "quantize-dynamic",
  "quantize-weights",
  "quantize-embeddings:bits=8 > quantize-dynamic",
  "quantize-embeddings:bits=4 > quantize-dynamic",
  "prune-vocabulary > quantize-embeddings:bits=8 > quantize-dynamic",
  "prune-vocabulary > quantize-embeddings:bits=4 > quantize-dynamic",
  "prune-vocabulary > quantize-embeddings:bits=4 > quantize-weights",
  "prune-vocabulary:frequency=2 > quantize-embeddings:bits=4 > quantize-dynamic",
  "factor-svd:only=*Gather*,energy=0.95 > quantize-embeddings:bits=8 > quantize-dynamic",
  "static-embeddings",
  "prune-vocabulary > static-embeddings > quantize-embeddings:bits=4",
] as const;

const round = (x: number, digits = 2): number => Number(x.toFixed(digits));
const tokenizer = `${work}tokenizer.json`;
const texts = (part: string) => text(assets(`data/sst2/${part}.tsv`) ?? "", { tokenizer });

/** The words of these texts, the most frequent first. */
function wordsOf(text: string): string[] {
  const counts = new Map<string, number>();
  for (const word of text.toLowerCase().split(/\s+/).filter(Boolean)) {
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return [...counts]
    .toSorted((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
    .map(([word]) => word);
}

function makeTokenizer(): void {
  const read = (path: string) => readFileSync(assets(`data/${path}`) ?? "", "utf8");
  const own = wordsOf(read("sst2/train.tsv").replaceAll(/\t\d$/gm, ""));
  const others = wordsOf(
    read("stories/tinyshakespeare.txt") + read("stories/tinystories_excerpt.txt"),
  );
  const special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
  const words = [...new Set([...special, ...own, ...others])].slice(0, WORDS);
  const files = wordTokenizer({ words, frame: ["[CLS]", "[SEP]"], length: positions });
  for (const [name, file] of Object.entries(files)) {
    writeFileSync(work + name, JSON.stringify(file));
  }
}

/** Trains the classifier once; the best epoch by held-out training texts. */
async function makeModels(): Promise<void> {
  makeTokenizer();
  const size = { words: WORDS, width, positions, inner: 2 * width, classes: 2 };
  const { model } = textEncoder.make(createRandom(1), size);
  const { bytes } = await train(await load(concat(writeModel(model))), {
    ...quick,
    ...{ data: texts("train"), test: texts("test") },
    options: { epochs: 4, batch: 64, rate: 0.001, warmup: 50, holdout: 0.1 },
  });
  writeFileSync(`${work}classifier.onnx`, bytes);
  const { graph, ...rest } = readModel(bytes);
  const last = graph.outputs[0].producer;
  const vectors = last?.inputs.flatMap((value) => above(value, "Tanh"))[0];
  if (!vectors) throw new Error("the classifier has no vectors before its last layer");
  graph.setOutputs([vectors]);
  writeFileSync(`${work}encoder.onnx`, concat(writeModel({ ...rest, graph })));
}

/** The values that a node of this operator gives, on the way to this one. */
function above(value: Value | null, op: string): Value[] {
  const node = value?.producer;
  if (!node) return [];
  return node.op === op ? [node.outputs[0] as Value] : node.inputs.flatMap((v) => above(v, op));
}

/** The recipe on the classifier, then on the encoder. */
async function rowOf(
  recipe: string,
): Promise<Pick<SentenceRun, "original"> & { row: SentenceRow }> {
  const before = process.cpuUsage();
  const records = { ...quick, data: texts("test"), calib: texts("train"), recipe };
  const classifier = await compress(await load(`${work}classifier.onnx`), records);
  const encoder = await load(`${work}encoder.onnx`);
  const vectors = await compress(encoder, { ...records, metric: "retrieval", timingSeconds: 0.05 });
  const { user, system } = process.cpuUsage(before);
  const { baseline, result, bytes } = classifier;
  const accuracyOf = ({ metric }: { readonly metric: { readonly value: number } | null }) =>
    round(metric?.value ?? 0);
  return {
    original: {
      bytes: baseline.bytes.raw,
      packed: baseline.bytes.packed,
      accuracy: accuracyOf(baseline),
    },
    row: {
      bytes: bytes.length,
      packed: classifier.pack().length,
      accuracy: accuracyOf(result),
      speedup: result.delta.infer === null ? null : round(result.delta.infer),
      ci95: result.delta.ci95.infer ?? null,
      recall: accuracyOf(vectors.result),
      words: vectors.result.metric?.words ?? "",
      cpuSeconds: Math.round((user + system) / 1e6),
    },
  };
}

mkdirSync(work, { recursive: true });
if (!assets("data/sst2")) process.exit(0);
if (!existsSync(`${work}encoder.onnx`)) await makeModels();
const [only = ""] = process.argv.slice(2);
for (const recipe of recipes) {
  const known = readRun<SentenceRun>("sentences")?.rows ?? {};
  if (!recipe.includes(only) || known[recipe]) continue;
  const { original, row } = await rowOf(recipe);
  const rows = { ...known, [recipe]: row };
  writeRun("sentences", { command: "npm run bench:sentences", words: WORDS, original, rows });
  console.log(recipe, JSON.stringify({ original, row }));
}
process.exit(0);
