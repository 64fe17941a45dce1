/** @file The example page in Chromium: a .tersor file by URL, decoded while it downloads, and kept. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { crc32 } from "node:zlib";
import { InferenceSession, Tensor } from "onnxruntime-web";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { packModel } from "../../src/onnx/pack.ts";
import { unpack } from "../../src/unpack.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const executablePath = ["/usr/bin/chromium", "/usr/bin/google-chrome"].find(existsSync);
if (!executablePath) console.log("page.long.test.ts is skipped: there is no /usr/bin/chromium");

const { bytes: packed, tensors } = packModel(readFileSync(join(root, "examples/lenet5.onnx")));
const types: Record<string, string> = {
  ".html": "text/html",
  ".wasm": "application/wasm",
  ".tersor": "application/octet-stream",
};

/**
 * The file with an unknown mapping in the first large tensor, and the checksum that belongs to it.
 * A decoder that waits for the end finds no fault before.
 */
function forged(): Uint8Array {
  const { body } = tensors.find(({ body }) => body.length > 2 ** 16)!;
  const at = Buffer.from(packed).indexOf(body);
  const copy = packed.slice();
  copy[at] = 0xf0;
  const end = at + body.length;
  new DataView(copy.buffer).setUint32(end, crc32(copy.subarray(0, end)), true);
  return copy;
}

describe.skipIf(!executablePath)("a page", () => {
  let server: Server;
  let browser: Browser;
  let page: Page;
  const faults: string[] = [];
  /** The files of the server, and how many bytes of each were sent last time. */
  const files: Record<string, Uint8Array> = { "/lenet5.tersor": packed, "/bad.tersor": forged() };
  const sent: Record<string, number> = {};

  /** Sends a file in pieces of 16 KiB, one every 5 ms. */
  async function sendSlowly(path: string, response: ServerResponse): Promise<void> {
    const bytes = files[path];
    const etag = createHash("md5").update(bytes).digest("hex");
    const { length } = bytes;
    response.writeHead(200, { "content-type": types[".tersor"], "content-length": length, etag });
    for (sent[path] = 0; sent[path] < length && !response.destroyed; sent[path] += 2 ** 14) {
      response.write(bytes.subarray(sent[path], sent[path] + 2 ** 14));
      await new Promise((resume) => setTimeout(resume, 5));
    }
    response.end();
  }

  beforeAll(async () => {
    execFileSync(process.execPath, ["scripts/setup.mjs", "build"], { cwd: root });
    server = createServer((request, response) => {
      const path = request.url!.replace("/node_modules/tersor/", "/");
      if (files[path]) return void sendSlowly(path, response);
      const file = join(root, path === "/" ? "examples/page/index.html" : path);
      if (!existsSync(file)) return void response.writeHead(404).end();
      response.writeHead(200, { "content-type": types[extname(file)] ?? "text/javascript" });
      response.end(readFileSync(file));
    });
    await new Promise<void>((resume) => server.listen(0, "127.0.0.1", resume));
    browser = await chromium.launch({ executablePath: executablePath!, args: ["--no-sandbox"] });
    page = await browser.newPage();
    page.on("pageerror", (error) => faults.push(error.message));
  }, 300_000);
  afterAll(async () => {
    await browser?.close();
    server?.close();
    expect(faults).toEqual([]);
  });

  /** What the page shows once it has run the model. */
  async function outputOf(): Promise<number[]> {
    const { port } = server.address() as AddressInfo;
    await page.goto(`http://127.0.0.1:${port}/`);
    await page.waitForFunction("document.querySelector('pre').textContent");
    return JSON.parse((await page.locator("pre").textContent())!);
  }

  test("runs the model with the outputs of the unpacked file", async () => {
    const session = await InferenceSession.create(await unpack(packed));
    const image = new Tensor("float32", new Float32Array(784).fill(0.5), [1, 1, 28, 28]);
    const { logits } = await session.run({ image });
    expect(await outputOf()).toEqual([...(logits.data as Float32Array)]);
    expect(sent["/lenet5.tersor"]).toBeGreaterThanOrEqual(packed.length);
    expect(
      await page.locator("progress").evaluate((bar) => (bar as { value?: number }).value),
    ).toBe(1);
  });

  test("keeps the model: the second visit downloads next to nothing", async () => {
    const output = await outputOf();
    await page.reload();
    expect(await outputOf()).toEqual(output);
    expect(sent["/lenet5.tersor"]).toBeLessThan(packed.length / 2);
  });

  test("unpacks to the bytes that the command line writes, and tells how far it is", async () => {
    const [hash, told] = (await page.evaluate(`(async () => {
      const { unpack } = await import("tersor/load");
      const told = [];
      const onProgress = (...pair) => told.push(pair);
      const bytes = await unpack(fetch("lenet5.tersor"), { onProgress });
      const digest = await crypto.subtle.digest("SHA-256", bytes);
      return [[...new Uint8Array(digest)], told];
    })()`)) as [number[], [number, number][]];
    const expected = createHash("sha256").update(await unpack(packed));
    expect(Buffer.from(hash)).toEqual(expected.digest());
    expect(told.length).toBeGreaterThan(10);
    expect(told.at(-1)).toEqual([packed.length, packed.length]);
  });

  test("decodes while it downloads: a fault in a tensor ends the download early", async () => {
    const message = await page.evaluate(`(async () => {
      const { unpack } = await import("tersor/load");
      return unpack(fetch("bad.tersor")).catch((error) => error.name + ": " + error.message);
    })()`);
    expect(message).toBe("DecodeError: unknown mapping 15");
    expect(sent["/bad.tersor"]).toBeLessThan(packed.length / 2);
  });

  test("stops when it is told to", async () => {
    const message = await page.evaluate(`(async () => {
      const { unpack } = await import("tersor/load");
      const controller = new AbortController();
      const { signal } = controller;
      const onProgress = () => controller.abort(new Error("enough"));
      return unpack(fetch("lenet5.tersor"), { signal, onProgress }).catch(({ message }) => message);
    })()`);
    expect(message).toBe("enough");
    expect(sent["/lenet5.tersor"]).toBeLessThan(packed.length / 2);
  });
});
