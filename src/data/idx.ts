/**
 * @file MNIST's idx format, gzipped or not; labels are in a second file.
 *
 *   field  type            meaning
 *   magic  4 bytes         0, 0, element type (8: unsigned bytes), number of axes
 *   sizes  uint32 each     length of each axis, big-endian
 *   data   bytes           elements, row-major
 */
import { gunzipSync } from "fflate";
import { errors, fail } from "../errors.ts";
import type { Platform } from "../platform.ts";
import { product } from "../util/product.ts";
import type { Dataset } from "./dataset.ts";
import { imageDataset } from "./image-dataset.ts";
import { join, type ReadContext, splitPart } from "./reader.ts";

/**
 * Reads a folder with train- and t10k- files (`:train`, `:test`), or a single file of images.
 * Throws TersorError "no-records", "bad-data" or "label-count".
 */
export async function readIdx(path: string, context: ReadContext): Promise<Dataset> {
  const { platform } = context;
  const { path: place, part } = splitPart(path);
  const names = await platform.files.list(place);
  if (names === null) return openIdx(place, labelsBeside(place, platform), context);
  const images = names.filter((name) => /images?[-.]idx3/.test(name));
  const half = images.filter((name) => (part === "train" ? /train/ : /t10k|test/).test(name));
  const [name] = half.length ? half : images.length === 1 && place === path ? images : [];
  if (!name) {
    const prefix = part === "train" ? "train" : "t10k";
    const remedy = "Give the folder of the four MNIST files, or one images file";
    throw fail(errors.noRecords(place, `has no ${prefix}-images-idx3-ubyte`, remedy));
  }
  const file = join(place, name);
  return openIdx(file, labelsBeside(file, platform), context);
}

/** A file of images and that of its labels; undefined for the path of a folder. */
export function idxFiles(path: string, platform: Platform): string[] | undefined {
  if (platform.files.stat(path) === null) return undefined;
  const labels = labelsBeside(path, platform);
  return labels === null ? [path] : [path, labels];
}

/** Reads a file of images and one of labels; the records have no labels if that is null. */
export async function openIdx(
  images: string,
  labels: string | null,
  context: ReadContext,
): Promise<Dataset> {
  const { platform } = context;
  const pixels = await readFile(images, platform);
  const [length, height, width] = pixels.shape;
  if (pixels.shape.length !== 3) {
    throw fail(
      errors.badData(images, `has ${pixels.shape.length} axes`, "Give an idx3 images file"),
    );
  }
  if (length === 0) throw fail(errors.noRecords(images, "holds no images", "Check the file"));
  const classes = labels === null ? null : await readFile(labels, platform);
  if (labels && classes && classes.bytes.length !== length) {
    throw fail(errors.labelCount(labels, classes.bytes.length, length));
  }
  const area = width * height;
  return imageDataset(
    {
      length,
      labels: classes && Int32Array.from(classes.bytes),
      classes: null,
      size: { width, height },
      nameOf: (index) => `${images}[${index}]`,
      image(index) {
        const data = pixels.bytes.subarray(index * area, (index + 1) * area);
        return { width, height, channels: 1, data };
      },
    },
    context,
  );
}

/**
 * The file of labels beside a file of images: `x-images-idx3-ubyte` -> `x-labels-idx1-ubyte`,
 * gzipped or not; null where there is none.
 */
function labelsBeside(images: string, { files }: Platform): string | null {
  const cut = images.lastIndexOf("/") + 1;
  const name = images.slice(cut).replace("images", "labels").replace("idx3", "idx1");
  const plain = images.slice(0, cut) + name.replace(/\.gz$/, "");
  const candidates = [plain, `${plain}.gz`].filter((path) => path !== images);
  return candidates.find((path) => files.exists(path)) ?? null;
}

async function readFile(path: string, platform: Platform) {
  const raw = await platform.files.read(path);
  const bytes = raw[0] === 0x1f && raw[1] === 0x8b ? gunzip(raw, path) : raw;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const rank = bytes[3];
  if (bytes.length < 4 || bytes[0] || bytes[1] || rank === 0) {
    throw fail(errors.badData(path, "is not an idx file"));
  }
  if (bytes[2] !== 8) {
    const remedy = "Only files of unsigned bytes hold images and classes";
    throw fail(errors.badData(path, `has elements of type ${bytes[2]}`, remedy));
  }
  const start = 4 + 4 * rank;
  if (bytes.length < start) throw fail(errors.badData(path, "is cut short"));
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const size = product(shape);
  if (bytes.length !== start + size) {
    const why = `says ${shape.join("x")} bytes and has ${bytes.length - start}`;
    throw fail(errors.badData(path, why));
  }
  return { shape, bytes: bytes.subarray(start) };
}

function gunzip(bytes: Uint8Array, path: string): Uint8Array {
  try {
    return gunzipSync(bytes);
  } catch (cause) {
    throw fail(errors.badData(path, "does not unzip"), cause);
  }
}
