/** @file Trains the gates of residual blocks together with the network (ConvNet-AIG, BlockDrop). */
import type { Context, Records } from "../context.ts";
import { type Gate, type Gated, type Gates, withFactors } from "../evidence/gates.ts";
import { valuesOf } from "../evidence/output-shift.ts";
import type { Value } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { log } from "../numeric/log.ts";
import { drawnFeed } from "../weights/feeds.ts";
import { type Latent, open } from "../weights/latent.ts";
import { indicator } from "./straight-through.ts";

/** The share of the training records that gates are not trained on. */
export const HELD_OUT = 0.1;

/** What gates are trained for. */
export interface Aim {
  /** The share of the blocks' work that is to be done. */
  readonly work: number;
  /** Weight of the squared distance from it in the loss. */
  readonly penalty: number;
  /** Records by whose scores the first threshold is set. */
  readonly fit: Records;
}

/** Options of the step `train`. */
type Training = Omit<NonNullable<Parameters<Context["train"]>[1]>, "batch"> & {
  readonly batch: number;
};

/**
 * Trains model and gates by the answers of the model, which itself stays as it is. In training the
 * block adds z f(x) for each record, z 0 or 1, drawn with the gate's score s as
 *   z = round(sigmoid(s + log u - log(1 - u))), u uniform in (0, 1)
 * (Gumbel-max over run and skip; Veit, Belongie 2018, section 3.1), where rounding passes gradients
 * straight through. With c_l the share of block l in the blocks' work, the loss gets
 *   penalty (sum_l c_l mean z_l - work)^2
 * (the paper has such a term for each block alone, which keeps blocks at work that no record needs).
 * Gates start from `start`, less the threshold with which they would do that share of the work.
 */
export async function trainedGates(
  model: Model,
  blocks: readonly Gated[],
  start: readonly Gate[],
  { work, penalty, fit }: Aim,
  training: Training,
  context: Context,
): Promise<Gates> {
  const all = blocks.reduce((sum, { share }) => sum + share, 0) || 1;
  const shares = blocks.map(({ share }) => share / all);
  const fitted = withFactors(model, blocks, { gates: start, learned: new Map() });
  const scores = await valuesOf(fitted.model, fitted.scores, fit, context.observe);
  const threshold = thresholdFor(work, scores, shares);
  const gates = start.map(({ weight, bias }) => ({ weight, bias: bias - threshold }));
  const gated = withFactors(model, blocks, { gates, learned: new Map() });
  const latents = gated.scores.map((value, i) =>
    open({ node: blocks[i].layers[0], value }, drawnGate(training.batch)),
  );
  await context.train(
    gated.model,
    { loss: "distil", ...training, holdout: HELD_OUT, keep: "last" },
    {
      teacher: model,
      latents,
      penalty(g, student) {
        const done = gated.scores.map((score, i) =>
          g.Mul(g.ReduceMean(student.of(score), { keepdims: 0 }), g.constant(shares[i])),
        );
        const miss = g.Sub(g.Sum(...done), g.constant(work));
        return g.Mul(g.Mul(miss, miss), g.constant(penalty));
      },
    },
  );
  const learned = [...gated.twins].flatMap(([own, { tensor }]) =>
    tensor && tensor !== own.tensor ? [[own, tensor] as const] : [],
  );
  return { gates: gated.scores.map(gateOf), learned: new Map(learned) };
}

/** The threshold above which scores [block][record] ask for the share `work` of all work. */
function thresholdFor(
  work: number,
  scores: readonly Float32Array[],
  shares: readonly number[],
): number {
  const all = scores.flatMap((own, i) =>
    [...own].map((score) => ({ score, share: shares[i] / own.length })),
  );
  all.sort((a, b) => b.score - a.score);
  let done = 0;
  for (const { score, share } of all) {
    if (done >= work) return score;
    done += share;
  }
  return all.at(-1)?.score ?? 0;
}

/** z for scores [N, 1], N at most `batch`; after training 1 where the score is above 0. */
const drawnGate = (batch: number): Latent<never> => ({
  theta: {},
  feeds: { noise: drawnFeed([batch, 1], logistic) },
  build(g, _, score, { noise }) {
    const rows = g.Slice(noise, g.ints([0]), g.Shape(score, { start: 0, end: 1 }), g.ints([0]));
    return g.Round(g.Sigmoid(g.Add(score, rows)));
  },
  close: () => (g, score) => indicator(g, g.Greater(score, g.constant(0))),
});

/** log u - log(1 - u), u uniform in (1e-6, 1 - 1e-6). */
function logistic({ float }: { float(): number }): number {
  const u = 1e-6 + (1 - 2e-6) * float();
  return log(u) - log(1 - u);
}

/** The constants of the Gemm that gives a score. */
function gateOf({ producer }: Value): Gate {
  const [weight, bias] = [1, 2].map((i) => producer?.inputs[i]?.tensor?.floats());
  return { weight: weight as Float32Array, bias: bias?.[0] as number };
}
