import { describe, expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import type { Geometry } from "../../src/ops/grad/conv-geometry.ts";
import { defaultWeightForm, type WeightForm, weightForms } from "../../src/ops/grad/conv-weight.ts";
import { plain } from "./geometry.ts";

/** Windows that end before the input does, beyond it, with holes, in groups, on one axis and on three. */
const geometries: Record<string, Geometry> = {
  plain,
  strided: { ...plain, strides: [2, 3], output: [3, 2] },
  dilated: { ...plain, dilations: [2, 3], output: [3, 4] },
  "strided and dilated": { ...plain, strides: [2, 2], dilations: [2, 1], output: [2, 3] },
  grouped: { ...plain, group: 2, depth: 2 },
  depthwise: { ...plain, group: 4, depth: 1, strides: [2, 1], output: [3, 5] },
  pointwise: { ...plain, kernel: [1, 1], begins: [0, 0] },
  "one axis": {
    ...plain,
    kernel: [4],
    strides: [2],
    dilations: [1],
    sides: [9],
    output: [4],
    begins: [1],
  },
  "three axes": {
    ...plain,
    kernel: [2, 1, 2],
    strides: [1, 2, 1],
    dilations: [1, 1, 2],
    sides: [3, 4, 5],
    output: [2, 2, 4],
    begins: [0, 0, 1],
  },
};

/** dW[m, c, t] = sum over n, p of dY[n, m, p] X[n, c, p s + t d - begin], term by term. */
function expected(x: Tensor, dy: Tensor, geometry: Geometry): number[] {
  const { filters, depth, group, kernel, strides, dilations, sides, output, begins } = geometry;
  const coordinates = (shape: readonly number[]): number[][] =>
    shape.reduce<number[][]>(
      (all, dim) => all.flatMap((at) => Array.from({ length: dim }, (_, i) => [...at, i])),
      [[]],
    );
  const flat = (at: readonly number[], shape: readonly number[]): number =>
    at.reduce((sum, i, axis) => sum * shape[axis] + i, 0);
  const [from, slopes] = [x.numbers(), dy.numbers()];
  return coordinates([filters, depth, ...kernel]).map(([m, c, ...tap]) => {
    const channel = Math.floor(m / (filters / group)) * depth + c;
    let sum = 0;
    for (let n = 0; n < 2; n++) {
      for (const p of coordinates(output)) {
        const at = p.map(
          (i, axis) => i * strides[axis] + tap[axis] * dilations[axis] - begins[axis],
        );
        if (at.some((i, axis) => i < 0 || i >= sides[axis])) continue;
        const value = from[flat([n, channel, ...at], x.shape)];
        sum += value * slopes[flat([n, m, ...p], dy.shape)];
      }
    }
    return sum;
  });
}

describe.each(Object.entries(geometries))("dW of a convolution, %s", (_, geometry) => {
  const random = createRandom(1);
  const sample = (shape: readonly number[]): Tensor => {
    const size = shape.reduce((a, b) => a * b, 1);
    return tensor(
      "float64",
      shape,
      Array.from({ length: size }, () => random.float() - 0.5),
    );
  };
  const x = sample([2, geometry.depth * geometry.group, ...geometry.sides]);
  const dy = sample([2, geometry.filters, ...geometry.output]);
  const forms = (Object.keys(weightForms) as WeightForm[]).filter((form) =>
    weightForms[form].fits(geometry),
  );

  test.each(forms)("as %s", (form) => {
    const graph = new Graph("dw");
    const g = build(graph);
    const [a, b] = [x, dy].map((value, i) => {
      return graph.addInput(`in${i}`, "float64", value.shape);
    });
    graph.setOutputs([weightForms[form].make(g, a, b, geometry)]);
    const [dw] = Object.values(evaluateGraph(graph, { in0: x, in1: dy }));
    expect(dw.shape).toEqual([geometry.filters, geometry.depth, ...geometry.kernel]);
    const exact = expected(x, dy, geometry);
    for (const [i, value] of Array.from(dw.numbers()).entries()) {
      expect(value).toBeCloseTo(exact[i], 10);
    }
  });

  test("the default is one of them", () => {
    expect(forms).toContain(defaultWeightForm(geometry));
  });
});
