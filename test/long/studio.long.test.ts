/** @file The studio in Chromium: it does what the command line does, and says what goes wrong. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run } from "../cli/run.ts";
import { tinyModel } from "../support/tiny.ts";
import {
  digitsNpz,
  digitsZip,
  drop,
  executablePath,
  type Open,
  openStudio,
  root,
} from "./studio-browser.ts";

if (!executablePath) console.log("studio.long.test.ts is skipped: there is no /usr/bin/chromium");

/** How long other work of the machine may hold up a step of the page, ms. */
const patience = 180_000;

const lenet = join(root, "examples/lenet5.onnx");
const recipe = (page: Page, text: string) =>
  page
    .getByLabel("Or a recipe as text")
    .fill(text)
    .then(() => page.getByRole("button", { name: "Load", exact: true }).click());
const go = (page: Page, name: string) =>
  page.getByRole("navigation").getByRole("link", { name, exact: true }).click();

describe.skipIf(!executablePath)("the studio in a browser", () => {
  const place = mkdtempSync(join(tmpdir(), "tersor-studio-"));
  let open: Open;
  let page: Page;
  const written = (name: string, bytes: Uint8Array): string => {
    writeFileSync(join(place, name), bytes);
    return join(place, name);
  };

  beforeAll(async () => {
    open = await openStudio();
    page = open.page;
    page.setDefaultTimeout(patience);
  }, patience);
  afterAll(async () => {
    await open?.close();
    rmSync(place, { recursive: true, force: true });
    expect(open.faults).toEqual([]);
  });

  /** Opens LeNet-5 and goes to a page. */
  async function withLenet(name: string): Promise<void> {
    await drop(page, { "lenet5.onnx": readFileSync(lenet) });
    await page.getByText("fc1 holds 93 % of the bytes").waitFor();
    await page.locator('[data-work="none"]').waitFor();
    await go(page, name);
  }
  const choose = (name: string, bytes: Uint8Array) =>
    page.locator('.data input[type="file"]').setInputFiles(written(name, bytes));
  const fresh = (text: string) => page.locator('[data-fresh="true"]', { hasText: text }).waitFor();
  /** The downloaded file. */
  async function saved(ending: "onnx" | "tersor"): Promise<Buffer> {
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: `Download .${ending}` }).click(),
    ]);
    const path = join(place, `page.${ending}`);
    await download.saveAs(path);
    return readFileSync(path);
  }
  /** What the copied command writes, with its files where they are. */
  async function fromCommand(files: Readonly<Record<string, string>>): Promise<Buffer> {
    const line = (await page.locator(".command").textContent()) ?? "";
    const words = line.match(/'[^']*'|[^\s']+/g)?.map((word) => word.replace(/^'|'$/g, "")) ?? [];
    const own = words
      .slice(2, -1)
      .map((word) =>
        Object.entries(files).reduce((all, [name, path]) => all.replace(name, path), word),
      );
    const out = join(place, "cli.onnx");
    const { status, stderr } = await run([...own, out, "--timing", "0.05s", "--force"]);
    expect(stderr + status).toMatch(/0$/);
    return readFileSync(out);
  }
  const alertText = async (): Promise<string> => {
    const alert = page.getByRole("alert");
    await alert.waitFor();
    const text = (await alert.textContent()) ?? "";
    await alert.getByRole("button").click();
    expect(await alert.count()).toBe(0);
    return text;
  };

  test("loads at most 150 kB, compressed, before the library", () => {
    const folder = join(root, "dist/studio");
    const html = readFileSync(join(folder, "index.html"), "utf8");
    const linked = [...html.matchAll(/(?:src|href)="\.\/([^"]+)"/g)].map(([, path]) => path);
    expect(linked.length).toBeGreaterThanOrEqual(2);
    const sizes = linked.map((path) => gzipSync(readFileSync(join(folder, path))).byteLength);
    const sum = sizes.reduce((all, size) => all + size, 0);
    console.log(`first load: ${(sum / 1000).toFixed(1)} kB with gzip`);
    expect(sum).toBeLessThan(150_000);
  });

  test("says in a sentence what is wrong with a file, and how to go on", async () => {
    await drop(page, { "broken.onnx": new Uint8Array([1, 2, 3, 4]) });
    expect(await alertText()).toMatch(
      /broken\.onnx: is not an ONNX model .*Give the \.onnx file itself, complete\./,
    );
    const ports = {
      inputs: [{ name: "x", dims: ["N", 4] }],
      outputs: [{ name: "y", dims: ["N", 64] }],
    };
    const unknown = tinyModel({
      ...ports,
      nodes: [{ op: "Frobnicate", inputs: ["x"], outputs: ["y"] }],
    });
    await drop(page, { "unknown.onnx": unknown });
    // It is shown, and what cannot be done with it is said: on opening, and where it is tried.
    const why = /nothing is timed: .*Frobnicate.*\. .+/;
    expect(await page.locator(".warnings").textContent()).toMatch(why);
    await go(page, "Compress");
    await recipe(page, "store-float16");
    expect(await alertText()).toMatch(/Frobnicate.*\. .+\./);

    const data = Float32Array.from({ length: 256 }, (_, i) => Math.sin(i));
    const weights = [{ name: "w", dims: [4, 64], data, external: "weights.data" }];
    const nodes = [{ op: "MatMul", inputs: ["x", "w"], outputs: ["y"], name: "mm" }];
    const model = tinyModel({ ...ports, nodes, weights });
    await drop(page, { "split.onnx": model });
    expect(await alertText()).toMatch(
      /its data should be in "weights\.data", which is not there\. Put the data file beside/,
    );
    await drop(page, { "weights.data": new Uint8Array(data.buffer), "split.onnx": model });
    await page.getByText("mm holds 100 % of the bytes").waitFor();
    await page.locator('[data-work="none"]').waitFor();
    // The model leaves its batch open, and a field asks for it.
    await go(page, "Compress");
    await page.getByLabel("N", { exact: true }).fill("3");
    await page.keyboard.press("Enter");
    await recipe(page, "store-float16");
    await fresh("store-float16");
    expect(await page.locator(".command").textContent()).toContain(" --dims N=3 ");
    expect(await saved("onnx")).toEqual(await fromCommand({ "split.onnx": splitOn(model, data) }));
  });
  function splitOn(model: Uint8Array, data: Float32Array): string {
    written("weights.data", new Uint8Array(data.buffer));
    return written("split.onnx", model);
  }

  test("compresses to the bytes that the command line writes", async () => {
    await withLenet("Compress");
    await page.getByLabel("Add a step").selectOption("quantize-weights");
    await page.getByRole("button", { name: "bits 4" }).click();
    await fresh("quantize-weights:bits=4");
    expect(await page.locator(".command").textContent()).toBe(
      "npx tersor compress lenet5.onnx --recipe quantize-weights:bits=4 -o lenet5.small.onnx",
    );
    expect((await saved("onnx")).equals(await fromCommand({ "lenet5.onnx": lenet }))).toBe(true);
    const packed = join(place, "cli.tersor");
    await run(["compress", lenet, "--recipe", "quantize-weights:bits=4", "-o", packed]);
    expect((await saved("tersor")).equals(readFileSync(packed))).toBe(true);
    // The original is measured once: the next recipe takes the time of its own work.
    const began = Date.now();
    await recipe(page, "prune-magnitude:sparsity=0.8 > share-weights:bits=4");
    await fresh("prune-magnitude");
    console.log(`a further recipe: ${((Date.now() - began) / 1000).toFixed(1)} s`);
    expect((await saved("onnx")).equals(await fromCommand({ "lenet5.onnx": lenet }))).toBe(true);
  });

  test("refuses an option with the library's words, and goes on", async () => {
    await withLenet("Compress");
    await recipe(page, "quantize-weights");
    await fresh("quantize-weights");
    await page.getByLabel("bits", { exact: false }).first().fill("99");
    await page.keyboard.press("Enter");
    expect(await alertText()).toMatch(/bits=99 is refused .*Give a number from 2 to 8\./);
  });

  test("judges on a zip of pictures and on an npz, as the command line does", async () => {
    await withLenet("Compress");
    await recipe(page, "quantize-weights:bits=3");
    await choose("digits.zip", digitsZip(100));
    await page.locator(".data code", { hasText: "images:digits.zip" }).waitFor();
    await fresh("accuracy");
    await page.getByText("How records are read").click();
    await page.locator("#data-limit").fill("40");
    await page.keyboard.press("Enter");
    await page.locator(".command", { hasText: "--limit 40" }).waitFor();
    await fresh("accuracy");
    const files = { "lenet5.onnx": lenet, "digits.zip": join(place, "digits.zip") };
    expect((await saved("onnx")).equals(await fromCommand(files))).toBe(true);
    await choose("digits.npz", digitsNpz(100));
    await page.locator(".command", { hasText: "npz:digits.npz" }).waitFor();
    await fresh("accuracy");
    // What was typed for pictures is not said of arrays.
    expect(await page.locator(".command").textContent()).not.toContain("--limit");
    await choose("rows.csv", new TextEncoder().encode("1,2,3\n4,5,6\n"));
    expect(await alertText()).toMatch(/rows\.csv.*\. .+\./);
  });

  test("trains with a live curve; what is stopped keeps the best", async () => {
    await withLenet("Train");
    await choose("digits.zip", digitsZip(300));
    await page.locator(".data code", { hasText: "images:digits.zip" }).waitFor();
    await page.getByRole("button", { name: "Train", exact: true }).click();
    await page.locator("[data-live] .curve").waitFor();
    await fresh("train:steps=50");
    expect(await page.getByText(/in 50 steps/).count()).toBeGreaterThan(0);
    await page.locator("#train-steps").fill("5000");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Train", exact: true }).click();
    await page.locator("[data-live] .curve").waitFor();
    await page.getByRole("button", { name: "Stop, keep the best" }).click();
    await fresh("train:steps=5000");
    await page.getByText(/training was ended after step \d+ of 5000; the best by/).waitFor();
  });

  test("surveys row by row, and a row's recipe can be loaded", async () => {
    await withLenet("Survey");
    // On a busy machine the only row may be that of simplifying, whose recipe has no step.
    await page.getByLabel("Minutes").fill("0.2");
    await page.getByRole("button", { name: "Try every family" }).click();
    await page.locator(".rows tbody tr:nth-child(2)").waitFor();
    await page.getByText(/not measured, and why/).waitFor();
    const first = page.locator(".rows .link").first();
    const name = (await first.textContent()) ?? "";
    await first.click();
    await fresh(name);
  });
});
