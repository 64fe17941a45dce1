/** @file The table of methods, by families of the survey: a new method is one file and one line. */

import { distil } from "./distillation/distil.ts";
import { growLayers } from "./distillation/grow-layers.ts";
import { staticEmbeddings } from "./distillation/static-embeddings.ts";
import { fire } from "./filters/fire.ts";
import { ghost } from "./filters/ghost.ts";
import { poolHead } from "./filters/pool-head.ts";
import { shift } from "./filters/shift.ts";
import { tieFilters } from "./filters/tie-filters.ts";
import { transferFilters } from "./filters/transfer-filters.ts";
import { factorBn } from "./low-rank/factor-bn.ts";
import { factorCp } from "./low-rank/factor-cp.ts";
import { factorDepthwise } from "./low-rank/factor-depthwise.ts";
import { factorDictionary } from "./low-rank/factor-dictionary.ts";
import { factorResponse } from "./low-rank/factor-response.ts";
import { factorSeparable } from "./low-rank/factor-separable.ts";
import { factorSparse } from "./low-rank/factor-sparse.ts";
import { factorSvd } from "./low-rank/factor-svd.ts";
import { factorTucker } from "./low-rank/factor-tucker.ts";
import type { Family, Method } from "./method.ts";
import { cascade } from "./other/cascade.ts";
import { coarseToFine } from "./other/coarse-to-fine.ts";
import { conv1dTo2d } from "./other/conv-1d-to-2d.ts";
import { correctStatistics } from "./other/correct-statistics.ts";
import { earlyExit } from "./other/early-exit.ts";
import { fftConvolution } from "./other/fft-convolution.ts";
import { fillChannels } from "./other/fill-channels.ts";
import { gateBlocks } from "./other/gate-blocks.ts";
import { mergeTokens } from "./other/merge-tokens.ts";
import { mixtureOfExperts } from "./other/mixture-of-experts.ts";
import { openClips } from "./other/open-clips.ts";
import { pack } from "./other/pack.ts";
import { poolDetail } from "./other/pool-detail.ts";
import { projectShortcuts } from "./other/project-shortcuts.ts";
import { train } from "./other/train.ts";
import { winograd } from "./other/winograd.ts";
import { hashWeights } from "./pruning/hash-weights.ts";
import { mergeNeurons } from "./pruning/merge-neurons.ts";
import { pruneBlocks } from "./pruning/prune-blocks.ts";
import { pruneChannels } from "./pruning/prune-channels.ts";
import { pruneMagnitude } from "./pruning/prune-magnitude.ts";
import { pruneObd } from "./pruning/prune-obd.ts";
import { pruneObs } from "./pruning/prune-obs.ts";
import { pruneRandom } from "./pruning/prune-random.ts";
import { pruneSparsegpt } from "./pruning/prune-sparsegpt.ts";
import { pruneSurgery } from "./pruning/prune-surgery.ts";
import { pruneTaps } from "./pruning/prune-taps.ts";
import { pruneTrained } from "./pruning/prune-trained.ts";
import { pruneVocabulary } from "./pruning/prune-vocabulary.ts";
import { pruneWanda } from "./pruning/prune-wanda.ts";
import { sliceHidden } from "./pruning/slice-hidden.ts";
import { binarizeBnn } from "./quantization/binarize-bnn.ts";
import { binarizeBwn } from "./quantization/binarize-bwn.ts";
import { binarizeConnect } from "./quantization/binarize-connect.ts";
import { binarizeLossAware } from "./quantization/binarize-loss-aware.ts";
import { binarizeXnor } from "./quantization/binarize-xnor.ts";
import { equalize } from "./quantization/equalize.ts";
import { fixedPoint } from "./quantization/fixed-point.ts";
import { quantizeAdaround } from "./quantization/quantize-adaround.ts";
import { quantizeAwq } from "./quantization/quantize-awq.ts";
import { quantizeBrecq } from "./quantization/quantize-brecq.ts";
import { quantizeCache } from "./quantization/quantize-cache.ts";
import { quantizeDorefa } from "./quantization/quantize-dorefa.ts";
import { quantizeDynamic } from "./quantization/quantize-dynamic.ts";
import { quantizeEmbeddings } from "./quantization/quantize-embeddings.ts";
import { quantizeGptq } from "./quantization/quantize-gptq.ts";
import { quantizeHqq } from "./quantization/quantize-hqq.ts";
import { quantizeHwgq } from "./quantization/quantize-hwgq.ts";
import { quantizeInq } from "./quantization/quantize-inq.ts";
import { quantizeInt8 } from "./quantization/quantize-int8.ts";
import { quantizeLsq } from "./quantization/quantize-lsq.ts";
import { quantizeMixed } from "./quantization/quantize-mixed.ts";
import { quantizePact } from "./quantization/quantize-pact.ts";
import { quantizeRate } from "./quantization/quantize-rate.ts";
import { quantizeTable } from "./quantization/quantize-table.ts";
import { quantizeWeights } from "./quantization/quantize-weights.ts";
import { rotateWeights } from "./quantization/rotate-weights.ts";
import { shareVectors } from "./quantization/share-vectors.ts";
import { shareWeights } from "./quantization/share-weights.ts";
import { sketchWeights } from "./quantization/sketch-weights.ts";
import { smoothQuant } from "./quantization/smooth-quant.ts";
import { softShare } from "./quantization/soft-share.ts";
import { splitChannels } from "./quantization/split-channels.ts";
import { storeFloat16 } from "./quantization/store-float16.ts";
import { ternarizeConnect } from "./quantization/ternarize-connect.ts";
import { ternarizeTtq } from "./quantization/ternarize-ttq.ts";
import { ternarizeTwn } from "./quantization/ternarize-twn.ts";
import { trainRate } from "./quantization/train-rate.ts";
import { acdc } from "./structured/acdc.ts";
import { butterfly } from "./structured/butterfly.ts";
import { circulant } from "./structured/circulant.ts";
import { fastfood } from "./structured/fastfood.ts";
import { kronecker } from "./structured/kronecker.ts";
import { monarch } from "./structured/monarch.ts";
import { tensorTrain } from "./structured/tensor-train.ts";
import { toeplitzLike } from "./structured/toeplitz-like.ts";

/**
 * All methods by family, in the order of the survey (sections II-VI). A family is a folder here.
 */
export const families = {
  quantization: {
    "quantize-int8": quantizeInt8,
    "quantize-dynamic": quantizeDynamic,
    "quantize-weights": quantizeWeights,
    "quantize-embeddings": quantizeEmbeddings,
    "quantize-cache": quantizeCache,
    "quantize-gptq": quantizeGptq,
    "quantize-awq": quantizeAwq,
    "quantize-adaround": quantizeAdaround,
    "quantize-hqq": quantizeHqq,
    "quantize-mixed": quantizeMixed,
    "quantize-rate": quantizeRate,
    "quantize-table": quantizeTable,
    "fixed-point": fixedPoint,
    "store-float16": storeFloat16,
    "smooth-quant": smoothQuant,
    "rotate-weights": rotateWeights,
    equalize,
    "split-channels": splitChannels,
    "share-weights": shareWeights,
    "share-vectors": shareVectors,
    "sketch-weights": sketchWeights,
    "soft-share": softShare,
    "train-rate": trainRate,
    "quantize-brecq": quantizeBrecq,
    "quantize-lsq": quantizeLsq,
    "quantize-pact": quantizePact,
    "quantize-dorefa": quantizeDorefa,
    "quantize-hwgq": quantizeHwgq,
    "quantize-inq": quantizeInq,
    "binarize-connect": binarizeConnect,
    "binarize-bwn": binarizeBwn,
    "binarize-loss-aware": binarizeLossAware,
    "binarize-xnor": binarizeXnor,
    "binarize-bnn": binarizeBnn,
    "ternarize-connect": ternarizeConnect,
    "ternarize-twn": ternarizeTwn,
    "ternarize-ttq": ternarizeTtq,
  },
  pruning: {
    "prune-magnitude": pruneMagnitude,
    "prune-random": pruneRandom,
    "prune-wanda": pruneWanda,
    "prune-obd": pruneObd,
    "prune-obs": pruneObs,
    "prune-sparsegpt": pruneSparsegpt,
    "prune-surgery": pruneSurgery,
    "prune-trained": pruneTrained,
    "prune-channels": pruneChannels,
    "prune-blocks": pruneBlocks,
    "prune-taps": pruneTaps,
    "prune-vocabulary": pruneVocabulary,
    "merge-neurons": mergeNeurons,
    "slice-hidden": sliceHidden,
    "hash-weights": hashWeights,
  },
  structured: {
    kronecker,
    monarch,
    butterfly,
    circulant,
    "toeplitz-like": toeplitzLike,
    fastfood,
    acdc,
    "tensor-train": tensorTrain,
  },
  "low-rank": {
    "factor-svd": factorSvd,
    "factor-bn": factorBn,
    "factor-separable": factorSeparable,
    "factor-depthwise": factorDepthwise,
    "factor-cp": factorCp,
    "factor-tucker": factorTucker,
    "factor-response": factorResponse,
    "factor-sparse": factorSparse,
    "factor-dictionary": factorDictionary,
  },
  filters: {
    "pool-head": poolHead,
    "transfer-filters": transferFilters,
    "tie-filters": tieFilters,
    fire,
    ghost,
    shift,
  },
  distillation: {
    distil,
    "grow-layers": growLayers,
    "static-embeddings": staticEmbeddings,
  },
  other: {
    train,
    "early-exit": earlyExit,
    "coarse-to-fine": coarseToFine,
    cascade,
    "gate-blocks": gateBlocks,
    "merge-tokens": mergeTokens,
    "mixture-of-experts": mixtureOfExperts,
    "pool-detail": poolDetail,
    winograd,
    "fft-convolution": fftConvolution,
    "conv-1d-to-2d": conv1dTo2d,
    "project-shortcuts": projectShortcuts,
    "correct-statistics": correctStatistics,
    "fill-channels": fillChannels,
    "open-clips": openClips,
    pack,
  },
} as const satisfies Record<Family, object>;

/** Every method by its id, family by family. */
export const methods = {
  ...families.quantization,
  ...families.pruning,
  ...families.structured,
  ...families["low-rank"],
  ...families.filters,
  ...families.distillation,
  ...families.other,
} as const;

export type MethodId = keyof typeof methods;

/** The method of that id; undefined if it is not in the table. */
export function methodOf(id: string): Method | undefined {
  return Object.hasOwn(methods, id) ? (methods[id as MethodId] as unknown as Method) : undefined;
}

const familyOfId: ReadonlyMap<string, Family> = new Map(
  Object.entries(families).flatMap(([family, table]) =>
    Object.keys(table).map((id) => [id, family as Family] as const),
  ),
);

/**
 * The family of a method of the table, which is its folder; "other" for a method that is not in it.
 */
export const familyOf = (id: string): Family => familyOfId.get(id) ?? "other";
