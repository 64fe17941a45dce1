/** @file Static embeddings of the SST-2 text encoder, measured: size, accuracy, speed. See distil.ts. */
import { compress, load, npz } from "../src/node.ts";
import { assets } from "../test/support/assets.ts";

/** A recipe on the text encoder. */
export interface TextRow {
  /** Percent on the test set, before and after. */
  readonly accuracy: { readonly original: number; readonly compressed: number };
  readonly bytes: { readonly original: number; readonly compressed: number };
  /** Over the original, with its 95 % interval. */
  readonly speedup: number | null;
  readonly ci95: readonly number[] | null;
  readonly cpuSeconds: number;
}

export const textRecipes = [
  "static-embeddings:fit=false",
  "static-embeddings",
  "static-embeddings:dims=32",
  "static-embeddings:dims=16",
  "static-embeddings:dims=32 > quantize-embeddings",
] as const;

const round = (x: number): number => Math.round(100 * x) / 100;

export async function textRow(recipe: string, threads: number): Promise<TextRow> {
  const before = process.cpuUsage();
  const start = await load(assets("models/sst2_transformer.onnx") ?? "");
  const records = (part: string) => npz(assets(`data/sst2/${part}.npz`) ?? "");
  const around = { threads, timingSeconds: 1, deterministic: true };
  const data = { data: records("test"), calib: records("train") };
  const { baseline, result, bytes } = await compress(start, { ...around, ...data, recipe });
  const { user, system } = process.cpuUsage(before);
  return {
    accuracy: {
      original: round(baseline.metric?.value ?? 0),
      compressed: round(result.metric?.value ?? 0),
    },
    bytes: { original: baseline.bytes.raw, compressed: bytes.length },
    speedup: result.delta.infer === null ? null : round(result.delta.infer),
    ci95: result.delta.ci95.infer?.map(round) ?? null,
    cpuSeconds: Math.round((user + system) / 1e6),
  };
}
