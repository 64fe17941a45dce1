/** @file Half-precision storage refuses weights that 16 bits cannot hold, with the reason. */
import { expect, test } from "vitest";
import { apply, environmentOf } from "../support/apply.ts";
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
