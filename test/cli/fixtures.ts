/** @file A folder of models and data, good and bad, that the command line's tests read. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createRandom } from "../../src/numeric/random.ts";
import { linear, tinyModel } from "../support/tiny.ts";
import type { temporaryFolder } from "./run.ts";

const features = 64;
const classes = 4;

/** A classifier of 4 classes, and 60 records that it mostly gets right. */
export function writeFixtures(folder: ReturnType<typeof temporaryFolder>): void {
  const random = createRandom(3);
  const W = Float32Array.from({ length: features * classes }, () => random.float() - 0.5);
  const b = Float32Array.from({ length: classes }, () => random.float() - 0.5);
  const model = linear(W, b);
  const records = Array.from({ length: 60 }, () =>
    Array.from({ length: features }, () => Math.round(random.float() * 100) / 100),
  );
  const label = (record: number[]): number => {
    const scores = Array.from(b, (bias, c) =>
      record.reduce((sum, x, i) => sum + x * W[i * classes + c], bias),
    );
    return scores.indexOf(Math.max(...scores));
  };
  const labels = records.map(label).map((c, i) => (i % 10 === 0 ? (c + 1) % classes : c));
  const lines = (rows: number[][], of: readonly number[]) =>
    rows.map((input, i) => JSON.stringify({ x: input, label: of[i] })).join("\n");
  const write = (name: string, data: string | Uint8Array) => writeFileSync(folder.in(name), data);

  write("model.onnx", model);
  write("data.jsonl", lines(records, labels));
  write(
    "short.jsonl",
    lines(
      records.map((r) => r.slice(0, 10)),
      labels,
    ),
  );
  write(
    "beyond.jsonl",
    lines(
      records,
      labels.map((c) => c + 2),
    ),
  );
  write(
    "shuffled.jsonl",
    lines(
      records,
      labels.map((_, i) => (i * 7) % classes),
    ),
  );
  write("unlabelled.jsonl", records.map((x) => JSON.stringify({ x })).join("\n"));
  write("text.onnx", "This is no model.\n");
  write("empty.onnx", new Uint8Array());
  write(
    "image.onnx",
    new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13]),
  );
  write("cut-first.onnx", model.subarray(0, 1));
  write("cut-early.onnx", model.subarray(0, 40));
  write("cut-middle.onnx", model.subarray(0, model.length >> 1));
  write("cut-last.onnx", model.subarray(0, model.length - 1));
  for (const [name, external] of [
    ["missing-external.onnx", "weights.bin"],
    ["outside-external.onnx", "../weights.bin"],
  ]) {
    const ports = {
      inputs: [{ name: "x", dims: ["N", 2] }],
      outputs: [{ name: "y", dims: ["N", 2] }],
    };
    const nodes = [{ op: "MatMul", inputs: ["x", "W"], outputs: ["y"] }];
    const weights = [{ name: "W", dims: [2, 2], data: new Float32Array(4), external }];
    write(name, tinyModel({ ...ports, nodes, weights }));
  }
  const custom = { op: "NoSuchOperator", inputs: ["x"], outputs: ["y"] };
  const port = (name: string) => [{ name, dims: ["N", 2] }];
  write("custom.onnx", tinyModel({ inputs: port("x"), outputs: port("y"), nodes: [custom] }));
  write("notes.txt", "already here");
  write("existing.onnx", "already here");
  write("object.json", '{"method": "share-weights"}');
  symlinkSync(folder.in("model.onnx"), folder.in("link.onnx"));
  mkdirSync(folder.in("folder"));
}
