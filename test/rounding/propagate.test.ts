/** @file GPTQ's sweep against a reference that solves for the later columns anew at every column. */
import { describe, expect, test } from "vitest";
import { solveSpd } from "../../src/numeric/cholesky.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { blocksOf, type HessianLayer, rangeOf, weightOf } from "../../src/rounding/matrix.ts";
import { propagate } from "../../src/rounding/propagate.ts";
import { fitScale } from "../../src/rounding/scale.ts";

const random = createRandom(3);

/** X^T X of `samples` rows whose columns hang together and differ in size. */
function hessianOf(n: number, samples = 60): Float64Array {
  const h = new Float64Array(n * n);
  for (let s = 0; s < samples; s++) {
    const x = new Float64Array(n);
    for (let j = 0; j < n; j++) x[j] = (1 + (j % 3)) * (random.normal() + 0.7 * (x[j - 1] ?? 0));
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) h[i * n + j] += x[i] * x[j];
  }
  return h;
}

function layerOf(rows: number, columns: number, bits: number, block = 0): HessianLayer {
  return {
    weight: Float64Array.from({ length: rows * columns }, () => random.normal()),
    groups: 1,
    rows,
    columns,
    depth: columns,
    blocks: blocksOf(columns, columns, block),
    range: rangeOf(bits, true),
    hessian: hessianOf(columns),
  };
}

/** d^T H d of one row. */
function costOf(d: ArrayLike<number>, h: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < d.length; i++) {
    for (let j = 0; j < d.length; j++) sum += d[i] * h[i * d.length + j] * d[j];
  }
  return sum;
}

/** Rounds in `order`; after each column the later ones are the least-squares answer to all errors. */
function reference(
  row: Float64Array,
  h: Float64Array,
  order: readonly number[],
  s: number,
): number[] {
  const n = row.length;
  const q = new Array<number>(n).fill(0);
  let left = row.slice();
  for (const [step, j] of order.entries()) {
    q[j] = Math.max(-4, Math.min(3, Math.round(left[j] / s))) + 0; // no -0
    const done = order.slice(0, step + 1);
    const rest = order.slice(step + 1);
    // min over d_rest of d^T H d given d_done:  H_rr d_r = -H_rd d_d
    const a = Float64Array.from(rest.flatMap((i) => rest.map((k) => h[i * n + k])));
    const b = Float64Array.from(rest, (i) =>
      done.reduce((sum, k) => sum - h[i * n + k] * (s * q[k] - row[k]), 0),
    );
    const d = rest.length > 0 ? solveSpd(a, rest.length, b) : b;
    left = row.slice();
    for (const [k, i] of rest.entries()) left[i] += d[k];
  }
  return q;
}

const rowOf = (q: Int8Array, row: number, n: number): number[] => [
  ...q.subarray(row * n, (row + 1) * n),
];

describe("propagate", () => {
  test("gives the levels of the reference, in natural order and by activations", () => {
    const layer = layerOf(6, 9, 3);
    const { weight, hessian, columns: n } = layer;
    const natural = Array.from({ length: n }, (_, j) => j);
    const byEnergy = natural.toSorted((a, b) => hessian[b * n + b] - hessian[a * n + a]);
    for (const [order, columns] of [
      ["natural", natural],
      ["activations", byEnergy],
    ] as const) {
      const { q, scales, zeros } = propagate(layer, { order, passes: 0 });
      expect(zeros.every((z) => z === 0)).toBe(true);
      for (let row = 0; row < 6; row++) {
        const own = weight.slice(row * n, (row + 1) * n);
        expect(rowOf(q, row, n)).toEqual(reference(own, hessian, columns, scales[row]));
      }
    }
  });

  test("the scale of a row is the best of those tried: a wider and a narrower one are worse", () => {
    const layer = layerOf(8, 7, 3);
    const { weight, hessian } = layer;
    const order = [0, 1, 2, 3, 4, 5, 6];
    const { q, scales } = propagate(layer, { order: "natural", passes: 0 });
    let [own, other] = [0, 0];
    for (let row = 0; row < 8; row++) {
      const w = weight.slice(7 * row, 7 * row + 7);
      const cost = (levels: readonly number[], s: number): number =>
        costOf(
          w.map((x, j) => s * levels[j] - x),
          hessian,
        );
      own += cost(rowOf(q, row, 7), scales[row]);
      const largest = w.reduce((most, x) => Math.max(most, Math.abs(x)), 0) / 3;
      other += cost(reference(w, hessian, order, largest), largest);
    }
    expect(own).toBeLessThan(0.9 * other);
  });

  test("after coordinate descent no level can move by one for a smaller error", () => {
    const layer = layerOf(5, 8, 3);
    const { weight, hessian } = layer;
    const before = propagate(layer, { order: "natural", passes: 0 });
    const after = propagate(layer, { order: "natural", passes: 50 });
    for (let row = 0; row < 5; row++) {
      const w = weight.slice(8 * row, 8 * row + 8);
      const cost = (q: readonly number[]): number =>
        costOf(
          w.map((x, j) => after.scales[row] * q[j] - x),
          hessian,
        );
      const own = rowOf(after.q, row, 8);
      expect(cost(own)).toBeLessThanOrEqual(cost(rowOf(before.q, row, 8)) + 1e-9);
      for (let j = 0; j < 8; j++) {
        for (const by of [-1, 1]) {
          const moved = own.with(j, own[j] + by);
          if (Math.abs(moved[j] + 0.5) <= 3.5)
            expect(cost(moved)).toBeGreaterThan(cost(own) - 1e-9);
        }
      }
    }
  });

  test("blocks have scales of their own and take up the errors of the blocks before", () => {
    const layer = layerOf(4, 10, 4, 4);
    const { scales, q } = propagate(layer, { order: "activations", passes: 0 });
    expect(layer.blocks.count).toBe(3);
    expect(new Set(scales).size).toBe(12);
    const nearest = Float64Array.from(layer.weight, (w, i) => {
      const s = scales[Math.floor(i / 10) * 3 + Math.floor((i % 10) / 4)];
      return s * Math.max(-8, Math.min(7, Math.round(w / s))) - w;
    });
    const own = weightOf({ q, scales, zeros: new Float32Array(12) }, layer).map(
      (w, i) => w - layer.weight[i],
    );
    const total = (d: Float64Array): number =>
      [0, 1, 2, 3].reduce(
        (sum, r) => sum + costOf(d.subarray(10 * r, 10 * r + 10), layer.hessian),
        0,
      );
    expect(total(own)).toBeLessThan(0.8 * total(nearest));
  });

  test("panels of columns and tiles of rows change nothing, with blocks and without", () => {
    for (const layer of [layerOf(7, 24, 3), layerOf(7, 24, 3, 4)]) {
      const options = { order: "activations", passes: 2 } as const;
      const whole = propagate(layer, options, { panel: 24 });
      expect(propagate(layer, options, { panel: 5, tile: 3 })).toEqual(whole);
      expect(propagate(layer, options, { panel: 1, tile: 1 })).toEqual(whole);
    }
  });

  test("the scale of a block is chosen for the weights that make up for what was lost before", () => {
    const layer = layerOf(5, 8, 3, 4);
    const { weight, hessian } = layer;
    const { q, scales } = propagate(layer, { order: "natural", passes: 0 });
    for (let row = 0; row < 5; row++) {
      const w = weight.slice(8 * row, 8 * row + 8);
      const [first, second] = scales.subarray(2 * row, 2 * row + 2);
      const lost = Array.from({ length: 4 }, (_, j) => first * q[8 * row + j] - w[j]);
      // The least-squares answer of the later four columns to what the first four lost.
      const later = [4, 5, 6, 7];
      const a = Float64Array.from(later.flatMap((i) => later.map((k) => hessian[8 * i + k])));
      const b = Float64Array.from(later, (i) =>
        lost.reduce((sum, d, k) => sum - hessian[8 * i + k] * d, 0),
      );
      const free = solveSpd(a, 4, b).map((d, k) => w[4 + k] + d);
      // 1 / R_jj^2 = ((H_ll)^-1)_jj for l = j, j + 1, ...: what an error costs if the later ones can move.
      const importance = later.map((j) => {
        const rest = later.filter((k) => k >= j);
        const own = Float64Array.from(rest.flatMap((i) => rest.map((k) => hessian[8 * i + k])));
        const one = Float64Array.from(rest, (k) => (k === j ? 1 : 0));
        return 1 / solveSpd(own, rest.length, one)[0];
      });
      expect(second).toBe(fitScale(free, importance, layer.range).scale);
    }
  });

  test("zeros of pruned weights stay, and asymmetric grids have whole zero points", () => {
    const symmetric = layerOf(3, 6, 3);
    const layer = {
      ...symmetric,
      weight: symmetric.weight.map((w, i) => (i % 2 ? 0 : Math.abs(w))),
      range: rangeOf(3, false),
    };
    const found = propagate(layer, { order: "activations", passes: 9 });
    const values = weightOf(found, layer);
    for (let i = 1; i < 18; i += 2) expect(Math.abs(values[i])).toBe(0);
    expect(found.zeros.every((z) => Number.isInteger(z) && z < 0)).toBe(true);
  });
});
