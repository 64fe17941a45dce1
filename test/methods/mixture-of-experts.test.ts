/** @file Mixture of experts against its equation, written out, on layers whose experts are known. */
import { describe, expect, test } from "vitest";
import { tensor } from "../../src/ir/tensor.ts";
import { balancedKmeans } from "../../src/numeric/balanced-kmeans.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { tensorDataset } from "../support/dataset.ts";
import { layerModel } from "../support/layer.ts";
import { nets } from "../support/nets.ts";

const random = createRandom(2);

const [GROUPS, EACH, RESULTS] = [4, 6, 3];
const [INPUTS, NEURONS] = [GROUPS * 3, GROUPS * EACH];
/** Neuron j belongs to group j % GROUPS, and reads the three features of that group alone. */
const W1 = Float32Array.from({ length: NEURONS * INPUTS }, (_, i) => {
  const [j, d] = [Math.floor(i / INPUTS), i % INPUTS];
  return Math.floor(d / 3) === j % GROUPS ? 0.5 + random.float() : 0;
});
const B1 = Float32Array.from({ length: NEURONS }, () => -0.2 * random.float());
const W2 = Float32Array.from({ length: NEURONS * RESULTS }, () => random.normal());
const B2 = Float32Array.from({ length: RESULTS }, () => random.normal());

const model = layerModel(["N", INPUTS], (g, x) => {
  const a = g.Gemm(x, g.constant(W1, { shape: [NEURONS, INPUTS] }), g.constant(B1), { transB: 1 });
  return g.Gemm(g.Relu(a), g.constant(W2, { shape: [NEURONS, RESULTS] }), g.constant(B2));
});

/** Each record has features in one group only. */
const RECORDS = 80;
const groupOf = (n: number) => (7 * n) % GROUPS;
const X = new Float32Array(RECORDS * INPUTS);
for (let n = 0; n < RECORDS; n++) {
  for (let i = 0; i < 3; i++) X[n * INPUTS + groupOf(n) * 3 + i] = 1 + random.float();
}
const given = { x: tensor("float32", [RECORDS, INPUTS], X) };
const env = environmentOf(nets[0], { calibration: tensorDataset(given), feeds: given });

const activation = (n: number, j: number) => {
  let sum = B1[j];
  for (let d = 0; d < INPUTS; d++) sum += W1[j * INPUTS + d] * X[n * INPUTS + d];
  return Math.max(0, sum);
};

describe("layers whose neurons read one group of features each", () => {
  test("compute the group of each record, and the means of the others", async () => {
    const options = { experts: GROUPS, active: 1 / GROUPS, always: true };
    const { bytes, skipped } = await apply(model, "mixture-of-experts", options, env);
    expect(skipped.map(({ node }) => node)).toEqual(["layer3"]);
    const { y } = await outputsOf(bytes, given);
    const means = Array.from({ length: NEURONS }, (_, j) => {
      let sum = 0;
      for (let n = 0; n < RECORDS; n++) sum += activation(n, j);
      return sum / RECORDS;
    });
    for (let n = 0; n < RECORDS; n++) {
      for (let o = 0; o < RESULTS; o++) {
        let expected = B2[o];
        for (let j = 0; j < NEURONS; j++) {
          const a = j % GROUPS === groupOf(n) ? activation(n, j) : means[j];
          expected += W2[j * RESULTS + o] * a;
        }
        expect(y.floats()[n * RESULTS + o]).toBeCloseTo(expected, 4);
      }
    }
  });

  test("stay as they are where the model is not clearly faster", async () => {
    const clock = { compare: async () => ({ value: 1.1, ci95: [0.9, 1.3] as const }) };
    const options = { experts: GROUPS, active: 1 / GROUPS };
    const { model: same, skipped } = await apply(model, "mixture-of-experts", options, env, clock);
    expect(skipped[0].reason).toMatch(
      /^stays: with 1 layer computing 1 of \d experts the model runs at 1.10x \(0.90 to 1.30\) on /,
    );
    expect([...same.graph.nodes].length).toBe([...model.graph.nodes].length);
  });

  test("stay as they are for a number of experts that their neurons do not divide into", async () => {
    const { skipped } = await apply(model, "mixture-of-experts", { experts: 5 }, env);
    expect(skipped[0].reason).toMatch(/24 neurons, no multiple of 5/);
  });
});

test("clusters have equal sizes, and hold what is alike", () => {
  const x = Float64Array.from({ length: 12 * 2 }, (_, i) => {
    const angle = (Math.floor(i / 2) % 3) * 2 + 0.1 * random.float();
    return i % 2 ? Math.sin(angle) : Math.cos(angle);
  });
  const index = balancedKmeans(x, 2, 3, createRandom(1));
  for (let i = 0; i < 12; i++) expect(index[i]).toBe(index[i % 3]);
  expect(new Set(index).size).toBe(3);
});
