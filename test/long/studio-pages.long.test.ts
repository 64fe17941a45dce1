/** @file The studio's pages in Chromium: how they look, who can use them, what they cost. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { tinyModel } from "../support/tiny.ts";
import {
  digits,
  digitsZip,
  drop,
  dropped,
  executablePath,
  faultsOf,
  held,
  looks,
  type Open,
  openStudio,
  pictures,
  png,
  root,
  serveStatic,
  tasksDuring,
} from "./studio-browser.ts";

if (!executablePath) console.log("studio-pages.long.test.ts is skipped: no /usr/bin/chromium");

const patience = 120_000;
const lenet = readFileSync(join(root, "examples/lenet5.onnx"));
const pages = [
  "Model",
  "Overview",
  "Compress",
  "Train",
  "Survey",
  "Graph",
  "Try",
  "Report",
] as const;

describe.skipIf(!executablePath)("the studio's pages", () => {
  let open: Open;
  let page: Page;

  beforeAll(async () => {
    open = await openStudio([
      "--use-fake-device-for-media-stream",
      "--use-fake-ui-for-media-stream",
    ]);
    page = open.page;
    page.setDefaultTimeout(patience);
  }, patience);
  /** Each test begins with LeNet-5 in a page of its own, and nothing else. */
  beforeEach(async () => {
    await page.setViewportSize({ width: 1400, height: 900 });
    await page.goto("about:blank");
    await page.goto(open.url);
    await drop(page, { "lenet5.onnx": lenet });
    await page.getByText("fc1 holds 93 % of the bytes").waitFor();
    await idle();
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

  /** Judges a recipe of two steps on 100 digits. */
  async function withRecipe(): Promise<void> {
    await go("Compress");
    await page.locator('.data input[type="file"]').setInputFiles({
      ...{ name: "digits.zip", mimeType: "application/zip" },
      buffer: Buffer.from(digitsZip(100)),
    });
    await page.locator(".data code", { hasText: "images:digits.zip" }).waitFor();
    await load("prune-magnitude:sparsity=0.5 > share-weights:bits=5");
    await page.locator('[data-fresh="true"]', { hasText: "accuracy" }).waitFor();
  }

  /** The longest task, which is printed with the others above 50 ms. */
  async function longest(what: string, work: () => Promise<void>): Promise<number> {
    const tasks = await tasksDuring(open, work);
    const long = tasks.filter((ms) => ms > 50).map(Math.round);
    console.log(`CPU ms of the page's long tasks, ${what}: ${long.join(", ") || "none"}`);
    return Math.max(...tasks);
  }

  test("nothing holds up typing while a compression runs: no task above 100 ms", async () => {
    expect(await longest("compressing", () => load("share-weights:bits=4"))).toBeLessThan(100);
  });

  const large = join(root, "../shared/assets/models/mobilenet_v2_1.0_224_dequant.onnx");
  test.skipIf(!existsSync(large))("a model of 14 MB opens without a long task", async () => {
    const transfer = await held(page, { "mobilenet.onnx": readFileSync(large) });
    let ms = 0;
    const most = await longest("opening 14 MB", async () => {
      ms = await opening("mobilenet.onnx", transfer);
      await idle();
    });
    console.log(`14 MB: layers after ${ms} ms on the wall clock`);
    expect(most).toBeLessThan(100);
    await go("Graph");
    await page.locator(".box").first().waitFor();
    const scrolled = await longest("scrolling a graph of 100 nodes", async () => {
      for (let top = 0; top < 9000; top += 400) {
        await page.locator(".pane").evaluate((pane, to) => pane.scrollTo(0, to), top);
        await page.evaluate("new Promise((done) => requestAnimationFrame(done))");
      }
    });
    expect(scrolled).toBeLessThan(100);
    await page.locator('.box[aria-label^="output"]').waitFor();
  });
  /** Milliseconds from the drop of a file until its layers are shown. */
  async function opening(name: string, transfer: Awaited<ReturnType<typeof held>>) {
    await page.evaluate(`
      globalThis.opened = new Promise((done) => {
        new MutationObserver(() => {
          const isShown = document.querySelector(".open b")?.textContent === "${name}";
          if (isShown && document.querySelector(".treemap")) done(performance.now());
        }).observe(document.body, { subtree: true, childList: true, characterData: true });
        addEventListener("drop", () => { globalThis.began = performance.now(); }, true);
      });
      null; // The promise itself would be awaited here.`);
    await dropped(page, transfer);
    return Math.round(Number(await page.evaluate("opened.then((at) => at - began)")));
  }

  test("a graph of 3,000 nodes is drawn without a long task, with what is in sight only", async () => {
    await drop(page, { "wide.onnx": manyNodes(3000) });
    await page.locator(".open b", { hasText: "wide.onnx" }).waitFor();
    await idle();
    const most = await longest("drawing 3,000 nodes", async () => {
      await go("Graph");
      await page.locator(".box").first().waitFor();
    });
    expect(most).toBeLessThan(100);
    expect(await page.locator(".box").count()).toBeLessThan(200);
    await page.getByLabel("Find a node").fill("node2999");
    await page.keyboard.press("Enter");
    await page.locator('.box[aria-pressed="true"]', { hasText: "node2999" }).waitFor();
    await page.getByRole("article", { name: /node2999 in the original/ }).waitFor();
  });

  test("the graph shows what changed, what is in a node, and its channels", async () => {
    await load("prune-channels:ratio=0.3 > quantize-weights:bits=4");
    await go("Graph");
    const after = page.getByRole("region", { name: "Graph of the candidate" });
    const conv = after.getByRole("button", { name: /^Conv changed conv1 / });
    await conv.focus();
    await page.keyboard.press("Enter");
    const panel = page.getByRole("article", { name: "conv1 in the candidate" });
    expect(await panel.textContent()).toMatch(/stored as grid/);
    await panel.getByRole("button", { name: /of conv1/ }).click();
    expect(await after.locator(".makes").count()).toBe(2);
    expect(await after.locator(".reads").count()).toBe(1);
    // Arrows lead to the next row.
    await conv.focus();
    await page.keyboard.press("ArrowDown");
    await after.locator('.box:focus[aria-label^="MaxPool pool1"]').waitFor();
  });

  test("asks both models about a drawing, a picture of the camera and a file", async () => {
    await load("quantize-weights:bits=4");
    await go("Try");
    const answer = page.locator(".answer");
    await draw(page, [
      [0.25, 0.22],
      [0.72, 0.22],
      [0.45, 0.85],
    ]);
    await page.getByText("Class 7, and the candidate agrees.").waitFor();
    // The same stroke, a 1, with the keyboard.
    await page.getByRole("button", { name: "Clear" }).click();
    await answer.waitFor({ state: "detached" });
    await page.getByRole("img", { name: /Drawing/ }).focus();
    for (const key of [...Array(8).fill("ArrowUp"), "Space", ...Array(16).fill("ArrowDown")]) {
      await page.keyboard.press(key);
    }
    await page.getByText("Class 1, and the candidate agrees.").waitFor();
    await page.getByLabel("Camera").check();
    await page.getByRole("button", { name: "Open the camera" }).click();
    await page.locator("video").waitFor();
    await page.waitForFunction("document.querySelector('video').videoWidth > 0");
    await page.getByRole("button", { name: "Take the picture" }).click();
    await answer.waitFor();
    await page.getByLabel("A picture file").check();
    const [{ pixels, label }] = digits(1);
    await page.locator('.try input[type="file"]').setInputFiles({
      ...{ name: "digit.png", mimeType: "image/png", buffer: Buffer.from(png(pixels, 28)) },
    });
    await page.getByText(`Class ${label}, and the candidate agrees.`).waitFor();
    await page.locator('.try input[type="file"]').setInputFiles({
      ...{ name: "text.png", mimeType: "image/png", buffer: Buffer.from("no picture") },
    });
    await page
      .getByRole("alert")
      .getByText(/"text\.png" is no picture/)
      .waitFor();
    await page.getByRole("alert").getByRole("button").click();
  });

  test("every page is usable with a keyboard and a screen reader, and fits", async () => {
    await withRecipe();
    await go("Survey");
    await page.getByLabel("Minutes").fill("0.3");
    await page.getByRole("button", { name: "Try every family" }).click();
    await page.getByText(/not measured, and why/).waitFor();
    await go("Overview");
    await page.getByRole("button", { name: /^fc1 93 %/ }).click();
    await page.getByRole("img", { name: /Histogram of fc1/ }).waitFor();
    const found: string[] = [];
    for (const name of pages) {
      await go(name);
      if (name === "Report") await page.locator("iframe").waitFor();
      if (name === "Graph") await chooseNode(page);
      if (name === "Try")
        await draw(page, [
          [0.25, 0.22],
          [0.72, 0.22],
          [0.45, 0.85],
        ]);
      if (name === "Try") await page.locator(".answer").waitFor();
      found.push(...(await looks(page, name.toLowerCase())));
    }
    expect(found).toEqual([]);
    await page.emulateMedia({ colorScheme: "light" });
  });

  // The README's picture is renewed where it is asked for, so that a run changes no tracked file.
  test.skipIf(!process.env.TERSOR_PICTURE)("a picture for the README", async () => {
    await withRecipe();
    await idle();
    await page.setViewportSize({ width: 1100, height: 720 });
    await page.mouse.move(0, 0);
    const picture = await page.screenshot();
    await sharp(picture).png({ palette: true, effort: 10 }).toFile(join(root, "docs/studio.png"));
  });

  test("memory does not grow from recipe to recipe", async () => {
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
  }, 1_800_000);

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

describe.skipIf(!executablePath)("with a GPU that Chromium computes in software", () => {
  test("each candidate is held against WebAssembly, and what falls back is listed", async () => {
    const flags = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];
    const open = await openStudio(flags);
    try {
      const { page, faults } = open;
      page.setDefaultTimeout(2 * patience);
      await drop(page, { "lenet5.onnx": lenet });
      await page.getByText("fc1 holds 93 % of the bytes").waitFor();
      await page.locator('[data-work="none"]').waitFor();
      await page.evaluate(`location.hash = "#compress"`);
      await page.getByLabel("Or a recipe as text").fill("factor-svd:energy=0.6");
      await page.getByRole("button", { name: "Load", exact: true }).click();
      const text = (await page.locator(".gpu").textContent()) ?? "";
      console.log(text);
      expect(text).toMatch(/Its outputs are those of WebAssembly: they differ by at most/);
      expect(text).toMatch(/A run there: .* ms for the original, .* ms for the candidate/);
      expect(text).toMatch(/Every operator has a kernel there|fall back/);
      await page.screenshot({ path: join(pictures, "gpu-1400-light.png"), fullPage: true });
      expect(faults).toEqual([]);
    } finally {
      await open.close();
    }
  });
});

/** Draws a line through these points of the pad, each a share of its sides. */
async function draw(page: Page, points: readonly (readonly [number, number])[]): Promise<void> {
  const box = (await page.locator(".pad canvas").boundingBox())!;
  for (const [i, [x, y]] of points.entries()) {
    await page.mouse.move(box.x + x * box.width, box.y + y * box.height, { steps: 12 });
    if (i === 0) await page.mouse.down();
  }
  await page.mouse.up();
}

/** Shows a node of the graph with a group of channels. */
async function chooseNode(page: Page): Promise<void> {
  await page.locator(".box.node").first().click();
  await page.locator(".node-panel").first().waitFor();
  await page.locator(".groups button").first().click();
}

/** A chain of additions, of which every tenth also reads the input. */
const manyNodes = (count: number): Uint8Array =>
  tinyModel({
    inputs: [{ name: "x", dims: [1, 4] }],
    outputs: [{ name: `v${count - 1}`, dims: [1, 4] }],
    nodes: Array.from({ length: count }, (_, i) => ({
      op: i % 10 === 9 ? "Add" : "Sin",
      inputs: i === 0 ? ["x"] : i % 10 === 9 ? [`v${i - 1}`, "x"] : [`v${i - 1}`],
      outputs: [`v${i}`],
      name: `node${i}`,
    })),
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
