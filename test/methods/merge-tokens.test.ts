/** @file Token merging against plain loops, and on tokens that are equal, where nothing may change. */
import { describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel, type Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { mergeTokens } from "../../src/layers/tokens.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { relativeError } from "../support/error.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(6);
const normal = (size: number, scale = 1) =>
  Float32Array.from({ length: size }, () => scale * random.normal());

const [N, D, HEADS] = [2, 8, 2];
const EACH = D / HEADS;

/** An encoder of two layers over T tokens, with attention, feed-forward and a mean of the tokens. */
function encoder(T: number, change: (g: Builder, scores: Value) => Value = (_, s) => s): Model {
  return layerModel(["N", T, D], (g, x) => {
    const weight = (rows: number, columns: number) =>
      g.constant(normal(rows * columns, rows ** -0.5), { shape: [rows, columns] });
    const norm = (v: Value) =>
      g.LayerNormalization(v, g.constant(normal(D)), g.constant(normal(D)), { axis: -1 });
    let y = x;
    for (let layer = 0; layer < 2; layer++) {
      const read = norm(y);
      const heads = (perm: number[]) =>
        g.Transpose(g.Reshape(g.MatMul(read, weight(D, D)), g.ints([-1, T, HEADS, EACH])), {
          perm,
        });
      const scores = g.MatMul(heads([0, 2, 1, 3]), heads([0, 2, 3, 1]));
      const p = g.Softmax(change(g, g.Mul(scores, g.constant(EACH ** -0.5))), { axis: -1 });
      const mixed = g.Transpose(g.MatMul(p, heads([0, 2, 1, 3])), { perm: [0, 2, 1, 3] });
      y = g.Add(y, g.MatMul(g.Reshape(mixed, g.ints([-1, T, D])), weight(D, D)));
      y = g.Add(y, g.MatMul(g.Relu(g.MatMul(norm(y), weight(D, 2 * D))), weight(2 * D, D)));
    }
    return g.MatMul(g.ReduceMean(y, g.ints([1], "axes"), { keepdims: 0 }), weight(D, 3));
  });
}

const env = environmentOf(nets[0]);

test("one merge is the paper's, written out", async () => {
  const [T, r] = [7, 2];
  const [y, keys] = [normal(N * T * D), normal(N * HEADS * EACH * T)];
  const sizes = Float32Array.from({ length: N * T }, () => 1 + random.int(3));
  const graph = new Graph("merge");
  const value = graph.addInput("y", "float32", ["N", T, D]);
  const given = {
    keys: graph.addInput("keys", "float32", ["N", HEADS, EACH, T]),
    sizes: graph.addInput("sizes", "float32", ["N", T, 1]),
  };
  const merged = mergeTokens(
    value,
    { keys: given.keys, features: D },
    { sizes: given.sizes, tokens: T, r },
  );
  merged.tokens.name = "tokens";
  merged.sizes.name = "left";
  graph.setOutputs([merged.tokens, merged.sizes]);
  build(graph);
  const outputs = await outputsOf(concat(writeModel(createModel(graph, 21))), {
    y: tensor("float32", [N, T, D], y),
    keys: tensor("float32", [N, HEADS, EACH, T], keys),
    sizes: tensor("float32", [N, T, 1], sizes),
  });
  for (let n = 0; n < N; n++) {
    const key = (t: number) =>
      Array.from({ length: EACH }, (_, d) => {
        let sum = 0;
        for (let h = 0; h < HEADS; h++) sum += keys[((n * HEADS + h) * EACH + d) * T + t];
        return sum;
      });
    const cosine = (s: number, t: number) => {
      const [a, b] = [key(s), key(t)];
      const dot = (p: number[], q: number[]) => p.reduce((sum, v, i) => sum + v * q[i], 0);
      return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
    };
    const odd = [1, 3, 5];
    const proposals = [2, 4, 6].map((from) => {
      const to = odd.reduce((best, t) => (cosine(from, t) > cosine(from, best) ? t : best), odd[0]);
      return { from, to, likeness: cosine(from, to) };
    });
    const made = proposals.sort((a, b) => b.likeness - a.likeness).slice(0, r);
    const kept = [0, 2, 4, 6].filter((t) => !made.some(({ from }) => from === t));
    const expected = [...kept, ...odd].map((t) => {
      const all = [t, ...made.filter(({ to }) => to === t).map(({ from }) => from)];
      const size = all.reduce((sum, s) => sum + sizes[n * T + s], 0);
      const mean = Array.from({ length: D }, (_, d) => {
        return all.reduce((sum, s) => sum + sizes[n * T + s] * y[(n * T + s) * D + d], 0) / size;
      });
      return { size, mean };
    });
    for (const [t, { size, mean }] of expected.entries()) {
      expect(outputs.left.floats()[n * (T - r) + t]).toBe(size);
      for (const [d, x] of mean.entries()) {
        expect(outputs.tokens.floats()[(n * (T - r) + t) * D + d]).toBeCloseTo(x, 5);
      }
    }
  }
});

describe("an encoder", () => {
  /** Tokens 4 k to 4 k + 3 are equal. */
  const alike = (T: number) => {
    const x = normal(N * T * D);
    for (let t = 0; t < N * T; t++) x.copyWithin(t * D, (t - (t % 4)) * D, (t - (t % 4) + 1) * D);
    return { x: tensor("float32", [N, T, D], x) };
  };

  test("gives the same where the merged tokens were equal, if they count by size", async () => {
    const T = 16;
    const model = encoder(T);
    const feeds = alike(T);
    const before = await outputsOf(concat(writeModel(model)), feeds);
    // Two merges in each layer: some of four equal tokens stand at even and some at odd places.
    const ratio = 2 / T;
    const { bytes, warnings } = await apply(model, "merge-tokens", { ratio }, env);
    expect(warnings).toEqual(["tokens by layer: 16, 14, 12"]);
    expect(relativeError(before, await outputsOf(bytes, feeds))).toBeLessThan(1e-5);
    const plain = await apply(model, "merge-tokens", { ratio, weigh: false }, env);
    expect(relativeError(before, await outputsOf(plain.bytes, feeds))).toBeGreaterThan(1e-3);
  });

  test("stays as it is where a mask or a bias tells tokens apart", async () => {
    const masked = encoder(16, (g, s) =>
      g.Add(s, g.constant(normal(16 * 16), { shape: [16, 16] })),
    );
    const { skipped } = await apply(masked, "merge-tokens", {}, env);
    expect(skipped[0].reason).toMatch(/counts on 16 tokens/);
  });
});
