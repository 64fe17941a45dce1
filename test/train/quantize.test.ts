import { describe, expect, test } from "vitest";
import type { DType } from "../../src/ir/dtype.ts";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { build } from "../../src/ops/builder.ts";
import { inferNode } from "../../src/ops/infer.ts";
import { backward } from "../../src/train/backward.ts";
import { type Case, checkCase, expectClose, runOrt } from "./gradients.ts";

const levels = (count: number): number[] => Array.from({ length: count }, (_, i) => (i * 37) % 100);

describe("the scale of stored integers", () => {
  const cases: Readonly<Record<string, Case>> = {
    "one for all": {
      shapes: [[]],
      make: (g, [s]) => {
        const q = g.constant(levels(12), { dtype: "int8", shape: [3, 4] });
        return g.DequantizeLinear(q, s);
      },
    },
    "per channel, with zero points": {
      shapes: [[4]],
      make: (g, [s]) => {
        const q = g.constant(levels(24), { dtype: "uint8", shape: [2, 4, 3] });
        const zero = g.constant([3, 0, 50, 7], { dtype: "uint8" });
        return g.DequantizeLinear(q, s, zero, { axis: 1 });
      },
    },
    "per block": {
      shapes: [[2, 3]],
      make: (g, [s]) => {
        const q = g.constant(levels(24), { dtype: "int8", shape: [8, 3] });
        const zero = g.constant(levels(6), { dtype: "int8", shape: [2, 3] });
        return g.DequantizeLinear(q, s, zero, { axis: 0, block_size: 4 });
      },
    },
  };
  test.each(Object.entries(cases))("%s: the same three ways", (_, case_) => checkCase(case_));
});

interface Learned {
  readonly dtype: DType;
  readonly range: readonly [number, number];
  readonly zero: readonly number[];
  readonly scale: readonly number[];
}

const [R, C] = [5, 3];
const learned: Readonly<Record<string, Learned>> = {
  "int8, one scale": { dtype: "int8", range: [-128, 127], zero: [0], scale: [0.011] },
  "uint8, a zero point": { dtype: "uint8", range: [0, 255], zero: [90], scale: [0.006] },
  "int4, per channel": {
    dtype: "int4",
    range: [-8, 7],
    zero: [0, 0, 0],
    scale: [0.1, 0.3, 0.15],
  },
};

/** Esser et al. 2020, arXiv 1902.08153, eq. 3 and section 2.2; levels meet the range at its ends. */
describe("learned step sizes", () => {
  test.each(Object.entries(learned))("%s: equation 3", async (_, form) => {
    const { dtype, range, zero, scale } = form;
    const isPerAxis = scale.length > 1;
    const random = createRandom(3);
    const values = Float32Array.from({ length: R * C }, () => 4 * random.float() - 2);
    const upstream = Float32Array.from({ length: R * C }, () => 2 * random.float() - 1);
    const graph = new Graph("lsq");
    const x = graph.addInput("x", "float32", [R, C]);
    const s = graph.addInput("s", "float32", isPerAxis ? [C] : []);
    const g = build(graph, "", inferNode);
    const shape = isPerAxis ? [C] : [];
    const z: Value = g.constant(zero, { dtype, shape });
    const attributes = { axis: 1 };
    const q = g.QuantizeLinear(x, s, z, attributes);
    const y = g.DequantizeLinear(q, s, z, attributes);
    const loss = g.ReduceSum(g.Mul(y, g.constant(upstream, { shape: [R, C] })), { keepdims: 0 });
    graph.setOutputs([loss]);
    const model = createModel(graph, 21);
    const gradients = backward(model, loss, [x, s]);
    graph.setOutputs([...gradients.values()]);
    for (const [i, name] of ["dx", "ds"].entries()) graph.outputs[i].name = name;
    const results = await runOrt(model, {
      x: tensor("float32", [R, C], values),
      s: tensor("float32", shape, Float32Array.from(scale)),
    });

    const dx = new Float64Array(R * C);
    const ds = new Float64Array(scale.length);
    for (const [i, value] of values.entries()) {
      const c = isPerAxis ? i % C : 0;
      const v = value / scale[c];
      const [low, high] = range.map((bound) => bound - zero[c]);
      const slope = v < low ? low : v > high ? high : Math.round(v) - v;
      dx[i] = v < low || v > high ? 0 : upstream[i];
      ds[c] += upstream[i] * slope;
    }
    const count = (R * C) / scale.length;
    expect(dx.some((d) => d === 0)).toBe(true);
    expect(dx.some((d) => d !== 0)).toBe(true);
    expectClose(results.dx, dx, 1e-6, "dx");
    const factor = 1 / Math.sqrt(count * range[1]);
    expectClose(
      results.ds,
      ds.map((d) => d * factor),
      1e-5,
      "ds",
    );
  });
});
