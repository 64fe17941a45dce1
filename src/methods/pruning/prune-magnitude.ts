/** @file Magnitude pruning: the weights nearest to zero go, at once or in rounds. */

import { needsOfRounds, pruneByScore, pruneOptions } from "../../sparsity/by-score.ts";
import { defineMethod } from "../method.ts";

/** s_i = |w_i|; after training between rounds the remaining weights are scored again. */
export const pruneMagnitude = defineMethod({
  title: "magnitude pruning",
  cite: "Han et al. 2015, arXiv 1506.02626; Zhu, Gupta 2017, arXiv 1710.01878",
  summary: "Sets the smallest weights to zero: a smaller download, never a faster model.",
  needs: needsOfRounds,
  simplifyFirst: true,
  options: pruneOptions,
  survey: [{ sparsity: 0.5 }, { sparsity: 0.8 }, { sparsity: 0.9, scope: "global" }],
  neutral: { sparsity: 0 },
  apply: (model, options, context) =>
    pruneByScore(model, options, context, (sites) =>
      sites.map(({ weight }) => weight.values.map(Math.abs)),
    ),
});
