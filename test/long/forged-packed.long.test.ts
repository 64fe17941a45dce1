/** @file Damaged and forged .tersor files of many kinds of tensors: errors, no hang, no growth. */
import { describe, expect, test } from "vitest";
import { unpack } from "../../src/load.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { packModel } from "../../src/onnx/pack.ts";
import { readBase } from "../../src/onnx/pack-base.ts";
import { expectCutsNoticed, expectFlipsNoticed, expectForgeriesBounded } from "../codec/forge.ts";
import { type TinyWeight, tinyModel } from "../support/tiny.ts";

const random = createRandom(11);
const draw = (length: number, of: (x: number) => number) =>
  Float32Array.from({ length }, () => of(random.normal()));
const kinds: Readonly<Record<string, Float32Array>> = {
  noise: draw(600, (x) => x / 10),
  "few values": draw(600, (x) => Math.round(x) / 4),
  "mostly zeros": draw(600, (x) => (Math.abs(x) < 1.6 ? 0 : x)),
  "on a grid": draw(600, (x) => Math.round(x * 40) / 64),
};

/** Every kind in one file, so that coders meet damage of all sorts. */
const weights = Object.values(kinds).map(
  (data, i): TinyWeight => ({ name: `w${i}`, dims: [24, 25], data }),
);
const nodes = weights.map(({ name }, i) => ({
  op: "MatMul",
  inputs: ["x", name],
  outputs: [`y${i}`],
}));
const outputs = nodes.map((node) => ({ name: node.outputs[0], dims: ["N", 25] }));
const modelOf = (weights: readonly TinyWeight[]) =>
  tinyModel({ inputs: [{ name: "x", dims: ["N", 24] }], outputs, nodes, weights });
const model = modelOf(weights);
const { bytes, tensors } = packModel(model);

/** The same against a base: every kind of difference. */
const base = modelOf(
  weights.map((weight, i) => ({
    ...weight,
    data: (weight.data as Float32Array).map((x, at) =>
      i === 0 ? x : i === 1 ? x + Math.sin(at / 25) * Math.cos(at % 25) : x + random.normal() / 99,
    ),
  })),
);
const deltas = await Promise.all(
  [false, true].map(async (exact) => {
    const read = await readBase(base, { where: "base", external: null });
    return packModel(model, { base: read, exact }).bytes;
  }),
);

/** From a stream of uneven pieces. */
const openStreamed = (file: Uint8Array) => {
  let at = 0;
  const pieces = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at >= file.length) return controller.close();
      const length = 1 + ((at * 7919) % 97);
      controller.enqueue(file.slice(at, at + length));
      at += length;
    },
  });
  return unpack(pieces, { base });
};

test("the file has coders of several kinds", () => {
  expect(new Set(tensors.map(({ coder }) => coder)).size).toBeGreaterThan(1);
});
test("flips", () => expectFlipsNoticed(bytes, 19));
test("cuts", () => expectCutsNoticed(bytes, 53));
test("forgeries", () => expectForgeriesBounded(bytes, 1000));

describe.each([
  ["a file", bytes],
  ["a delta", deltas[0]],
  ["an exact delta", deltas[1]],
])("streamed: %s", (_, file) => {
  test("flips", () => expectFlipsNoticed(file, 97, openStreamed));
  test("cuts", () => expectCutsNoticed(file, 211, openStreamed));
  test("forgeries", () => expectForgeriesBounded(file, 300, openStreamed, base.length));
});
