/** @file Activations that methods open for training: values, gradients and what they close into. */
import { describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import type { MethodId } from "../../src/methods/index.ts";
import { halfNormalLevels, halfNormalStep } from "../../src/numeric/half-normal.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import { inferNode } from "../../src/ops/infer.ts";
import type { Latent } from "../../src/weights/latent.ts";
import { differentiate, hooksOf, rows, size, slopes } from "./latents.ts";

const random = createRandom(11);
const drawn = Float32Array.from({ length: 64 * rows }, () => 1.7 * random.normal());
const positive = drawn.map((x) => Math.max(0, x));
const x = Float32Array.from({ length: size }, () => 3 * random.normal());

/** The latent of what the layer reads, which is opened after its weight. */
async function activationOf(
  id: MethodId,
  given: Readonly<Record<string, unknown>>,
  inputs = positive,
): Promise<Latent> {
  return (await hooksOf(id, given, inputs)).latents![1].latent;
}

/** What the nodes give that the latent closes into. */
function closed(latent: Latent, thetas: Readonly<Record<string, Float32Array>>): Float32Array {
  const graph = new Graph("closed");
  const value = graph.addInput("x", "float32", [size]);
  const close = latent.close(thetas, value) as (g: Builder, x: Value) => Value;
  const y = close(build(graph, "", inferNode), value);
  y.name = "y";
  graph.setOutputs([y]);
  return evaluateGraph(graph, { x: tensor("float32", [size], x) }).y.floats();
}

describe("quantize-pact: y = clip(x, 0, alpha) on its grid, dy/dalpha = 1(x >= alpha)", () => {
  test("behind a Relu (equations 1 to 3), with weight decay", async () => {
    const given = { ends: 3, decay: 0.5 };
    const latent = await activationOf("quantize-pact", given);
    const alpha = 2.1;
    const thetas = { alpha: Float32Array.of(alpha) };
    const { w, gradients } = differentiate(latent, { ...thetas, x }, slopes);
    let expected = 0.5 * alpha;
    for (let i = 0; i < size; i++) {
      const clipped = Math.min(alpha, Math.max(0, x[i]));
      expect(w[i]).toBeCloseTo((Math.round((clipped * 7) / alpha) * alpha) / 7, 5);
      expect(gradients.x[i]).toBeCloseTo(x[i] > 0 && x[i] < alpha ? slopes[i] : 0, 5);
      if (x[i] >= alpha) expected += slopes[i];
    }
    expect(gradients.alpha[0]).toBeCloseTo(expected, 4);
    expect([...closed(latent, thetas)]).toEqual([...w]);
  });

  test("between -alpha and alpha where values may be negative", async () => {
    const latent = await activationOf("quantize-pact", { ends: 3, decay: 0 }, drawn);
    const alpha = 2.1;
    const thetas = { alpha: Float32Array.of(alpha) };
    const { w, gradients } = differentiate(latent, { ...thetas, x }, slopes);
    let expected = 0;
    for (let i = 0; i < size; i++) {
      const clipped = Math.min(alpha, Math.max(-alpha, x[i]));
      expect(w[i]).toBeCloseTo((Math.round((clipped * 3) / alpha) * alpha) / 3, 5);
      if (Math.abs(x[i]) >= alpha) expected += Math.sign(x[i]) * slopes[i];
    }
    expect(gradients.alpha[0]).toBeCloseTo(expected, 4);
    expect([...closed(latent, thetas)]).toEqual([...w]);
  });

  test("alpha starts inside the values, not at their greatest", async () => {
    const latent = await activationOf("quantize-pact", { ends: 2 });
    const start = latent.theta.alpha.start[0];
    expect(start).toBeGreaterThan(1);
    expect(start).toBeLessThan(0.8 * Math.max(...positive));
  });
});

describe("levels for half of a normal distribution: Max 1960, tables I and II, N odd", () => {
  test.each([
    [1, [0, 1.224]],
    [2, [0, 0.7646, 1.724]],
    [3, [0, 0.5606, 1.188, 2.033]],
  ])("%i at the best distances", (count, expected) => {
    const found = halfNormalLevels(count);
    expect(found).toHaveLength(expected.length);
    for (const [i, level] of expected.entries()) expect(found[i]).toBeCloseTo(level, 2);
  });

  test.each([
    [1, 1.224],
    [3, 0.6508],
    [7, 0.3534],
    [15, 0.1908],
  ])("%i at even distances", (count, expected) => {
    expect(Math.abs(halfNormalStep(count) - expected)).toBeLessThan(0.004);
  });
});

describe.each(["uniform", "lloyd"])("quantize-hwgq, %s levels", (levels) => {
  test.each([1, 2, 3])(
    "%i bits: the nearest level, dy/dx = 1 from 0 to the greatest",
    async (bits) => {
      const given = { ends: 1, activations: bits, levels };
      const latent = await activationOf("quantize-hwgq", given);
      const seen = positive.filter((at) => at > 0);
      const sigma = Math.sqrt(seen.reduce((sum, at) => sum + at * at, 0) / seen.length);
      const count = 2 ** bits - 1;
      const unit =
        levels === "lloyd"
          ? [...halfNormalLevels(count)]
          : Array.from({ length: count + 1 }, (_, i) => i * halfNormalStep(count));
      const all = unit.map((level) => level * sigma);
      const { w, gradients } = differentiate(latent, { x }, slopes);
      for (let i = 0; i < size; i++) {
        const nearest = all.reduce((a, b) => (Math.abs(b - x[i]) < Math.abs(a - x[i]) ? b : a));
        expect(w[i]).toBeCloseTo(nearest, 4);
        const isInside = x[i] > 0 && x[i] < all[count];
        expect(gradients.x[i]).toBeCloseTo(isInside ? slopes[i] : 0, 5);
      }
      expect([...closed(latent, {})]).toEqual([...w]);
    },
  );
});

test("quantize-hwgq: what may be negative stays float", async () => {
  const { latents } = await hooksOf("quantize-hwgq", { ends: 1 }, drawn);
  expect(latents).toHaveLength(1);
});
