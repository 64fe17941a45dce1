/** @file How inputs are fed: what --input says, where records lie, and what is made for the others. */
import { describe, expect, test } from "vitest";
import { batchAxes } from "../../src/data/batch-axes.ts";
import { completed } from "../../src/data/complete.ts";
import { feedingOf, Inputs } from "../../src/data/feed.ts";
import { openData } from "../../src/data/open.ts";
import type { DataOptions } from "../../src/data/options.ts";
import { parseModel } from "../../src/ir/parse.ts";
import { tensor } from "../../src/ir/tensor.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { inferModel } from "../../src/ops/infer.ts";
import type { Port } from "../../src/runtime/runtime.ts";
import { tensorDataset } from "../support/dataset.ts";
import { folder, port, refusal } from "./folder.ts";

describe("--input", () => {
  test.each([
    ["x", { x: "data" }],
    ["sr=16000", { sr: 16000 }],
    ["a=zeros,b=-0.5, c=axis:1", { a: "zeros", b: -0.5, c: { axis: 1 } }],
    ["h=feedback:h_n:0", { h: { feedback: "h_n:0" } }],
    ["constructor=ones", { constructor: "ones" }],
  ])("%s", (text, feeds) => {
    expect(Object.fromEntries(feedingOf(text))).toEqual(feeds);
    expect([...feedingOf(feeds as never)]).toEqual(Object.entries(feeds));
  });

  test("several texts are one; of two for a name the last counts", () => {
    expect([...feedingOf(["x", "h=zeros", "h=1"])]).toEqual([
      ["x", "data"],
      ["h", 1],
    ]);
  });

  test.each(["h=nothing", "=zeros", "h=", "h=axis:-1", "h=axis:x"])("refuses %s", (text) => {
    expect(Inputs.safeParse(text).error?.issues[0].message).toContain(
      "NAME=HOW with a number, zeros, ones, mask, range, ids, axis:1 or feedback:OUTPUT",
    );
  });
});

test.each<[string, [string, (number | string)[]][], (number | null)[], string?]>([
  ["one input", [["x", ["N", 3, "H", "W"]]], [0]],
  [
    "a state with the batch second",
    [
      ["s", [2, "N", 8]],
      ["x", ["N", "T"]],
    ],
    [1, 0],
  ],
  [
    "a state of one layer",
    [
      ["x", ["N", "T", 4]],
      ["h", [1, "N", 8]],
    ],
    [0, 1],
  ],
  [
    "scalars and lengths have none",
    [
      ["x", ["N", 4]],
      ["sr", []],
      ["n", [1]],
    ],
    [0, null, null],
  ],
  [
    "lengths of each record",
    [
      ["x", ["N", 4]],
      ["n", ["N"]],
    ],
    [0, 0],
  ],
  [
    "positions of all records",
    [
      ["ids", ["N", "T"]],
      ["pos", ["T"]],
    ],
    [0, 0],
  ],
  [
    "a fixed batch",
    [
      ["s", [2, 1, 8]],
      ["x", [1, 4]],
      ["size", [2]],
    ],
    [1, 0, null],
  ],
  [
    "a fixed batch of eight",
    [
      ["x", [8, 4]],
      ["s", [2, 8, 3]],
    ],
    [0, 1],
  ],
  [
    "sequences first, said",
    [
      ["x", ["T", "N", 4]],
      ["m", ["N", "T"]],
    ],
    [1, 0],
    "x=axis:1",
  ],
])("the axis of the records: %s", (_, ports, axes, input) => {
  const found = batchAxes(
    ports.map(([name, dims]) => port(dims, name)),
    feedingOf(input),
  );
  expect([...found.values()]).toEqual(axes);
});

const open = (rows: object[], ports: Port[], options: DataOptions = {}) => {
  const root = folder({ "d.jsonl": rows.map((row) => JSON.stringify(row)).join("\n") });
  return openData(`jsonl:${root}/d.jsonl`, ports, options, nodePlatform);
};
const state = [port(["N", 1]), port([2, "N", 2], "s")];
const rows = [1, 2, 3].map((x) => ({ x, s: [10 * x, 10 * x + 1, 10 * x + 2, 10 * x + 3] }));

test("records along the second axis are put together there", async () => {
  const data = await open(rows, state);
  const { inputs } = await data.read([2, 0]);
  expect(inputs.s.shape).toEqual([2, 2, 2]);
  // Layer 0 of records 2 and 0, then layer 1.
  expect([...inputs.s.numbers()]).toEqual([30, 31, 10, 11, 32, 33, 12, 13]);
  expect(data.axes?.get("s")).toBe(1);
});

test("one value for all records, or one record at a time", async () => {
  const ports = [port(["N", 1]), port([], "sr", "int64")];
  const same = await open(
    [1, 2].map((x) => ({ x, sr: 8000 })),
    ports,
  );
  const { inputs } = await same.read([1, 0]);
  expect([inputs.sr.shape, [...inputs.sr.numbers()]]).toEqual([[], [8000]]);
  expect([same.isSingle, same.axes?.get("sr")]).toEqual([undefined, null]);
  const other = await open(
    [1, 2].map((x) => ({ x, sr: 8000 * x })),
    ports,
  );
  expect(other.isSingle).toBe(true);
  expect([...(await other.read([1])).inputs.sr.numbers()]).toEqual([16000]);
});

test("inputs that no record fills", async () => {
  const ports = [
    port(["N", "T"], "ids", "int64"),
    port(["N", "M"], "mask", "int64"),
    port(["N", "T"], "pos", "int64"),
    port(["N", 2, "P", 4], "past"),
    port([], "scale"),
  ];
  const input = "mask=mask,pos=range,past=zeros,scale=0.25";
  const { inputs } = await (
    await open([{ ids: [5, 6, 7] }, { ids: [8, 9, 1] }], ports, { input })
  ).read([0, 1]);
  expect(Object.keys(inputs)).toEqual(["ids", "mask", "pos", "past", "scale"]);
  expect([inputs.mask.shape, [...inputs.mask.numbers()]]).toEqual([
    [2, 3],
    [1, 1, 1, 1, 1, 1],
  ]);
  expect([...inputs.pos.numbers()]).toEqual([0, 1, 2, 0, 1, 2]);
  expect(inputs.past.shape).toEqual([2, 2, 0, 4]);
  expect([inputs.scale.shape, [...inputs.scale.numbers()]]).toEqual([[], [0.25]]);
});

test("ids stay in the table that they index, and belong to the record", async () => {
  const model = parseModel(`<ir_version: 10, opset_import: ["" : 21]>
    g (float[N,T,2] x, int64[N,T] kind) => (float[N,T,2] y) <float[3,2] table = random(1)>
    { e = Gather (table, kind) y = Add (x, e) }`);
  inferModel(model);
  const ports = [port(["N", "T", 2]), port(["N", "T"], "kind", "int64")];
  const records = tensorDataset({ x: tensor("float32", [4, 20, 2], new Float32Array(160)) });
  const data = completed(records, { ports, feeding: feedingOf("kind=ids"), model });
  const all = [...(await data.read([0, 1, 2, 3])).inputs.kind.numbers()];
  expect(new Set(all)).toEqual(new Set([0, 1, 2]));
  const { kind } = (await data.read([2, 1])).inputs;
  expect([...kind.numbers()]).toEqual([...all.slice(40, 60), ...all.slice(20, 40)]);
});

test.each<[string, DataOptions["input"], string]>([
  ["an unknown input", "z=zeros", 'the model has no input "z"'],
  ["an axis that is not there", "s=axis:3", '"s" has no axis 3'],
])("refuses %s", async (_, input, why) => {
  expect(await refusal(() => open(rows, state, { input }))).toContain(why);
});

test("an input that records lack is refused with what would be right", async () => {
  const ports = [port(["N", 1]), port(["N", "T"], "attention_mask", "int64")];
  const root = folder({ "d.mjs": "export default [{ inputs: { x: 1 } }]" });
  const read = () => openData(`${root}/d.mjs`, ports, {}, nodePlatform);
  expect(await refusal(read, root)).toContain("--input attention_mask=mask");
});
