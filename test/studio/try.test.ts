/** @file The page where models are asked about a picture: the brush, what is said, refusals. */
import { describe, expect, test } from "vitest";
import { tensor } from "../../src/node.ts";
import { dabbed, size } from "../../studio/src/parts/brush.ts";
import { whyNot } from "../../studio/src/parts/camera-refusal.ts";
import { saidBy } from "../../studio/src/predict.ts";

describe("the brush", () => {
  const empty = new Uint8Array(size * size);
  const at = (pixels: Uint8Array, x: number, y: number) => pixels[size * y + x];

  test("makes a soft dot where it is put, columns before rows", () => {
    const dot = dabbed(empty, 10.5, 3.5);
    expect(at(dot, 10, 3)).toBe(255);
    expect(Math.abs(at(dot, 11, 3) - 255 * 0.9)).toBeLessThanOrEqual(0.5);
    expect(at(dot, 12, 3)).toBe(0);
    expect(at(dot, 3, 10)).toBe(0);
    expect(empty.every((value) => value === 0)).toBe(true);
  });

  test("never darkens, and stays inside the picture", () => {
    const twice = dabbed(dabbed(empty, 5, 5), 5.6, 5);
    const once = dabbed(empty, 5, 5);
    expect(twice.every((value, i) => value >= once[i])).toBe(true);
    expect(dabbed(empty, 0, 28).filter((value) => value > 0).length).toBeLessThan(6);
  });
});

describe("what a model says", () => {
  const said = (shape: number[], values: number[]) =>
    saidBy({ y: tensor("float32", shape, Float32Array.from(values)) });

  test("is the softmax of scores, the most likely class first", () => {
    const top = said([1, 3], [0, Math.log(6), Math.log(3)])?.top;
    expect(top?.map(({ index }) => index)).toEqual([1, 2, 0]);
    expect(top?.map(({ share }) => share.toFixed(3))).toEqual(["0.600", "0.300", "0.100"]);
  });

  test("is the output itself where that is a distribution already", () => {
    expect(said([1, 2], [0.25, 0.75])?.top[0]).toEqual({ index: 1, share: 0.75 });
  });

  test("is nothing for a map of values or a single number", () => {
    expect(said([1, 2, 2], [1, 2, 3, 4])).toBeNull();
    expect(said([1, 1], [1])).toBeNull();
  });
});

test("without a camera a sentence says why, and what to do", () => {
  for (const name of [
    "NotAllowedError",
    "NotFoundError",
    "NotReadableError",
    "NotSupportedError",
  ]) {
    expect(whyNot(new DOMException("", name))).toMatch(/^[A-Z].*\. .*picture file instead\.$/);
  }
  expect(whyNot(new DOMException("", "NotFoundError"))).toContain("has no camera");
});
