/** @file ThiNet: channels are removed one by one, by the error of the next layers' outputs. */
import { eliminateUnits } from "./eliminate.ts";
import { byReaders, innerProducts } from "./products.ts";

/**
 * Luo et al. 2017, arXiv 1707.06342, eq. 6 and algorithm 1: with z_u = W_u X_u, what unit u adds to
 * the outputs of the layers that read it, the set T of removed units grows by the unit that leaves
 *   |sum over v in T of z_v|^2 = sum over u, v in T of G_uv
 * least, with all weights as they are. So unit u costs G_uu + 2 sum over v in T of G_uv. The paper
 * samples positions of the outputs; here all of them count.
 */
export const scoreThinet = byReaders((units, readers) => {
  const products = innerProducts(units, readers);
  const costs = Float64Array.from({ length: units }, (_, u) => products[u * units + u]);
  return eliminateUnits(
    units,
    (unit) => costs[unit],
    (unit) => {
      for (let u = 0; u < units; u++) costs[u] += 2 * products[u * units + unit];
    },
  );
});
