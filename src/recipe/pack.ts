/** @file Pack: writes a loaded model as a .tersor file and checks it by unpacking it. */
import { unpack } from "../codec/decode/unpack.ts";
import { isDifference } from "../codec/load/difference.ts";
import { unpackOnto } from "../codec/load/unpack.ts";
import { errors, fail } from "../errors.ts";
import { marksOf } from "../measure/marks.ts";
import { type Result, untimed } from "../measure/measurement.ts";
import { externalOf, packSmallest } from "../measure/pack.ts";
import { countParams } from "../measure/params.ts";
import { type Packed, packModel } from "../onnx/pack.ts";
import { costModel } from "../ops/cost.ts";
import { baseFrom, type Loaded } from "./load.ts";

export interface PackSettings {
  /** Whether to keep the names of nodes and inner values, for debugging (default false). */
  readonly keepNames?: boolean | undefined;
  /**
   * A base, such as the model that this one was fine-tuned from: what both share is not stored, and
   * the file can only be unpacked with the base. float32 matrices are stored within the error of
   * int8 weights with a scale per row or column, all else to the bit.
   */
  readonly base?: Loaded | undefined;
  /** With `base`: keep every bit of the matrices, too (default false). */
  readonly exact?: boolean | undefined;
  /** Path that `result.file` will name; nothing is written here. */
  readonly file?: string | undefined;
}

export interface PackedModel extends Packed {
  /** A result row with sizes only; metric and latency are null, because the model is not run. */
  readonly result: Result;
}

/**
 * Packs a model, in memory. Throws TersorError "bad-tensor" for a tensor whose bytes do not fit its
 * shape, "foreign-base" for a base that has nothing in common with the model, and DecodeError if the packed file cannot be unpacked (a mistake in the coder).
 */
export async function pack(
  { name, source, model, opset, bytes }: Loaded,
  { keepNames = false, base, exact = false, file }: PackSettings = {},
): Promise<PackedModel> {
  const isSame = opset === model.opset;
  const known = base ? await baseFrom(base) : null;
  const packed = known
    ? packModel(source.bytes, {
        ...{ name, external: externalOf(source), keepNames, base: known, exact },
      })
    : packSmallest({ name, source, model: isSame ? model : null, keepNames });
  if (base && !packed.tensors.some(({ body }) => isDifference(body))) {
    throw fail(errors.foreignBase(base.name, name));
  }
  const { byteLength: raw } = await (known
    ? unpackOnto(packed.bytes, known.base)
    : unpack(packed.bytes));
  const cost = costModel(model, {});
  const { params, nonzeros } = countParams(model, cost);
  const alpha = bytes / packed.bytes.byteLength;
  const draft = {
    recipe: "pack",
    family: "control",
    file: file ?? null,
    bytes: { raw, gzip: null, brotli: null, packed: packed.bytes.byteLength },
    params,
    nonzeros,
    macs: cost.macs,
    latency: null,
    metric: null,
    alpha: { params: 1, bytes: alpha, brotli: null },
    beta: { survey: 0, saved: 1 - 1 / alpha },
    delta: untimed,
    ease: { data: "none", training: false, seconds: 0, covered: 1 },
    skipped: [],
    warnings: [],
    seed: 0,
    versions: {},
  } as const;
  return { ...packed, result: { ...draft, marks: marksOf(draft) } };
}
