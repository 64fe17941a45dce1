/** @file A preprocessing with which a model scores is found among the usual ones, and named. */
import sharp from "sharp";
import { expect, test } from "vitest";
import { openData } from "../../src/data/open.ts";
import type { DataOptions } from "../../src/data/options.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { betterPreprocessing } from "../../src/recipe/preprocessing.ts";
import type { Session } from "../../src/runtime/runtime.ts";
import { folder, port } from "../data/folder.ts";

async function png(r: number, g: number, b: number): Promise<Uint8Array> {
  const create = { width: 2, height: 2, channels: 3 as const, background: { r, g, b } };
  return new Uint8Array(await sharp({ create }).png().toBuffer());
}

const inputs = [port(["N", 3, 2, 2])];
/** Two classes by the sign of a channel, for a picture each of both. */
const signOf = (channel: number): Pick<Session, "inputs" | "run"> => ({
  inputs,
  async run({ x }) {
    const values = x.floats();
    const size = x.shape[0];
    const scores = Array.from({ length: size }, (_, i) => {
      const value = values[12 * i + 4 * channel];
      return [-value, value];
    });
    return { y: tensor("float32", [size, 2], scores.flat()) };
  },
});

test.each<[string, number, string]>([
  // Of dark and light reds both are positive unless a mean is subtracted.
  ["a normalization", 0, "50.00 % as given, 100.00 % with --scale 255 --mean 0.5 --std 0.5 "],
  ["and the order of channels", 2, "0.5 --std 0.5 --bgr (on"],
])("%s", async (_, channel, expected) => {
  const root = folder({ "a/1.png": await png(20, 200, 200), "b/1.png": await png(230, 200, 200) });
  const open = (options: DataOptions) => openData(`images:${root}`, inputs, options, nodePlatform);
  const found = await betterPreprocessing(signOf(channel), open, 2, null);
  expect(found).toContain(expected);
});

test("none is named where none helps", async () => {
  const root = folder({ "a/1.png": await png(9, 9, 9), "b/1.png": await png(9, 9, 9) });
  const open = (options: DataOptions) => openData(`images:${root}`, inputs, options, nodePlatform);
  expect(await betterPreprocessing(signOf(0), open, 2, null)).toBe(null);
});
