/** @file A convolution as a thin one between two of single positions: Tucker decomposition. */
import type { Chain } from "../layers/chain.ts";
import { costOf } from "../layers/cost.ts";
import type { Layer } from "../layers/matrix.ts";
import { multiplyTransposed, transpose } from "../numeric/matrix.ts";
import { hooi, hosvd } from "../numeric/tucker.ts";
import { vbmfRank } from "../numeric/vbmf.ts";
import { product } from "../util/product.ts";
import { remembered } from "../util/remembered.ts";
import type { Decomposition, Evidence, Point } from "./decomposition.ts";
import { kernelOf, whyNoKernel } from "./kernel.ts";
import { atLeast, ranksUpTo, unbeaten } from "./spectrum.ts";

/** Chains that are not computed again: pooling looks at the same sizes many times. */
const KEPT = 4;

/**
 * K [n, c, p] with p the kernel positions,
 *   K[n, c, p] ~ sum_ab L[n, a] G[a, b, p] R[b, c]
 * as a 1 x 1 convolution R, one with the core G, and a 1 x 1 convolution L (Kim et al. 2016, arXiv
 * 1511.06530, section 3.1). A mode of full rank needs no convolution of its own. Points are the pairs
 * (a, b) that no other pair beats in both parameters and error; their errors are those of the
 * higher-order SVD, which iterating at the chosen pair only lowers.
 */
export function decomposeTucker(
  layer: Layer,
  evidence: Evidence,
  { multiple }: { readonly multiple: number },
): Decomposition | string {
  const refused = whyNoKernel(layer, 1);
  if (refused) return refused;
  const { outputs, inputs, kernel } = layer;
  const { values, sizes, unwhiten, unscale } = kernelOf(layer, evidence, []);
  const start = hosvd(values, sizes);
  const keptAt = (a: number, b: number): number => start.kept[a * (inputs + 1) + b];
  const energy = keptAt(outputs, inputs);
  const ones = kernel.map(() => 1);
  const shapes = (a: number, b: number) => [
    ...(b < inputs ? [{ name: "in", shape: [b, inputs, ...ones] }] : []),
    { name: "core", shape: [a, b, ...kernel] },
    ...(a < outputs ? [{ name: "out", shape: [outputs, a, ...ones] }] : []),
  ];
  const pairs = ranksUpTo(outputs, multiple).flatMap((a) =>
    ranksUpTo(inputs, multiple).map((b): Point => {
      const { params, macs } = costOf(layer, shapes(a, b));
      const error = Math.max(0, energy - keptAt(a, b));
      return { ranks: [a, b], error, parameters: params, macs };
    }),
  );
  const points = unbeaten(
    pairs.toSorted((x, y) => x.parameters - y.parameters || x.error - y.error),
  );
  return {
    points,
    energy,
    chainAt: remembered(KEPT, ({ ranks: [a, b] }): Chain => {
      const { left, right, core } = hooi(values, start, [a, b]);
      const positions = product(kernel);
      const first = unwhiten(right);
      const last = unscale(transpose(left, a, outputs));
      // A factor of full rank goes into the core.
      let middle = core;
      if (b === inputs) middle = into(middle, [a, b, positions], first, inputs);
      if (a === outputs) {
        const turned = transpose(middle, a, b * positions);
        middle = multiplyTransposed(last, turned, outputs, b * positions, a);
      }
      const byName = { in: first, core: middle, out: last };
      return shapes(a, b).map((outline) => {
        return { ...outline, values: byName[outline.name as keyof typeof byName] };
      });
    }),
    byNoise() {
      const outer = Float64Array.from({ length: outputs }, (_, a) =>
        Math.sqrt(Math.max(0, keptAt(a + 1, inputs) - keptAt(a, inputs))),
      );
      const inner = Float64Array.from({ length: inputs }, (_, b) =>
        Math.sqrt(Math.max(0, keptAt(outputs, b + 1) - keptAt(outputs, b))),
      );
      const rest = values.length;
      const ranks = [
        vbmfRank(outer, outputs, rest / outputs).rank,
        vbmfRank(inner, inputs, rest / inputs).rank,
      ];
      return atLeast(points, ranks);
    },
  };
}

/** [a, c, p]: sum_b core[a, b, p] right[b, c]. */
function into(
  core: Float64Array,
  [a, b, p]: readonly [number, number, number],
  right: Float64Array,
  c: number,
): Float64Array {
  const out = new Float64Array(a * c * p);
  const turned = transpose(right, b, c);
  for (let i = 0; i < a; i++) {
    const plane = transpose(core.subarray(i * b * p, (i + 1) * b * p), b, p);
    out.set(multiplyTransposed(turned, plane, c, p, b), i * c * p);
  }
  return out;
}
