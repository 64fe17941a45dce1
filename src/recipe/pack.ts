/** @file Pack: writes a loaded model as a .tersor file and checks it by unpacking it. */
import { unpack } from "../codec/decode/unpack.ts";
import { marksOf } from "../measure/marks.ts";
import { type Result, untimed } from "../measure/measurement.ts";
import { packSmallest } from "../measure/pack.ts";
import { countParams } from "../measure/params.ts";
import type { Packed } from "../onnx/pack.ts";
import { costModel } from "../ops/cost.ts";
import type { Loaded } from "./load.ts";

export interface PackSettings {
  /** Whether to keep the names of nodes and inner values, for debugging (default false). */
  readonly keepNames?: boolean | undefined;
  /** Path that `result.file` will name; nothing is written here. */
  readonly file?: string | undefined;
}

export interface PackedModel extends Packed {
  /** A result row with sizes only; metric and latency are null, because the model is not run. */
  readonly result: Result;
}

/**
 * Packs a model, in memory. Throws TersorError "bad-tensor" for a tensor whose bytes do not fit its
 * shape, and DecodeError if the packed file cannot be unpacked (a mistake in the coder).
 */
export async function pack(
  { name, source, model, opset, bytes }: Loaded,
  { keepNames = false, file }: PackSettings = {},
): Promise<PackedModel> {
  const isSame = opset === model.opset;
  const packed = packSmallest({ name, source, model: isSame ? model : null, keepNames });
  const { byteLength: raw } = await unpack(packed.bytes);
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
