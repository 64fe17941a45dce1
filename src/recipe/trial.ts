/** @file Trial: one recipe applied to a loaded model and measured beside the original. */
import { errors, fail } from "../errors.ts";
import { cloneModel, type Model } from "../ir/model.ts";
import { shortenNames } from "../ir/names.ts";
import type { Tensor } from "../ir/tensor.ts";
import type { Result } from "../measure/measurement.ts";
import { packedSize } from "../measure/pack.ts";
import { familyOf } from "../methods/index.ts";
import { type Family, needsOf } from "../methods/method.ts";
import { bytesOf, sameFiles, writeFile } from "../onnx/write.ts";
import { weightsOf } from "../ops/weights.ts";
import { beforeTraining, rewrite } from "../rewrite/index.ts";
import type { Source } from "../runtime/runtime.ts";
import { type ApplyOptions, applyRecipe, type Outcome } from "./apply.ts";
import { assess, type Baseline } from "./assess.ts";
import { fusionWarnings, refusedFusions } from "./fusion.ts";
import { warningsOnTarget } from "./on-target.ts";
import { formatRecipe, keepsNorms, type Step, simplifyId } from "./steps.ts";

/**
 * A losslessly simplified copy of the model, from which recipes start. If one of `steps` trains,
 * or reads batch normalizations, the rules that it would suffer from (such as folding
 * BatchNormalization) are left out; `applyRecipe` applies them after the last such step.
 */
export function simplify(model: Model, steps: readonly Step[] = []): Model {
  const clone = cloneModel(model);
  rewrite(clone, steps.some(keepsNorms) ? { rules: beforeTraining } : {});
  shortenNames(clone.graph);
  return clone;
}

/** The product of a recipe with its measurements. */
export interface Trial {
  readonly outcome: Outcome;
  readonly result: Result;
}

/** The recipe's name in reports: its text, or "simplify" for a recipe without steps. */
export function nameOf(steps: readonly Step[]): string {
  return steps.length === 0 ? simplifyId : formatRecipe(steps);
}

export interface TrialOptions extends ApplyOptions {
  /** Path that `result.file` will name; null if no file is written. */
  readonly file: string | null;
  /** Make it an error if a step is rolled back or the recipe changes nothing (default false). */
  readonly whole?: boolean;
}

/**
 * Applies a recipe to `start` and measures the product beside the baseline. If a step was rolled
 * back or nothing changed, the result's warnings say so; with `whole` TersorError "nothing-kept" is
 * thrown instead, so that a survey does not measure the same model twice.
 */
export async function runTrial(
  baseline: Baseline,
  start: Model,
  steps: readonly Step[],
  { file, whole = false, ...applying }: TrialOptions,
): Promise<Trial> {
  const { env } = baseline;
  const outcome = await applyRecipe(start, steps, { timesTraining: true, ...env }, applying);
  const { kept } = outcome;
  if (whole && kept.includes(false)) {
    throw fail(
      errors.nothingKept(nameOf(steps), outcome.warnings.at(-1) ?? "no step did anything"),
    );
  }
  const idle = kept.length > 0 && sameFiles(outcome.written, writeFile(start));
  const [skip] = outcome.skipped;
  const why = skip ? `it left ${skip.node} alone: ${skip.reason}` : "it found nothing to do";
  if (idle && whole) throw fail(errors.nothingKept(nameOf(steps), why));
  const refused = await refusedFusions(outcome.model, env);
  const warnings = [
    ...outcome.warnings,
    ...(idle && !kept.includes(false) ? [`the recipe changed nothing: ${why}`] : []),
    ...fusionWarnings(refused),
    ...warningsOnTarget(outcome.model, bytesOf(outcome.written), env),
  ];
  const product = { name: nameOf(steps), source: sourceOf(outcome), model: outcome.model };
  const result = await assess(baseline, {
    recipe: nameOf(steps),
    family: familyOfRecipe(steps),
    file,
    source: product.source,
    packed: env.measures === false ? null : packedSize(product),
    model: outcome.model,
    isFromSimplified: steps.length > 0,
    training: outcome.training.findLast(({ speedup }) => speedup)?.speedup ?? null,
    ease: easeOf(start, steps, outcome),
    skipped: outcome.skipped,
    warnings,
  });
  return {
    outcome,
    result: { ...result, warnings: [...result.warnings, ...ifSlow(steps, result)] },
  };
}

/** A warning that names other settings of the steps, if the product is certainly slower than the original. */
export function ifSlow(steps: readonly Step[], { delta }: Pick<Result, "delta">): string[] {
  const { infer: speedup, ci95 } = delta;
  if (speedup === null || !ci95.infer || ci95.infer[1] >= 1) return [];
  const others = steps.map((step): Step => {
    const { quicker = {} } = step.method;
    return { ...step, options: { ...step.options, ...quicker } };
  });
  const recipe = formatRecipe(others);
  if (recipe === formatRecipe(steps)) return [];
  return [
    `the product takes ${(1 / speedup).toFixed(2)} times as long as the original: try ${recipe}`,
  ];
}

/** The product as a source, whose bytes are made when they are asked for. */
export const sourceOf = (outcome: Pick<Outcome, "written" | "bytes">): Source => ({
  byteLength: bytesOf(outcome.written),
  get bytes() {
    return outcome.bytes;
  },
});

/**
 * The family under which a recipe is reported: that of its last step whose method belongs to one of
 * the survey's families (a later `train` or `pack` does not change it), else of its last step.
 * "control" for a recipe of no steps or only of methods that are controls, such as prune-random.
 */
export function familyOfRecipe(steps: readonly Step[]): Family | "control" {
  const own = steps.filter(({ method }) => !method.isControl);
  const families = own.map(({ id, method }) => method.family ?? familyOf(id));
  return families.findLast((family) => family !== "other") ?? families.at(-1) ?? "control";
}

/** What the recipe took: the data it needed, whether it trained, its time, and its coverage. */
function easeOf(start: Model, steps: readonly Step[], outcome: Outcome): Result["ease"] {
  const labelled = steps.some((step) => needsOf(step).includes("labels"));
  const { training, usedData } = outcome;
  const looked = labelled || training.some((run) => run.labelled);
  return {
    data: looked ? "labelled" : usedData || training.length > 0 ? "unlabelled" : "none",
    training: outcome.training.length > 0,
    seconds: outcome.seconds,
    covered: coveredShare(start, outcome.model),
  };
}

/**
 * Share (0..1) of the original's weight bytes that the recipe changed. Tensors are immutable, so a
 * weight is unchanged exactly if the same tensor object is still in the model.
 */
function coveredShare(start: Model, end: Model): number {
  const left = new Set<Tensor>();
  for (const graph of end.graph.walk()) {
    for (const { tensor } of graph.constants) if (tensor) left.add(tensor);
  }
  let total = 0;
  let changed = 0;
  for (const tensor of new Set(weightsOf(start).map(({ value }) => value.tensor))) {
    if (!tensor) continue;
    total += tensor.byteLength;
    if (!left.has(tensor)) changed += tensor.byteLength;
  }
  return total === 0 ? 0 : changed / total;
}
