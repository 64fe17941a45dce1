/** @file Folders for transformers.js: names, warnings, config.json, choice of dtypes. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type Candidate, chooseDtypes } from "../../src/recipe/layout/choose.ts";
import { withLayout } from "../../src/recipe/layout/config.ts";
import { type DtypeName, dtypes } from "../../src/recipe/layout/dtypes.ts";
import { dataName, fileName, floatModels, parseDtypes } from "../../src/recipe/layout/names.ts";
import { dtypeWarnings, sizeWarnings } from "../../src/recipe/layout/warnings.ts";
import { parseRecipe } from "../../src/recipe/steps.ts";
import { catchError } from "../onnx/support.ts";

/** The library's source, which is what our names are held against. */
const source = (path: string): string =>
  readFileSync(
    new URL(`../../node_modules/@huggingface/transformers/src/${path}`, import.meta.url),
    "utf8",
  );

describe("names", () => {
  test("are those of the library: each dtype and suffix", () => {
    const [, table] =
      /DEFAULT_DTYPE_SUFFIX_MAPPING = Object\.freeze\(\{(.*?)\}\)/s.exec(
        source("utils/dtypes.js"),
      ) ?? [];
    const theirs = [...(table ?? "").matchAll(/DATA_TYPES\.(\w+)\]: '(\w*)'/g)].map(
      ([, name, suffix]) => [name, suffix],
    );
    expect(theirs.length).toBe(12);
    expect(Object.fromEntries(theirs)).toEqual(
      Object.fromEntries(Object.entries(dtypes).map(([name, { suffix }]) => [name, suffix])),
    );
  });

  test("of files and their data", () => {
    expect(fileName("model", "fp32")).toBe("model.onnx");
    expect(fileName("decoder_model_merged", "q8")).toBe("decoder_model_merged_quantized.onnx");
    // src/utils/model-loader.js, getExternalDataChunkNames
    expect([0, 1, 2].map((i) => dataName("model_q4.onnx", i))).toEqual([
      "model_q4.onnx_data",
      "model_q4.onnx_data_1",
      "model_q4.onnx_data_2",
    ]);
  });

  test("tell float models from others", () => {
    const names = ["model_q4f16.onnx", "model.onnx", "model.onnx_data", "model_quantized.onnx"];
    expect(
      floatModels([...names, "encoder_model.onnx", "encoder_model_fp16.onnx", "a.txt"]),
    ).toEqual(["encoder_model", "model"]);
  });

  test("of dtypes are parsed", () => {
    expect(parseDtypes("q8, q4,q8")).toEqual(["q8", "q4"]);
    const { message } = catchError(() => parseDtypes("q5"));
    expect(message).toMatch(/--dtypes: "q5" is no dtype of transformers\.js/);
  });
});

test("each dtype has a recipe that parses, or a reason", () => {
  for (const [name, dtype] of Object.entries(dtypes)) {
    const { recipe, why } = { why: undefined, ...dtype };
    if (recipe === null) expect(name === "fp32" || why).toBeTruthy();
    else expect(parseRecipe(recipe).length).toBeGreaterThan(0);
  }
});

describe("warnings", () => {
  test("name the dtypes that they are about", () => {
    expect(dtypeWarnings(["fp32"])).toEqual([]);
    const texts = dtypeWarnings(["q8", "q4", "fp16"]);
    expect(texts.filter((text) => text.startsWith("q8: "))).toEqual([
      expect.stringMatching(/web-wasm.*speed/),
      expect.stringMatching(/web-webgpu.*no kernel on the GPU/),
      expect.stringMatching(/web-webgpu.*silently wrong/),
      expect.stringMatching(/phones.*half the speed/),
    ]);
    expect(texts).toContainEqual(expect.stringMatching(/^q4: on web-wasm .*1 row.* 0\.0\d+ of/));
    expect(texts).toContainEqual(expect.stringMatching(/^q4: on web-webgpu .*silently wrong/));
    expect(texts).toContainEqual(expect.stringMatching(/^fp16: .*gains no speed/));
  });

  test("of sizes come above the walls, not at them", () => {
    expect(sizeWarnings("a.onnx", 25 * 2 ** 20)).toEqual([]);
    expect(sizeWarnings("a.onnx", 25 * 2 ** 20 + 1)).toEqual([
      expect.stringMatching(/^a\.onnx is over 25 MiB.*Cloudflare.*--shard/),
    ]);
    expect(sizeWarnings("a.onnx", 251e6)).toContainEqual(expect.stringMatching(/250 MB/));
  });
});

describe("config.json", () => {
  const file = (model: string, dtype: DtypeName, shards: number) => ({
    ...{ model, dtype, shards },
    file: fileName(model, dtype),
  });

  test("stays as it is where nothing is to be said", () => {
    const config = { model_type: "bert" };
    expect(withLayout(config, [file("model", "q4", 0)], {})).toEqual(config);
  });

  test("counts the files of external data", () => {
    const config = { "transformers.js_config": { use_external_data_format: true, dtype: "q4" } };
    const files = [file("model", "fp32", 2), file("model", "q4", 1), file("model", "q8", 0)];
    expect(withLayout(config, files, {})).toEqual({
      "transformers.js_config": {
        dtype: "q4",
        use_external_data_format: {
          "model.onnx": 2,
          "model_q4.onnx": 1,
          "model_quantized.onnx": 0,
        },
      },
    });
  });

  test("gets dtypes for devices; those of the author stay", () => {
    const config = {
      "transformers.js_config": { device_config: { wasm: { dtype: "fp16", x: 1 } } },
    };
    const choice = {
      cpu: { encoder_model: "fp32", decoder_model_merged: "q8" },
      wasm: { encoder_model: "q8", decoder_model_merged: "q8" },
    } as const;
    expect(withLayout(config, [], choice)).toEqual({
      "transformers.js_config": {
        device_config: {
          cpu: { dtype: { encoder_model: "fp32", decoder_model_merged: "q8" } },
          wasm: { dtype: "fp16", x: 1 },
        },
      },
    });
    const one = withLayout({}, [], { wasm: choice.wasm });
    expect(one).toEqual({ "transformers.js_config": { device_config: { wasm: { dtype: "q8" } } } });
  });
});

describe("a device gets", () => {
  const speed = (ratio: number | null) => ({ ratio, ci95: null, latency: {} as never });
  const candidate = (dtype: DtypeName, about: Partial<Candidate>): Candidate => ({
    ...{ model: "model", dtype, bytes: 100, sqnr: 30, metric: null },
    ...{ speed: { cpu: speed(1), wasm: null }, ...about },
  });
  const float = candidate("fp32", { sqnr: null, speed: { cpu: speed(null), wasm: null } });

  test("the fastest that is close to the float file", () => {
    const fast = candidate("q4", { sqnr: 12, speed: { cpu: speed(3), wasm: null } });
    const close = candidate("q8", { speed: { cpu: speed(1.5), wasm: null } });
    expect(chooseDtypes([float, fast, close])).toEqual({ cpu: { model: "q8" } });
    expect(chooseDtypes([float, fast])).toEqual({ cpu: { model: "fp32" } });
    const judged = { ...fast, metric: { drop: 0.5 } as never };
    expect(chooseDtypes([float, close, judged])).toEqual({ cpu: { model: "q4" } });
  });

  test("the smallest of those that are equally fast", () => {
    const small = candidate("fp16", { bytes: 50, speed: { cpu: speed(0.99), wasm: null } });
    expect(chooseDtypes([float, small])).toEqual({ cpu: { model: "fp16" } });
  });

  test("nothing where an engine refused all files of a model", () => {
    const refused = candidate("q8", { speed: { cpu: "does not open", wasm: null } });
    expect(chooseDtypes([refused])).toEqual({});
  });
});
