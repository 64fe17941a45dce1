/** @file Random pruning: the control that every pruning table needs. */

import { needsOfRounds, pruneByScore, pruneOptions } from "../../sparsity/by-score.ts";
import { defineMethod } from "../method.ts";

export const pruneRandom = defineMethod({
  title: "random pruning",
  isControl: true,
  cite: "control; see Liu et al. 2019, arXiv 1810.05270",
  summary: "Sets randomly chosen weights to zero; a criterion that does not beat it is worthless.",
  needs: needsOfRounds,
  simplifyFirst: true,
  options: pruneOptions,
  survey: [{ sparsity: 0.5 }],
  neutral: { sparsity: 0 },
  apply: (model, options, context) =>
    pruneByScore(model, options, context, (sites) =>
      sites.map(({ node, weight }) => {
        const random = context.random.fork(node.name);
        return Float32Array.from(weight.values, () => random.float());
      }),
    ),
});
