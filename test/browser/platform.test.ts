import { gunzipSync, gzipSync } from "node:zlib";
import { beforeAll, describe, expect, it } from "vitest";
import { createBrowserPlatform } from "../../src/browser/platform.ts";
import { catchError } from "../onnx/support.ts";

/** Node 20 has no navigator. */
beforeAll(() => {
  Object.defineProperty(globalThis, "navigator", {
    value: { userAgent: "test", hardwareConcurrency: 2 },
    configurable: true,
  });
});

describe("the browser's platform", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const files = new Map([
    ["photos/cat/1.jpg", bytes("one")],
    ["photos/dog/2.jpg", bytes("two")],
    ["photos/labels.csv", bytes("three")],
    ["model.onnx", bytes("four")],
  ]);

  it("lists, finds and reads what was dropped", async () => {
    const { files: dropped } = createBrowserPlatform(files);
    expect(await dropped.list("photos")).toEqual(["cat/", "dog/", "labels.csv"]);
    expect(await dropped.list("photos/cat/")).toEqual(["1.jpg"]);
    expect(await dropped.list("model.onnx")).toBeNull();
    expect(dropped.exists("photos/dog")).toBe(true);
    expect(dropped.exists("photos/d")).toBe(false);
    expect(new TextDecoder().decode(await dropped.read("model.onnx"))).toBe("four");
    expect(dropped.source("photos/labels.csv").read(1, 3)).toEqual(bytes("hre"));
    expect(catchError(() => dropped.source("other.bin")).code).toBe("no-such-file");
  });

  it("measures gzip like a server would send it", async () => {
    const text = bytes("abcdefgh".repeat(1000));
    const size = await createBrowserPlatform().gzipSize([
      text.subarray(0, 100),
      text.subarray(100),
    ]);
    const reference = gzipSync(text, { level: 9 });
    expect(gunzipSync(reference).byteLength).toBe(text.byteLength);
    expect(Math.abs((size as number) - reference.byteLength)).toBeLessThan(16);
  });
});
