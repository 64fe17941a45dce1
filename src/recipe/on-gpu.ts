/** @file Models on a GPU: whether it gives what the processor gives, what falls back, and times. */
import { TersorError } from "../errors.ts";
import type { Tensor } from "../ir/tensor.ts";
import type { GpuRuntime, OpCount } from "../runtime/ort-webgpu.ts";
import type { Feeds, Source } from "../runtime/runtime.ts";
import { type BenchRun, bench } from "./bench.ts";
import type { Environment } from "./environment.ts";
import type { Loaded } from "./load.ts";

/** A model on the GPU, beside the same model on the processor. */
export interface GpuRun {
  /** Why the engine on the GPU does not run the model, in its words; null if it does. */
  readonly refusal: string | null;
  /**
   * The largest difference of an output, as a share of the largest output of the same name; infinite
   * where the model does not run.
   */
  readonly difference: number;
  /** Whether the difference is at most `gpuTolerance`. */
  readonly isTrusted: boolean;
  /** Nodes that are computed on the processor, by operator. */
  readonly fallbacks: readonly OpCount[];
}

export interface OnGpu {
  /** The GPU as the browser names it. */
  readonly adapter: string;
  readonly tolerance: number;
  readonly runs: readonly GpuRun[];
  /** Times on the GPU, interleaved; null unless all models are trusted there. */
  readonly bench: readonly BenchRun[] | null;
}

/**
 * The largest difference that is allowed. Sums of float32 in another order differ by 1e-6 to 1e-4 of
 * the largest output in models of usual depth; wrong kernels were off by 10 % and more.
 */
export const gpuTolerance = 1e-3;

/**
 * Runs each model on the processor and on the GPU with the same inputs, and times them on the GPU if
 * outputs agree.
 */
export async function onGpu(
  models: readonly Loaded[],
  env: Environment,
  gpu: GpuRuntime,
  secondsEach: number,
): Promise<OnGpu> {
  const runs: GpuRun[] = [];
  for (const { source } of models) {
    const expected = await outputsOf(source, env.runtime, env);
    try {
      const given = await outputsOf(source, gpu, env);
      const difference = largestDifference(expected, given);
      const fallbacks = await gpu.fallbacks(source, { threads: env.threads });
      const isTrusted = difference <= gpuTolerance;
      runs.push({ refusal: null, difference, isTrusted, fallbacks });
    } catch (error) {
      if (!(error instanceof TersorError)) throw error;
      const refusal = error.what;
      runs.push({ refusal, difference: Infinity, isTrusted: false, fallbacks: [] });
    }
  }
  const isTrusted = runs.every((run) => run.isTrusted);
  const runtime = { ...gpu, profile: () => Promise.resolve(null) };
  return {
    ...{ adapter: gpu.adapter, tolerance: gpuTolerance, runs },
    bench: isTrusted ? await bench(models, { ...env, runtime }, { secondsEach }) : null,
  };
}

async function outputsOf(
  source: Source,
  runtime: Pick<GpuRuntime, "open">,
  { threads, feeds }: { readonly threads: number; readonly feeds: Feeds },
): Promise<Readonly<Record<string, Tensor>>> {
  const session = await runtime.open(source, { threads });
  try {
    const known = session.inputs.filter(({ name }) => Object.hasOwn(feeds, name));
    return await session.run(Object.fromEntries(known.map(({ name }) => [name, feeds[name]])));
  } finally {
    await session.close();
  }
}

/** max |b - a| / max |a| of the output where it is largest; infinite where shapes or NaNs differ. */
export function largestDifference(
  a: Readonly<Record<string, Tensor>>,
  b: Readonly<Record<string, Tensor>>,
): number {
  let worst = 0;
  for (const [name, expected] of Object.entries(a)) {
    const given = b[name];
    if (!given || given.shape.join() !== expected.shape.join()) return Infinity;
    if (expected.strings) continue;
    const [x, y] = [expected.floats(), given.floats()];
    let [scale, far] = [0, 0];
    for (let i = 0; i < x.length; i++) {
      if (Number.isNaN(x[i]) && Number.isNaN(y[i])) continue;
      const distance = x[i] === y[i] ? 0 : Math.abs(y[i] - x[i]);
      if (!Number.isFinite(distance)) return Infinity;
      if (Number.isFinite(x[i])) scale = Math.max(scale, Math.abs(x[i]));
      far = Math.max(far, distance);
    }
    if (far > 0) worst = Math.max(worst, far / scale);
  }
  return worst;
}
