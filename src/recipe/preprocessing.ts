/** @file Looks for the preprocessing of pictures with which a model scores better than at chance. */
import type { Dataset } from "../data/dataset.ts";
import type { DataOptions } from "../data/options.ts";
import { measureMetric } from "../measure/metric.ts";
import type { Session } from "../runtime/runtime.ts";

/** Records that each preprocessing is tried on. */
const RECORDS = 200;

/** Usual normalizations of colour pictures and of grey ones. */
const normalizations: readonly DataOptions[] = [
  { scale: 255, mean: [0], std: [1] },
  { scale: 1, mean: [0], std: [1] },
  { scale: 255, mean: [0.5], std: [0.5] },
  { scale: 1, mean: [128], std: [128] },
  { scale: 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }, // ImageNet
  { scale: 255, mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] }, // CIFAR-10
  { scale: 1, mean: [103.939, 116.779, 123.68], std: [1] }, // Caffe's, in the order blue, green, red
  { scale: 255, mean: [0.1307], std: [0.3081] }, // MNIST
];

/**
 * Scores the model with each usual normalization, red or blue first, on some labelled pictures, and
 * gives the best as a sentence: "30.00 % as given, 88.00 % with --mean ...". Null if none is better
 * than chance by half of what is left. `open` opens the pictures with these options on top of the
 * user's.
 */
export async function betterPreprocessing(
  session: Pick<Session, "inputs" | "run">,
  open: (options: DataOptions) => Promise<Dataset>,
  classes: number,
  signal: AbortSignal | null,
): Promise<string | null> {
  const scoreOf = async (options: DataOptions): Promise<number> => {
    const dataset = await open({ ...options, limit: RECORDS });
    const around = { session, dataset, signal: signal ?? undefined };
    return (await measureMetric(around)).metric?.value ?? 0;
  };
  const given = await scoreOf({});
  const channels = (await open({ limit: 1 })).images?.channels ?? 0;
  let best: { readonly score: number; readonly options: DataOptions } | null = null;
  for (const normalization of normalizations) {
    if (![1, channels].includes(normalization.mean?.length ?? 1)) continue;
    for (const bgr of channels === 3 ? [false, true] : [false]) {
      const options = { ...normalization, ...(bgr && { bgr }) };
      const score = await scoreOf(options);
      if (score > (best?.score ?? 0)) best = { score, options };
    }
  }
  const chance = 100 / classes;
  if (!best || best.score < Math.max(given, (chance + 100) / 2)) return null;
  const flags = flagsOf(best.options);
  return `${given.toFixed(2)} % as given, ${best.score.toFixed(2)} % with ${flags} (on ${RECORDS} records at most)`;
}

/** The options as flags; all of them, as the model itself may say something else. */
function flagsOf({ scale, mean = [], std = [], bgr }: DataOptions): string {
  return `--scale ${scale} --mean ${mean.join(",")} --std ${std.join(",")}${bgr ? " --bgr" : ""}`;
}
