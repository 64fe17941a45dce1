/** @file The studio's pages in Chromium: how they look, who can use them, what they cost. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  digitsZip,
  drop,
  executablePath,
  faultsOf,
  type Open,
  openStudio,
  pictures,
  root,
  serveStatic,
} from "./studio-browser.ts";

if (!executablePath) console.log("studio-pages.long.test.ts is skipped: no /usr/bin/chromium");

const patience = 180_000;
const lenet = readFileSync(join(root, "examples/lenet5.onnx"));
const axe = readFileSync(join(root, "node_modules/axe-core/axe.min.js"), "utf8");
const pages = ["Model", "Overview", "Compress", "Train", "Survey", "Graph", "Report"] as const;
const schemes = ["light", "dark"] as const;
const widths = [1400, 360] as const;

/** What axe finds serious or critical: the rule, and the elements. */
const findings = (page: Page): Promise<string[]> =>
  page.evaluate(`axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) =>
    violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, nodes }) => id + ": " + nodes.map(({ target }) => target.join(" ")).join(", ")))`);

describe.skipIf(!executablePath)("the studio's pages", () => {
  let open: Open;
  let page: Page;

  beforeAll(async () => {
    open = await openStudio();
    page = open.page;
    page.setDefaultTimeout(patience);
    await page.evaluate(`
      globalThis.longTasks = [];
      new PerformanceObserver((list) => longTasks.push(...list.getEntries().map((e) => e.duration)))
        .observe({ type: "longtask" });`);
  }, patience);
  afterAll(async () => {
    await open?.close();
    expect(open.faults).toEqual([]);
  });

  const idle = () => page.locator('[data-work="none"]').waitFor();
  const go = (name: string) => page.evaluate(`location.hash = "#${name.toLowerCase()}"`);
  async function load(recipe: string): Promise<void> {
    await go("Compress");
    await page.getByLabel("Or a recipe as text").fill(recipe);
    await page.getByRole("button", { name: "Load", exact: true }).click();
    await page.locator('[data-fresh="true"]', { hasText: recipe.split(":")[0] }).waitFor();
  }

  test("nothing holds up typing while a compression runs: no task above 100 ms", async () => {
    await drop(page, { "lenet5.onnx": lenet });
    await page.getByText("fc1 holds 93 % of the bytes").waitFor();
    await idle();
    await page.evaluate("longTasks.length = 0");
    await load("share-weights:bits=4");
    const tasks = (await page.evaluate("longTasks")) as number[];
    console.log(`long tasks of the page, ms: ${tasks.map(Math.round).join(", ") || "none"}`);
    expect(tasks.filter((ms) => ms > 100)).toEqual([]);
  });

  test("every page is usable with a keyboard and a screen reader, and fits", async () => {
    await go("Compress");
    await page.locator('.data input[type="file"]').setInputFiles({
      ...{ name: "digits.zip", mimeType: "application/zip" },
      buffer: Buffer.from(digitsZip(100)),
    });
    await page.locator('[data-fresh="true"]', { hasText: "accuracy" }).waitFor();
    await load("prune-magnitude:sparsity=0.5 > share-weights:bits=5");
    await page.locator('[data-fresh="true"]', { hasText: "accuracy" }).waitFor();
    await go("Survey");
    await page.getByLabel("Minutes").fill("0.3");
    await page.getByRole("button", { name: "Try every family" }).click();
    await page.getByText(/not measured, and why/).waitFor();
    await go("Overview");
    await page.getByRole("button", { name: /^fc1 93 %/ }).click();
    await page.getByRole("img", { name: /Histogram of fc1/ }).waitFor();
    await page.evaluate(axe);
    const found: string[] = [];
    for (const name of pages) {
      await go(name);
      if (name === "Report") await page.locator("iframe").waitFor();
      for (const colorScheme of schemes) {
        await page.emulateMedia({ colorScheme });
        for (const width of widths) {
          await page.setViewportSize({ width, height: 900 });
          const where = `${name.toLowerCase()}-${width}-${colorScheme}`;
          await page.screenshot({ path: join(pictures, `${where}.png`), fullPage: true });
          const wide = await page.evaluate("document.documentElement.scrollWidth");
          if (Number(wide) > width) found.push(`${where}: is ${wide} pixels wide`);
          for (const one of await findings(page)) found.push(`${where}: ${one}`);
        }
      }
    }
    expect(found).toEqual([]);
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 1100, height: 720 });
    await go("Compress");
    const picture = join(pictures, "studio.png");
    await page.screenshot({ path: picture });
    // The README's picture is renewed where it is asked for, so that a run changes no tracked file.
    if (process.env.TERSOR_PICTURE) {
      await sharp(picture).png({ palette: true, effort: 10 }).toFile(join(root, "docs/studio.png"));
    }
  });

  test("memory does not grow from recipe to recipe", async () => {
    await page.setViewportSize({ width: 1400, height: 900 });
    // Opened anew, without the data of the test before.
    await go("Model");
    await drop(page, { "lenet5.onnx": lenet });
    await page.getByText("fc1 holds 93 % of the bytes").waitFor();
    await idle();
    const heaps: number[] = [];
    for (let i = 0; i < 20; i++) {
      await load(`quantize-weights:bits=${2 + (i % 6)}`);
      await page.locator(".recipe", { hasText: `bits=${2 + (i % 6)}` }).waitFor();
      heaps.push(await residentBytes(open));
    }
    const mib = heaps.map((bytes) => Math.round(bytes / 2 ** 20));
    console.log(`MiB of the page's process after each of 20 recipes: ${mib.join(", ")}`);
    const most = (from: number, to: number) => Math.max(...heaps.slice(from, to));
    expect(most(15, 20)).toBeLessThan(1.15 * most(5, 10));
  });

  test("opens without a network after the first visit", async () => {
    const host = await serveStatic(join(root, "dist/studio"));
    const context = await open.browser.newContext();
    const visit = await context.newPage();
    visit.setDefaultTimeout(patience);
    const faults = faultsOf(visit, host.url);
    try {
      await visit.goto(host.url);
      await visit.evaluate("navigator.serviceWorker.ready.then(() => 1)");
      await host.close();
      await visit.reload();
      await drop(visit, { "lenet5.onnx": lenet });
      await visit.getByText("fc1 holds 93 % of the bytes").waitFor();
      await visit.locator('[data-work="none"]').waitFor();
      expect(faults).toEqual([]);
    } finally {
      await context.close();
      await host.close().catch(() => {});
    }
  });
});

/** Resident bytes of the largest renderer: the page with its worker. */
async function residentBytes({ browser }: Open): Promise<number> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  const sizes = processInfo
    .filter(({ type }) => type === "renderer")
    .map(({ id }) => {
      const [, pages] = readFileSync(`/proc/${id}/statm`, "utf8").split(" ");
      return 4096 * Number(pages);
    });
  return Math.max(...sizes);
}
