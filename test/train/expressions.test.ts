import { describe, expect, test } from "vitest";
import { Graph, type Value } from "../../src/ir/graph.ts";
import { createModel } from "../../src/ir/model.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { backward } from "../../src/train/backward.ts";
import { floatElement, integerElement } from "../../src/weights/element.ts";
import { expand } from "../../src/weights/expand.ts";
import { codebookOf } from "../../src/weights/forms/codebook.ts";
import { gridOf } from "../../src/weights/forms/grid.ts";
import { layoutsOf } from "../../src/weights/layout.ts";
import { scaleOf } from "../weights/forms.ts";
import { expectClose, runOrt } from "./gradients.ts";

const shape = [6, 8];
const size = 48;
const random = createRandom(9);
const upstream = Float32Array.from({ length: size }, () => 2 * random.float() - 1);

/** d / d theta of the sum of W * upstream, for each float leaf of the expression of W. */
async function leafGradients(
  make: (g: ReturnType<typeof build>) => Value,
): Promise<{ leaves: readonly Value[]; gradients: readonly Float32Array[] }> {
  const graph = new Graph("expression");
  const g = build(graph);
  const w = make(g);
  const x = graph.addInput("x", "float32", shape);
  const loss = g.ReduceSum(g.Mul(w, x), { keepdims: 0 });
  graph.setOutputs([loss]);
  const model = createModel(graph, 21);
  inferModel(model);
  const leaves = [...graph.constants].filter(({ dtype }) => dtype?.startsWith("float"));
  const found = backward(model, loss, leaves);
  graph.setOutputs([...found.values()]);
  for (const [i, output] of graph.outputs.entries()) output.name = `d${i}`;
  const results = await runOrt(model, { x: tensor("float32", shape, upstream) });
  return { leaves, gradients: leaves.map((_, i) => results[`d${i}`]) };
}

/** A weight is linear in its leaf: dL/d leaf[k] is what L gains when leaf[k] alone becomes 1. */
function expected(leaf: Tensor, weightOf: (leaf: Float32Array) => Float32Array): Float64Array {
  const none = weightOf(new Float32Array(leaf.size));
  return Float64Array.from({ length: leaf.size }, (_, k) => {
    const unit = new Float32Array(leaf.size);
    unit[k] = 1;
    return weightOf(unit).reduce((sum, w, i) => sum + (w - none[i]) * upstream[i], 0);
  });
}

const q = Int8Array.from({ length: size }, (_, i) => ((i * 5) % 15) - 7);
const scales = (count: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => 0.1 + 0.01 * i);
const codebook = Float32Array.of(0, 0.5, -0.25, 1);
const index = Uint16Array.from({ length: size }, (_, i) => (i * 7) % 4);

describe("a weight's expression: gradients of its float leaves", () => {
  test("codebook", async () => {
    const { leaves, gradients } = await leafGradients((g) =>
      expand(g, codebookOf({ codebook, index }, shape)),
    );
    expect(leaves).toHaveLength(1);
    const want = expected(leaves[0].tensor as Tensor, (leaf) =>
      Float32Array.from(index, (entry) => leaf[entry]),
    );
    expectClose(gradients[0], want, 1e-6, "codebook");
  });

  test.each([
    ["one scale", 1, null, null],
    ["per channel", 8, 1, null],
    ["per block", 6 * 2, 1, 4],
  ] as const)("grid, %s", async (_, count, axis, block) => {
    const weight = gridOf(q, shape, { scales: scales(count), axis, block, bits: 4 });
    const { leaves, gradients } = await leafGradients((g) => expand(g, weight));
    expect(leaves).toHaveLength(1);
    const scaleAt = scaleOf(shape, axis, block);
    const want = expected(leaves[0].tensor as Tensor, (leaf) =>
      Float32Array.from(q, (x, i) => x * leaf[scaleAt(i)]),
    );
    expectClose(gradients[0], want, 1e-6, "scale");
  });

  const sparse = Float32Array.from({ length: size }, (_, i) => (i % 5 === 3 ? 0.1 * i : 0));
  const kept = Array.from(sparse.keys()).filter((i) => sparse[i] !== 0);
  const layouts = layoutsOf(sparse, floatElement("float32")).map((l) => [l.name, l] as const);

  test.each(layouts)("kept values, layout %s", async (name, layout) => {
    const { leaves, gradients } = await leafGradients((g) => layout.build(g, shape));
    const values = leaves.findIndex(({ tensor: x }) => (x?.size ?? 0) > 1);
    const at = name === "dense" ? sparse.keys() : kept;
    // The mask's first value stands for all that was left out.
    const rest = Array.from(sparse.keys()).filter((i) => sparse[i] === 0);
    const first = name === "mask" ? [rest.reduce((sum, i) => sum + upstream[i], 0)] : [];
    const want = [...first, ...Array.from(at, (i) => upstream[i])];
    expectClose(gradients[values], want, 1e-6, name);
  });

  test("the levels of a codebook may themselves be sparse", async () => {
    const rare = Uint16Array.from({ length: size }, (_, i) => (i % 7 === 2 ? 1 + (i % 3) : 0));
    for (const layout of layoutsOf(rare, integerElement(2, false, "int32"))) {
      const { gradients } = await leafGradients((g) =>
        g.Gather(g.constant(codebook, { name: "codebook" }), layout.build(g, shape)),
      );
      const leaf = tensor("float32", [4], codebook);
      const want = expected(leaf, (unit) => Float32Array.from(rare, (entry) => unit[entry]));
      expectClose(gradients[0], want, 1e-6, layout.name);
    }
  });
});
