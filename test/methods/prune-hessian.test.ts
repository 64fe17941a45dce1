/** @file Pruning by Hessians against brute force, least squares and hand-made cases. */
import { describe, expect, test } from "vitest";
import type { Context } from "../../src/context.ts";
import { momentsOf } from "../../src/evidence/moments.ts";
import type { Value } from "../../src/ir/graph.ts";
import { cloneModel } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { rowsOf } from "../../src/layers/rows.ts";
import { sweep } from "../../src/methods/pruning/prune-sparsegpt.ts";
import { solveSpd } from "../../src/numeric/cholesky.ts";
import { eliminate } from "../../src/numeric/eliminate.ts";
import { damped, inverse, inverseFactor } from "../../src/numeric/inverse.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { build } from "../../src/ops/builder.ts";
import { createObserve } from "../../src/recipe/observe.ts";
import { layersOf } from "../../src/weights/sites.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(11);
const normal = (length: number): Float64Array =>
  Float64Array.from({ length }, () => random.normal());

/** X^T X of `samples` rows whose columns hang together. */
function gramOf(n: number, samples: number): { x: Float64Array; h: Float64Array } {
  const x = normal(samples * n);
  for (let s = 0; s < samples; s++) {
    for (let j = 1; j < n; j++) x[s * n + j] += 0.8 * x[s * n + j - 1];
  }
  const h = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      for (let s = 0; s < samples; s++) h[i * n + j] += x[s * n + i] * x[s * n + j];
    }
  }
  return { x, h };
}

/** The least 0.5 |X (v - w)|^2 over v that are zero outside `kept`: normal equations of the rest. */
function refit(w: Float64Array, h: Float64Array, kept: readonly number[]): Float64Array {
  const n = w.length;
  const a = Float64Array.from(kept.flatMap((i) => kept.map((j) => h[i * n + j])));
  const b = kept.map((i) => w.reduce((sum, wj, j) => sum + h[i * n + j] * wj, 0));
  const solved = solveSpd(a, kept.length, b);
  const v = new Float64Array(n);
  for (const [k, i] of kept.entries()) v[i] = solved[k];
  return v;
}

function cost(w: Float64Array, v: Float64Array, h: Float64Array): number {
  const d = v.map((x, i) => x - w[i]);
  return d.reduce(
    (sum, x, i) => sum + d.reduce((s, y, j) => s + 0.5 * x * y * h[i * d.length + j], 0),
    0,
  );
}

const close = (a: Float64Array, b: Float64Array): void => {
  for (const [i, x] of a.entries()) expect(Math.abs(x - b[i])).toBeLessThan(1e-8);
};

describe("optimal brain surgeon", () => {
  const n = 9;
  const { h } = gramOf(n, 40);
  const all = Array.from({ length: n }, (_, i) => i);

  test("each removal is the one that refitting all others finds cheapest", () => {
    for (let trial = 0; trial < 5; trial++) {
      const w = normal(n);
      const left = w.slice();
      let kept = all;
      for (let count = 1; count < n; count++) {
        const pruned = w.slice();
        const { order } = eliminate(pruned, inverse(h, n), { count });
        // Brute force: take each of the rest away in turn, refit, compare.
        const tries = kept.map((p) => {
          const rest = kept.filter((i) => i !== p);
          const v = refit(left, h, rest);
          return { p, rest, v, added: cost(left, v, h) };
        });
        const best = tries.reduce((a, b) => (b.added < a.added ? b : a));
        expect(order[count - 1]).toBe(best.p);
        close(pruned, best.v);
        left.set(best.v);
        kept = best.rest;
      }
    }
  });

  test("its costs add up to the error, and the result is the least-squares fit of what is left", () => {
    const w = normal(n);
    const pruned = w.slice();
    const { order, costs } = eliminate(pruned, inverse(h, n), { count: 5 });
    expect(Math.abs(costs.reduce((a, b) => a + b) / cost(w, pruned, h) - 1)).toBeLessThan(1e-9);
    close(
      pruned,
      refit(
        w,
        h,
        all.filter((i) => !order.includes(i)),
      ),
    );
  });

  test("zeros stay zero, n of every m stay", () => {
    const w = normal(12);
    [w[0], w[5]] = [0, 0];
    const { h: wide } = gramOf(12, 40);
    const pruned = w.slice();
    eliminate(pruned, inverse(wide, 12), { pattern: [2, 4] });
    expect([pruned[0], pruned[5]]).toEqual([0, 0]);
    for (const start of [0, 4, 8]) {
      expect(pruned.slice(start, start + 4).filter((x) => x !== 0).length).toBe(2);
    }
  });
});

describe("SparseGPT", () => {
  test("the factor is the inverse's", () => {
    const { h } = gramOf(7, 30);
    const [u, g] = [inverseFactor(h, 7), inverse(h, 7)];
    for (let i = 0; i < 7; i++) {
      for (let j = 0; j < 7; j++) {
        let [product, unit] = [0, 0];
        for (let k = 0; k < 7; k++) {
          product += u[k * 7 + i] * u[k * 7 + j];
          unit += g[i * 7 + k] * h[k * 7 + j];
        }
        expect(Math.abs(product - g[i * 7 + j])).toBeLessThan(1e-10);
        expect(Math.abs(unit - (i === j ? 1 : 0))).toBeLessThan(1e-10);
        if (j < i) expect(u[i * 7 + j]).toBe(0);
      }
    }
  });

  test("pruning the first column is the surgeon's update", () => {
    const n = 8;
    const { h } = gramOf(n, 40);
    const w = normal(n);
    w[0] = 0.01; // the cheapest of its block, a block of one column
    const [swept, fitted] = [w.slice(), refit(w, h, [1, 2, 3, 4, 5, 6, 7])];
    // Blocks of 8 columns, one weight of 8.
    sweep(
      { weight: swept, rows: 1, columns: n, hessian: h },
      { sparsity: 1 / n, pattern: "", block: n },
    );
    expect(swept[0]).toBe(0);
    close(swept, fitted);
  });

  test("each row's later columns are refitted to the zeros before them", () => {
    const n = 6;
    const { h } = gramOf(n, 40);
    const w = normal(n);
    w[0] = 0.01;
    w[1] = 0.02;
    const swept = w.slice();
    sweep(
      { weight: swept, rows: 1, columns: n, hessian: h },
      { sparsity: 2 / n, pattern: "", block: n },
    );
    expect([swept[0], swept[1]]).toEqual([0, 0]);
    close(swept, refit(w, h, [2, 3, 4, 5]));
  });
});

test("SparseGPT prunes the least w_j^2 / [H_F^-1]_jj over the columns F from j on (algorithm 1)", () => {
  const n = 7;
  const { h } = gramOf(n, 40);
  // Columns of different size: the divisor decides, and not w^2 alone.
  const scale = [1, 5, 0.2, 2, 0.5, 4, 1];
  const scaled = h.map((v, at) => v * scale[Math.floor(at / n)] * scale[at % n]);
  const w = Float64Array.from([1, 0.3, 4, 0.4, 1.1, 0.26, 1.1], (v, j) => v * (j % 2 ? -1 : 1));
  const scores = Array.from(w, (v, j) => {
    const size = n - j;
    const rest = Float64Array.from({ length: size * size }, (_, at) => {
      const [a, b] = [j + Math.floor(at / size), j + (at % size)];
      return scaled[a * n + b];
    });
    return v ** 2 / inverse(rest, size)[0];
  });
  const order = [...scores.keys()].sort((a, b) => scores[a] - scores[b]);
  expect(order).not.toEqual([...w.keys()].sort((a, b) => Math.abs(w[a]) - Math.abs(w[b])));
  for (let count = 1; count < n; count++) {
    const swept = w.slice();
    sweep(
      { weight: swept, rows: 1, columns: n, hessian: scaled },
      { sparsity: count / n, pattern: "", block: n },
    );
    const gone = [...swept.keys()].filter((j) => swept[j] === 0);
    expect(gone).toEqual(order.slice(0, count).sort((a, b) => a - b));
  }
});

test("optimal brain surgeon: a removal costs what those before it in its row cost, at least", async () => {
  // Columns of 16 records: inputs 2 and 3 depend on nothing, and input 1 is 0.9 of input 0.
  const rho = 0.9;
  const signs = Array.from({ length: 16 }, (_, r) =>
    [0, 1, 2, 3].map((b) => ((r >> b) & 1) * 2 - 1),
  );
  const rows = signs.map(([a, b, c, d]) => [a, rho * a + Math.sqrt(1 - rho ** 2) * b, c, d]);
  const x = tensor("float32", [16, 4], rows.flat());
  // Alone each weight of the pair 1, -1 costs (1 - 0.81) / 2 = 0.095, and then the other, which is
  // -0.1, costs 0.005. The cheapest single removal is that of 0.3, which costs 0.045.
  const w = [1, -1, 2, 2, 3, 3, 0.3, 2, ...new Float32Array(56).fill(4)];
  const model = layerModel(["N", 4], (g, value) =>
    g.Gemm(value, g.constant(w, { shape: [16, 4] }), null, { transB: 1 }),
  );
  const env = environmentOf(nets[0], { calibration: tensorDataset({ x }), feeds: { x } });
  const options = { sparsity: 1 / 64, damping: 1e-6, block: 0 };
  const { model: pruned } = await apply(model, "prune-obs", options, env);
  const { values } = weightsIn(pruned)[0].weight;
  for (const [i, v] of values.entries()) expect(v).toBeCloseTo(i === 6 ? 0 : w[i], 4);
  expect(values[6]).toBe(0);
});

test("optimal brain damage prunes the least h w^2 / 2, h = (dy / dw)^2", async () => {
  // y = tanh(x A) B with one output, and one record: dy / dA_ik = B_k (1 - tanh^2) x_i.
  const n = 8;
  const [A, B, row] = [n * n, n, n].map((size) => Float32Array.from(normal(size)));
  const model = layerModel(["N", n], (g, x) =>
    g.MatMul(
      g.Tanh(g.MatMul(x, g.constant(A, { shape: [n, n] }))),
      g.constant(B, { shape: [n, 1] }),
    ),
  );
  const scores = Array.from(A, (w, at) => {
    const [i, k] = [Math.floor(at / n), at % n];
    const y = Math.tanh(row.reduce((sum, v, j) => sum + v * A[j * n + k], 0));
    return ((B[k] * (1 - y ** 2) * row[i]) ** 2 * w ** 2) / 2;
  });
  const order = [...scores.keys()].sort((a, b) => scores[a] - scores[b]);
  const x = tensor("float32", [4, n], [...row, ...row, ...row, ...row]);
  const env = environmentOf(nets[0], { training: tensorDataset({ x }), feeds: { x } });
  for (const count of [8, 32, 56]) {
    const options = { sparsity: count / 64, records: 4 };
    const { model: pruned } = await apply(model, "prune-obd", options, env);
    const { values } = weightsIn(pruned)[0].weight;
    const gone = [...values.keys()].filter((at) => values[at] === 0);
    expect(gone).toEqual(order.slice(0, count).sort((a, b) => a - b));
  }
});

describe("moments", () => {
  const contextOf = (env: ReturnType<typeof environmentOf>): Context =>
    ({ observe: createObserve(env, () => {}, "test"), skip() {}, warn() {} }) as unknown as Context;

  /** tr(dW H dW^T) against the engine's own outputs with and without dW. */
  type Draw = (g: ReturnType<typeof build>, x: Value) => Value;
  const cases: [string, readonly (number | string)[], Draw][] = [];
  const draws = [
    (g: ReturnType<typeof build>, x: Value) =>
      g.Conv(x, g.constant(normal(8 * 4 * 9), { dtype: "float32", shape: [8, 4, 3, 3] }), null, {
        pads: [1, 0, 2, 1],
        strides: [2, 1],
        dilations: [1, 2],
      }),
    (g: ReturnType<typeof build>, x: Value) =>
      g.Conv(x, g.constant(normal(8 * 2 * 9), { dtype: "float32", shape: [8, 2, 3, 3] }), null, {
        group: 2,
        auto_pad: "SAME_UPPER",
      }),
    (g: ReturnType<typeof build>, x: Value) =>
      g.Conv(x, g.constant(normal(16 * 4), { dtype: "float32", shape: [16, 4, 1, 1] })),
    (g: ReturnType<typeof build>, x: Value) =>
      g.MatMul(x, g.constant(normal(9 * 12), { dtype: "float32", shape: [9, 12] })),
    (g: ReturnType<typeof build>, x: Value) =>
      g.MatMul(g.constant(normal(12 * 7), { dtype: "float32", shape: [12, 7] }), x),
  ] as const;
  cases.push(
    ["Conv", ["N", 4, 7, 9], draws[0]],
    ["grouped Conv", ["N", 4, 7, 9], draws[1]],
    ["1x1 Conv", ["N", 4, 7, 9], draws[2]],
    ["MatMul", ["N", 4, 7, 9], draws[3]],
    ["left MatMul", ["N", 4, 7, 9], draws[4]],
  );
  const gemms: readonly [string, object, readonly number[], number][] = [
    ["Gemm", {}, [9, 12], 1],
    ["Gemm transB", { transB: 1 }, [12, 9], 1],
  ];
  for (const [name, attributes, shape] of gemms) {
    cases.push([
      name,
      ["N", 9],
      (g, x) => g.Gemm(x, g.constant(normal(108), { dtype: "float32", shape }), null, attributes),
    ]);
  }

  test.each(cases)("%s: the squared output error is tr(dW H dW^T)", async (_, shape, draw) => {
    const model = layerModel(shape, draw as never);
    const dims = [6, ...shape.slice(1)] as number[];
    const x = tensor("float32", dims, Float32Array.from(normal(dims.reduce((a, b) => a * b))));
    const env = environmentOf(nets[0], { calibration: tensorDataset({ x }), feeds: { x } });
    const context = contextOf(env);
    const [site] = layersOf(model, { only: [], except: [] }, context, 1);
    const found = (await momentsOf(model, [site], "gram", 6, context)).get(site);
    const squares = (await momentsOf(model, [site], "squares", 6, context)).get(site);
    if (typeof found !== "object" || typeof squares !== "object") throw new Error(String(found));
    const rows = rowsOf(site);
    expect(rows).toBeTypeOf("object");
    const { rows: view, groups } = found;
    const change = Float32Array.from(normal(site.weight.values.length), (v) => 0.1 * v);
    let expected = 0;
    for (const [group, h] of groups.entries()) {
      const n = view.columns;
      for (let j = 0; j < n; j++) {
        expect(Math.abs(h[j * n + j] / squares.groups[group][j] - 1)).toBeLessThan(1e-4);
      }
      for (let row = 0; row < view.rows; row++) {
        for (let i = 0; i < n; i++) {
          for (let j = 0; j < n; j++) {
            const [a, b] = [view.at(group, row, i), view.at(group, row, j)];
            expected += 6 * change[a] * h[i * n + j] * change[b];
          }
        }
      }
    }
    const moved = cloneModel(model);
    const [{ use }] = weightsIn(moved);
    moved.graph.setConstant(
      use.value,
      tensor(
        "float32",
        site.weight.shape,
        site.weight.values.map((w, i) => w + change[i]),
      ),
    );
    const [before, after] = [model, moved].map((m) => outputsOf(concat(writeModel(m)), { x }));
    const [y, z] = [(await before).y.floats(), (await after).y.floats()];
    const error = y.reduce((sum, value, i) => sum + (z[i] - value) ** 2, 0);
    expect(Math.abs(error / expected - 1)).toBeLessThan(1e-3);
  });

  test("damping raises the diagonal by its mean", () => {
    expect([...damped(Float64Array.of(1, 2, 2, 5), 2, 0.1)]).toEqual([1.3, 2, 2, 5.3]);
  });
});

describe("exactly", () => {
  const rows = 6;
  const columns = 16;
  const W = Float32Array.from(normal(rows * columns));
  const model = layerModel(["N", columns], (g, x) =>
    g.Gemm(x, g.constant(W, { shape: [rows, columns] }), null, { transB: 1 }),
  );
  const x = tensor("float32", [40, columns], Float32Array.from(gramOf(columns, 40).x));
  const env = environmentOf(nets[0], { calibration: tensorDataset({ x }), feeds: { x } });
  const pruned = async (id: "prune-obs" | "prune-wanda" | "prune-magnitude", given: object) =>
    weightsIn((await apply(model, id, { ...given }, env)).model)[0].weight.values;

  test("Wanda keeps the largest |w| |x| of every row", async () => {
    const norms = Array.from({ length: columns }, (_, j) =>
      Math.sqrt(
        Array.from({ length: 40 }, (_, s) => x.floats()[s * columns + j] ** 2).reduce(
          (a, b) => a + b,
        ),
      ),
    );
    const values = await pruned("prune-wanda", { sparsity: 0.75, scope: "row" });
    for (let row = 0; row < rows; row++) {
      const score = (j: number): number => Math.abs(W[row * columns + j]) * norms[j];
      const best = Array.from({ length: columns }, (_, j) => j).sort((a, b) => score(b) - score(a));
      const kept = best.slice(0, 4).sort((a, b) => a - b);
      const found = Array.from({ length: columns }, (_, j) => j).filter(
        (j) => values[row * columns + j] !== 0,
      );
      expect(found).toEqual(kept);
    }
  });

  test.each(["prune-magnitude", "prune-wanda", "prune-obs"] as const)(
    "%s 1:4 leaves one of every four, whatever the sparsity",
    async (id) => {
      const values = await pruned(id, { pattern: "1:4", sparsity: 0 });
      for (let at = 0; at < values.length; at += 4) {
        expect(values.slice(at, at + 4).filter((w) => w !== 0).length).toBe(1);
      }
    },
  );

  test("the surgeon prunes the share it was told, by row and by layer", async () => {
    for (const [scope, block] of [
      ["row", 0],
      ["layer", 0],
      ["layer", 5],
    ] as const) {
      const values = await pruned("prune-obs", { sparsity: 0.5, scope, block });
      expect(values.filter((w) => w === 0).length).toBe((rows * columns) / 2);
    }
  });

  test("a pattern is written n:m", async () => {
    await expect(pruned("prune-magnitude", { pattern: "half" })).rejects.toMatchObject({
      code: "bad-option",
    });
  });
});
