/**
 * @file Advice: which methods suit a model, by the survey's section VIII-A and by what is known since,
 * as rules over measured facts. What it advises is then measured, and overruled in words if need be.
 */
import { aboutOf } from "../measure/about.ts";
import type { Metric, Result } from "../measure/measurement.ts";
import { knownSpeedup } from "../measure/speed.ts";
import { factOf, pays, type Work, works } from "../targets/target.ts";
import type { Facts, LayerKind } from "./facts.ts";

export type Goal = "size" | "speed" | "accuracy";

/** What the user wants and allows. */
export interface Wish {
  readonly goal: Goal;
  /** Whether training is allowed and there are records for it. */
  readonly trains: boolean;
  /** Whether objects look the same after a rotation or a flip (medical, satellite images). */
  readonly symmetric: boolean;
}

/** A recipe with the reason for it. */
export interface Advice {
  readonly recipe: string;
  /** The reason, with this model's figures. */
  readonly because: string;
  readonly source: string;
  /** How much speaks for it, 0..1. */
  readonly weight: number;
}

/** An advice beside what its recipe came to. */
export interface Checked extends Advice {
  /** Null where it was not measured. */
  readonly result: Result | null;
  /** "confirmed", "overruled" or "not measured", and why. */
  readonly verdict: string;
  readonly isConfirmed: boolean;
}

type Rule = (facts: Facts, wish: Wish) => Advice | null;

const survey = "Cheng et al. 2017, arXiv 1710.09282, section VIII-A";
const percent = (share: number): string => `${Math.round(100 * share)} %`;
const of = ({ kinds }: Facts, kind: LayerKind) => kinds[kind];
const macs = (facts: Facts, kind: LayerKind): number =>
  of(facts, kind).macs ?? of(facts, kind).params;

const rules: readonly Rule[] = [
  /** Integer kernels. */
  (facts, { goal }) => {
    const dense = macs(facts, "conv") + macs(facts, "full") + macs(facts, "pointwise");
    if (facts.records === null || dense < 0.3 || !pays(facts.target, "static-int8")) return null;
    return {
      recipe: goal === "speed" ? "quantize-int8:kernel=auto" : "quantize-int8",
      because: `${percent(dense)} of the arithmetic is in layers that the engine has 8-bit kernels for, and quantization keeps accuracy stable`,
      source: `${survey}: pruning and quantization where a stable accuracy is needed; Jacob et al. 2018, arXiv 1712.05877`,
      weight: goal === "size" ? 0.6 : 0.5 + 0.4 * dense,
    };
  },
  /** Matrix products without data. */
  (facts, { goal }) => {
    const share = macs(facts, "full");
    if (share < 0.4 || !pays(facts.target, "dynamic-int8")) return null;
    return {
      recipe: "quantize-dynamic",
      because: `${percent(share)} of the arithmetic is in matrix products, whose inputs can be rounded as they come${facts.records === null ? ", without data" : ""}`,
      source: "ONNX Runtime, dynamic quantization; Zafrir et al. 2019, arXiv 1910.06188",
      weight: (goal === "speed" ? 0.9 : 0.45) * share,
    };
  },
  /** Half precision, where the target computes in it. */
  ({ target, records }, { goal }) => {
    const work = (Object.keys(works) as Work[]).find((each) => pays(target, "float16", each));
    if (!work) return null;
    return {
      recipe: records === null ? "store-float16" : "store-float16:compute=float16",
      because: `${target.id} computes in float16, which takes half the memory`,
      source: factOf(target, "float16", work)?.source.where ?? "",
      weight: goal === "speed" ? 0.9 : 0.6,
    };
  },
  /** Fully connected layers: pruning and sharing. */
  (facts, { goal, trains }) => {
    const share = of(facts, "full").params;
    if (share < 0.5 || goal === "speed") return null;
    return {
      recipe: trains
        ? "prune-magnitude:sparsity=0.8 > train:loss=distil > share-weights:bits=4"
        : "prune-magnitude:sparsity=0.5 > share-weights:bits=5",
      because: `${percent(share)} of the weights are in fully connected layers, which pruning and sharing suit`,
      source: `${survey}: fully connected layers by pruning; Han et al. 2016, arXiv 1510.00149`,
      weight: 0.5 + 0.4 * share,
    };
  },
  /** Convolutions: low rank. */
  (facts, { goal, trains }) => {
    const share = macs(facts, "conv");
    if (share < 0.5 || goal === "accuracy") return null;
    return {
      recipe: trains ? "factor-tucker > train:loss=distil" : "factor-tucker:budget=0.7",
      because: `${percent(share)} of the arithmetic is in convolutions larger than 1x1, which low rank suits`,
      source: `${survey}: convolutions by low rank; Kim et al. 2016, arXiv 1511.06530`,
      weight: (goal === "speed" ? 0.8 : 0.45) * share,
    };
  },
  /** Depthwise separable nets: fewer channels. */
  (facts, { goal, trains }) => {
    const share = macs(facts, "pointwise");
    if (share < 0.5 || of(facts, "depthwise").layers === 0 || goal === "accuracy") return null;
    return {
      recipe: trains
        ? "prune-channels:ratio=0.25 > train:loss=distil"
        : "prune-channels:ratio=0.15",
      because: `its ${of(facts, "depthwise").layers} depthwise layers are factored already and ${percent(share)} of the arithmetic is 1x1: what is left to remove are channels`,
      source: "Howard et al. 2017, arXiv 1704.04861; Li et al. 2017, arXiv 1608.08710",
      weight: (goal === "speed" ? 0.85 : 0.5) * share,
    };
  },
  /** Tables of words. */
  (facts, { goal }) => {
    const share = of(facts, "embedding").params;
    if (share < 0.2 || goal === "speed") return null;
    return {
      recipe: "quantize-embeddings:bits=4 > quantize-weights:bits=8",
      because: `${percent(share)} of the weights are rows of tables, which are looked up while they are small`,
      source: "Shu, Nakayama 2018, arXiv 1711.01068; METHODS of embeddings in docs/methods.md",
      weight: 0.5 + 0.5 * share,
    };
  },
  /** Decoders: weights only. */
  (facts) => {
    if (!facts.isText || of(facts, "full").params < 0.3) return null;
    const [recipe, how] =
      facts.records === null
        ? ["quantize-hqq:bits=4", "without data"]
        : ["quantize-gptq:bits=4,block=32", "on calibration records"];
    const faster = pays(facts.target, "weights-4", "product-1")
      ? "are read faster and need"
      : "need";
    return {
      recipe,
      because: `at batch 1 a text model reads each weight for one token: 4-bit weights, rounded ${how}, ${faster} a fraction of the memory`,
      source: "Frantar et al. 2023, arXiv 2210.17323; Badri, Shaji 2023 (HQQ)",
      weight: 0.55,
    };
  },
  /** Few records, training allowed: a student. */
  (facts, { trains, goal }) => {
    if (!trains || facts.training === null || goal === "accuracy") return null;
    const isSmall = facts.training < 100_000;
    return {
      recipe: "distil",
      because: `${facts.training} records to train on are ${isSmall ? "few: a smaller copy learns more from the model than from them" : "enough for a smaller copy to learn from the model"}`,
      source: `${survey}: distillation for small and medium data sets; Hinton et al. 2015, arXiv 1503.02531`,
      weight: isSmall ? 0.6 : 0.4,
    };
  },
  /** A symmetry that is known. */
  (facts, { symmetric, trains }) => {
    if (!symmetric || macs(facts, "conv") === 0) return null;
    return {
      recipe: trains ? "transfer-filters > train:loss=distil" : "tie-filters",
      because:
        "objects look the same after a rotation or a flip, so that filters may be copies of each other",
      source: `${survey}: transferred filters where the domain has a symmetry; Cohen, Welling 2016, arXiv 1602.07576`,
      weight: 0.7,
    };
  },
  /** Deep residual nets. */
  (facts, { goal, trains }) => {
    if (facts.blocks < 4 || goal !== "speed" || !trains) return null;
    return {
      recipe: "prune-blocks > train:loss=distil",
      because: `it has ${facts.blocks} residual blocks, and one that adds little can be left out whole, which every kernel rewards`,
      source: "Veit et al. 2016, arXiv 1605.06431; Huang et al. 2016, arXiv 1603.09382",
      weight: 0.5,
    };
  },
  /** The smallest file. */
  (facts, { goal }) => {
    if (goal !== "size") return null;
    const has =
      facts.zeros > 0.3 ? `, and ${percent(facts.zeros)} of the weights are zero already` : "";
    return {
      recipe: facts.zeros > 0.3 ? "share-weights:bits=4" : "quantize-rate",
      because: `what is downloaded is coded: levels are chosen by what they cost after coding${has}`,
      source: "Wiedemann et al. 2020 (DeepCABAC), arXiv 1907.11900",
      weight: facts.records === null && facts.zeros <= 0.3 ? 0.3 : 0.55,
    };
  },
  /** Nothing at hand. */
  (facts) =>
    facts.records === null
      ? {
          recipe: "quantize-weights:bits=8",
          because: "there are no data: weights in 8 bits change the outputs least",
          source: `${survey}: quantization where a stable accuracy is needed`,
          weight: 0.5,
        }
      : null,
];

/** The advice for a model, that for which most speaks first; each recipe once. */
export function adviceFor(facts: Facts, wish: Wish): Advice[] {
  const found = rules.flatMap((rule) => rule(facts, wish) ?? []);
  return found.sort((a, b) => b.weight - a.weight);
}

/** Losses beyond which a recipe is not advised: points, and for the goal accuracy. */
const most = { size: 2, speed: 2, accuracy: 0.5 } as const;

/** The advice with what was measured of it: what did not come true is overruled. */
export function checkedAdvice(
  advice: readonly Advice[],
  results: ReadonlyMap<string, Result>,
  reasons: ReadonlyMap<string, string>,
  { goal }: Wish,
): Checked[] {
  const checked = advice.map((one): Checked => {
    const result = results.get(one.recipe) ?? null;
    if (!result) {
      const verdict = `not measured: ${reasons.get(one.recipe) ?? "no time was left"}`;
      return { ...one, result, verdict, isConfirmed: false };
    }
    const against = objection(result, goal);
    const isTimed = goal !== "speed" || knownSpeedup(result.delta) !== null;
    const found = isTimed ? "confirmed" : "not timed, published figures speak for it";
    const verdict = against ? `overruled: ${against}` : `${found}: ${gain(result)}`;
    return { ...one, result, verdict, isConfirmed: against === null };
  });
  const rank = ({ result, isConfirmed }: Checked): number =>
    isConfirmed && result ? merit(result, goal) : result ? -2 : -1;
  return checked.sort((a, b) => rank(b) - rank(a));
}

/** What the figures say against a recipe; null if nothing. */
function objection(result: Result, goal: Goal): string | null {
  const { metric, alpha } = result;
  const [lost, unit] = [metric?.drop ?? metric?.flips ?? 0, metric?.drop == null ? "%" : "points"];
  if (lost > most[goal] && metric?.name !== "perplexity") {
    const what = metric?.drop == null ? "changes" : "costs";
    return `here it ${what} ${short(lost)} ${unit === "%" ? "% of the predictions" : unit}`;
  }
  if (metric?.name === "perplexity" && metric.baseline && lost / metric.baseline > 0.1) {
    return `here it raises the perplexity by ${short((100 * lost) / metric.baseline)} %`;
  }
  const speed = knownSpeedup(result.delta);
  if (goal === "speed" && speed !== null && speed <= 1) {
    return `here it is not faster (${short(speed)}x)`;
  }
  if (goal !== "speed" && alpha.bytes <= 1.05) return "here the file does not become smaller";
  return null;
}

const merit = ({ alpha, delta }: Result, goal: Goal): number =>
  goal === "speed" ? (knownSpeedup(delta) ?? 0) : alpha.bytes;

function gain({ alpha, delta, metric }: Result): string {
  const speed = knownSpeedup(delta);
  const parts = [
    `${short(alpha.bytes)}x smaller`,
    speed === null ? null : speed === 1 ? "as fast" : `${short(speed)}x as fast`,
    metric === null ? null : lostText(metric),
  ];
  return parts.filter(Boolean).join(", ");
}

function lostText(metric: Metric): string | null {
  const { name, drop, flips } = metric;
  if (drop !== null && drop <= 0) return `no ${name} lost`;
  if (drop !== null) return `${short(drop)} ${aboutOf(metric).dropUnit || name} lost`;
  return flips === null ? null : `${short(flips)} % of the predictions changed`;
}

const short = (x: number): string => String(Number(x.toPrecision(3)));
