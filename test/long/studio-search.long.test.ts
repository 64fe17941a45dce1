/** @file The studio's search in Chromium: a recipe within a target, what stop keeps, what is missed. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  digitsZip,
  drop,
  executablePath,
  looks,
  type Open,
  openStudio,
  root,
  tasksDuring,
} from "./studio-browser.ts";

if (!executablePath) console.log("studio-search.long.test.ts is skipped: no /usr/bin/chromium");

const patience = 300_000;
const lenet = readFileSync(join(root, "examples/lenet5.onnx"));
const zip = Buffer.from(digitsZip(300));

describe.skipIf(!executablePath)("the studio's search", () => {
  let open: Open;
  let page: Page;

  beforeAll(async () => {
    open = await openStudio();
    page = open.page;
    page.setDefaultTimeout(patience);
  }, patience);
  /** Each test begins with LeNet-5 and 300 digits in a page of its own, before any search. */
  beforeEach(async () => {
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 1400, height: 900 });
    await page.goto("about:blank");
    await page.goto(open.url);
    await drop(page, { "lenet5.onnx": lenet });
    await page.getByText("fc1 holds 93 % of the bytes").waitFor();
    await idle();
    await page.getByRole("link", { name: "Survey" }).click();
    await page.getByLabel("Search for a target").check();
    const files = { name: "digits.zip", mimeType: "application/zip", buffer: zip };
    await page.locator('.data input[type="file"]').setInputFiles(files);
    await page.locator(".data code", { hasText: "images:digits.zip" }).waitFor();
  }, patience);
  afterAll(async () => {
    await open?.close();
    expect(open.faults).toEqual([]);
  });

  const idle = () => page.locator('[data-work="none"]').waitFor();

  /** Types what the search is told, and begins it. */
  async function begin(told: Readonly<Record<string, string>>): Promise<void> {
    await page.getByText(/more options/).click();
    for (const [name, text] of Object.entries(told)) {
      const field = page.locator(`#search-${name}`);
      if (name === "strategy") await field.selectOption(text);
      else if (name === "train") await field.setChecked(text === "true");
      else {
        await field.fill(text);
        await field.blur();
      }
    }
    await page.getByRole("button", { name: "Search", exact: true }).click();
  }

  /** The recipe that is held for the best, with its bytes and its drop as the table has them. */
  async function best() {
    const cells = await page.locator(".rows tr.chosen td").allTextContents();
    const name = await page.locator(".rows tr.chosen .link").textContent();
    const [, value, unit] = /^([\d.]+) (B|kB|MB)$/.exec(cells[1]) ?? [];
    const bytes = Number(value) * { B: 1, kB: 1e3, MB: 1e6 }[unit as "B"];
    return { name: name ?? "", bytes, drop: Number.parseFloat(cells[5]), cells };
  }

  /** The text of the report. */
  const report = () => page.frameLocator("iframe").locator("body").textContent();

  test("finds a recipe within a target, and stop keeps it", async () => {
    await begin({ target: "size<=500kB, drop<=3", budget: "40s" });
    await page.locator(".standing", { hasText: /^Best: / }).waitFor();
    await page.locator(".rows tbody tr:nth-child(3)").waitFor();
    expect(await page.locator(".work").getAttribute("data-work")).toBe("searching");
    await page.getByRole("button", { name: "Stop" }).click();
    await idle();
    const found = await best();
    console.log(await page.locator(".standing").textContent(), found);
    expect(found.bytes).toBeLessThanOrEqual(500e3);
    expect(found.drop).toBeLessThanOrEqual(3);
    expect(await page.locator(".plot circle.chosen").count()).toBe(1);
    expect(await page.locator(".plot circle.best").count()).toBeGreaterThan(0);
    expect(await page.getByRole("alert").count()).toBe(0);
    expect(await looks(page, "search")).toEqual([]);
    // The rows outlive a worker that had to be replaced.
    await page.getByRole("link", { name: "Report" }).click();
    expect(await report()).toContain(found.name);
    await page.getByRole("link", { name: "Survey" }).click();
    expect(await page.locator("#search-target").inputValue()).toBe("size<=500kB, drop<=3");
  });

  test("says what is missed and names the nearest; a click loads the best", async () => {
    const told = { target: "size<=1kB", trials: "2", strategy: "random", train: "false" };
    await begin(told);
    await page.locator(".standing", { hasText: "2 recipes measured." }).waitFor();
    await idle();
    const text = await page.locator(".standing").textContent();
    console.log(text);
    expect(text).toMatch(/^No recipe met size<=1kB\. Nearest:/);
    expect(text).toMatch(/size<=1kB: it is \d+ bytes/);
    expect(await page.locator(".standing li").count()).toBe(2);
    expect(await looks(page, "search-missed")).toEqual([]);
    await page.getByRole("link", { name: "Report" }).click();
    const line = "npx tersor search lenet5.onnx --target 'size<=1kB' --trials 2 --strategy random";
    expect(await report()).toContain(`${line} --no-train --data images:digits.zip`);
    await page.getByRole("link", { name: "Survey" }).click();
    const { name } = await best();
    await page.getByRole("button", { name: "Load the best into Compress" }).click();
    await page.locator('[data-fresh="true"] .recipe', { hasText: name.split(":")[0] }).waitFor();
  });

  test("refuses a target that is none in the library's words, and holds nothing up", async () => {
    await begin({ target: "sise<=1" });
    const alert = page.getByRole("alert");
    await alert.waitFor();
    expect(await alert.textContent()).toMatch(/"sise" is nothing to aim at.*Did you mean "size"\?/);
    const tasks = await tasksDuring(open, async () => {
      await page.locator("#search-target").fill("size<=300kB");
      await page.getByRole("button", { name: "Search", exact: true }).click();
      await page.locator(".rows tbody tr:nth-child(2)").waitFor();
    });
    expect(await alert.count()).toBe(0);
    expect(Math.max(...tasks)).toBeLessThan(100);
    await page.getByRole("button", { name: "Stop" }).click();
    await idle();
  });
});
