/** @file The studio in Chromium: drop a model, compress it, download what the command line writes. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Studio, serveStudio } from "../../src/node/studio-server.ts";
import { scriptHash } from "../../src/report/html-script.ts";
import { run } from "../cli/run.ts";

/** Of the page, in which a part of this file runs. */
declare const DataTransfer: new () => { readonly items: { add(file: File): void } };

const root = fileURLToPath(new URL("../../", import.meta.url));
const executablePath = ["/usr/bin/chromium", "/usr/bin/google-chrome"].find(existsSync);
if (!executablePath) console.log("studio.long.test.ts is skipped: there is no /usr/bin/chromium");

describe.skipIf(!executablePath)("the studio in a browser", () => {
  const place = mkdtempSync(join(tmpdir(), "tersor-studio-"));
  let studio: Studio;
  let browser: Browser;
  let page: Page;
  /** Messages of the console above notes, errors of the page, requests to anywhere else. */
  const faults: string[] = [];

  beforeAll(async () => {
    execFileSync(process.execPath, ["scripts/setup.mjs", "studio"], { cwd: root });
    studio = await serveStudio({ scriptHashes: [scriptHash] });
    browser = await chromium.launch({ executablePath: executablePath!, args: ["--no-sandbox"] });
    page = await browser.newPage();
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) faults.push(message.text());
    });
    page.on("pageerror", (error) => faults.push(error.message));
    page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(studio.url) && !/^(blob|data):/.test(url)) faults.push(url);
    });
    await page.goto(studio.url);
  });
  afterAll(async () => {
    await browser?.close();
    await studio?.close();
    rmSync(place, { recursive: true, force: true });
    expect(faults).toEqual([]);
  });

  /** Drops a file on the page as a user does. */
  async function drop(name: string, bytes: Uint8Array): Promise<void> {
    const transfer = await page.evaluateHandle(
      ([name, base64]) => {
        const transfer = new DataTransfer();
        const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
        transfer.items.add(new File([bytes], name));
        return transfer;
      },
      [name, Buffer.from(bytes).toString("base64")],
    );
    await page.dispatchEvent(".drop", "drop", { dataTransfer: transfer });
  }

  test("loads at most 150 kB, compressed, before the library", () => {
    const folder = join(root, "dist/studio");
    const html = readFileSync(join(folder, "index.html"), "utf8");
    const linked = [...html.matchAll(/(?:src|href)="\.\/([^"]+)"/g)].map(([, path]) => path);
    expect(linked.length).toBeGreaterThanOrEqual(2);
    const sizes = linked.map((path) => gzipSync(readFileSync(join(folder, path))).byteLength);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(150_000);
  });

  test("says in a sentence what is wrong with a file, and how to go on", async () => {
    await drop("broken.onnx", new Uint8Array([1, 2, 3, 4]));
    const alert = page.getByRole("alert");
    await alert.waitFor();
    expect(await alert.textContent()).toMatch(
      /broken\.onnx: is not an ONNX model .*Give the \.onnx file itself, complete\./,
    );
    await alert.getByRole("button").click();
    expect(await alert.count()).toBe(0);
  });

  test("compresses to the bytes that the command line writes", async () => {
    const model = join(root, "examples/lenet5.onnx");
    await drop("lenet5.onnx", readFileSync(model));
    await page.getByText("fc1 holds 93 % of the bytes").waitFor();
    await page.getByRole("link", { name: "Compress" }).click();
    await page.getByLabel("Add a step").selectOption("quantize-weights");
    await page.getByRole("button", { name: "bits 4" }).click();
    await page.locator('[data-fresh="true"]').waitFor();

    const out = join(place, "cli.onnx");
    const recipe = ["--recipe", "quantize-weights:bits=4", "--timing", "0.05s"];
    await run(["compress", model, ...recipe, "-o", out]);
    for (const [ending, path] of [
      ["onnx", out],
      ["tersor", join(place, "cli.tersor")],
    ]) {
      if (ending === "tersor") await run(["compress", model, ...recipe, "-o", path]);
      const [download] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("button", { name: `Download .${ending}` }).click(),
      ]);
      expect(download.suggestedFilename()).toBe(`lenet5.small.${ending}`);
      const saved = join(place, `page.${ending}`);
      await download.saveAs(saved);
      expect(readFileSync(saved).equals(readFileSync(path)), ending).toBe(true);
    }
    expect(await page.locator(".command").textContent()).toBe(
      "npx tersor compress lenet5.onnx --recipe quantize-weights:bits=4 -o lenet5.small.onnx",
    );
  });

  test("refuses an option with the library's words, and goes on", async () => {
    await page.getByLabel("bits", { exact: false }).first().fill("99");
    await page.keyboard.press("Enter");
    const alert = page.getByRole("alert");
    await alert.waitFor();
    expect(await alert.textContent()).toMatch(/bits=99 is refused .*Give a number from 2 to 8\./);
  });
});
