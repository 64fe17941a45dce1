/** @file Weights of large models: read when asked for, counted without being multiplied out, spilled. */
import { expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { createModel } from "../../src/ir/model.ts";
import { rawTensor, Tensor, tensor } from "../../src/ir/tensor.ts";
import { openScratch } from "../../src/node/scratch.ts";
import { build } from "../../src/ops/builder.ts";
import type { Platform } from "../../src/platform.ts";
import { createSpill } from "../../src/recipe/spill.ts";
import { countOf } from "../../src/weights/count.ts";
import { readWeight } from "../../src/weights/read.ts";

/** A weight of 1 GiB that is in a file and must not be read. */
const inFile = new Tensor(
  "float32",
  [2 ** 28],
  () => {
    throw new Error("it was read");
  },
  null,
  true,
);

test("what a step made of a large model is moved out of memory, and read back the same", () => {
  const graph = new Graph("g");
  graph.addConstant("large", inFile);
  const bytes = Uint8Array.from({ length: 2 ** 17 }, (_, i) => (i * 31) % 251);
  const made = [graph.addConstant("a", rawTensor("uint8", [2 ** 17], bytes))];
  const small = graph.addConstant("small", tensor("float32", [2], [1, 2]));
  let kept = 0;
  const scratch = openScratch();
  const platform = {
    scratch: () => ({
      keep(own: Uint8Array) {
        kept++;
        return scratch?.keep(own);
      },
    }),
  } as unknown as Platform;
  const spill = createSpill(createModel(graph, 21), platform);
  spill();
  const other = Uint8Array.from(bytes, (x) => 255 - x);
  made.push(graph.addConstant("b", rawTensor("uint8", [2 ** 17], other)));
  spill();
  spill();
  expect(kept).toBe(2);
  expect(made.map(({ tensor }) => tensor?.isInFile)).toEqual([true, true]);
  expect(made.map(({ tensor }) => tensor?.bytes())).toEqual([bytes, other]);
  expect(made[1].tensor?.head(3)).toEqual(other.subarray(0, 3));
  expect(small.tensor?.isInFile).toBe(false);
});

test("a model that is in memory is not spilled", () => {
  const graph = new Graph("g");
  graph.addConstant("a", rawTensor("uint8", [2 ** 17], new Uint8Array(2 ** 17)));
  const scratch = () => {
    throw new Error("it was opened");
  };
  createSpill(createModel(graph, 21), { scratch } as unknown as Platform)();
});

test("a weight in a file is read when its numbers are asked for", () => {
  const graph = new Graph("g");
  let reads = 0;
  const load = () => {
    reads++;
    return new Uint8Array(Float32Array.of(1, 0, -2).buffer);
  };
  const value = graph.addConstant("w", new Tensor("float32", [3], load, null, true));
  const weight = readWeight(value);
  expect(reads).toBe(0);
  expect([...(weight?.values ?? [])]).toEqual([1, 0, -2]);
});

test("levels of 4 bits below a DequantizeLinear are counted as they are stored", () => {
  const g = build(new Graph("g"));
  // 8 levels in two blocks of 2 rows, three of them zero; W is s q.
  const levels = g.constant([1, 0, -3, 7, 0, 0, -8, 2], { dtype: "int4", shape: [4, 2] });
  const scale = g.constant([0.5, 2, 4, 0.25], { shape: [2, 2] });
  const weight = readWeight(g.DequantizeLinear(levels, scale, { axis: 0, block_size: 2 }));
  expect(weight && countOf(weight)).toEqual({ numbers: 8, zeros: 3 });
  expect([...(weight?.values ?? [])]).toEqual([0.5, 0, -1.5, 14, 0, 0, -32, 0.5]);
  // A zero point makes other levels zero: q - 1.
  const zero = g.constant([1, 1, 1, 1], { dtype: "int4", shape: [2, 2] });
  const moved = readWeight(g.DequantizeLinear(levels, scale, zero, { axis: 0, block_size: 2 }));
  expect(moved && countOf(moved)).toEqual({ numbers: 8, zeros: 1 });
});
