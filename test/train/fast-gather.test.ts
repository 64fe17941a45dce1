import { describe, expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { cloneModel, createModel } from "../../src/ir/model.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { verify } from "../../src/ir/verify.ts";
import { build } from "../../src/ops/builder.ts";
import { inferModel } from "../../src/ops/infer.ts";
import { backward } from "../../src/train/backward.ts";
import { fastGathers } from "../../src/train/fast-gather.ts";
import { runOrt } from "./gradients.ts";

describe("fastGathers", () => {
  test("vectors are picked from by elements; rows and scalars stay", async () => {
    const graph = new Graph("gathers");
    const codebook = graph.addInput("codebook", "float32", [4]);
    const table = graph.addInput("table", "float32", [3, 2]);
    const g = build(graph);
    const index = g.constant([0, -1, 2, 2, 1, 0], { dtype: "int32", shape: [2, 3] });
    const weight = g.Gather(codebook, index);
    const rows = g.Gather(table, g.constant([2, 0], { dtype: "int64" }));
    const one = g.Gather(codebook, g.constant(1, { dtype: "int64" }));
    const y = g.Mul(g.MatMul(rows, weight), one);
    graph.setOutputs([y]);
    y.name = "y";
    const model = createModel(graph, 21);
    const feeds = {
      codebook: tensor("float32", [4], [1, 2, 3, 4]),
      table: tensor("float32", [3, 2], [1, 2, 3, 4, 5, 6]),
    };
    const results = await Promise.all(
      [false, true].map(async (isFast) => {
        const copy = cloneModel(model);
        if (isFast) fastGathers(copy);
        const gathers = [...copy.graph.nodes].filter(({ op }) => op === "Gather");
        expect(gathers).toHaveLength(isFast ? 2 : 3);
        expect(verify(copy)).toEqual([]);
        inferModel(copy);
        const [output] = copy.graph.outputs;
        const gradients = [...backward(copy, output, copy.graph.inputs).values()];
        copy.graph.setOutputs([output, ...gradients]);
        for (const [i, gradient] of gradients.entries()) gradient.name = `d${i}`;
        return runOrt(copy, feeds);
      }),
    );
    expect(results[1]).toEqual(results[0]);
    // Rows 3 and 1 of the table times [[1, 4, 3], [3, 2, 1]], times 2
    expect([...results[0].y]).toEqual([46, 64, 42, 14, 16, 10]);
  });
});
