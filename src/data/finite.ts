/** @file Records with NaN or infinities: left out with a warning, refused, or kept. */
import { errors, fail } from "../errors.ts";
import { dtypes } from "../ir/dtype.ts";
import { countNonFinite, describeNonFinite, type NonFinite } from "../numeric/finite.ts";
import { listed } from "../util/listed.ts";
import { type Dataset, numberOf, subset } from "./dataset.ts";
import type { DataOptions } from "./options.ts";

/** Records that are read at once. */
const BATCH = 64;

/**
 * The dataset without the records that hold a NaN or an infinity in an input or a label, with a
 * warning that counts and names them. Such a record would make every statistic and every metric
 * that it enters NaN. With "refuse" it throws TersorError "bad-data" instead, as it does where no
 * record is left; with "keep" nothing is looked at, for models that take such values.
 */
export async function leaveOutNonFinite(
  dataset: Dataset,
  policy: DataOptions["nonFinite"] = "skip",
): Promise<Dataset> {
  if (policy === "keep") return dataset;
  const { name, length } = dataset;
  const { broken, counts } = await nonFiniteOf(dataset);
  if (broken.size === 0) return dataset;
  const numbers = Array.from(broken, (i) => numberOf(dataset, i));
  const values = `${describeNonFinite(counts)} (${listed("record", numbers)}, counted from 0)`;
  if (policy === "refuse" || broken.size === length) {
    const remedy =
      policy === "refuse"
        ? "Repair them, or leave them out with --non-finite skip"
        : "Repair them, or give --non-finite keep if the model takes such values";
    throw fail(errors.badData(name, `${broken.size} of ${length} records hold ${values}`, remedy));
  }
  const kept = Array.from({ length }, (_, i) => i).filter((i) => !broken.has(i));
  const warning = `${name}: ${broken.size} of ${length} records are left out for ${values}`;
  return { ...subset(dataset, kept), warnings: [...(dataset.warnings ?? []), warning] };
}

/** The indices of the records with such values, in order, and how many values these are. */
async function nonFiniteOf(
  dataset: Dataset,
): Promise<{ readonly broken: ReadonlySet<number>; readonly counts: NonFinite }> {
  const { length, axes, isSingle } = dataset;
  // Along the first axis the values of a record are one part of the batch's.
  const most = axes?.size || isSingle ? 1 : BATCH;
  const broken = new Set<number>();
  let [nan, infinite] = [0, 0];
  for (let start = 0; start < length; start += most) {
    const size = Math.min(most, length - start);
    const { inputs, label } = await dataset.read(Array.from({ length: size }, (_, i) => start + i));
    const floats = [...Object.values(inputs), label].flatMap((tensor) =>
      tensor && dtypes[tensor.dtype].kind === "float" ? [tensor.floats()] : [],
    );
    if (floats.length === 0) break; // whole numbers are always finite
    for (let i = 0; i < size; i++) {
      for (const values of floats) {
        const each = values.length / size;
        const found = countNonFinite(values.subarray(i * each, (i + 1) * each));
        if (found.nan + found.infinite === 0) continue;
        broken.add(start + i);
        nan += found.nan;
        infinite += found.infinite;
      }
    }
  }
  return { broken, counts: { nan, infinite } };
}
