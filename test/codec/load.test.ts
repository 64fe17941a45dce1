/** @file tersor/load: unpack with progress, a way to stop and a cache; fetch for other libraries. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { DecodeError, type Fetch, tersorFetch, unpack } from "../../src/load.ts";
import { packModel } from "../../src/onnx/pack.ts";
import { unpack as plainly } from "../../src/unpack.ts";
import { linear } from "../support/tiny.ts";
import { expectCutsNoticed, expectFlipsNoticed } from "./forge.ts";

const W = Float32Array.from({ length: 30_000 }, (_, i) => ((i * 7919) % 65_537) / 7e4);
const { bytes: packed } = packModel(linear(W, new Float32Array(150)));
const expected = await plainly(packed);
const url = "https://host/model.tersor";
const same = (bytes: Uint8Array) => expect(Buffer.compare(bytes, expected)).toBe(0);

/** A server's answer, as fetch gives it. */
function answer(headers: Record<string, string> = {}, bytes: BodyInit = packed): Response {
  return Object.defineProperty(new Response(bytes, { headers }), "url", { value: url });
}

async function* piecesOf(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

afterEach(() => vi.unstubAllGlobals());

describe("unpack", () => {
  test.each([
    ["Uint8Array", () => packed],
    ["ArrayBuffer", () => packed.slice().buffer],
    ["Blob", () => new Blob([packed])],
    ["Response", () => answer()],
    ["a promise of one", async () => answer()],
    ["ReadableStream", () => new Blob([packed]).stream()],
    ["AsyncIterable", () => piecesOf(packed, 1000)],
  ] as const)("%s", async (_, source) => same(await unpack(source())));

  test("progress counts to the total, where the source says what it is", async () => {
    const told: [number, number | null][] = [];
    const onProgress = (loaded: number, total: number | null) => void told.push([loaded, total]);
    await unpack(packed, { onProgress });
    expect(told.map(([loaded]) => loaded)).toEqual(
      [...told.keys()].map((i) => Math.min((i + 1) * 65_536, packed.length)),
    );
    expect(told.at(-1)).toEqual([packed.length, packed.length]);
    await unpack(answer({ "content-length": String(packed.length) }), { onProgress });
    expect(told.at(-1)).toEqual([packed.length, packed.length]);
    const gzip = { "content-length": "9", "content-encoding": "gzip" };
    for (const source of [answer(gzip), answer({ "content-length": "9" }), piecesOf(packed, 999)]) {
      await unpack(source, { onProgress });
      expect(told.at(-1)).toEqual([packed.length, null]);
    }
  });

  test("the event loop gets its turns while much is decoded", async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    const slow = vi.spyOn(Date, "now");
    for (let ms = 0; ms < 99; ms++) slow.mockReturnValueOnce(ms * 20);
    await unpack(packed);
    slow.mockRestore();
    clearInterval(timer);
    expect(turns).toBeGreaterThan(0);
  });

  test("stops with the signal's reason, and stops the source", async () => {
    const controller = new AbortController();
    let cancelled: unknown = null;
    const endless = new ReadableStream<Uint8Array>({
      start: (own) => own.enqueue(packed.slice(0, 50_000)),
      cancel: (reason) => {
        cancelled = reason;
      },
    });
    const pending = unpack(endless, { signal: controller.signal });
    setTimeout(() => controller.abort(new Error("enough")), 5);
    await expect(pending).rejects.toThrow("enough");
    expect(cancelled).toEqual(new Error("enough"));
    await expect(unpack(packed, { signal: AbortSignal.abort() })).rejects.toThrow("aborted");
  });

  test("errors are those of tersor/unpack; a download stops at the first wrong byte", async () => {
    await expect(unpack(new Response("", { status: 403 }))).rejects.toThrow("answers 403");
    await expect(unpack(new Response(null))).rejects.toThrow(DecodeError);
    let isStopped = false;
    const stream = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(1000)),
      cancel: () => {
        isStopped = true;
      },
    });
    await expect(unpack(stream)).rejects.toThrow("does not begin");
    expect(isStopped).toBe(true);
  });

  test("damage and cuts are noticed", async () => {
    await expectFlipsNoticed(packed, 40_009, unpack);
    await expectCutsNoticed(packed, 40_009, (bytes) => unpack(piecesOf(bytes, 777)));
  });
});

describe("cache", () => {
  /** The browser's Cache API, as far as it is used. */
  function stubCaches() {
    const kept = new Map<string, Response>();
    const cache = {
      match: async (url: string) => kept.get(url)?.clone(),
      put: async (url: string, response: Response) => void kept.set(url, response),
    };
    vi.stubGlobal("caches", { open: async () => cache });
    return kept;
  }

  test("unpacks a version once", async () => {
    const kept = stubCaches();
    same(await unpack(answer({ etag: "1" }), { cache: true }));
    expect([...kept.keys()]).toEqual([url]);
    // The body is no .tersor file: it cannot have been read.
    same(await unpack(answer({ etag: "1" }, "changed"), { cache: true }));
    await expect(unpack(answer({ etag: "2" }, "changed"), { cache: true })).rejects.toThrow(
      DecodeError,
    );
    const changed = packModel(linear(W.subarray(150), new Float32Array(150))).bytes;
    const next = await unpack(answer({ etag: "2" }, changed), { cache: true });
    expect(Buffer.compare(next, await plainly(changed))).toBe(0);
    expect(kept.size).toBe(1);
  });

  test("without an ETag it goes by date and length; without either nothing is kept", async () => {
    const kept = stubCaches();
    await unpack(answer(), { cache: true });
    await unpack(answer({ etag: "1" }));
    expect(kept.size).toBe(0);
    const dated = { "last-modified": "Mon", "content-length": "5" };
    await unpack(answer(dated), { cache: true });
    same(await unpack(answer(dated, "other"), { cache: true }));
    const longer = { ...dated, "content-length": "6" };
    await expect(unpack(answer(longer, "other"), { cache: true })).rejects.toThrow(DecodeError);
  });

  test("a URL that cannot be reached is answered from the cache, if it is to be used", async () => {
    stubCaches();
    vi.stubGlobal("fetch", async () => answer({ etag: "1" }));
    same(await unpack(url, { cache: true }));
    vi.stubGlobal("fetch", async () => {
      throw new TypeError("offline");
    });
    same(await unpack(new URL(url), { cache: true }));
    await expect(unpack(url)).rejects.toThrow("offline");
    await expect(unpack(`${url}2`, { cache: true })).rejects.toThrow("offline");
  });
});

describe("tersorFetch", () => {
  /** A server with one packed model, one plain one, and a page for any other path. */
  const asked: string[] = [];
  const server: Fetch = async (input, init) => {
    const { url, headers } = new Request(input, init);
    asked.push(url);
    if (url.endsWith("/a.tersor?v=1")) {
      return headers.get("range") === "bytes=0-15"
        ? new Response(packed.subarray(0, 16), { status: 206 })
        : new Response(packed);
    }
    if (url.endsWith("/plain.onnx")) return new Response("plain");
    if (url.endsWith("/page.tersor")) {
      return new Response("<html>", { headers: { "content-type": "text/html; charset=utf-8" } });
    }
    return new Response("none", { status: 404 });
  };
  const fetch = tersorFetch(server);

  test("hands a packed model over unpacked", async () => {
    for (const input of ["https://h/a.onnx?v=1", new URL("https://h/a.onnx?v=1")]) {
      const response = await fetch(input);
      expect(response.headers.get("content-length")).toBe(String(expected.length));
      same(new Uint8Array(await response.arrayBuffer()));
    }
  });

  test("tells the unpacked size to a request for the first byte", async () => {
    const response = await fetch("https://h/a.onnx?v=1", { headers: { Range: "bytes=0-0" } });
    expect(response.status).toBe(206);
    expect(response.headers.get("content-range")).toBe(`bytes 0-0/${expected.length}`);
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(expected.slice(0, 1));
  });

  test("leaves everything else as it is", async () => {
    asked.length = 0;
    expect(await (await fetch("https://h/plain.onnx")).text()).toBe("plain");
    expect((await fetch("https://h/page.onnx")).status).toBe(404);
    expect((await fetch("https://h/config.json")).status).toBe(404);
    await fetch("https://h/a.onnx", { method: "HEAD" });
    expect(asked).toEqual(
      ["plain.tersor", "plain.onnx", "page.tersor", "page.onnx", "config.json", "a.onnx"].map(
        (path) => `https://h/${path}`,
      ),
    );
  });
});
