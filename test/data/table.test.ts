/** @file CSV and JSON lines: columns to inputs, quoting, refusals. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseCsv } from "../../src/data/csv.ts";
import { openData } from "../../src/data/open.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import type { Port } from "../../src/runtime/runtime.ts";
import { folder, port, refusal } from "./folder.ts";

const open = (name: string, text: string, ports: Port[]) => {
  const root = folder({ [name]: text });
  return {
    root,
    data: () => openData(`${name.split(".")[1]}:${root}/${name}`, ports, {}, nodePlatform),
  };
};

describe("parseCsv", () => {
  it("undoes RFC 4180 quoting, for any cells, line ends and a byte order mark", () => {
    const cell = fc.oneof(fc.string(), fc.constantFrom('"', ",", "\n", "\r\n", '""', " a "));
    const rows = fc
      .integer({ min: 2, max: 4 })
      .chain((n) =>
        fc.array(fc.array(cell, { minLength: n, maxLength: n }), { minLength: 1, maxLength: 5 }),
      );
    fc.assert(
      fc.property(rows, fc.constantFrom("\n", "\r\n"), fc.boolean(), (cells, end, last) => {
        const quoted = cells.map((row) =>
          row.map((text) => `"${text.replaceAll('"', '""')}"`).join(","),
        );
        expect(parseCsv(`\ufeff${quoted.join(end)}${last ? end : ""}`, "f")).toEqual(cells);
      }),
    );
    expect(parseCsv("a,b\n\n1,\n,2", "f")).toEqual([
      ["a", "b"],
      ["1", ""],
      ["", "2"],
    ]);
  });

  it("refuses stray quotes and uneven rows", () => {
    expect(() => parseCsv('a,b\n1,x"y\n', "f")).toThrow(
      "bad-data: f: has a stray quote in row 2. Quote the cell.",
    );
    expect(() => parseCsv("a,b\n1\n", "f")).toThrow("has 1 cells in row 2 and 2 in the first");
  });
});

describe("csv", () => {
  it("fills the only input in column order", async () => {
    const { data } = open("d.csv", "sepal,label,petal\n1,0,2\n3,1,4.5\n", [port(["N", 2])]);
    const { inputs, label } = await (await data()).read([1]);
    expect([[...inputs.x.floats()], [...label!.numbers()]]).toEqual([[3, 4.5], [1]]);
  });

  it("fills several inputs by name, whatever the order, and one open axis", async () => {
    const text = "y,x.1,x.0,x.2,x.3,label\n9,1,0,2,3,4\n";
    const { data } = open("d.csv", text, [port(["N", "T", 2]), port(["N"], "y", "int64")]);
    const { inputs } = await (await data()).read([0]);
    expect([inputs.x.shape, [...inputs.x.floats()]]).toEqual([
      [1, 2, 2],
      [0, 1, 2, 3],
    ]);
    expect([inputs.y.dtype, [...inputs.y.numbers()]]).toEqual(["int64", [9]]);
  });

  it("is unlabelled without a label column, and reads several label columns as targets", async () => {
    expect((await open("d.csv", "a,b\n1,2\n", [port(["N", 2])]).data()).labelled).toBe(false);
    const { data } = open("d.csv", "a,label.0,label.1\n1,.5,1\n", [port(["N", 1])]);
    const { label } = await (await data()).read([0]);
    expect([label!.dtype, label!.shape, [...label!.numbers()]]).toEqual([
      "float32",
      [1, 2],
      [0.5, 1],
    ]);
  });

  it.each<[string, string, Port[], string]>([
    [
      "text",
      "a,label\ncat,1\n",
      [port(["N", 1])],
      'bad-data: /d.csv: record 1, column a: "cat" is not a number. Encode it as numbers first.',
    ],
    ["a hole", "a,label\n,1\n", [port(["N", 1])], 'record 1, column a: "" is not a number'],
    [
      "a wrong width",
      "a,b,label\n1,2,0\n",
      [port(["N", 3])],
      'wrong-shape: csv:/d.csv: has 2 values a record for "x", the model takes x float32 [N,3]. Give one value per element.',
    ],
    [
      "an unnamed input",
      "x.0,label\n1,0\n",
      [port(["N", 1]), port(["N", 1], "y")],
      'wrong-input: csv:/d.csv: has no column for "y" (the model\'s inputs: x float32 [N,1], y float32 [N,1]). Name the columns y.0, y.1 ...',
    ],
    [
      "a fraction as class",
      "a,label\n1,0\n2,0.5\n",
      [port(["N", 1])],
      "bad-label: csv:/d.csv[1]: label 0.5 is not a whole number.",
    ],
    [
      "no records",
      "a,label\n",
      [port(["N", 1])],
      "no-records: csv:/d.csv: holds no records. Add some.",
    ],
    ["nothing", "", [port(["N", 1])], "no-records: csv:/d.csv: holds no records. Add some."],
  ])("refuses %s", async (_, text, ports, words) => {
    const { root, data } = open("d.csv", text, ports);
    expect(await refusal(data, root)).toContain(words);
  });
});

describe("jsonl", () => {
  it("takes nested arrays by input name, and single values by column", async () => {
    const nested = '{"label": 3, "x": [[1, 2], [3, 4]]}\n\n{"x": [[5, 6], [7, 8]], "label": 1}\n';
    const { inputs, label } = await (
      await open("d.jsonl", nested, [port(["N", 2, 2])]).data()
    ).read([1, 0]);
    expect([...inputs.x.floats()]).toEqual([5, 6, 7, 8, 1, 2, 3, 4]);
    expect([...label!.numbers()]).toEqual([1, 3]);
    const flat = await open("d.jsonl", '{"a": 1, "b": true}', [port(["N", 2])]).data();
    expect([...(await flat.read([0])).inputs.x.floats()]).toEqual([1, 1]);
  });

  it("reads whole numbers in a list of labels as classes, a token each", async () => {
    const text = '{"x": [5, 6, 7], "label": [6, 7, 0]}';
    const { label, inputs } = await (
      await open("d.jsonl", text, [port(["N", "T"], "x", "int64")]).data()
    ).read([0]);
    expect([inputs.x.shape, label!.dtype, label!.shape]).toEqual([[1, 3], "int64", [1, 3]]);
  });

  it.each([
    [
      "no JSON",
      "{x: 1}",
      'bad-data: /d.jsonl:1: is not a JSON object. Write {"input": [...], "label": 0}.',
    ],
    ["a list", "[1]", "is not a JSON object"],
    [
      "text",
      '{"x": "cat"}',
      'bad-data: /d.jsonl:1: x is "cat", not a number. Encode it as numbers first.',
    ],
    [
      "other fields",
      '{"x": 1}\n{"y": 1}',
      "bad-data: /d.jsonl:2: has 1 values, the first record 1, or other names.",
    ],
  ])("refuses %s", async (_, text, words) => {
    const { root, data } = open("d.jsonl", text, [port(["N", 1])]);
    expect(await refusal(data, root)).toContain(words);
  });
});
