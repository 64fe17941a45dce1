import fc from "fast-check";
import { expect, test } from "vitest";
import { cloneModel, type Model } from "../../src/ir/model.ts";
import { printModel } from "../../src/ir/print.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { randomModel, seeds } from "../ir/random-model.ts";
import { sameBytes } from "./conformance.ts";

const full = (model: Model): string => printModel(model, { elements: 1e6 });

test("read(write(m)) is m, for any graph", () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const model = randomModel(seed);
      const bytes = concat(writeModel(model, { valueInfo: true }));
      const back = readModel(bytes);
      expect(full(back)).toBe(full(model));
      expect(sameBytes(concat(writeModel(back, { valueInfo: true })), bytes)).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test("a clone is the same model, and changing it leaves the first alone", () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const model = randomModel(seed);
      const before = full(model);
      const copy = cloneModel(model);
      expect(full(copy)).toBe(before);
      const values = new Set(
        [...model.graph.walk()].flatMap((g) => [...g.nodes].flatMap((n) => n.outputs)),
      );
      for (const graph of [...copy.graph.walk()]) {
        for (const node of [...graph.nodes]) {
          expect(node.outputs.some((output) => values.has(output))).toBe(false);
          expect(node.inputs.some((input) => input && values.has(input))).toBe(false);
          node.set("changed", { type: "int", value: 1 });
          node.setInputs([]);
        }
      }
      expect(full(model)).toBe(before);
    }),
    { numRuns: 100 },
  );
});
