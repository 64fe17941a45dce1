/** @file Records with NaN or infinities are left out by number, refused, or kept. */
import { describe, expect, it } from "vitest";
import { numberOf, subset } from "../../src/data/dataset.ts";
import { leaveOutNonFinite } from "../../src/data/finite.ts";
import { openData } from "../../src/data/open.ts";
import { type Tensor, tensor } from "../../src/ir/tensor.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { tensorDataset } from "../support/dataset.ts";
import { folder, port } from "./folder.ts";

const rows = (count: number, broken: Readonly<Record<number, readonly number[]>>): Tensor =>
  tensor(
    "float32",
    [count, 3],
    Array.from({ length: count }, (_, i) => broken[i] ?? [i, i + 1, i + 2]).flat(),
  );

describe("records that are not finite", () => {
  const broken = {
    17: [1, Number.NaN, 2],
    64: [Number.NaN, Number.NaN, Number.POSITIVE_INFINITY],
    129: [Number.NEGATIVE_INFINITY, 0, 0],
  };
  it("are left out, with their number and how many values they hold", async () => {
    const dataset = await leaveOutNonFinite(tensorDataset({ x: rows(130, broken) }));
    expect(dataset.length).toBe(127);
    expect(dataset.warnings).toEqual([
      "test: 3 of 130 records are left out for 3 NaNs and 2 infinities (records 17, 64 and 129, counted from 0)",
    ]);
    const { inputs } = await dataset.read([16, 17, 126]);
    expect([...inputs.x.floats()]).toEqual([16, 17, 18, 18, 19, 20, 128, 129, 130]);
    expect(numberOf(dataset, 17)).toBe(18);
    // The number stays that of the file through further parts.
    expect(numberOf(subset(dataset, [126, 5]), 0)).toBe(128);
  });

  it("are refused by number where that is asked for, and where no record is left", async () => {
    const some = tensorDataset({ x: rows(130, broken) });
    await expect(leaveOutNonFinite(some, "refuse")).rejects.toMatchObject({
      code: "bad-data",
      what: "3 of 130 records hold 3 NaNs and 2 infinities (records 17, 64 and 129, counted from 0)",
    });
    const all = tensorDataset({ x: rows(2, { 0: [0, 0, Number.NaN], 1: [0, 0, Number.NaN] }) });
    await expect(leaveOutNonFinite(all)).rejects.toMatchObject({
      code: "bad-data",
      remedy: expect.stringContaining("--non-finite keep"),
    });
  });

  it("are kept where that is asked for", async () => {
    const all = tensorDataset({ x: rows(130, broken) });
    expect(await leaveOutNonFinite(all, "keep")).toBe(all);
  });

  it("are found in labels as well; whole numbers are not looked at", async () => {
    const label = rows(4, { 2: [0, Number.NaN, 0] });
    const dataset = await leaveOutNonFinite(tensorDataset({ x: rows(4, {}) }, label));
    expect(dataset.warnings?.[0]).toContain("1 of 4 records are left out for 1 NaN (record 2,");
    const whole = tensorDataset({ x: tensor("int64", [3], [1, 2, 3]) });
    expect(await leaveOutNonFinite(whole)).toBe(whole);
  });
});

describe("each reader of numbers", () => {
  const ports = [port(["N", 2])];
  const wide = (value: string) => `{"x": [1, 2], "label": 0}\n{"x": [3, ${value}], "label": 1}\n`;
  const files: Record<string, { name: string; text: string }> = {
    // Beyond float32, and beyond float64.
    jsonl: { name: "d.jsonl", text: wide("1e39") },
    "jsonl, infinite": { name: "d.jsonl", text: wide("1e999") },
    csv: { name: "d.csv", text: "x.0,x.1,label\n1,2,0\n3,Infinity,1\n" },
    module: {
      name: "d.mjs",
      text: "export default [{ inputs: { x: [1, 2] } }, { inputs: { x: [NaN, 2] } }];",
    },
  };
  it.each(Object.entries(files))("%s", async (_, { name, text }) => {
    const path = `${folder({ [name]: text })}/${name}`;
    const spec = name.endsWith("mjs") ? path : `${name.split(".")[1]}:${path}`;
    const dataset = await openData(spec, ports, {}, nodePlatform);
    expect(dataset.length).toBe(1);
    expect(dataset.warnings?.[0]).toMatch(/1 of 2 records are left out for 1 \w+ \(record 1, /);
    const kept = await openData(spec, ports, { nonFinite: "keep" }, nodePlatform);
    expect(kept.length).toBe(2);
  });

  it("names the record of the file where only some are used", async () => {
    const lines = Array.from({ length: 40 }, (_, i) => `{"x": [1, ${i === 20 ? "1e999" : i}]}`);
    const spec = `jsonl:${folder({ "d.jsonl": lines.join("\n") })}/d.jsonl`;
    const dataset = await openData(spec, ports, { limit: 10 }, nodePlatform);
    expect(dataset.length).toBe(9);
    expect(dataset.warnings?.[0]).toContain("(record 20, counted from 0)");
  });
});
