/** @file Stochastic depth: residual blocks are left out at random while a network is trained. */
import type { Model } from "../ir/model.ts";
import { blocksOf } from "../layers/residual.ts";
import { weightsOf } from "../ops/weights.ts";
import { scalarFeed } from "../weights/feeds.ts";
import { type Latent, type Opened, open } from "../weights/latent.ts";

/**
 * Opens what the residual blocks y = x + f(x) add: block l of L is there with probability
 *   p_l = 1 - l / L (1 - survival)
 * in a step, for all records of it (Huang et al. 2016, arXiv 1603.09382, eq. 4), so that y = x + (b_l
 * / p_l) f(x) with b_l 1 or 0. The paper multiplies f by p_l after training; dividing by it before
 * gives the same, and the network is stored as it is. Blocks that change the shape of x always stay.
 */
export function openDepth(model: Model, survival: number): Opened[] {
  const layers = new Set(weightsOf(model).map(({ node }) => node));
  const blocks = blocksOf(model, layers).filter(({ sum }) => sum.output.dtype === "float32");
  return blocks.flatMap(({ sum, at, layers: [first] }, l) => {
    const value = sum.inputs[1 - at];
    const share = 1 - ((l + 1) / blocks.length) * (1 - survival);
    return value ? open({ node: first, value, readers: [sum] }, present(share)) : [];
  });
}

const present = (share: number): Latent<never> => ({
  theta: {},
  feeds: { factor: scalarFeed((_, random) => (random.float() < share ? 1 / share : 0)) },
  build: (g, _, f, { factor }) => g.Mul(f, factor),
  close: () => (_, f) => f,
});
