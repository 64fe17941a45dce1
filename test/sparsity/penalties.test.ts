/** @file Penalties of sparsity training against their papers' definitions. */
import { describe, expect, test } from "vitest";
import { Graph, type Node, type Value } from "../../src/ir/graph.ts";
import type { Tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { type Builder, build } from "../../src/ops/builder.ts";
import { constantValue } from "../../src/ops/constant.ts";
import type { Site } from "../../src/sparsity/by-score.ts";
import { gated } from "../../src/sparsity/hard-concrete.ts";
import { type Regularizer, regularizers } from "../../src/sparsity/regularizers.ts";
import { type FloatWeight, leaf } from "../../src/weights/weight.ts";

const numbersOf = (draw: (g: Builder) => Value): Float32Array =>
  (constantValue(draw(build(new Graph("test")))) as Tensor).floats();

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

describe("hard concrete gates (arXiv 1712.01312)", () => {
  const [gamma, zeta, beta] = [-0.1, 1.1, 2 / 3];
  const logits = [-6, -2, -1.5, 0, 1, 3];
  const shape = [logits.length];
  const weight = {
    ...leaf(new Float32Array(6).fill(1), shape),
    values: new Float32Array(6).fill(1),
  };
  const { latent } = gated(
    { weight: weight as unknown as FloatWeight, value: {} as Value, node: {} as Node } as Site,
    0.5,
  );
  // The parameter is log alpha / 20.
  const gate = Float32Array.from(logits, (a) => a / 20);
  const draw = (u: number) =>
    numbersOf((g) =>
      latent.build(
        g,
        { gate: g.constant(gate, { shape }), weight: g.constant(weight.values, { shape }) },
        g.constant(0),
        { noise: g.constant(new Float32Array(6).fill(u), { shape }) },
      ),
    );

  test("in training z = min(1, max(0, s (zeta - gamma) + gamma)), eq. 10 and 11", () => {
    for (const u of [0.1, 0.5, 0.8]) {
      for (const [i, z] of draw(u).entries()) {
        const s = sigmoid((Math.log(u) - Math.log(1 - u) + logits[i]) / beta);
        expect(z).toBeCloseTo(Math.min(1, Math.max(0, s * (zeta - gamma) + gamma)), 5);
      }
    }
  });

  test("the penalty is the expected number of gates that are not zero, eq. 12", () => {
    const draws = 4000;
    let open = 0;
    for (let k = 0; k < draws; k++) {
      // A gate rises with u, so that a grid of u gives the probability.
      const noise = Math.log((k + 0.5) / (draws - k - 0.5));
      for (const a of logits) {
        const s = sigmoid((noise + a) / beta);
        if (s * (zeta - gamma) + gamma > 0) open += 1 / draws;
      }
    }
    const found = numbersOf((g) => {
      const theta = { gate: g.constant(gate, { shape }), weight: g.constant(1) };
      return latent.penalty?.(g, theta, {}) as Value;
    });
    expect(found[0]).toBeCloseTo(0.5 * open, 3);
  });

  test("afterwards z = min(1, max(0, sigmoid(log alpha) (zeta - gamma) + gamma)), eq. 13", () => {
    const closed = latent.close({ gate, weight: weight.values }, {} as Value);
    const { values } = closed as unknown as { values: Float32Array };
    for (const [i, a] of logits.entries()) {
      const z = Math.min(1, Math.max(0, sigmoid(a) * (zeta - gamma) + gamma));
      expect(values[i]).toBeCloseTo(z, 5);
    }
    expect(values[0]).toBe(0);
  });
});

describe("regularizers", () => {
  const random = createRandom(2);
  const w = Float32Array.from({ length: 24 }, () => random.normal());
  /** The units along an axis of [4, 6], as lists of weights. */
  const units = {
    rows: [0, 1, 2, 3].map((r) => w.filter((_, i) => Math.floor(i / 6) === r)),
    columns: [0, 1, 2, 3, 4, 5].map((c) => w.filter((_, i) => i % 6 === c)),
  };
  const penalty = (id: keyof typeof regularizers, axes: number[], size: number): number => {
    const { penalty: of }: Regularizer = regularizers[id];
    return numbersOf((g) => of(g, g.constant(w, { shape: [4, 6] }), axes, size))[0];
  };
  const sum = (values: ArrayLike<number>, of: (v: number) => number): number =>
    Array.from(values, of).reduce((a, b) => a + b, 0);

  test("l1, and decay with its bias towards zero", () => {
    expect(penalty("l1", [], 1)).toBeCloseTo(sum(w, Math.abs), 3);
    expect(penalty("decay", [], 1)).toBeCloseTo(
      sum(w, (v) => v ** 2 / (1 + v ** 2)),
      3,
    );
  });

  test("group lasso: the l2 norm of every group times the root of its size", () => {
    const lasso = (groups: readonly Float32Array[]) =>
      groups.reduce((s, unit) => s + Math.sqrt(unit.length) * Math.hypot(...unit), 0);
    expect(penalty("filters", [1], 6)).toBeCloseTo(lasso(units.rows), 3);
    expect(penalty("channels", [0], 4)).toBeCloseTo(lasso(units.columns), 3);
    expect(penalty("layers", [0, 1], 24)).toBeCloseTo(lasso([w]), 3);
  });

  test("group brain damage: as the group lasso, of the groups up to the mean only", () => {
    const sizes = units.columns.map((unit) => Math.hypot(...unit) / 2);
    const mean = sum(sizes, (v) => v) / 6;
    expect(penalty("damage", [0], 4)).toBeCloseTo(4 * sum(sizes, (v) => (v <= mean ? v : 0)), 3);
  });
});
