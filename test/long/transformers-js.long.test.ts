/** @file transformers.js loads the folders that compress --layout writes, in Node and in Chromium. */
import { createReadStream, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  AutoModel,
  AutoModelForCausalLM,
  AutoModelForImageClassification,
  AutoModelForSequenceClassification,
  AutoModelForSpeechSeq2Seq,
  env,
  pipeline,
  RawImage,
  Tensor,
} from "@huggingface/transformers";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TransformerName } from "../../src/nets/transformers/index.ts";
import { run } from "../cli/run.ts";
import { writeTransformer } from "../support/transformer-folder.ts";

const place = mkdtempSync(join(tmpdir(), "tersor-layout-"));
afterAll(() => rmSync(place, { recursive: true, force: true }));

/** Where the library looks for models, and what it may not do. */
const models = join(place, "models");
Object.assign(env, { allowRemoteModels: false, localModelPath: `${models}/`, useFSCache: false });

/** Least signal-to-noise ratio of the outputs, dB, by what a dtype holds. */
const floors = { fp16: 50, int8: 20, q8: 20, q4: 9, q4f16: 9, bnb4: 9, q2: 1, q2f16: 1 } as const;
type Made = keyof typeof floors;
const made = Object.keys(floors) as Made[];

const options: Record<TransformerName, Record<string, number>> = {
  "text-encoder": { classes: 3 },
  decoder: {},
  vit: {},
  speech: {},
};

/** Writes a float folder and the one that tersor makes of it, which has the model's name. */
async function write(name: TransformerName, ...flags: string[]): Promise<string> {
  const float = join(place, "float", name);
  writeTransformer(float, name, options[name]);
  const out = join(models, name);
  const dtypes = ["--dtypes", ["fp32", ...made].join(",")];
  const layout = ["--layout", "transformers.js", ...dtypes, "-o", out];
  const { status, stderr } = await run(["compress", float, ...layout, ...flags]);
  expect(status, stderr).toBe(0);
  return out;
}

const int64 = (rows: number[][]): Tensor =>
  new Tensor("int64", BigInt64Array.from(rows.flat(), BigInt), [rows.length, rows[0].length]);
const floats = (shape: number[], at: (i: number) => number): Tensor =>
  new Tensor(
    "float32",
    Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => at(i)),
    shape,
  );

function sqnr(x: Float32Array, y: Float32Array): number {
  expect(y.length).toBe(x.length);
  let [signal, noise] = [0, 0];
  for (let i = 0; i < x.length; i++) {
    signal += x[i] ** 2;
    noise += (x[i] - y[i]) ** 2;
  }
  return 10 * Math.log10(signal / noise);
}

type Class = { from_pretrained(name: string, options: object): Promise<unknown> };
type Run = (inputs: object) => Promise<Record<string, Tensor>>;

/** The output of each dtype against the float one's, by the library itself. */
async function compare(name: string, kind: Class, inputs: object, output: string): Promise<void> {
  const outputOf = async (dtype: string): Promise<Float32Array> => {
    const model = (await kind.from_pretrained(name, { dtype, device: "cpu" })) as Run & {
      dispose(): Promise<unknown>;
    };
    const values = (await model(inputs))[output].data as Float32Array;
    await model.dispose();
    return values;
  };
  const float = await outputOf("fp32");
  for (const dtype of made) {
    expect(sqnr(float, await outputOf(dtype)), `${name} ${dtype}`).toBeGreaterThan(floors[dtype]);
  }
}

describe("in Node", () => {
  const ids = [2, 17, 300, 44, 1200, 9, 3];
  const text = "ba be bi bo bu da";

  test("a text encoder, its weights in shards", async () => {
    const out = await write("text-encoder", "--shard", "600kB", "--timing", "0.1s");
    const config = JSON.parse(readFileSync(join(out, "config.json"), "utf8"));
    const { use_external_data_format: shards, device_config: devices } =
      config["transformers.js_config"];
    expect(shards["model.onnx"]).toBeGreaterThan(3);
    expect(existsSync(join(out, "onnx/model_q4.onnx_data"))).toBe(true);
    const inputs = { input_ids: int64([ids]), attention_mask: int64([ids.map(() => 1)]) };
    await compare("text-encoder", AutoModelForSequenceClassification as never, inputs, "logits");
    expect(["fp32", "fp16", ...made]).toContain(devices.cpu.dtype);
    const classify = await pipeline("text-classification", "text-encoder", { device: "cpu" });
    const scores = await classify(text, { top_k: 3 });
    expect((scores as { score: number }[]).reduce((sum, { score }) => sum + score, 0)).toBeCloseTo(1);
    await classify.dispose();
  });

  test("vectors of words", async () => {
    const float = join(place, "float", "features");
    writeTransformer(float, "text-encoder", { classes: 0 });
    const out = ["-o", join(models, "features"), "--dtypes", ["fp32", ...made].join(",")];
    const flags = ["--layout", "transformers.js", "--no-measure"];
    expect((await run(["compress", float, ...flags, ...out])).status).toBe(0);
    const inputs = { input_ids: int64([ids]), attention_mask: int64([ids.map(() => 1)]) };
    await compare("features", AutoModel as never, inputs, "last_hidden_state");
    const vectors = async (dtype: string): Promise<Float32Array> => {
      const extract = await pipeline("feature-extraction", "features", { dtype } as never);
      const { data } = await extract(text, { pooling: "mean", normalize: true });
      await extract.dispose();
      return data as Float32Array;
    };
    expect(sqnr(await vectors("fp32"), await vectors("q8"))).toBeGreaterThan(20);
  });

  test("a decoder with a cache", async () => {
    await write("decoder", "--no-measure");
    const inputs = { input_ids: int64([ids]), attention_mask: int64([ids.map(() => 1)]) };
    await compare("decoder", AutoModelForCausalLM as never, inputs, "logits");
    const textOf = async (dtype: string): Promise<string> => {
      const write = await pipeline("text-generation", "decoder", { dtype } as never);
      const [{ generated_text }] = (await write(text, { max_new_tokens: 12 })) as never;
      await write.dispose();
      return generated_text;
    };
    const float = await textOf("fp32");
    expect(float.split(" ").length).toBe(18);
    expect(await textOf("fp16")).toBe(float);
    for (const dtype of ["q8", "q4", "q4f16"]) {
      const written = await textOf(dtype);
      expect(written.startsWith(text), dtype).toBe(true);
      expect(written.split(" ").length, dtype).toBeGreaterThan(7);
    }
  });

  test("a vision transformer", async () => {
    await write("vit", "--no-measure");
    const inputs = { pixel_values: floats([1, 3, 64, 64], (i) => Math.sin(i * i)) };
    await compare("vit", AutoModelForImageClassification as never, inputs, "logits");
    const picture = new RawImage(
      Uint8ClampedArray.from({ length: 80 * 70 * 3 }, (_, i) => (i * 7919) % 256),
      ...([80, 70, 3] as const),
    );
    const scoresOf = async (dtype: string) => {
      const classify = await pipeline("image-classification", "vit", { dtype } as never);
      const scores = (await classify(picture, { top_k: 10 } as never)) as never[];
      await classify.dispose();
      return scores as { label: string; score: number }[];
    };
    const float = await scoresOf("fp32");
    const q8 = await scoresOf("q8");
    for (const { label, score } of float) {
      const other = q8.find((one) => one.label === label);
      expect(Math.abs(score - (other?.score ?? 1))).toBeLessThan(0.02);
    }
  });

  test("speech", async () => {
    await write("speech", "--no-measure");
    const features = floats([1, 80, 200], (i) => Math.sin(i * i * 1e-3));
    const inputs = { input_features: features, decoder_input_ids: int64([[998, 999, 5, 8]]) };
    await compare("speech", AutoModelForSpeechSeq2Seq as never, inputs, "logits");
    const wave = Float32Array.from({ length: 20_000 }, (_, i) => Math.sin(i * i * 1e-5));
    const heard = async (dtype: string): Promise<string> => {
      const listen = await pipeline("automatic-speech-recognition", "speech", { dtype } as never);
      const { text } = (await listen(wave, { max_new_tokens: 10 } as never)) as { text: string };
      await listen.dispose();
      return text;
    };
    const float = await heard("fp32");
    expect(float.split(" ").length).toBeGreaterThan(5);
    expect(await heard("fp16")).toBe(float);
    expect((await heard("q8")).length).toBeGreaterThan(0);
  });
});
