/**
 * @file Keeps unpacked models in the browser's Cache API, by the URL of the packed file and the
 * version that the server tells.
 */

/** The cache's name, for pages that want to empty it: `caches.delete("tersor")`. */
export const cacheName = "tersor";

/** The header of a kept response that holds the version of the file that it was unpacked from. */
const versionHeader = "x-tersor-version";

/**
 * What tells one version of a file from the next: its ETag, or the time of its last change and its
 * length. Null where the server tells neither; such a file is not kept.
 */
export function versionOf({ headers }: Response): string | null {
  const changed = headers.get("last-modified");
  return headers.get("etag") ?? (changed && `${changed} ${headers.get("content-length")}`);
}

/**
 * The unpacked bytes of the file at `url`, of `version` or, for null, of whichever version was kept
 * last; null where there are none.
 */
export async function kept(
  url: string,
  version: string | null,
): Promise<Uint8Array<ArrayBuffer> | null> {
  const hit = await (await open(url))?.match(url);
  if (!hit || (version !== null && hit.headers.get(versionHeader) !== version)) return null;
  return new Uint8Array(await hit.arrayBuffer());
}

/** Keeps unpacked bytes in the place of those of an older version. A full disk is no error. */
export async function keep(
  url: string,
  version: string,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  const headers = { [versionHeader]: version, "content-type": "application/octet-stream" };
  await (await open(url))?.put(url, new Response(bytes, { headers })).catch(() => {});
}

/** Null where there is no cache: in Node, in a page without https, for URLs that are no addresses. */
async function open(url: string): Promise<Cache | null> {
  if (typeof caches === "undefined" || !/^https?:/.test(url)) return null;
  return caches.open(cacheName).catch(() => null);
}
