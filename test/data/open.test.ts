/** @file Data specifications, options from text and metadata, limits. */

import { describe, expect, it } from "vitest";
import { z } from "zod";
import { findReader, openData, readers } from "../../src/data/open.ts";
import {
  DataOptions,
  mergeOptions,
  parseDataOptions,
  parsePreprocess,
} from "../../src/data/options.ts";
import { offsetLabels } from "../../src/data/reader.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { folder, port, refusal } from "./folder.ts";

const open = (spec: string, options = {}, preprocess = {}) =>
  openData(spec, [port(["N", 1, 28, 28])], options, nodePlatform, preprocess);

describe("specification", () => {
  it("mnist alone is its test part; other names alone are no data", async () => {
    expect(findReader("mnist", nodePlatform)).toMatchObject({ prefix: "mnist", path: "test" });
    expect(() => findReader("npz", nodePlatform)).toThrow(/does not say what kind/);
  });

  it.each([
    ["image:x", 'unknown-data: image:x: there is no data reader "image". Did you mean images:x?'],
    [
      "parquet:x",
      'there is no data reader "parquet". Known: mnist:train|test, idx:folder[:train], cifar:',
    ],
    ["x.npz", "unknown-data: x.npz: does not say what kind of data it is. Did you mean npz:x.npz?"],
    ["pictures.zip", "Did you mean images:pictures.zip?"],
    ["whatever", "does not say what kind of data it is. Known: mnist:train|test"],
    ["npz:", "unknown-data: npz:: names no data. Write npz:file."],
    ["constructor:x", 'there is no data reader "constructor"'],
    ["npz:/no/such.npz", "no-such-file: /no/such.npz: does not exist. Check the path."],
    ["csv:/no/such.csv", "no-such-file: /no/such.csv"],
    ["idx:/no/such", "no-such-file: /no/such"],
    ["./no-such.mjs", "no-such-file: ./no-such.mjs: does not exist. Check the path."],
  ])("refuses %s", async (spec, words) => {
    expect(await refusal(() => open(spec))).toContain(words);
  });

  it("has a line of help for every reader", () => {
    for (const { doc, rest } of Object.values(readers)) expect([doc, rest]).not.toContain("");
  });
});

it("moves labels by the offset, but not the label of padding", () => {
  expect([...offsetLabels(Int32Array.of(1, 10, -100), -1)]).toEqual([0, 9, -100]);
});

describe("options", () => {
  it("read the command line's text as programs' values", () => {
    const text = {
      scale: "1",
      mean: ".485,.456, .406",
      std: "2",
      size: "256x320",
      limit: "100",
      labelOffset: "-1",
    };
    expect(parseDataOptions(text)).toEqual({
      scale: 1,
      mean: [0.485, 0.456, 0.406],
      std: [2],
      size: [256, 320],
      limit: 100,
      labelOffset: -1,
    });
    expect(parseDataOptions({ mean: 128, size: 224 })).toEqual({ mean: [128], size: [224] });
    expect(parseDataOptions({})).toEqual({});
  });

  it.each([
    [{ scale: "0" }, "scale: "],
    [{ scale: "" }, "scale: "],
    [{ mean: "1,,2" }, "mean.1: "],
    [{ mean: "x" }, "mean.0: "],
    [{ std: "0,1,1" }, "std.0: "],
    [{ size: "1x2x3" }, "size: "],
    [{ size: "-4" }, "size.0: "],
    [{ layout: "chw" }, "layout: "],
    [{ limit: 0.5 }, "limit: "],
    [{ labelOffset: "one" }, "labelOffset: "],
    [{ sclae: 1 }, "Unrecognized key"],
  ])("refuse %o", (given, words) => {
    expect(() => parseDataOptions(given)).toThrow(`bad-option: data options: ${words}`);
  });

  it("carry a description each, in a schema that JSON can hold", () => {
    const { properties } = z.toJSONSchema(DataOptions);
    expect(Object.keys(properties!)).toEqual(Object.keys(DataOptions.shape));
    for (const [name, schema] of Object.entries(DataOptions.shape)) {
      expect(schema.meta()?.description, name).toBeTruthy();
    }
  });

  it("of the user win over the model's metadata", async () => {
    const own = parsePreprocess('{"scale": 1, "mean": [10], "labelOffset": 5}');
    expect(mergeOptions({ scale: 2 }, own)).toEqual({ scale: 2, mean: [10], labelOffset: 5 });
    const data = await open("mnist:test", { mean: [20] }, own);
    const { inputs, label } = await data.read([0]);
    expect(inputs.x.floats()[0]).toBe(-20);
    expect(label!.numbers()[0]).toBe(12);
    expect(() => parsePreprocess("{")).toThrow(
      "bad-option: tersor.preprocess: is not JSON. Correct the model's metadata.",
    );
    expect(() => parsePreprocess('{"limit": 3}')).toThrow("Unrecognized key");
  });

  it("of the model about images do not disturb arrays", async () => {
    const root = folder({
      "d.csv": `${Array.from({ length: 784 }, (_, i) => `c${i}`)},label\n${new Array(784).fill(1)},3\n`,
    });
    const data = await open(`csv:${root}/d.csv`, {}, { mean: [1], labelOffset: 1 });
    expect((await data.read([0])).label!.numbers()[0]).toBe(4);
  });
});

it("limits evenly, so that sorted data keeps its classes", async () => {
  const rows = Array.from({ length: 10 }, (_, i) => `{"x": [${i}], "label": ${Math.floor(i / 5)}}`);
  const root = folder({ "d.jsonl": rows.join("\n") });
  const data = await openData(
    `jsonl:${root}/d.jsonl`,
    [port(["N", 1])],
    { limit: 4 },
    nodePlatform,
  );
  expect(data.length).toBe(4);
  expect([...data.labels!]).toEqual([0, 0, 1, 1]);
  expect([...(await data.read([0, 1, 2, 3])).inputs.x.floats()]).toEqual([0, 2, 5, 7]);
});
