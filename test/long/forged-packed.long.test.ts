/** @file Damaged and forged .tersor files of many kinds of tensors: errors, no hang, no growth. */
import { expect, test } from "vitest";
import { createRandom } from "../../src/numeric/random.ts";
import { packModel } from "../../src/onnx/pack.ts";
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
const { bytes, tensors } = packModel(
  tinyModel({ inputs: [{ name: "x", dims: ["N", 24] }], outputs, nodes, weights }),
);

test("the file has coders of several kinds", () => {
  expect(new Set(tensors.map(({ coder }) => coder)).size).toBeGreaterThan(1);
});
test("flips", () => expectFlipsNoticed(bytes, 19));
test("cuts", () => expectCutsNoticed(bytes, 53));
test("forgeries", () => expectForgeriesBounded(bytes, 1000));
