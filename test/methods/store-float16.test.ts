/** @file Half-precision storage refuses weights that 16 bits cannot hold, with the reason. */
import { expect, test } from "vitest";
import { tensor } from "../../src/ir/tensor.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const env = environmentOf(nets[0]);

/** One layer whose weights are 0.5 but for the first. */
async function stored(first: number, dtype: "float16" | "bfloat16", scale = 1) {
  const values = new Float32Array(256).fill(0.5 * scale);
  values[0] = first;
  const model = layerModel(["N", 16], (g, x) =>
    g.MatMul(x, g.constant(values, { shape: [16, 16] })),
  );
  const { skipped, model: result } = await apply(model, "store-float16", { dtype }, env);
  return { reason: skipped[0]?.reason ?? null, values: weightsIn(result)[0].weight.values };
}

test.each([
  ["float16", 65504, null],
  ["float16", 65519.996, null], // rounds to 65504
  ["float16", 65520, /beyond 65504, float16's largest/],
  ["float16", -1e9, /beyond 65504/],
  ["float16", Number.NaN, /NaN/],
  ["float16", Number.POSITIVE_INFINITY, /infinit/],
  ["bfloat16", 3.3895313892515355e38, null],
  ["bfloat16", 3.4028234663852886e38, /beyond 3.3895e\+38, bfloat16's largest/],
] as const)("%s: a weight of %s", async (dtype, first, reason) => {
  const { reason: found, values } = await stored(first, dtype);
  if (reason) expect(found).toMatch(reason);
  else {
    expect(found).toBeNull();
    expect(values[0] / first).toBeCloseTo(1, 2);
    expect(values.every(Number.isFinite)).toBe(true);
  }
});

test.each([
  // Halves end at 2^-24 = 6e-8: 5e-10 would become 0, 5e-6 keeps 7 bits, 5e-4 all of them.
  [1e-9, "float16", /too small for float16/],
  [1e-9, "bfloat16", null],
  [1e-3, "float16", null],
] as const)("weights of %s / 2 as %s", async (scale, dtype, reason) => {
  const { reason: found, values } = await stored(scale, dtype, scale);
  if (reason) expect(found).toMatch(reason);
  else expect(found).toBeNull();
  for (const w of values.subarray(1)) expect(w / (0.5 * scale)).toBeCloseTo(1, 2);
});

test.each([
  // x = 250 and -250 in turn, W = [w, v]: w x0 + v x1.
  ["stays small", [1, -1], null],
  ["has large outputs", [200, 200], /gives .*, which reaches 1.00e\+5 on calibration records/],
  // The outputs are 0, but 200 * 250 alone and another one are 100000.
  ["cancels large terms", [200, -200], /sums up to 1.00e\+5 on calibration records/],
  ["has large weights", [7e4, 0], /its weights reach 7.00e\+4: float16 ends at 65504/],
] as const)("compute=float16: a layer that %s", async (_, weights, reason) => {
  const x = tensor("float32", [4, 2], [250, 250, -250, -250, 1, 1, 0, 0]);
  const model = layerModel(["N", 2], (g, input) =>
    g.Relu(g.MatMul(input, g.constant([...weights], { shape: [2, 1] }))),
  );
  const own = environmentOf(nets[0], { calibration: tensorDataset({ x }), feeds: { x } });
  const { model: result, skipped } = await apply(
    model,
    "store-float16",
    { compute: "float16" },
    own,
  );
  const layer = [...result.graph.nodes].find(({ op }) => op === "MatMul");
  expect(layer?.inputs[1]?.tensor?.dtype).toBe(reason ? "float32" : "float16");
  const told = skipped.filter(({ reason: why }) => why.startsWith("computes in float32"));
  expect(told.length).toBe(reason ? 1 : 0);
  if (reason) expect(told[0].reason).toMatch(reason);
});

test("compute=float16: inputs that overflow are named, others give float16's figures", async () => {
  const x = tensor("float32", [2, 2], [0.1, 0.2, 0.3, -0.4]);
  const model = layerModel(["N", 2], (g, input) => {
    const y = g.Gemm(input, g.constant([1 / 3, 1, 1, 1], { shape: [2, 2] }), g.constant([0.1, 0]));
    const far = g.Mul(y, g.constant(1e6));
    return g.Add(y, g.MatMul(far, g.constant([1e-9, 0, 0, 1e-9], { shape: [2, 2] })));
  });
  const own = environmentOf(nets[0], { calibration: tensorDataset({ x }), feeds: { x } });
  const done = await apply(model, "store-float16", { compute: "float16" }, own);
  const [{ node, reason }] = done.skipped;
  expect([node, reason]).toEqual([
    "layer3",
    expect.stringMatching(/reads \S+, which reaches 3.33e\+5/),
  ]);
  const { y } = await outputsOf(done.bytes, { x });
  // Rounded to float16: 0.1 -> 0.09998, 1/3 -> 0.33325, 0.2 -> 0.19995; the result to 2^-11 of it.
  const half = 0.0999755859375 * 0.333251953125 + 0.199951171875 + 0.0999755859375;
  // And a thousandth of it by the second layer, in float32.
  expect(Math.abs(y.floats()[0] - 1.001 * half)).toBeLessThan(half * 2 ** -11);
});
