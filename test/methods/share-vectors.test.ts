/** @file Product quantization: every run is the nearest vector of its codebook, in the error asked for. */
import { describe, expect, test } from "vitest";
import type { Model } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import type { Composed } from "../../src/weights/weight.ts";
import { apply, environmentOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { kindOf, layerModel, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(31);
const normal = (size: number): Float32Array => Float32Array.from({ length: size }, random.normal);
const records = 30;

/** A layer with the weight as rows of what one output reads, in the order of its runs. */
interface Case {
  readonly model: Model;
  readonly rows: number;
  readonly columns: number;
  readonly size: number;
  readonly weight: Float32Array;
  /** The place of W[row, column] in the stored weight. */
  at(row: number, column: number): number;
  /** Inputs of the layer, and all that W is multiplied by: [positions, columns] for a row. */
  readonly x: Float32Array;
  readonly dims: readonly number[];
  seen(row: number): Float64Array[];
}

/** Inputs of very different sizes, some of them alike. */
const inputs = (count: number, width: number): Float32Array => {
  const x = normal(count * width).map((v, i) => v * [4, 1, 0.2, 2, 0.1, 3][i % 6]);
  for (let i = 0; i + 1 < x.length; i += 7) x[i + 1] += x[i];
  return x;
};

function linear(isTurned: boolean): Case {
  const [rows, columns] = [24, 12];
  const weight = normal(rows * columns);
  const x = inputs(records, columns);
  const model = layerModel(["N", columns], (g, input) =>
    isTurned
      ? g.MatMul(input, g.constant(weight, { shape: [columns, rows] }))
      : g.Gemm(input, g.constant(weight, { shape: [rows, columns] }), null, { transB: 1 }),
  );
  const seen = Array.from({ length: records }, (_, r) =>
    Float64Array.from(x.subarray(r * columns, (r + 1) * columns)),
  );
  return {
    ...{ model, rows, columns, size: 3, weight, x, dims: [records, columns] },
    at: (row, column) => (isTurned ? column * rows + row : row * columns + column),
    seen: () => seen,
  };
}

/** Two groups of 3 channels, kernel 2 x 2, on 4 x 4 pixels. */
function convolution(): Case {
  const [rows, depth] = [24, 3];
  const weight = normal(rows * depth * 4);
  // Channels of different sizes, in which pixels are like those beside them.
  const scales = [4, 1, 0.2, 2, 0.1, 3];
  const x = normal(records * 6 * 16);
  for (let i = 0; i < x.length; i++) x[i] = x[i] * scales[Math.floor(i / 16) % 6];
  for (let i = 1; i < x.length; i++) if (i % 16 > 0) x[i] = 0.4 * x[i] + 0.9 * x[i - 1];
  const model = layerModel(["N", 6, 4, 4], (g, input) =>
    g.Conv(input, g.constant(weight, { shape: [rows, depth, 2, 2] }), null, { group: 2 }),
  );
  const seen = (row: number): Float64Array[] => {
    const first = row < 12 ? 0 : depth;
    const windows: Float64Array[] = [];
    for (let r = 0; r < records; r++) {
      for (let top = 0; top < 3; top++) {
        for (let left = 0; left < 3; left++) {
          windows.push(
            Float64Array.from({ length: depth * 4 }, (_, j) => {
              const [channel, tap] = [first + Math.floor(j / 4), j % 4];
              const pixel = (top + Math.floor(tap / 2)) * 4 + left + (tap % 2);
              return x[(r * 6 + channel) * 16 + pixel];
            }),
          );
        }
      }
    }
    return windows;
  };
  return {
    ...{ model, rows, columns: depth * 4, size: 4, weight, x, dims: [records, 6, 4, 4] },
    at: (row, column) => row * depth * 4 + column,
    seen,
  };
}

const cases = {
  "Gemm [outputs, inputs]": linear(false),
  "MatMul [inputs, outputs]": linear(true),
  "Conv of two groups": convolution(),
};

async function shared(own: Case, options: Record<string, unknown>) {
  const data = tensorDataset({ x: tensor("float32", own.dims, own.x) });
  const feeds = {
    x: tensor("float32", [1, ...own.dims.slice(1)], own.x.slice(0, own.x.length / records)),
  };
  const env = environmentOf({ ...nets[0], model: own.model }, { calibration: data, feeds });
  const done = await apply(
    own.model,
    "share-vectors",
    { size: own.size, bits: 3, ...options },
    env,
  );
  expect([done.skipped, done.warnings]).toEqual([[], []]);
  const [{ weight }] = weightsIn(readModel(done.bytes, { name: "shared" }));
  expect(kindOf(weight)).toBe("vectors");
  return weight as Composed;
}

/** w of a run, from a weight as it is stored. */
const runOf = ({ at, size }: Case, values: ArrayLike<number>, row: number, run: number): number[] =>
  Array.from({ length: size }, (_, a) => values[at(row, run * size + a)]);

describe.each(Object.entries(cases))("%s", (_, own) => {
  const runs = own.columns / own.size;
  const power = (run: readonly number[]): number => run.reduce((sum, x) => sum + x * x, 0);

  test.each([
    ["weights", "shared"],
    ["weights", "own"],
    ["diagonal", "shared"],
    ["outputs", "shared"],
    ["outputs", "own"],
  ] as const)("error of %s, codebooks %s", async (error, codebooks) => {
    const weight = await shared(own, { error, codebooks });
    const book = weight.theta.codebook;
    const entries = book.shape.at(-2) as number;
    expect(entries).toBe(codebooks === "own" ? 6 : 8);
    let [mine, best] = [0, 0];
    for (let run = 0; run < runs; run++) {
      for (let row = 0; row < own.rows; row++) {
        const x = own.seen(row);
        // The damping of the matrix: a hundredth of the mean of E[x_j^2] over all inputs.
        const mean = x.reduce((sum, v) => sum + v.reduce((s, u) => s + u * u, 0), 0) / own.columns;
        const cost = (gap: readonly number[]): number => {
          if (error === "weights") return power(gap);
          let sum = 0.01 * mean * power(gap);
          for (const v of x) {
            const terms = gap.map((g, a) => g * v[run * own.size + a]);
            sum += error === "outputs" ? terms.reduce((s, t) => s + t, 0) ** 2 : power(terms);
          }
          return sum;
        };
        const w = runOf(own, own.weight, row, run);
        const found = runOf(own, weight.values, row, run);
        const all = Array.from({ length: entries }, (_, k) => {
          const at = ((codebooks === "own" ? run : 0) * entries + k) * own.size;
          return w.map((value, a) => value - book.values[at + a]);
        });
        mine += cost(w.map((value, a) => value - found[a]));
        best += Math.min(...all.map(cost));
      }
    }
    // Lloyd's iteration ends where the error falls slowly, a hair before the last run changes hands.
    expect(mine).toBeGreaterThanOrEqual(best * (1 - 1e-5));
    expect(mine / best).toBeLessThan(1.02);
  });

  /** sum over records of |(W - W') x|^2. */
  const outputError = (values: ArrayLike<number>): number => {
    let sum = 0;
    for (let row = 0; row < own.rows; row++) {
      const gap = Array.from({ length: own.columns }, (_, j) => {
        const at = own.at(row, j);
        return own.weight[at] - values[at];
      });
      for (const v of own.seen(row)) sum += gap.reduce((s, g, j) => s + g * v[j], 0) ** 2;
    }
    return sum;
  };

  test("the error of outputs falls if it is what is fitted", async () => {
    const plain = await shared(own, { error: "weights" });
    const aware = await shared(own, { error: "outputs" });
    expect(outputError(aware.values)).toBeLessThan(0.9 * outputError(plain.values));
  });

  test("each stage takes away from the error", async () => {
    const errors = [];
    for (const stages of [1, 2, 3]) {
      const { values } = await shared(own, { stages });
      errors.push(power(Array.from(values, (w, i) => w - own.weight[i])));
    }
    expect(errors[1]).toBeLessThan(0.7 * errors[0]);
    expect(errors[2]).toBeLessThan(0.7 * errors[1]);
  });
});

test("what no run divides is left alone, with the reason", async () => {
  const model = layerModel(["N", 13], (g, x) =>
    g.Gemm(x, g.constant(normal(13 * 20), { shape: [20, 13] }), null, { transB: 1 }),
  );
  const { skipped } = await apply(model, "share-vectors", { size: 8 }, environmentOf(nets[0]));
  expect(skipped).toMatchObject([
    { node: "layer1", reason: "has 13 inputs, which no run divides" },
  ]);
});

test("a run may cross windows where no part of one is small enough", async () => {
  // Pairs in the order of the file, of four kinds: four vectors make them up.
  const kinds = [0.5, -1, 2, 0.25, -0.75, -3, 1, 1];
  const draws = Array.from({ length: (16 * 4 * 9) / 2 }, () => random.int(4));
  const weight = Float32Array.from({ length: 16 * 4 * 9 }, (_, i) => {
    return kinds[2 * draws[Math.floor(i / 2)] + (i % 2)];
  });
  const model = layerModel(["N", 4, 5, 5], (g, x) =>
    g.Conv(x, g.constant(weight, { shape: [16, 4, 3, 3] })),
  );
  const done = await apply(model, "share-vectors", { size: 2, bits: 2 }, environmentOf(nets[0]));
  expect(done.skipped).toEqual([]);
  const [{ weight: own }] = weightsIn(readModel(done.bytes, { name: "pairs" }));
  expect(kindOf(own)).toBe("vectors");
  expect(own.values).toEqual(weight);
});
