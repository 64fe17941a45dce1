import { describe, expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { build } from "../../src/ops/builder.ts";
import { evaluateGraph } from "../../src/ops/evaluate.ts";
import type { Geometry } from "../../src/ops/grad/conv-geometry.ts";
import { defaultInputForm, type InputForm, inputForms } from "../../src/ops/grad/conv-input.ts";
import { plain } from "./geometry.ts";

/** Windows reach beyond the input at one end. */
const beyond: Geometry = { ...plain, output: [6, 6] };

const geometries: Record<string, Geometry> = {
  plain: beyond,
  "windows that end early": { ...plain, output: [5, 4] },
  strided: { ...plain, strides: [2, 3], output: [3, 2] },
  dilated: { ...plain, dilations: [2, 3], output: [3, 4] },
  grouped: { ...beyond, group: 2, depth: 2 },
  depthwise: { ...beyond, group: 4, depth: 1 },
  pointwise: { ...plain, kernel: [1, 1], begins: [0, 0], output: [6, 5] },
};

/** dX[n, c, q] = sum of dY[n, m, p] w[m, c, t] over all m, p, t with p s + t d - begin = q. */
function expected(dy: Tensor, w: Tensor, geometry: Geometry): Float64Array {
  const { filters, depth, group, kernel, strides, dilations, sides, output, begins } = geometry;
  const [slopes, weights] = [dy.numbers(), w.numbers()];
  const dx = new Float64Array(2 * depth * group * sides[0] * sides[1]);
  for (let n = 0; n < 2; n++)
    for (let m = 0; m < filters; m++)
      for (let c = 0; c < depth; c++)
        for (let a = 0; a < output[0]; a++)
          for (let b = 0; b < output[1]; b++)
            for (let i = 0; i < kernel[0]; i++)
              for (let j = 0; j < kernel[1]; j++) {
                const y = a * strides[0] + i * dilations[0] - begins[0];
                const x = b * strides[1] + j * dilations[1] - begins[1];
                if (y < 0 || y >= sides[0] || x < 0 || x >= sides[1]) continue;
                const channel = Math.floor(m / (filters / group)) * depth + c;
                const at = ((n * depth * group + channel) * sides[0] + y) * sides[1] + x;
                const slope = slopes[((n * filters + m) * output[0] + a) * output[1] + b];
                dx[at] += slope * weights[((m * depth + c) * kernel[0] + i) * kernel[1] + j];
              }
  return dx;
}

describe.each(Object.entries(geometries))("dX of a convolution, %s", (_, geometry) => {
  const random = createRandom(1);
  const sample = (shape: readonly number[]): Tensor => {
    const size = shape.reduce((a, b) => a * b, 1);
    const values = Array.from({ length: size }, () => random.float() - 0.5);
    return tensor("float64", shape, values);
  };
  const dy = sample([2, geometry.filters, ...geometry.output]);
  const w = sample([geometry.filters, geometry.depth, ...geometry.kernel]);
  const forms = (Object.keys(inputForms) as InputForm[]).filter((form) =>
    inputForms[form].fits(geometry),
  );

  test.each(forms)("as %s", (form) => {
    const graph = new Graph("dx");
    const g = build(graph);
    const [a, b] = [dy, w].map((value, i) => graph.addInput(`in${i}`, "float64", value.shape));
    graph.setOutputs([inputForms[form].make(g, a, b, geometry)]);
    const [dx] = Object.values(evaluateGraph(graph, { in0: dy, in1: w }));
    expect(dx.shape).toEqual([2, geometry.depth * geometry.group, ...geometry.sides]);
    const exact = expected(dy, w, geometry);
    for (const [i, value] of Array.from(dx.numbers()).entries()) {
      expect(value).toBeCloseTo(exact[i], 10);
    }
  });

  test("the default is one of them", () => {
    expect(forms).toContain(defaultInputForm(geometry));
  });
});
