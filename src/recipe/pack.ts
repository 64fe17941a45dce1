/** @file Pack: a loaded model as a .tersor file, checked by unpacking it again. */
import { unpack } from "../codec/decode/unpack.ts";
import { marksOf } from "../measure/marks.ts";
import type { Result } from "../measure/measurement.ts";
import { packSmallest } from "../measure/pack.ts";
import type { Packed } from "../onnx/pack.ts";
import { costModel } from "../ops/cost.ts";
import { nonzerosOf } from "./assess.ts";
import type { Loaded } from "./load.ts";

export interface PackSettings {
  /** Keep the names of nodes and inner values, for debugging (default false). */
  readonly keepNames?: boolean | undefined;
  /** Where the file will go, for the result. */
  readonly file?: string | undefined;
}

export interface PackedModel extends Packed {
  /** Sizes only: nothing is run. */
  readonly result: Result;
}

/** Throws TersorError "bad-tensor", and DecodeError if what came out did not unpack. */
export async function pack(
  { name, source, model, opset, bytes }: Loaded,
  { keepNames = false, file }: PackSettings = {},
): Promise<PackedModel> {
  const isSame = opset === model.opset;
  const packed = packSmallest({ name, source, model: isSame ? model : null, keepNames });
  const { byteLength: raw } = await unpack(packed.bytes);
  const cost = costModel(model, {});
  const alpha = bytes / packed.bytes.byteLength;
  const draft = {
    recipe: "pack",
    family: "control",
    file: file ?? null,
    bytes: { raw, gzip: null, brotli: null, packed: packed.bytes.byteLength },
    params: cost.params,
    nonzeros: nonzerosOf(model, cost.params),
    macs: cost.macs,
    latency: null,
    metric: null,
    alpha: { params: 1, bytes: alpha, brotli: null },
    beta: { survey: alpha - 1, saved: 1 - 1 / alpha },
    delta: { infer: null, train: null },
    ease: { data: "none", training: false, seconds: 0, covered: 1 },
    skipped: [],
    warnings: [],
    seed: 0,
    versions: {},
  } as const;
  return { ...packed, result: { ...draft, marks: marksOf(draft) } };
}
