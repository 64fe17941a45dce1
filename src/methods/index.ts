/** @file THE table of methods: a new method is one new file and one line here. */

import { factorSvd } from "./factor-svd.ts";
import { fillChannels } from "./fill-channels.ts";
import { hashWeights } from "./hash-weights.ts";
import { mergeNeurons } from "./merge-neurons.ts";
import type { Method } from "./method.ts";
import { openClips } from "./open-clips.ts";
import { pack } from "./pack.ts";
import { pruneBlocks } from "./prune-blocks.ts";
import { pruneChannels } from "./prune-channels.ts";
import { pruneMagnitude } from "./prune-magnitude.ts";
import { pruneObd } from "./prune-obd.ts";
import { pruneObs } from "./prune-obs.ts";
import { pruneRandom } from "./prune-random.ts";
import { pruneSparsegpt } from "./prune-sparsegpt.ts";
import { pruneSurgery } from "./prune-surgery.ts";
import { pruneTaps } from "./prune-taps.ts";
import { pruneTrained } from "./prune-trained.ts";
import { pruneWanda } from "./prune-wanda.ts";
import { quantizeDynamic } from "./quantize-dynamic.ts";
import { quantizeInt8 } from "./quantize-int8.ts";
import { quantizeRate } from "./quantize-rate.ts";
import { quantizeWeights } from "./quantize-weights.ts";
import { shareWeights } from "./share-weights.ts";
import { storeFloat16 } from "./store-float16.ts";
import { train } from "./train.ts";
import { trainRate } from "./train-rate.ts";

export const methods = {
  "quantize-int8": quantizeInt8,
  "quantize-dynamic": quantizeDynamic,
  "quantize-weights": quantizeWeights,
  "quantize-rate": quantizeRate,
  "store-float16": storeFloat16,
  "share-weights": shareWeights,
  "hash-weights": hashWeights,
  "merge-neurons": mergeNeurons,
  "fill-channels": fillChannels,
  "open-clips": openClips,
  "prune-blocks": pruneBlocks,
  "prune-channels": pruneChannels,
  "prune-taps": pruneTaps,
  "prune-magnitude": pruneMagnitude,
  "prune-random": pruneRandom,
  "prune-wanda": pruneWanda,
  "prune-obd": pruneObd,
  "prune-obs": pruneObs,
  "prune-sparsegpt": pruneSparsegpt,
  "prune-surgery": pruneSurgery,
  "prune-trained": pruneTrained,
  "factor-svd": factorSvd,
  train,
  "train-rate": trainRate,
  pack,
} as const;

export type MethodId = keyof typeof methods;

/** Undefined for names that are not in the table. */
export function methodOf(id: string): Method | undefined {
  return Object.hasOwn(methods, id) ? (methods[id as MethodId] as unknown as Method) : undefined;
}
