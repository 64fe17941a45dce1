/** @file The graph page's data: what changed between two graphs, what is drawn, what a node says. */
import { describe, expect, test } from "vitest";
import { compress, load } from "../../src/node.ts";
import { changesOf } from "../../studio/src/graph/changes.ts";
import { detailOf } from "../../studio/src/graph/detail.ts";
import { drawingOf } from "../../studio/src/graph/drawing.ts";

const lenet = "examples/lenet5.onnx";
const { model } = await load(lenet);

async function product(recipe: string) {
  const { bytes } = await compress(await load(lenet), { recipe, measures: false });
  return (await load(bytes)).model;
}

describe("changes", () => {
  test("of a weight's values, of its form and of a layer that was replaced", async () => {
    const changed = async (recipe: string) => {
      const after = await product(recipe);
      const changes = changesOf(model.graph, after.graph);
      return [...changes].flatMap(([{ name, graph }, change]) =>
        change === "same"
          ? []
          : [`${graph === after.graph ? "after" : "before"} ${name} ${change}`],
      );
    };
    expect(await changed("simplify")).toEqual([]);
    const pruned = await changed("prune-magnitude:sparsity=0.5,except=conv1|conv2|fc2");
    expect(pruned.filter((line) => /fc1/.test(line))).toEqual(
      expect.arrayContaining(["after fc1 changed", "before fc1 changed"]),
    );
    expect(pruned.filter((line) => /conv|fc2/.test(line))).toEqual([]);
    const split = await changed("factor-svd:energy=0.5,except=conv1|conv2|fc2");
    expect(split).toContain("before fc1 gone");
    expect(split.some((line) => /^after fc1\/.* new$/.test(line))).toBe(true);
  });
});

describe("drawing", () => {
  test("has a box for each node, for inputs and outputs, and edges between them", () => {
    const { nodes, rows } = drawingOf(model, () => "same");
    expect(nodes.map(({ kind }) => kind)).toEqual(["input", ...Array(8).fill("node"), "output"]);
    expect(nodes.find(({ name }) => name === "conv2")?.note).toBe("50x20x5x5");
    // A chain: one node a row, an edge from each to the next.
    expect(rows.map(({ nodes }) => nodes.length)).toEqual(Array(10).fill(1));
    expect(rows.map(({ segments }) => segments.length)).toEqual([...Array(9).fill(1), 0]);
  });

  test("leaves the nodes out that rebuild a weight, and says how it is stored", async () => {
    const after = await product("share-weights:bits=4");
    const { nodes } = drawingOf(after, () => "same");
    expect(nodes).toHaveLength(10);
    expect(nodes.find(({ name }) => name === "fc1")?.note).toBe("500x800, codebook");
  });
});

describe("detail", () => {
  test("has attributes, inputs, the weight and the channels of a layer", () => {
    const detail = detailOf(model, "conv1");
    expect(detail).toMatchObject({
      op: "Conv",
      attributes: expect.arrayContaining([["strides", "1, 1"]]),
      spread: { shape: [20, 1, 5, 5], n: 500 },
      groups: [
        { name: "conv1", size: 20, makes: true, makers: ["conv1", "pool1"], readers: ["conv2"] },
      ],
    });
    expect(detail?.inputs[0]).toMatchObject({ from: "input", type: "float32 Nx1x28x28" });
    expect(detailOf(model, "conv2")?.groups.map(({ name, makes }) => [name, makes])).toEqual([
      ["conv2", true],
      ["conv1", false],
    ]);
    expect(detailOf(model, "missing")).toBeNull();
  });

  test("says how a stored weight is stored, without the nodes that rebuild it", async () => {
    const detail = detailOf(await product("share-weights:bits=4"), "conv1");
    expect(detail?.inputs[1].from).toBe("stored as codebook");
    expect(detail?.groups[0].makers).toEqual(["conv1", "pool1"]);
  });

  test("is there for weights that are zeros and shared values at once", async () => {
    const after = await product("prune-magnitude:sparsity=0.5 > share-weights:bits=5");
    for (const name of ["conv1", "conv2", "fc1", "fc2"]) {
      expect(detailOf(after, name)?.groups.length, name).toBeGreaterThan(0);
    }
  });
});
