/** @file transformers.js loads the folders that compress --layout writes, in Node and in Chromium. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
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
    expect((scores as { score: number }[]).reduce((sum, { score }) => sum + score, 0)).toBeCloseTo(
      1,
    );
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
      const [first] = (await write(text, { max_new_tokens: 12 })) as { generated_text: string }[];
      await write.dispose();
      return first.generated_text;
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

const executablePath = ["/usr/bin/chromium", "/usr/bin/google-chrome"].find(existsSync);
if (!executablePath) console.log("transformers.js in a page is skipped: no /usr/bin/chromium");

describe.skipIf(!executablePath)("in Chromium", () => {
  const library = fileURLToPath(
    new URL("../../node_modules/@huggingface/transformers/", import.meta.url),
  );
  /** Folders by the first part of an address. */
  const folders: Readonly<Record<string, string>> = {
    models,
    library: join(library, "dist"),
    engine: join(library, "node_modules/onnxruntime-web/dist"),
  };
  const types: Readonly<Record<string, string>> = {
    ...{ ".js": "text/javascript", ".mjs": "text/javascript" },
    ...{ ".json": "application/json", ".wasm": "application/wasm" },
  };
  /** A page as a user writes it. */
  const html = `<!doctype html><title>page</title><script type="module">
    import { env, pipeline } from "/library/transformers.js";
    env.allowRemoteModels = false;
    env.allowLocalModels = true;
    env.useBrowserCache = false;
    env.localModelPath = "/models/";
    Object.assign(env.backends.onnx.wasm, { wasmPaths: "/engine/", numThreads: 1 });
    globalThis.classify = async (dtype, text) => {
      const options = { dtype, device: "wasm" };
      const classify = await pipeline("text-classification", "text-encoder", options);
      return classify(text, { top_k: 3 });
    };
  </script>`;
  const asked: string[] = [];
  let server: Server;
  let browser: Browser;
  let origin: string;

  beforeAll(async () => {
    server = createServer((request, response) => {
      const path = normalize(decodeURIComponent((request.url ?? "/").split("?")[0]));
      asked.push(path);
      const [, top, ...rest] = path.split("/");
      const file = Object.hasOwn(folders, top) ? join(folders[top], ...rest) : null;
      if (path === "/") response.setHeader("content-type", "text/html").end(html);
      else if (file && existsSync(file)) {
        const type = types[extname(file)] ?? "application/octet-stream";
        response.setHeader("content-type", type).end(readFileSync(file));
      } else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    browser = await chromium.launch({ executablePath: executablePath!, args: ["--no-sandbox"] });
  });
  afterAll(async () => {
    await browser?.close();
    server?.close();
  });

  test.each(["q8", "fp16"] as const)("a text encoder: %s on wasm", async (dtype) => {
    if (!existsSync(join(models, "text-encoder"))) await write("text-encoder", "--no-measure");
    const text = "ba be bi bo bu da";
    const page = await browser.newPage();
    await page.goto(origin);
    await page.waitForFunction("globalThis.classify");
    const inPage = await page.evaluate(
      ([dtype, text]) =>
        (globalThis as unknown as { classify(dtype: string, text: string): unknown }).classify(
          dtype,
          text,
        ),
      [dtype, text],
    );
    await page.close();
    const classify = await pipeline("text-classification", "text-encoder", { dtype: "fp32" });
    const float = (await classify(text, { top_k: 3 })) as { label: string; score: number }[];
    await classify.dispose();
    const scores = new Map(
      (inPage as { label: string; score: number }[]).map(({ label, score }) => [label, score]),
    );
    for (const { label, score } of float) {
      expect(Math.abs((scores.get(label) ?? 9) - score)).toBeLessThan(dtype === "q8" ? 0.03 : 1e-3);
    }
    const file = `/models/text-encoder/onnx/model_${dtype === "q8" ? "quantized" : "fp16"}.onnx`;
    expect(asked).toContain(file);
  });
});
