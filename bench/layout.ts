/**
 * @file What each dtype of transformers.js costs and gives, for four kinds of transformers: `npm run
 * bench:layout [model ...]` runs compress --layout and writes results/layout.json. Weights of the
 * four are drawn, so their errors are those of rounding without training; the trained encoder
 * (where ../shared/assets has it) is also judged on its test set.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { wordTokenizer } from "../src/nets/transformers/tokenizer.ts";
import { assets } from "../test/support/assets.ts";
import { writeTransformer } from "../test/support/transformer-folder.ts";
import { readRun, writeRun } from "./record.ts";

/** One file of a model, as `compress --json` prints it. */
export interface LayoutRow {
  readonly file: string;
  readonly dtype: string;
  readonly bytes: number;
  readonly sqnr: number | null;
  readonly metric: { readonly name: string; readonly value: number | null } | null;
  readonly speed: Readonly<
    Record<"cpu" | "wasm", { readonly median: number | null; readonly ratio?: number | null }>
  >;
}

/** The content of results/layout.json. */
export interface LayoutBench {
  readonly setting: string;
  readonly models: Readonly<
    Record<string, { readonly title: string; readonly files: readonly LayoutRow[] }>
  >;
}

const root = new URL("../", import.meta.url).pathname;
const place = mkdtempSync(join(tmpdir(), "tersor-bench-layout-"));
const sizes = { width: 256, layers: 3, heads: 8, inner: 1024 };
const dtypes = "fp32,fp16,q8,q4,q4f16,bnb4,q2";

/** The trained text encoder of the assets as a folder; false where it is missing. */
function writeTrained(folder: string): boolean {
  const [model, vocabulary] = ["models/sst2_transformer.onnx", "data/sst2/vocab.json"].map(assets);
  if (!model || !vocabulary) return false;
  mkdirSync(join(folder, "onnx"), { recursive: true });
  copyFileSync(model, join(folder, "onnx/model.onnx"));
  const words = JSON.parse(readFileSync(vocabulary, "utf8"));
  const files = {
    "config.json": {
      architectures: ["BertForSequenceClassification"],
      model_type: "bert",
      id2label: { 0: "negative", 1: "positive" },
      label2id: { negative: 0, positive: 1 },
    },
    ...wordTokenizer({
      ...{ words, frame: ["<cls>"], length: 56, special: ["<pad>", "<unk>", "<cls>"] },
      ...{ unknown: "<unk>", padding: "<pad>" },
    }),
  };
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(folder, name), JSON.stringify(content));
  }
  return true;
}

/** Writes the float folder; false where it cannot be made. */
const models: Readonly<
  Record<string, { readonly title: string; write(folder: string): boolean; flags?: string[] }>
> = {
  "text-encoder": drawn("text-encoder", "text encoder, 8,000 words", { words: 8000 }),
  decoder: drawn("decoder", "decoder with a cache, 4,000 words", { words: 4000, keyHeads: 4 }),
  vit: drawn("vit", "vision transformer, 96 x 96", { side: 96 }),
  speech: drawn("speech", "speech to text, 2 s", {}),
  sst2: {
    title: "trained text encoder (SST-2), on its test set",
    write: writeTrained,
    flags: ["--data", `npz:${assets("data/sst2/test.npz")}`],
  },
};

function drawn(name: Parameters<typeof writeTransformer>[1], title: string, options: object) {
  const write = (folder: string): boolean => {
    writeTransformer(folder, name, { ...sizes, ...options });
    return true;
  };
  return { title: `${title}, width ${sizes.width}, ${sizes.layers} layers`, write };
}

const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(models);
const found: Record<string, unknown> = { ...readRun<LayoutBench>("layout")?.models };
for (const [name, { title, write, flags = [] }] of Object.entries(models)) {
  if (!wanted.includes(name)) continue;
  const folder = join(place, name);
  if (!write(folder)) {
    console.log(`${name} is skipped: ../shared/assets is missing`);
    continue;
  }
  const args = ["compress", folder, "--layout", "transformers.js", "--dtypes", dtypes, ...flags];
  const command = ["--import", "tsx", join(root, "src/cli/main.ts"), ...args, "--json", "--quiet"];
  const { files } = JSON.parse(execFileSync(process.execPath, command, { encoding: "utf8" }));
  found[name] = {
    title,
    files: (files as LayoutRow[]).map(({ file, dtype, bytes, sqnr, metric, speed }) => ({
      ...{ file, dtype, bytes, sqnr: round(sqnr) },
      metric: metric && { name: metric.name, value: round(metric.value) },
      speed: { cpu: timeOf(speed.cpu), wasm: timeOf(speed.wasm) },
    })),
  };
  console.log(name, JSON.stringify(found[name]));
  // Each model is kept as it is measured.
  writeRun("layout", { setting: `1 thread, node ${process.versions.node}`, models: found });
}
rmSync(place, { recursive: true });

function timeOf({ median, ratio = null }: LayoutRow["speed"]["cpu"]) {
  return { median: median === null ? null : round(median, 4), ratio: round(ratio) };
}

function round<T extends number | null>(value: T, digits = 2): T {
  return (value === null ? null : Number(value.toFixed(digits))) as T;
}
