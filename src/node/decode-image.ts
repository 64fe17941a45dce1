/** @file JPEG, PNG and WebP to pixels with sharp (libvips), an optional dependency. */
import { coverImage } from "../data/resize.ts";
import { errors, fail } from "../errors.ts";
import type { Platform } from "../platform.ts";

type Sharp = typeof import("sharp").default;

let loading: Promise<Sharp> | undefined;

/** Pixels as stored (no rotation by EXIF, alpha dropped), like the loaders that models train with. */
export const decodeImage: Platform["decodeImage"] = async (bytes, size) => {
  loading ??= load();
  const sharp = await loading;
  try {
    const { data, info } = await sharp(bytes, { failOn: "error" })
      .removeAlpha()
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true });
    const { width, height, channels } = info;
    const pixels = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const image = { width, height, channels, data: pixels };
    // Our own resizing: libvips' differs from Pillow's by up to 29 grey levels, and browsers' again.
    return size ? coverImage(image, size) : image;
  } catch (error) {
    const [why] = (error as Error).message.split("\n");
    throw fail(errors.badImage("image", why), error);
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
