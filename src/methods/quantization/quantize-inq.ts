/** @file INQ: weights become powers of two in stages, the largest first, while the rest learns on. */
import { z } from "zod";
import { learnedOptions, sitesToLearn, trainLevels } from "../../learned/training.ts";
import { log } from "../../numeric/log.ts";
import { thetaIn } from "../../train/parameters.ts";
import { codebookOf } from "../../weights/forms/codebook.ts";
import { type Latent, open } from "../../weights/latent.ts";
import type { ThetaSite } from "../../weights/sites.ts";
import { defineMethod } from "../method.ts";

/**
 * Levels are 0 and +-2^k, n2 <= k <= n1, with n1 = floor(log2(4 max |W| / 3)) and
 * n2 = n1 + 1 - 2^(bits - 1) / 2 (eq. 1 to 3): a product is a shift. Each stage rounds the largest of
 * the weights that are left to the nearest level and keeps them there (half of all, three quarters,
 * ..., all); the others learn on and make up for the error.
 */
export const quantizeInq = defineMethod({
  title: "incremental quantization to powers of two (INQ)",
  equation: "W = 0 or +-2^k, n2 <= k <= n1 = floor(log2(4 max |W| / 3)), the largest first",
  cite: "Zhou et al. 2017, arXiv 1702.03044",
  summary:
    "Trains weights that are 0 or a power of two, rounded group by group, the largest first.",
  needs: ["training"],
  options: z.object({
    bits: z
      .int()
      .min(2)
      .max(6)
      .default(5)
      .meta({
        description: "Bits of a weight: 2 has one power of two, 5 has eight.",
        search: [3, 4, 5],
      }),
    stages: z.int().min(1).max(8).default(4).meta({
      description: "Stages, of equally many steps; with 1 all weights are rounded at the start.",
    }),
    ...learnedOptions(),
  }),
  survey: [{}],
  neutral: { epochs: 0 },
  async apply(model, { bits, stages, ...options }, context) {
    const sites = sitesToLearn(model, options, context);
    if (sites.length === 0) return;
    const opened = sites.map((site) => ({ site, latent: openUp(site, bits, shareOf(0, stages)) }));
    const latents = opened.map(({ site: { node, value }, latent }) =>
      open({ node, value }, latent),
    );
    let steps = 1;
    const stageAt = (step: number): number => Math.floor((step * stages) / steps);
    await trainLevels(model, options, latents, context, {
      begin(count) {
        steps = count;
      },
      afterUpdate({ step: before, parameters }, { parameters: layout }) {
        const stage = stageAt(before + 1);
        if (stage === stageAt(before)) return;
        for (const { latent } of opened) {
          const [u, level, fixed] = ["latent", "level", "fixed"].map((name) =>
            thetaIn(layout, latent, name, parameters),
          );
          if (u && level && fixed) fix({ u, level, fixed }, latent.powers, shareOf(stage, stages));
        }
      },
    });
  },
});

/** The share of the weights that are rounded from a stage on: 1/2, 3/4, ..., in the last one all. */
const shareOf = (stage: number, stages: number): number =>
  stage >= stages - 1 ? 1 : 1 - 0.5 ** (stage + 1);

/** Exponents of the least and the greatest level that is not 0. */
interface Powers {
  readonly least: number;
  readonly greatest: number;
}

interface Incremental extends Latent<"latent" | "level" | "fixed"> {
  readonly powers: Powers;
}

/**
 * W = level where `fixed` is 1, else u. Both have a learning rate of 0 and are set by `fix`; as
 * thetas they are saved in every checkpoint.
 */
function openUp(
  { weight: { shape, values } }: ThetaSite,
  bits: number,
  share: number,
): Incremental {
  const largest = values.reduce((most, w) => Math.max(most, Math.abs(w)), 0) || 1;
  const greatest = exponentOf((4 * largest) / 3);
  const powers = { least: greatest + 1 - 2 ** (bits - 2), greatest };
  const level = new Float32Array(values.length);
  const fixed = new Float32Array(values.length);
  fix({ u: values, level, fixed }, powers, share);
  return {
    powers,
    theta: {
      latent: { start: values, shape, keepsZeros: true },
      level: { start: level, shape, rate: 0 },
      fixed: { start: fixed, shape, rate: 0 },
    },
    build: (g, { latent: u, level, fixed }) =>
      g.Add(g.Mul(fixed, level), g.Mul(g.Sub(g.constant(1), fixed), u)),
    close({ latent: u, level, fixed }) {
      // All are fixed by now, unless the run broke off.
      const all = u.map((own, i) => (fixed[i] ? level[i] : nearest(own, powers)));
      // Entry 0 is 0, so that zero indices can be left out of the file.
      const entries = Float32Array.from(new Set([0, ...all]));
      const places = new Map(Array.from(entries, (entry, i) => [entry, i]));
      const index = Uint16Array.from(all, (own) => places.get(own) as number);
      return codebookOf({ codebook: entries, index }, shape);
    },
  };
}

interface Weights {
  readonly u: Float32Array;
  readonly level: Float32Array;
  readonly fixed: Float32Array;
}

/** Rounds the largest of the weights that are left, until the share of all is fixed. In place. */
function fix({ u, level, fixed }: Weights, powers: Powers, share: number): void {
  const left = Array.from(u.keys()).filter((i) => !fixed[i]);
  const count = Math.round(share * u.length) - (u.length - left.length);
  left.sort((a, b) => Math.abs(u[b]) - Math.abs(u[a]) || a - b);
  for (const i of left.slice(0, Math.max(0, count))) {
    level[i] = nearest(u[i], powers);
    fixed[i] = 1;
  }
}

/** The nearest level (eq. 4). */
function nearest(w: number, { least, greatest }: Powers): number {
  const size = Math.abs(w);
  if (size < 2 ** (least - 1)) return 0;
  // Halfway between 2^k and 2^(k+1) is 3/2 2^k.
  const power = Math.min(greatest, Math.max(least, exponentOf((4 * size) / 3)));
  return Math.sign(w) * 2 ** power;
}

/** floor(log2 x) for x > 0, exactly: a logarithm that is off by a bit only starts the search. */
function exponentOf(x: number): number {
  let power = Math.round(log(x) / Math.LN2);
  while (2 ** power > x) power--;
  while (2 ** (power + 1) <= x) power++;
  return power;
}
