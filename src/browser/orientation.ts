/**
 * @file Takes the EXIF data out of JPEG, PNG and WebP files. Browsers turn an image as its EXIF
 * orientation says (Chromium does so even with `imageOrientation: "none"`). Node's decoder and the
 * loaders that models are trained with give the pixels as they are stored.
 */

/** A part of a file: offsets of its first byte and of the byte behind its last. */
type Part = readonly [start: number, end: number];

/** The file without EXIF data; the same array if it has none or is none of these formats. */
export function withoutOrientation(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return cut(bytes, jpegParts(bytes, view));
  if (hasText(bytes, 1, "PNG\r\n")) return cut(bytes, pngParts(bytes, view));
  if (hasText(bytes, 0, "RIFF") && hasText(bytes, 8, "WEBP")) return webp(bytes, view);
  return bytes;
}

/** Segments FF E1, length (2 bytes, itself included), "Exif"; the pixels begin with FF DA. */
function jpegParts(bytes: Uint8Array, view: DataView): Part[] {
  const parts: Part[] = [];
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda) {
    const end = at + 2 + Math.max(2, view.getUint16(at + 2));
    if (bytes[at + 1] === 0xe1 && hasText(bytes, at + 4, "Exif")) parts.push([at, end]);
    at = end;
  }
  return parts;
}

/** Chunks of length (4 bytes), type (4), data, checksum (4), from offset 8 on. */
function pngParts(bytes: Uint8Array, view: DataView): Part[] {
  const parts: Part[] = [];
  let at = 8;
  while (at + 8 <= bytes.length) {
    const end = at + 12 + view.getUint32(at);
    if (hasText(bytes, at + 4, "eXIf")) parts.push([at, end]);
    at = end;
  }
  return parts;
}

/**
 * Chunks of type (4 bytes), length (4, little-endian) and data, padded to even, from offset 12 on.
 * The length of all stands at offset 4, and bit 3 of the chunk VP8X announces EXIF data.
 */
function webp(bytes: Uint8Array, view: DataView): Uint8Array {
  const parts: Part[] = [];
  let at = 12;
  let flags: number | null = null;
  while (at + 8 <= bytes.length) {
    const length = view.getUint32(at + 4, true);
    const end = at + 8 + length + (length % 2);
    if (hasText(bytes, at, "EXIF")) parts.push([at, end]);
    if (hasText(bytes, at, "VP8X") && at + 8 < bytes.length) flags = at + 8;
    at = end;
  }
  const rest = cut(bytes, parts);
  if (rest === bytes) return bytes;
  new DataView(rest.buffer).setUint32(4, rest.length - 8, true);
  // VP8X is the first chunk, so nothing before it was taken out.
  if (flags !== null) rest[flags] &= ~0x08;
  return rest;
}

function hasText(bytes: Uint8Array, at: number, text: string): boolean {
  return [...text].every((char, i) => bytes[at + i] === char.charCodeAt(0));
}

/** A copy without these parts; the array itself if there are none. */
function cut(bytes: Uint8Array, parts: readonly Part[]): Uint8Array {
  if (parts.length === 0) return bytes;
  const out = new Uint8Array(bytes.length);
  let [from, size] = [0, 0];
  for (const [start, end] of [...parts, [bytes.length, bytes.length]]) {
    const piece = bytes.subarray(from, start);
    out.set(piece, size);
    size += piece.length;
    from = end;
  }
  return out.slice(0, size);
}
