/** @file Jaderberg's separable filters: the better axis first, fitted to filters or to outputs. */
import { z } from "zod";
import type { Decompose, Decomposition, Point } from "../../factor/decomposition.ts";
import { factorLayers } from "../../factor/layers.ts";
import { type FactorOptions, factorNeeds, factorOptions } from "../../factor/options.ts";
import { decomposeSeparable, longAxes } from "../../factor/separable.ts";
import { atLeast, unbeaten } from "../../factor/spectrum.ts";
import { defineMethod } from "../method.ts";

/**
 * The shape of `factor-bn`, with either axis first, whichever leaves less error. Without data this
 * reconstructs filters (section 3.2.1 of the paper) by SVD, the global optimum of what it descends
 * to. With data it reconstructs outputs (3.2.2): the first factor from whitened filters, the second by
 * least squares over the records.
 */
export const factorSeparable = defineMethod({
  title: "separable filters, reconstructed",
  equation:
    "min |W x - H * (V * x)|^2 over d x 1 filters V and 1 x d filters H, or the other way round",
  cite: "Jaderberg et al. 2014, arXiv 1405.3866, section 3.2",
  summary:
    "Replaces a d x d convolution by two along one axis each, in the better order, fitted to its outputs.",
  needs: factorNeeds,
  options: z.object(factorOptions),
  survey: [{}],
  neutral: { energy: 1 },
  apply: (model, options, context) => factorLayers(model, options, context, decompose),
});

const decompose: Decompose<FactorOptions> = (layer, evidence, { multiple }) => {
  const choice = { multiple, fits: true };
  const found: Decomposition[] = [];
  for (const axis of longAxes(layer).concat(longAxes(layer).length === 0 ? [0] : [])) {
    const one = decomposeSeparable(layer, evidence, choice, axis);
    if (typeof one === "string") return one;
    found.push(one);
  }
  return bestOf(found);
};

/** Of every size the one that leaves less error. */
function bestOf(found: readonly Decomposition[]): Decomposition {
  const by = new Map<Point, Decomposition>();
  for (const one of found) for (const point of one.points) by.set(point, one);
  const sorted = [...by.keys()].toSorted(
    (a, b) => a.parameters - b.parameters || a.error - b.error || a.macs - b.macs,
  );
  const points = unbeaten(sorted);
  const owner = (point: Point): Decomposition => by.get(point) as Decomposition;
  return {
    points,
    energy: Math.max(...found.map(({ energy }) => energy)),
    chainAt: (point) => owner(point).chainAt(point),
    byNoise() {
      const wanted = found.map(({ byNoise }) => byNoise?.().ranks[0] ?? 0);
      return atLeast(points, [Math.min(...wanted)]);
    },
  };
}
