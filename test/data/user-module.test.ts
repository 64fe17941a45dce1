/** @file A user's module: every form of records, and what is refused. */
import { expect, it } from "vitest";
import { openData } from "../../src/data/open.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import type { Port } from "../../src/runtime/runtime.ts";
import { folder, port, refusal } from "./folder.ts";

const ports = [port(["N", 2, 2])];
const open = (text: string, wanted: Port[] = ports, options = {}, name = "data.mjs") => {
  const root = folder({ [name]: text });
  return { root, data: () => openData(`${root}/${name}`, wanted, options, nodePlatform) };
};

it.each([
  [
    "an array",
    "export default [{ inputs: { x: [1, 2, 3, 4] }, label: 1 }, { inputs: { x: [[5, 6], [7, 8]] }, label: 0 }]",
  ],
  [
    "a generator",
    "export default function* () { yield { inputs: { x: new Float32Array([1, 2, 3, 4]) }, label: 1 }; yield { inputs: { x: [5n, 6, 7, 8] }, label: 0n } }",
  ],
  [
    "an async iterable",
    "export default { async *[Symbol.asyncIterator]() { yield { inputs: { x: [1, 2, 3, 4] }, label: 1 }; yield { inputs: { x: new BigInt64Array([5n, 6n, 7n, 8n]) }, label: 0 } } }",
  ],
  [
    "a promise of an iterable",
    "export default async () => [{ inputs: { x: [1, 2, 3, 4] }, label: 1 }, { inputs: { x: [5, 6, 7, 8] }, label: 0 }]",
  ],
])("takes %s", async (_, text) => {
  const data = await open(text).data();
  const { inputs, label } = await data.read([1, 0]);
  expect([inputs.x.dtype, inputs.x.shape]).toEqual(["float32", [2, 2, 2]]);
  expect([...inputs.x.floats()]).toEqual([5, 6, 7, 8, 1, 2, 3, 4]);
  expect([...label!.numbers()]).toEqual([0, 1]);
});

it("reads TypeScript, several inputs, targets, and no more than the limit", async () => {
  const text = `interface R { inputs: Record<string, number[] | number>; label: number[] }
    export default function* (): Generator<R> { for (let i = 0; ; i++) yield { inputs: { x: [i], s: i }, label: [i / 2, 1] }; }`;
  const wanted = [port(["N", "T"]), port(["N"], "s", "int64")];
  const data = await open(text, wanted, { limit: 3 }, "data.ts").data();
  expect(data.length).toBe(3);
  const { inputs, label } = await data.read([2]);
  expect([inputs.x.shape, inputs.s.shape, [...inputs.s.numbers()]]).toEqual([[1, 1], [1], [2]]);
  expect([label!.dtype, [...label!.numbers()]]).toEqual(["float32", [1, 1]]);
});

it.each([
  [
    "no default export",
    "export const a = 1",
    "bad-module: /data.mjs: has no default export. Write: export default ...",
  ],
  [
    "no iterable",
    "export default 5",
    "bad-module: /data.mjs: its default export is not an iterable of records. Write: export default async function*",
  ],
  ["a syntax error", "export default [", "bad-module: /data.mjs: cannot be imported ("],
  ["no records", "export default []", "no-records: /data.mjs: gives no records."],
  [
    "a missing input",
    "export default [{ inputs: { y: 1 } }]",
    "wrong-input: /data.mjs: record 0: has no inputs.x (the model's inputs: x float32 [N,2,2]).",
  ],
  [
    "a wrong count",
    "export default [{ inputs: { x: [1, 2, 3] } }]",
    'wrong-shape: /data.mjs: has 3 values a record for "x"',
  ],
  [
    "a wrong nesting",
    "export default [{ inputs: { x: [[1, 2, 3]] } }]",
    'wrong-shape: /data.mjs: "x" has shape [1,1,3]',
  ],
  [
    "ragged lists",
    "export default [{ inputs: { x: [[1, 2], [3]] } }]",
    "bad-data: /data.mjs: record 0, x: is not an array of numbers.",
  ],
  [
    "text",
    'export default [{ inputs: { x: ["1", 2, 3, 4] } }]',
    "is not an array of numbers. Give a number, a typed array",
  ],
  [
    "uneven records",
    "export default [{ inputs: { x: [1, 2, 3, 4] } }, { inputs: { x: [1] } }]",
    "bad-data: /data.mjs, x: has 1 values in record 1 and 4 in the first.",
  ],
  [
    "labels for some",
    "export default [{ inputs: { x: [1, 2, 3, 4] }, label: 1 }, { inputs: { x: [1, 2, 3, 4] } }]",
    "label-count: /data.mjs: has 1 labels for 2 records.",
  ],
  [
    "a fraction as class",
    "export default [{ inputs: { x: [1, 2, 3, 4] }, label: 0.5 }]",
    "bad-label: /data.mjs[0]: label 0.5 is not a whole number.",
  ],
])("refuses %s", async (_, text, words) => {
  const { root, data } = open(text);
  expect(await refusal(data, root)).toContain(words);
});
