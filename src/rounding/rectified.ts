/**
 * @file The rectified sigmoid of AdaRound, which is exactly 0 or 1 for large |V|:
 *   h(V) = clip((zeta - gamma) sigmoid(V) + gamma, 0, 1)
 * (Nagel et al. 2020, arXiv 2004.10568, eq. 23).
 */
import { log } from "../numeric/log.ts";

/** h(V) reaches from GAMMA to ZETA before it is clipped. */
export const [ZETA, GAMMA] = [1.1, -0.1];

/** The V with h(V) = share, for shares in [0, 1]. */
export function inverse(share: number): number {
  const s = (share - GAMMA) / (ZETA - GAMMA);
  return log(s / (1 - s));
}
