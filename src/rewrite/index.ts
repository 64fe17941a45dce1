/** @file Lossless simplification: the table of rules, which are applied until nothing changes. */
import type { Model } from "../ir/model.ts";
import { convToGemm } from "./conv-to-gemm.ts";
import { dropDead } from "./drop-dead.ts";
import { dropIdentity } from "./drop-identity.ts";
import { einsumToMatMul } from "./einsum-to-matmul.ts";
import { foldConstants } from "./fold-constants.ts";
import { foldBatchNorm, foldScale } from "./fold-scale.ts";
import { foldShapes } from "./fold-shapes.ts";
import { fuseGelu, fuseHardSigmoid, fuseHardSwish } from "./fuse-activation.ts";
import { fuseGate } from "./fuse-gate.ts";
import { fuseGemm } from "./fuse-gemm.ts";
import { fuseLayerNorm } from "./fuse-layernorm.ts";
import { fusePad } from "./fuse-pad.ts";
import { inlineIf } from "./inline-if.ts";
import { keepBlocked } from "./keep-blocked.ts";
import { mergeBranches } from "./merge-branches.ts";
import { mergeNodes } from "./merge-nodes.ts";
import { applyRules, type RewriteReport } from "./rewrite.ts";
import type { Rule } from "./rule.ts";
import { shareConstants, shareNodes } from "./share-equal.ts";

/**
 * The rules in the order in which they are tried at each node. Rules that recognize a pattern come
 * before those that move the pattern's constants elsewhere.
 */
export const rules = [
  dropDead,
  shareConstants,
  dropIdentity,
  foldConstants,
  foldShapes,
  inlineIf,
  shareNodes,
  fuseHardSwish,
  fuseHardSigmoid,
  fuseGelu,
  fuseLayerNorm,
  foldBatchNorm,
  foldScale,
  fuseGate,
  fusePad,
  fuseGemm,
  convToGemm,
  einsumToMatMul,
  mergeBranches,
  mergeNodes,
  keepBlocked,
] as const satisfies readonly Rule[];

export type { RewriteReport } from "./rewrite.ts";
export type RuleId = (typeof rules)[number]["id"];

/** The rules that keep what training needs. */
export const beforeTraining: readonly RuleId[] = rules.flatMap((rule) =>
  "afterTraining" in rule ? [] : [rule.id],
);

/**
 * Simplifies `model` in place. Outputs stay the same but for rounding (about 1e-6 of their range).
 * With `rules`, only the rules of these ids are applied. Throws TersorError "aborted".
 */
export function rewrite(
  model: Model,
  options: { readonly rules?: readonly RuleId[]; readonly signal?: AbortSignal } = {},
): RewriteReport {
  const { rules: ids, signal } = options;
  const chosen = ids ? rules.filter(({ id }) => ids.includes(id)) : rules;
  return applyRules(model, chosen, signal ?? null);
}
