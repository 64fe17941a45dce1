/** @file What a target changes: the engine, what is timed, what methods choose, what is warned of. */
import { describe, expect, test } from "vitest";
import { tensor } from "../../src/ir/tensor.ts";
import { makeNet } from "../../src/nets/index.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { adviceFor } from "../../src/recipe/advice.ts";
import { engineOf } from "../../src/recipe/engine.ts";
import { isOfTarget } from "../../src/recipe/environment.ts";
import { factsOf } from "../../src/recipe/facts.ts";
import { foreignWarnings, targetWarnings } from "../../src/recipe/on-target.ts";
import { presetRecipe } from "../../src/recipe/presets.ts";
import { formatRecipe } from "../../src/recipe/steps.ts";
import { nodeCpu } from "../../src/targets/node-cpu.ts";
import { nodeCpuNoVnni } from "../../src/targets/node-cpu-no-vnni.ts";
import type { TargetDevice } from "../../src/targets/target.ts";
import { webWasm } from "../../src/targets/web-wasm.ts";
import { webWebgpu } from "../../src/targets/web-webgpu.ts";
import { apply, environmentOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const vnni = { arch: "x64", vnni: true };
const platform = { ...nodePlatform, processor: vnni };

describe("the engine", () => {
  test.each([
    [undefined, "node", "node-cpu", true],
    ["node-cpu", "node", "node-cpu", true],
    ["web-wasm", "web", "web-wasm", true],
    ["web-webgpu", "web", "web-webgpu", false],
    ["arm", "node", "arm", false],
    ["node-cpu-no-vnni", "node", "node-cpu-no-vnni", false],
  ] as const)("on %s is %s's; %s is timed: %s", async (on, engine, id, isTimed) => {
    const { runtime, target } = await engineOf({ on }, platform);
    expect([runtime.name, target.id]).toEqual([engine, id]);
    expect(isOfTarget({ runtime, target, platform })).toBe(isTimed);
  });

  test("that is not the target's is refused", async () => {
    const asked = engineOf({ on: "web-wasm", runtime: "node" }, platform);
    await expect(asked).rejects.toMatchObject({ code: "bad-option", where: "--on web-wasm" });
  });
});

const normal = (size: number) => Float32Array.from({ length: size }, (_, i) => Math.sin(i));
/** Both layers of 16 channels: a depthwise convolution and a pointwise one. */
const separable = layerModel([1, 16, 8, 8], (g, x) => {
  const pads = [1, 1, 1, 1];
  const y = g.Conv(x, g.constant(normal(144), { shape: [16, 1, 3, 3] }), null, { group: 16, pads });
  return g.Conv(y, g.constant(normal(256), { shape: [16, 16, 1, 1] }));
});
const product = (rows: number) =>
  layerModel([rows, 64], (g, x) => g.MatMul(x, g.constant(normal(2048), { shape: [64, 32] })));

const on = (target: TargetDevice, shape: readonly number[] = [1, 16, 8, 8]) => {
  const x = tensor("float32", shape, normal(shape.reduce((a, b) => a * b)));
  return environmentOf(nets[0], { calibration: tensorDataset({ x }), feeds: { x }, target });
};

describe("warnings", () => {
  test("name what is slow, the layers and the source", async () => {
    const { model } = await apply(separable, "quantize-int8", {}, on(nodeCpu));
    expect(targetWarnings(model, webWasm, 1000)).toEqual([
      expect.stringMatching(
        /^on web-wasm static int8 \(QDQ\) \(depthwise convolution\) runs at 0\.\d+ of the speed of float32: layer1 \(measured: npm run bench:targets\)$/,
      ),
      expect.stringMatching(/\(convolution 1x1\).*: layer2 /),
    ]);
    const onGpu = targetWarnings(model, webWebgpu, 1000);
    expect(onGpu.map((text) => /no kernel on the GPU.*published: https:/.test(text))).toEqual([
      true,
      true,
    ]);
    expect(targetWarnings(separable, webWebgpu, 1000)).toEqual([]);
  });

  test("depend on the rows of a product", async () => {
    const options = { bits: 4, block: 32, kernel: "integer" };
    for (const [rows, text] of [
      [1, "matrix product, 1 row"],
      [32, "matrix product, 128 rows"],
    ] as const) {
      const { model } = await apply(product(rows), "quantize-weights", options, on(nodeCpu));
      expect(targetWarnings(model, webWasm, 0)[0]).toContain(
        `4-bit weights in MatMulNBits (${text})`,
      );
      expect(targetWarnings(model, nodeCpu, 0)).toEqual([]);
    }
  });

  test("see through what moves integers", async () => {
    const flat = layerModel([1, 4, 4, 4], (g, x) => {
      const maps = g.MaxPool(x, { kernel_shape: [2, 2], strides: [2, 2] });
      const weight = g.constant(normal(512), { shape: [16, 32] });
      return g.Gemm(g.Reshape(maps, g.ints([1, 16])), weight);
    });
    const { model } = await apply(flat, "quantize-int8", {}, on(nodeCpu, [1, 4, 4, 4]));
    expect(targetWarnings(model, webWasm, 0)).toEqual([
      expect.stringContaining("static int8 (QDQ) (matrix product, 1 row)"),
    ]);
  });

  test("name limits that the file exceeds, and none that it meets", () => {
    const mebi = 2 ** 20;
    expect(targetWarnings(separable, webWasm, 25 * mebi)).toEqual([]);
    expect(targetWarnings(separable, webWasm, 26 * mebi)).toEqual([
      expect.stringMatching(/^on web-wasm 26 MiB are more than a file of a static host .* 25 MiB/),
    ]);
    expect(targetWarnings(separable, nodeCpu, 26 * mebi)).toEqual([]);
  });

  test("say of models from elsewhere where int8 sums may saturate", async () => {
    const env = on(nodeCpu);
    const eight = await apply(separable, "quantize-int8", { reduceRange: "false" }, env);
    const seven = await apply(separable, "quantize-int8", { reduceRange: "true" }, env);
    const saturating = (model: typeof separable, target: TargetDevice) =>
      foreignWarnings(model, target, 0).filter((text) => text.includes("saturate"));
    expect(saturating(eight.model, nodeCpuNoVnni)).toEqual([
      expect.stringMatching(/weights of 8 bits: layer\d, layer\d \(published: https/),
    ]);
    expect(saturating(seven.model, nodeCpuNoVnni)).toEqual([]);
    expect(saturating(eight.model, nodeCpu)).toEqual([]);
  });
});

describe("methods ask the table", () => {
  test("quantize-int8: 7-bit weights where sums saturate on calibration records", async () => {
    const full = layerModel([1, 2], (g, x) => g.MatMul(x, g.constant([1, 1], { shape: [2, 1] })));
    const x = tensor("float32", [1, 2], [1, 1]); // 255 * 127 * 2 is beyond 16 bits
    const env = environmentOf(nets[0], { calibration: tensorDataset({ x }), feeds: { x } });
    const bits = async (target: TargetDevice, reduceRange = "target") => {
      const own = { calibrator: "minmax", scale: "minmax", reduceRange };
      const { model, warnings } = await apply(full, "quantize-int8", own, { ...env, target });
      const [{ weight }] = weightsIn(model);
      const levels = weight.form === null ? [] : Array.from(weight.theta.levels.values, Math.abs);
      return [Math.max(...levels), warnings.length];
    };
    expect(await bits(nodeCpu)).toEqual([127, 0]);
    expect(await bits(nodeCpuNoVnni)).toEqual([63, 1]);
    expect(await bits(nodeCpuNoVnni, "false")).toEqual([127, 1]);
  });

  test("quantize-dynamic: 7-bit weights where sums saturate", async () => {
    for (const [target, most] of [
      [nodeCpu, 127],
      [nodeCpuNoVnni, 63],
    ] as const) {
      const { model } = await apply(product(1), "quantize-dynamic", {}, on(target));
      const levels = [...model.graph.constants].find(({ tensor: t }) => t?.dtype === "int8");
      const values = Array.from(levels?.tensor?.numbers() ?? [], Math.abs);
      expect(Math.max(...values)).toBe(most);
    }
  });

  test("quantize-weights:kernel=auto: n-bit products where they are fast", async () => {
    for (const [target, op] of [
      [nodeCpu, "DequantizeLinear"],
      [webWasm, null],
    ] as const) {
      const options = { bits: 4, block: 32, kernel: "auto" };
      const { model, warnings } = await apply(product(1), "quantize-weights", options, on(target));
      const ops = [...model.graph.nodes].map((node) => node.op);
      expect(ops.includes("DequantizeLinear")).toBe(op !== null);
      expect(warnings).toEqual([]);
    }
  });

  test("store-float16:compute=auto: half precision where it is fast, and can be checked", async () => {
    const halves = async (target: TargetDevice, changes: object = {}) => {
      const env = { ...on(target, [1, 64]), ...changes };
      const options = { compute: "auto" };
      const { model, warnings } = await apply(product(1), "store-float16", options, env);
      const layer = [...model.graph.nodes].find(({ op }) => op === "MatMul");
      return [layer?.inputs[0]?.dtype, warnings.length];
    };
    expect(await halves(webWebgpu)).toEqual(["float16", 0]);
    expect(await halves(webWebgpu, { calibration: null })).toEqual(["float32", 1]);
    expect(await halves(webWasm)).toEqual(["float32", 0]);
  });

  test("the preset fast", () => {
    const recipe = (target: TargetDevice) =>
      formatRecipe(presetRecipe("fast", nets[1].model, true, target));
    expect(recipe(webWebgpu)).toBe("store-float16:compute=auto");
    expect(recipe(webWasm)).toBe(formatRecipe(presetRecipe("fast", nets[1].model, true)));
  });

  test("advice", () => {
    const env = { ...on(nodeCpu), feeds: { x: { shape: [1, 3, 32, 32] } } as never };
    const model = makeNet("resnet-20", 1);
    const recipes = (target: TargetDevice) =>
      adviceFor(factsOf(model, { ...env, target }), {
        ...{ goal: "speed", trains: false, symmetric: false },
      }).map(({ recipe }) => recipe);
    expect(recipes(nodeCpu)[0]).toBe("quantize-int8:kernel=auto");
    expect(recipes(webWebgpu)[0]).toBe("store-float16:compute=float16");
    expect(recipes(webWebgpu)).not.toContain("quantize-int8:kernel=auto");
  });
});
