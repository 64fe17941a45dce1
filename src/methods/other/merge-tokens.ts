/** @file Token merging: similar tokens of a transformer encoder become one, layer by layer. */
import { z } from "zod";
import { cloneModel, type Model } from "../../ir/model.ts";
import {
  type Attention,
  attentionsOf,
  type Merged,
  mergeTokens as mergeOnce,
  weighKeys,
  weighMeans,
  whyFixedTokens,
} from "../../layers/tokens.ts";
import { inferModel } from "../../ops/infer.ts";
import { defineMethod } from "../method.ts";

/**
 * Behind each attention the r most similar pairs of tokens become one token each, their mean weighted
 * by how many patches or words each stands for, so that later layers read fewer. Later attentions add
 * the logarithm of these sizes to their scores, and means over tokens are weighted by them. Needs no
 * training. Models with masks, causal ones and those with an open number of tokens are left alone.
 */
export const mergeTokens = defineMethod({
  title: "token merging",
  equation: "the r pairs of largest cos(k_i, k_j): x = (s_i x_i + s_j x_j) / (s_i + s_j)",
  cite: "Bolya et al. 2023, ToMe, arXiv 2210.09461",
  summary: "Merges the most similar tokens behind each attention of a transformer encoder.",
  needs: [],
  simplifyFirst: true,
  grows: true,
  options: z.object({
    ratio: z
      .number()
      .min(0)
      .max(0.5)
      .default(0.06)
      .meta({
        description: "Tokens that each layer merges, as a share of those of the first one.",
        search: [0.04, 0.06, 0.08],
      }),
    weigh: z.boolean().default(true).meta({
      description: "Merged tokens count by their sizes in later attentions and means.",
    }),
  }),
  survey: [{}],
  neutral: { ratio: 0 },
  async apply(model, { ratio, weigh }, context) {
    await context.progress(0, 1);
    if (ratio === 0) return;
    let refused = 0;
    const found = attentionsOf(model, (node, reason) => {
      refused++;
      context.skip(node.name, reason);
    });
    const [first] = found;
    if (!first) {
      if (refused > 0) return;
      const name = model.graph.outputs[0]?.producer?.name ?? "";
      context.skip(name, "comes from no attention over [N, tokens, features] in a residual block");
      return;
    }
    const trial = cloneModel(model);
    inferModel(trial);
    const why = merge(
      trial,
      attentionsOf(trial, () => {}),
      ratio,
      weigh,
    );
    if (typeof why === "string") context.skip(first.softmax.name, why);
    else {
      merge(model, found, ratio, weigh);
      context.warn(`tokens by layer: ${[first.tokens, ...why].join(", ")}`);
    }
  },
});

/** Merges behind each attention. Returns the numbers of tokens that are left, or why it cannot. */
function merge(
  model: Model,
  attentions: readonly Attention[],
  ratio: number,
  weigh: boolean,
): number[] | string {
  const { graph } = model;
  const [first] = attentions;
  const total = first.tokens;
  if (attentions.some(({ tokens }) => tokens !== total)) return "reads other tokens than the rest";
  const fixed = whyFixedTokens(graph, first.sum.output, total);
  if (fixed) return fixed;
  const counts: number[] = [];
  let count = total;
  let merged: Merged | null = null;
  for (const attention of attentions) {
    if (merged && weigh) weighKeys(attention.softmax, merged.sizes);
    // The first token stays.
    const r = Math.min(Math.floor(ratio * total), Math.ceil(count / 2) - 1, Math.floor(count / 2));
    if (r < 1) break;
    const { output } = attention.sum;
    const readers = [...output.uses];
    const before = { sizes: merged?.sizes ?? null, tokens: count, r };
    merged = mergeOnce(output, attention, before);
    for (const { user, index } of readers) {
      if (user === graph) return "gives its tokens as an output";
      if ("setInput" in user) user.setInput(index, merged.tokens);
    }
    count -= r;
    counts.push(count);
  }
  if (!merged) return `has only ${total} tokens`;
  inferModel(model);
  if (weigh) weighMeans(graph, merged.tokens, { sizes: merged.sizes, count, total });
  return counts;
}
