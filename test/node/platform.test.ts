/** @file Node's Platform: files, compressed sizes, decoding, clocks, runtimes. */
import { mkdirSync, symlinkSync } from "node:fs";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import fc from "fast-check";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { nodePlatform } from "../../src/node/platform.ts";
import { folder, refusal } from "../data/folder.ts";

const { files } = nodePlatform;

describe("files", () => {
  it("reads whole files and parts of them", async () => {
    const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i);
    const root = folder({ "a.bin": bytes });
    const whole = await files.read(`${root}/a.bin`);
    expect(whole.constructor).toBe(Uint8Array);
    expect(whole).toEqual(bytes);
    const source = files.source(`${root}/a.bin`);
    expect(source.byteLength).toBe(1000);
    expect(source.read(300, 5)).toEqual(bytes.slice(300, 305));
    expect(() => source.read(998, 5)).toThrow("cannot-read");
  });

  it("lists a folder sorted, links followed, and tells folders", async () => {
    const root = folder({ "b.txt": "", "a/x.txt": "" });
    mkdirSync(`${root}/c`);
    symlinkSync(`${root}/a`, `${root}/link`);
    symlinkSync(`${root}/gone`, `${root}/broken`);
    expect(await files.list(root)).toEqual(["a/", "b.txt", "broken", "c/", "link/"]);
    expect(await files.list(`${root}/b.txt`)).toBeNull();
    expect(await files.list(`${root}/none`)).toBeNull();
    expect([files.exists(`${root}/b.txt`), files.exists(`${root}/none`)]).toEqual([true, false]);
  });

  it("refuses what is missing or no file", async () => {
    const root = folder({});
    const missing = `no-such-file: ${root}/x: does not exist. Check the path.`;
    expect(await refusal(() => files.read(`${root}/x`))).toBe(missing);
    expect(await refusal(async () => files.source(`${root}/x`))).toBe(missing);
    const remedy = "Check what it is and its permissions.";
    expect(await refusal(() => files.read(root), root)).toBe(
      `cannot-read: : cannot be read (it is a folder). ${remedy}`,
    );
    expect(await refusal(async () => files.source(root), root)).toBe(
      `cannot-read: : cannot be read (it is not a file). ${remedy}`,
    );
  });

  it("finds files of installed packages, whatever they export", () => {
    expect(files.packaged("zod/package.json")).toMatch(/node_modules\/zod\/package\.json$/);
    expect(files.packaged("vitest/LICENSE.md")).toMatch(/LICENSE\.md$/);
    expect(files.packaged("no-such-package/x")).toBeNull();
  });
});

describe("compressed sizes", () => {
  it("are those of one-shot gzip -9 and brotli -11 -w 24, however the bytes are cut", async () => {
    const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 };
    const input = fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(input, async (chunks) => {
        const whole = Buffer.concat(chunks);
        expect(await nodePlatform.gzipSize(chunks)).toBe(gzipSync(whole, { level: 9 }).length);
        expect(await nodePlatform.brotliSize(chunks)).toBe(
          brotliCompressSync(whole, { params }).length,
        );
      }),
      { numRuns: 20 },
    );
  });

  it("pass on what goes wrong while reading", async () => {
    function* broken() {
      yield new Uint8Array(10);
      throw new Error("disk on fire");
    }
    await expect(nodePlatform.brotliSize(broken())).rejects.toThrow("disk on fire");
  });
});

describe("decodeImage", () => {
  const create = {
    width: 4,
    height: 2,
    channels: 4 as const,
    background: { r: 10, g: 20, b: 30, alpha: 0.5 },
  };

  it("gives RGB, alpha dropped, resized where asked", async () => {
    const png = new Uint8Array(await sharp({ create }).png().toBuffer());
    const { data, ...rest } = await nodePlatform.decodeImage(png);
    expect(rest).toEqual({ width: 4, height: 2, channels: 3 });
    expect([...data.subarray(0, 3)]).toEqual([10, 20, 30]);
    const small = await nodePlatform.decodeImage(png, { width: 1, height: 1 });
    expect([...small.data]).toEqual([10, 20, 30]);
  });

  it("gives RGB of grey, palette and 16-bit files", async () => {
    const image = () =>
      sharp({ create: { ...create, channels: 3, background: { r: 80, g: 80, b: 80 } } });
    const coded = [
      image().greyscale().png(),
      image().png({ palette: true }),
      image().toColourspace("rgb16").png(),
      image().webp({ lossless: true }),
    ];
    for (const one of coded) {
      const { channels, data } = await nodePlatform.decodeImage(
        new Uint8Array(await one.toBuffer()),
      );
      expect([channels, data.length, ...data.subarray(0, 3)]).toEqual([3, 24, 80, 80, 80]);
    }
  });

  it("refuses what is cut short or no image", async () => {
    const jpeg = new Uint8Array(await sharp({ create }).jpeg().toBuffer());
    for (const bytes of [
      jpeg.subarray(0, jpeg.length - 30),
      new Uint8Array(0),
      Uint8Array.of(1, 2, 3),
    ]) {
      expect(await refusal(() => nodePlatform.decodeImage(bytes))).toMatch(
        /^bad-image: image: cannot be decoded \(.+\)\. Give complete JPEG, PNG or WebP files\.$/,
      );
    }
  });
});

it("tells time that moves forward, and counts CPU time", () => {
  const [wall, cpu] = [nodePlatform.wallMs(), nodePlatform.cpuMs()!];
  let x = 0;
  while (nodePlatform.wallMs() - wall < 20) x += Math.sqrt(x + 1);
  expect(nodePlatform.wallMs()).toBeGreaterThan(wall);
  expect(nodePlatform.cpuMs()!).toBeGreaterThan(cpu);
  expect(nodePlatform.name).toMatch(/^node \d+\.\d+\.\d+ \w+ \w+$/);
  expect(nodePlatform.cores).toBeGreaterThan(0);
});

it("opens either runtime; auto prefers node", async () => {
  expect((await nodePlatform.runtime("web")).runtime.name).toBe("web");
  const { runtime, warning } = await nodePlatform.runtime("auto");
  if (warning)
    expect([runtime.name, warning]).toEqual([
      "web",
      expect.stringContaining("npm install onnxruntime-node"),
    ]);
  else expect(runtime.name).toBe("node");
});
