/** @file Soft weight sharing: the mixture's density, what weights collapse to, and that training gathers them. */
import { expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { mixtureLatent } from "../../src/learned/gaussian-mixture.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { build } from "../../src/ops/builder.ts";
import { constantValue } from "../../src/ops/constant.ts";
import type { Composed } from "../../src/weights/weight.ts";
import { apply, environmentOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { kindOf, layerModel, partOf, weightsIn } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(12);
const normal = (size: number): Float32Array => Float32Array.from({ length: size }, random.normal);
const weight = normal(60).map((w, i) => (i % 10 === 0 ? 0 : w));
const options = { components: 3, zeros: 0.9, strength: 0.01 };
const latent = mixtureLatent(weight, [6, 10], options);
const theta = {
  weight,
  means: Float32Array.of(-1.1, 0.4, 1.7),
  spreads: Float32Array.of(-1.5, -0.7, -1, 0.2),
  shares: Float32Array.of(0.3, -1, 0.5),
};

/** pi_j N(w; mu_j, s_j^2), from the definitions. */
function joint(w: number): number[] {
  const raw = Array.from(theta.shares, Math.exp);
  const total = raw.reduce((a, b) => a + b, 0);
  return [0, ...theta.means].map((mean, j) => {
    const share = j === 0 ? 0.9 : (0.1 * raw[j - 1]) / total;
    const s = Math.exp(theta.spreads[j]);
    return (share * Math.exp(-((w - mean) ** 2) / (2 * s * s))) / (s * Math.sqrt(2 * Math.PI));
  });
}

test("the penalty is the negative log density of all weights", () => {
  const g = build(new Graph("mixture"));
  const dims = { weight: [6, 10], means: [3], spreads: [4], shares: [3] };
  const place = (name: keyof typeof theta) => g.constant(theta[name], { shape: dims[name] });
  const parts = {
    weight: place("weight"),
    means: place("means"),
    spreads: place("spreads"),
    shares: place("shares"),
  };
  const penalty = latent.penalty?.(g, parts, {});
  const expected = weight.reduce(
    (sum, w) => sum - 0.01 * Math.log(joint(w).reduce((a, b) => a + b, 0)),
    0,
  );
  expect(constantValue(penalty!)?.floats()[0]).toBeCloseTo(expected, 4);
});

test("weights collapse to the mean of their most likely component; zeros stay", () => {
  const closed = latent.close(theta, null as never) as Composed;
  expect(kindOf(closed)).toBe("codebook");
  expect(partOf(closed, "codebook")[0]).toBe(0);
  const means = [0, ...theta.means];
  for (const [i, w] of weight.entries()) {
    const all = joint(w);
    const best = w === 0 ? 0 : all.indexOf(Math.max(...all));
    expect(closed.values[i]).toBe(means[best]);
  }
  // The wide component at 0.4 is the likeliest far away; no entry is stored that no weight has.
  const used = new Set(closed.values).add(0);
  expect(new Set(Array.from(partOf(closed, "codebook")))).toEqual(used);
});

test("training gathers weights around fewer values than it starts with", async () => {
  const [rows, columns, records] = [6, 20, 128];
  const clean = Float32Array.from(
    { length: rows * columns },
    () => [0, 0, 0, 1, -1][random.int(5)],
  );
  const noisy = clean.map((w) => w + 0.1 * random.normal());
  const x = normal(records * columns);
  const labels = Int32Array.from({ length: records }, (_, r) => {
    const scores = Array.from({ length: rows }, (_, row) =>
      clean
        .subarray(row * columns, (row + 1) * columns)
        .reduce((sum, w, j) => sum + w * x[r * columns + j], 0),
    );
    return scores.indexOf(Math.max(...scores));
  });
  const model = layerModel(["N", columns], (g, input) =>
    g.Gemm(input, g.constant(noisy, { shape: [rows, columns] }), null, { transB: 1 }),
  );
  const inputs = { x: tensor("float32", [records, columns], x) };
  const env = environmentOf(
    { ...nets[0], model },
    { training: tensorDataset(inputs, tensor("int32", [records], labels)), feeds: inputs },
  );
  const given = { steps: 150, batch: 128, rate: 0.003, loss: "cross-entropy", components: 15 };
  const run = async (strength: number) => {
    const { model: made } = await apply(model, "soft-share", { ...given, strength }, env);
    const [{ weight: own }] = weightsIn(made);
    const { values } = own;
    const hits = labels.filter((label, r) => {
      const scores = Array.from({ length: rows }, (_, row) => {
        let sum = 0;
        for (let j = 0; j < columns; j++) sum += values[row * columns + j] * x[r * columns + j];
        return sum;
      });
      return scores.indexOf(Math.max(...scores)) === label;
    }).length;
    const zeros = values.filter((w) => w === 0).length;
    return { entries: partOf(own, "codebook").length, zeros, hits: hits / records };
  };
  const [without, drawn] = [await run(0), await run(1e-3)];
  expect(drawn.entries).toBeLessThan(without.entries);
  expect(drawn.zeros).toBeGreaterThanOrEqual(without.zeros);
  expect(drawn.hits).toBeGreaterThan(0.9);
});
