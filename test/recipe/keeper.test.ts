/** @file A keeper: the original is measured again only where something that decides its figures changed. */
import { expect, test } from "vitest";
import { createTersor } from "../../src/api.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { createKeeper } from "../../src/recipe/keeper.ts";
import type { Settings } from "../../src/recipe/prepare.ts";
import { quickPlatform } from "../support/quick-platform.ts";
import { tinyModel } from "../support/tiny.ts";

const bytes = tinyModel({
  inputs: [{ name: "x", dims: ["N", 4] }],
  outputs: [{ name: "y", dims: ["N", 64] }],
  nodes: [{ op: "MatMul", inputs: ["x", "w"], outputs: ["y"] }],
  weights: [{ name: "w", dims: [4, 64], data: Float32Array.from({ length: 256 }, Math.sin) }],
});
const csv = (last: number) => new TextEncoder().encode(`1,2,3,4\n5,6,7,8\n2,1,0,${last}\n`);

test("measures the original once for the same model, records and settings", async () => {
  let data = csv(1);
  let measured = 0;
  const platform = {
    ...quickPlatform(),
    files: {
      ...nodePlatform.files,
      read: async () => data,
      exists: (path: string) => path === "d.csv",
      list: async () => null,
      stat: () => ({ byteLength: data.byteLength, modifiedMs: 1 }),
    },
    // Called once for the original and once for each product.
    gzipSize: async () => ++measured,
  };
  const tersor = createTersor(platform);
  const model = await tersor.load(bytes);
  const keeper = createKeeper();
  const heard: string[] = [];
  const run = async (recipe: string, settings: Settings) => {
    measured = 0;
    heard.length = 0;
    const onEvent = () => void heard.push(recipe);
    const { result, bytes } = await tersor.compress(model, {
      ...{ recipe, keeper, onEvent, timingSeconds: 0.001 },
      ...settings,
    });
    return { measured, bytes, loss: result.metric?.sqnr };
  };
  const fed = { data: { spec: "csv:d.csv", options: {} }, metric: "fidelity" };
  const first = await run("quantize-weights:bits=4", fed);
  expect(first.measured).toBe(2);
  const second = await run("quantize-weights:bits=4", fed);
  expect(second).toEqual({ ...first, measured: 1 });
  // The listener is that of the call, not of the one that measured.
  expect(heard.length).toBeGreaterThan(0);
  expect(await run("store-float16", { ...fed, seed: 2 })).toMatchObject({ measured: 2 });
  data = csv(2);
  expect(await run("store-float16", { ...fed, seed: 2 })).toMatchObject({ measured: 2 });
  await keeper.close();
});
