/** @file Decodes JPEG, PNG and WebP with sharp (libvips), an optional dependency. */
import { coverImage } from "../data/resize.ts";
import { errors, fail } from "../errors.ts";
import type { Platform } from "../platform.ts";

type Sharp = typeof import("sharp").default;

let loading: Promise<Sharp> | undefined;

/**
 * Decodes an image to pixels as they are stored: without the rotation that EXIF data ask for, and
 * without alpha, like the loaders that models are trained with. `size` resizes and crops it. Throws
 * TersorError "bad-image" or, if sharp is not installed, "package-missing".
 */
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
    // Resizing is our own code: libvips' result differs from that of Pillow, with which models are
    // trained, and a browser's from both.
    return size ? coverImage(image, size) : image;
  } catch (error) {
    const [why] = (error as Error).message.split("\n");
    throw fail(errors.badImage("image", why), error);
  }
};

/** Loads sharp; after an error the next call tries again. */
async function load(): Promise<Sharp> {
  try {
    const { default: sharp } = await import("sharp");
    // Many small images are decoded at once, so one thread for each is faster than several threads
    // for one image. Each is read only once, so a cache is of no use.
    sharp.concurrency(1);
    sharp.cache(false);
    return sharp;
  } catch (error) {
    loading = undefined;
    throw fail(errors.packageMissing("images", "sharp"), error);
  }
}
