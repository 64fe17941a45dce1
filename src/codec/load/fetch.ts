/**
 * @file A `fetch` for libraries that ask for .onnx files by URL, such as transformers.js: where the
 * server has a .tersor file of the same name, that is fetched and handed over unpacked.
 */
import { isPacked } from "../decode/container.ts";
import { Reader } from "../decode/reader.ts";
import { type UnpackOptions, unpack } from "./unpack.ts";

export type FetchOptions = Pick<UnpackOptions, "cache">;

/** fetch as libraries call it. */
export type Fetch = (input: string | URL, init?: RequestInit) => Promise<Response>;

/**
 * Wraps `fetch`: for transformers.js `env.fetch = tersorFetch()`. A GET of `name.onnx` becomes one
 * of `name.tersor`, whose unpacked bytes are the body of the Response; where there is no such file,
 * and for every other request, it is the wrapped `fetch`. A request for a range of bytes, by which
 * transformers.js learns the size of a file, is answered with the first byte and the unpacked size.
 *
 * Throws DecodeError where the .tersor file is damaged, and what `fetch` throws.
 */
export function tersorFetch(fetch: Fetch = globalThis.fetch, options: FetchOptions = {}): Fetch {
  const inner: Fetch = (input, init) => fetch(input, init);
  return async (input, init) => {
    const address = String(input);
    const name = /\.onnx(?=$|[?#])/;
    const method = init?.method ?? "GET";
    if (!name.test(address) || method.toUpperCase() !== "GET") return inner(input, init);
    const renamed = address.replace(name, ".tersor");
    const headers = new Headers(init?.headers);
    const isRange = headers.has("range");
    if (isRange) headers.set("range", "bytes=0-15");
    const packed = await inner(renamed, { ...init, headers });
    if (!packed.ok || packed.headers.get("content-type")?.startsWith("text/html")) {
      await packed.body?.cancel();
      return inner(input, init);
    }
    if (isRange) return sizeOf(packed);
    const signal = init?.signal ?? undefined;
    const bytes = await unpack(packed, { ...options, signal });
    return new Response(bytes, { headers: headersOf(bytes.length) });
  };
}

const headersOf = (length: number) => ({
  "content-type": "application/octet-stream",
  "content-length": String(length),
});

/** The answer to a request for a first byte: it names the size that the head of the file tells. */
async function sizeOf(packed: Response): Promise<Response> {
  const reader = packed.body?.getReader();
  const head = (await reader?.read())?.value ?? new Uint8Array(0);
  await reader?.cancel();
  if (!isPacked(head)) return new Response(null, { status: 416 });
  const size = new Reader(head.subarray(4)).varint();
  const range = { ...headersOf(1), "content-range": `bytes 0-0/${size}` };
  return new Response(new Uint8Array([8]), { status: 206, headers: range });
}
