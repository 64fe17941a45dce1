/** @file The names of the files in a folder that transformers.js loads. */
import { errors, fail } from "../../errors.ts";
import { nearest } from "../../util/nearest.ts";
import { type DtypeName, dtypes, usualDtypes } from "./dtypes.ts";

/** model, q4 -> model_q4.onnx */
export const fileName = (model: string, dtype: DtypeName): string =>
  `${model}${dtypes[dtype].suffix}.onnx`;

/** The files of external data: model_q4.onnx_data, model_q4.onnx_data_1 ... */
export const dataName = (file: string, shard: number): string =>
  `${file}_data${shard === 0 ? "" : `_${shard}`}`;

const suffixes = Object.values(dtypes)
  .map(({ suffix }) => suffix)
  .filter((suffix) => suffix !== "");

/**
 * The models among the names of files in onnx/: those of float files, which have no suffix of a dtype.
 * In alphabetical order.
 */
export const floatModels = (names: readonly string[]): string[] =>
  names
    .filter((name) => name.endsWith(".onnx"))
    .map((name) => name.slice(0, -".onnx".length))
    .filter((name) => !suffixes.some((suffix) => name.endsWith(suffix)))
    .sort();

/** The dtypes of a list such as "q8,q4". Throws TersorError "bad-usage" for an unknown one. */
export function parseDtypes(text: string | undefined, flag = "--dtypes"): readonly DtypeName[] {
  if (text === undefined) return usualDtypes;
  const known = Object.keys(dtypes);
  const names = text.split(",").map((part) => part.trim());
  for (const name of names) {
    if (Object.hasOwn(dtypes, name)) continue;
    const near = nearest(name, known);
    const remedy = near ? `Did you mean "${near}"?` : `Give some of: ${known.join(", ")}`;
    throw fail(errors.badUsage(flag, `"${name}" is no dtype of transformers.js`, remedy));
  }
  return [...new Set(names as DtypeName[])];
}
