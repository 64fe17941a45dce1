/** @file Facts about a model and its data from which advice follows. */
import type { Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { blocksOf } from "../layers/residual.ts";
import { countParams } from "../measure/params.ts";
import { costModel } from "../ops/cost.ts";
import { type WeightRole, weightsOf } from "../ops/weights.ts";
import type { TargetDevice } from "../targets/target.ts";
import { dimsOf } from "./assess.ts";
import type { Environment } from "./environment.ts";

/** Kinds of layers as advice tells them apart. */
export type LayerKind = "full" | "conv" | "pointwise" | "depthwise" | "recurrent" | "embedding";

/** Shares, 0..1, of the weights and of the multiply-accumulate operations. */
export interface Share {
  readonly layers: number;
  readonly params: number;
  /** Null where a shape is not known. */
  readonly macs: number | null;
}

export interface Facts {
  readonly kinds: Readonly<Record<LayerKind, Share>>;
  /** Share of the weights that are zero. */
  readonly zeros: number;
  /** Residual blocks that could be left out. */
  readonly blocks: number;
  /** Records that methods may read, and that training may use. */
  readonly records: number | null;
  readonly training: number | null;
  readonly labelled: boolean;
  /** Whether it reads indices of words. */
  readonly isText: boolean;
  /** The engine that the model is for, as the library calls it: "node" or "web". */
  readonly runtime: string;
  /** Where the model will run. */
  readonly target: TargetDevice;
}

const kinds: readonly LayerKind[] = [
  "full",
  "conv",
  "pointwise",
  "depthwise",
  "recurrent",
  "embedding",
];

/** The facts, without running the model. */
export function factsOf(model: Model, env: Environment): Facts {
  const cost = costModel(model, { dims: dimsOf(env.feeds) });
  const sums = new Map(kinds.map((kind) => [kind, { layers: 0, params: 0, macs: 0 }]));
  const stored = countParams(model, cost);
  const uses = weightsOf(model);
  let isKnown = true;
  for (const { node, role, value } of uses) {
    const own = sums.get(kindOf(role, value)) as { layers: number; params: number; macs: number };
    const macs = cost.perNode.get(node)?.macs ?? null;
    own.layers++;
    own.params += stored.of(node);
    own.macs += macs ?? 0;
    isKnown &&= macs !== null;
  }
  const all = [...sums.values()];
  const params = Math.max(1, sum(all.map((own) => own.params)));
  const macs = Math.max(1, sum(all.map((own) => own.macs)));
  const shares = Array.from(sums, ([kind, own]): [LayerKind, Share] => [
    kind,
    { layers: own.layers, params: own.params / params, macs: isKnown ? own.macs / macs : null },
  ]);
  return {
    kinds: Object.fromEntries(shares) as Record<LayerKind, Share>,
    zeros: 1 - stored.nonzeros / Math.max(1, stored.params),
    blocks: blocksOf(model, new Set(uses.map(({ node }) => node))).length,
    records: env.calibration?.length ?? null,
    training: env.training?.length ?? null,
    labelled: (env.data ?? env.calibration)?.labelled ?? false,
    isText:
      model.graph.inputs.some(({ dtype }) => dtype?.startsWith("int")) &&
      sums.get("embedding")!.layers > 0,
    runtime: env.runtime.name,
    target: env.target,
  };
}

function kindOf({ kind, groups }: WeightRole, { shape }: Value): LayerKind {
  if (kind === "embedding" || kind === "recurrent") return kind;
  if (kind === "linear") return "full";
  if (groups > 1 && shape?.[1] === 1) return "depthwise";
  return shape?.slice(2).every((size) => size === 1) ? "pointwise" : "conv";
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
