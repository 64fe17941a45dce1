/** @file JPEG, PNG and WebP to pixels with sharp (libvips), an optional dependency. */
import { errors, fail } from "../errors.ts";
import type { Image, Platform } from "../platform.ts";

type Sharp = typeof import("sharp").default;

let loading: Promise<Sharp> | undefined;

/** Pixels as stored (no rotation by EXIF, alpha dropped), like the loaders that models train with. */
export const decodeImage: Platform["decodeImage"] = async (bytes, size) => {
  loading ??= load();
  const sharp = await loading;
  const decoder = sharp(bytes, { failOn: "error" });
  // The kernel of Pillow's BILINEAR, on full-size pixels: see src/data/resize.ts.
  if (size) decoder.resize({ ...size, fit: "cover", kernel: "linear", fastShrinkOnLoad: false });
  try {
    const { data, info } = await decoder
      .removeAlpha()
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true });
    const { width, height, channels } = info;
    const pixels = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return { width, height, channels, data: pixels } satisfies Image;
  } catch (error) {
    throw fail(errors.badImage("image", (error as Error).message), error);
  }
};

async function load(): Promise<Sharp> {
  try {
    const { default: sharp } = await import("sharp");
    // Many small images at once: one thread each beats several on one, and each is read only once.
    sharp.concurrency(1);
    sharp.cache(false);
    return sharp;
  } catch (error) {
    loading = undefined;
    throw fail(errors.packageMissing("images", "sharp"), error);
  }
}
