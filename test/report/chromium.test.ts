/** @file The HTML report in Chromium, opened from disk: it sorts, filters, links plots and table. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { htmlReport } from "../../src/report/html.ts";
import { lenet } from "./fixture.ts";

const executablePath = ["/usr/bin/chromium", "/usr/bin/google-chrome"].find(existsSync);
if (!executablePath) console.log("chromium.test.ts is skipped: there is no /usr/bin/chromium");

describe.skipIf(!executablePath)("the report in a browser", () => {
  const folder = mkdtempSync(join(tmpdir(), "tersor-report-"));
  const file = join(folder, "report.html");
  const report = lenet();
  let browser: Browser;
  let page: Page;
  /** Errors and warnings of the console, errors of the page, requests for anything else. */
  const faults: string[] = [];

  beforeAll(async () => {
    writeFileSync(file, htmlReport(report));
    browser = await chromium.launch({ executablePath: executablePath!, args: ["--no-sandbox"] });
    page = await browser.newPage({ viewport: { width: 1400, height: 1000 } });
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) faults.push(message.text());
    });
    page.on("pageerror", (error) => faults.push(error.message));
    page.on("request", (request) => {
      if (!request.url().startsWith("file:")) faults.push(request.url());
    });
    await page.goto(pathToFileURL(file).href);
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
    expect(faults).toEqual([]);
  });

  const shownRows = () =>
    page.$$eval("table.sortable tbody tr", (rows) =>
      rows.filter((row) => !row.hidden).map((row) => row.dataset.recipe as string),
    );
  const dimmed = () => page.locator(".plots a.off").count();

  test("sorts by a column, in both directions", async () => {
    const bytes = new Map(report.results.map(({ recipe, bytes }) => [recipe, bytes.raw]));
    const title = page.locator("table.sortable thead button", { hasText: "file" });
    const sizes = async () => (await shownRows()).flatMap((recipe) => bytes.get(recipe) ?? []);
    await title.click();
    const up = await sizes();
    expect(up).toEqual([...up].sort((a, b) => a - b));
    await title.click();
    expect(await sizes()).toEqual([...up].reverse());
  });

  test("filters by text and by family; plots and the count follow", async () => {
    const all = await shownRows();
    await page.getByLabel("filter recipes").fill("quantize");
    const named = await shownRows();
    expect(named.length).toBeLessThan(all.length);
    for (const recipe of named) expect(recipe === "original" || /quantize/.test(recipe)).toBe(true);
    expect(await dimmed()).toBeGreaterThan(0);
    expect(await page.locator(".controls output").textContent()).toBe(
      `${named.length} of ${all.length} rows`,
    );
    await page.getByRole("button", { name: "show all" }).click();
    expect((await shownRows()).length).toBe(all.length);
    const toggle = page.locator(".controls [data-family=pruning]");
    await toggle.click();
    const families = new Map(report.results.map(({ recipe, family }) => [recipe, family]));
    for (const recipe of await shownRows()) expect(families.get(recipe)).not.toBe("pruning");
    await toggle.click();
    expect(await dimmed()).toBe(0);
  });

  test("a rectangle in one plot picks the rows, in the other plot and in the table", async () => {
    const plot = page.locator(".plots svg").first();
    await plot.scrollIntoViewIfNeeded();
    const circles = await plot.locator("a circle").evaluateAll((all) =>
      all.map((circle) => {
        const { x, y, width, height } = circle.getBoundingClientRect();
        const href = circle.parentElement?.getAttribute("href") as string;
        return { x: x + width / 2, y: y + height / 2, row: href.slice(1) };
      }),
    );
    const [first] = [...circles].sort((a, b) => a.x - b.x);
    const within = circles.filter(
      ({ x, y }) => Math.abs(x - first.x) <= 20 && Math.abs(y - first.y) <= 20,
    );
    await page.mouse.move(first.x - 20, first.y - 20);
    await page.mouse.down();
    await page.mouse.move(first.x + 20, first.y + 20, { steps: 4 });
    await page.mouse.up();
    const ids = await page.$$eval("table.sortable tbody tr", (rows) =>
      rows.filter((row) => !row.hidden && !row.matches(".original")).map(({ id }) => id),
    );
    expect(ids.sort()).toEqual(
      within
        .map(({ row }) => row)
        .filter((row) => row !== "row-0")
        .sort(),
    );
    const plots = await page.locator(".plots svg").count();
    expect(plots).toBe(2);
    expect(await page.locator(".plots svg").nth(1).locator("a.off").count()).toBeGreaterThan(0);
    await page.getByRole("button", { name: "show all" }).click();
    expect(await dimmed()).toBe(0);
  });

  test("a row's recipe is shown as a command and as TypeScript", async () => {
    const row = page.locator("#row-2");
    const recipe = (await row.getAttribute("data-recipe")) as string;
    await row.hover();
    await row.getByRole("button", { name: "take" }).click();
    const [command, program] = await page.locator(".taken .text").allTextContents();
    expect(command).toContain(`tersor compress `);
    expect(command.replaceAll("'", "")).toContain(`--recipe ${recipe}`);
    expect(program).toContain(`{ recipe: ${JSON.stringify(recipe)} }`);
  });

  test("at 400 px nothing but the table scrolls sideways", async () => {
    await page.setViewportSize({ width: 400, height: 800 });
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(400);
  });
});
