/** @file Layers that can be opened for training: those that numbers of the outputs depend on. */
import { expect, test } from "vitest";
import { inferModel } from "../../src/ops/infer.ts";
import { openable } from "../../src/weights/latent.ts";
import { layersOf } from "../../src/weights/sites.ts";
import { layerModel } from "../support/layer.ts";

const weight = Float32Array.from({ length: 64 }, (_, i) => Math.sin(i));

/** A router whose two best places are looked up in a table, besides a layer of x. */
const routed = (isOutput: boolean) =>
  layerModel(["N", 8], (g, x) => {
    const scores = g.MatMul(x, g.constant(weight, { shape: [8, 8], name: "router" }));
    const [, places] = g.many("TopK", [scores, g.ints([2])], { outputs: 2 });
    if (isOutput) return places;
    const rows = g.Gather(g.constant(weight, { shape: [8, 8], name: "table" }), places);
    const own = g.MatMul(x, g.constant(weight.toReversed(), { shape: [8, 8], name: "layer" }));
    return g.Add(own, g.ReduceSum(rows, g.ints([1]), { keepdims: 0 }));
  });

test.each([
  [
    false,
    ["table", "layer"],
    ["decides only which values are taken, through which no gradient passes"],
  ],
  [true, ["router"], []],
])(
  "a router is left out, unless its choice is the model's answer: %s",
  (isOutput, open, reasons) => {
    const model = routed(isOutput);
    inferModel(model);
    const skipped: string[] = [];
    const notes = { skip: (_: string, reason: string) => skipped.push(reason) };
    const sites = layersOf(model, { only: [], except: [] }, notes, 1);
    const found = openable(sites, model, notes).map(({ value }) => value.name);
    expect(found.map((name) => name.split("/").at(-1)).sort()).toEqual([...open].sort());
    expect(skipped).toEqual(reasons);
  },
);
