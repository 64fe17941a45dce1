/** @file Changed data are noticed, and moved or copied ones are the same. */
import { cpSync, mkdirSync, renameSync, utimesSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createBrowserPlatform } from "../../src/browser/platform.ts";
import { contentOf } from "../../src/data/content.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { temporaryFolder } from "../cli/run.ts";

/** Node 20 has no navigator. */
beforeAll(() => {
  const value = { userAgent: "test", hardwareConcurrency: 2 };
  Object.defineProperty(globalThis, "navigator", { value, configurable: true });
});

const folder = temporaryFolder();
afterAll(() => folder.close());

const of = (spec: string, limit?: number) => contentOf(spec, nodePlatform, limit);
const at = (name: string) => folder.in(name);

describe("content", () => {
  test("of a file: its bytes, not its name or time", async () => {
    writeFileSync(at("a.csv"), "x,label\n1,0\n");
    writeFileSync(at("b.csv"), "x,label\n1,0\n");
    utimesSync(at("b.csv"), 1, 1);
    const content = await of(`csv:${at("a.csv")}`);
    expect(content).toMatch(/^[0-9a-f]{64}$/);
    expect(await of(`csv:${at("b.csv")}`)).toBe(content);
    writeFileSync(at("b.csv"), "x,label\n1,1\n");
    expect(await of(`csv:${at("b.csv")}`)).not.toBe(content);
    // Another reader makes other records of the same bytes.
    expect(await of(`jsonl:${at("a.csv")}`)).not.toBe(content);
  });

  test("of a folder: all files below it by name", async () => {
    mkdirSync(at("images/cat"), { recursive: true });
    writeFileSync(at("images/cat/1.png"), "one");
    writeFileSync(at("images/cat/2.png"), "two");
    const content = await of(`images:${at("images")}`);
    cpSync(at("images"), at("copy"), { recursive: true });
    expect(await of(`images:${at("copy/")}`)).toBe(content);
    renameSync(at("copy/cat/1.png"), at("copy/cat/3.png"));
    expect(await of(`images:${at("copy")}`)).not.toBe(content);
  });

  test("of much data: names, sizes and times", async () => {
    writeFileSync(at("large.csv"), "0123456789");
    utimesSync(at("large.csv"), 5, 5);
    const content = await of(`csv:${at("large.csv")}`, 9);
    expect(await of(`csv:${at("large.csv")}`, 10)).not.toBe(content);
    writeFileSync(at("large.csv"), "9876543210");
    utimesSync(at("large.csv"), 5, 5);
    expect(await of(`csv:${at("large.csv")}`, 9)).toBe(content);
    utimesSync(at("large.csv"), 6, 6);
    expect(await of(`csv:${at("large.csv")}`, 9)).not.toBe(content);
  });

  test("tells the parts of a source apart", async () => {
    writeFileSync(at("images/train-images-idx3-ubyte"), "");
    const train = await of(`idx:${at("images")}:train`);
    expect(await of(`idx:${at("images")}:test`)).not.toBe(train);
    expect(await of(`idx:${at("images")}:train`)).toBe(train);
    const [first, second] = [await of("mnist:test"), await of("mnist:train")];
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(second).not.toBe(first);
  });

  test("of a file of images: its labels, too", async () => {
    writeFileSync(at("x-images-idx3-ubyte"), "pixels");
    const unlabelled = await of(`idx:${at("x-images-idx3-ubyte")}`);
    writeFileSync(at("x-labels-idx1-ubyte"), "classes");
    expect(await of(`idx:${at("x-images-idx3-ubyte")}`)).not.toBe(unlabelled);
  });

  test("of a module: its text", async () => {
    writeFileSync(at("records.mjs"), "export default [];");
    const content = await of(at("records.mjs"));
    writeFileSync(at("records.mjs"), "export default [1];");
    expect(await of(at("records.mjs"))).not.toBe(content);
  });

  test("of what is not there: none, and of dropped files: their bytes", async () => {
    expect(await of(`csv:${at("none.csv")}`)).toBeNull();
    const bytes = new TextEncoder().encode("x,label\n1,0\n");
    const page = createBrowserPlatform(new Map([["a.csv", bytes]]));
    expect(await contentOf("csv:a.csv", page)).toBe(await of(`csv:${at("a.csv")}`));
    expect(await contentOf("csv:https://example.org/a.csv", page)).toBeNull();
    await expect(of("cvs:a.csv")).rejects.toMatchObject({ code: "unknown-data" });
  });
});
