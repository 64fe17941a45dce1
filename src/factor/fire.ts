/** @file A convolution as a fire module: a squeeze layer, then expansions of 1x1 and of its own size. */
import type { Branches, Outline } from "../layers/chain.ts";
import { costOf } from "../layers/cost.ts";
import type { Layer } from "../layers/matrix.ts";
import { transpose } from "../numeric/matrix.ts";
import { svd } from "../numeric/svd.ts";
import { product } from "../util/product.ts";
import type { Decomposition, Evidence, Point } from "./decomposition.ts";
import { fitFeatures, middleOf, reordered, seenBy } from "./features.ts";
import { kernelOf, whyNoKernel } from "./kernel.ts";
import { ranksUpTo } from "./spectrum.ts";

/**
 * z = V x squeezes C channels to s; half of the outputs, those whose kernels weigh most in the middle,
 * read z at one position, the others in the whole window:
 *   K[n, c, p] ~ sum_k E1[n, k] V[k, c] 1(p = middle)   or   sum_k E3[n, k, p] V[k, c]
 * V holds the first left singular vectors of the kernel as M[c, (n, p)], the best for the second kind
 * (Tucker's of one mode); E1 is the least squares solution on the inputs' moments, and E3 the projection.
 * SqueezeNet has a Relu behind the squeeze layer, which only training from the start can use.
 */
export function decomposeFire(
  layer: Layer,
  evidence: Evidence,
  { multiple }: { readonly multiple: number },
): Decomposition | string {
  const refused = whyNoKernel(layer, 1);
  if (refused) return refused;
  const middle = middleOf(layer);
  if (typeof middle === "string") return middle;
  const { outputs, inputs, kernel, matrix } = layer;
  const taps = product(kernel);
  // [outputs, inputs, taps], whitened along the inputs.
  const { values, energy, unwhiten, unscale } = kernelOf(layer, evidence, []);
  const squareAt = (o: number, isMiddle: boolean): number => {
    let sum = 0;
    for (let c = 0; c < inputs; c++) {
      for (let p = 0; p < taps; p++) {
        if (!isMiddle || p === middle) sum += values[(o * inputs + c) * taps + p] ** 2;
      }
    }
    return sum;
  };
  const share = Array.from(
    { length: outputs },
    (_, o) => squareAt(o, true) / (squareAt(o, false) || 1),
  );
  const order = [...share.keys()].sort((a, b) => share[b] - share[a] || a - b);
  const small = outputs >> 1;
  const unfolded = new Float64Array(values.length);
  for (let o = 0; o < outputs; o++) {
    for (let c = 0; c < inputs; c++) {
      const from = (o * inputs + c) * taps;
      unfolded.set(values.subarray(from, from + taps), c * outputs * taps + o * taps);
    }
  }
  const { u, rank: full } = svd(unfolded, inputs, outputs * taps);
  const width = u.length / inputs;
  // U^T M [full, outputs, taps].
  const projected = new Float64Array(full * outputs * taps);
  for (let k = 0; k < full; k++) {
    for (let c = 0; c < inputs; c++) {
      const factor = u[c * width + k];
      const [from, to] = [c * outputs * taps, k * outputs * taps];
      for (let i = 0; i < outputs * taps; i++) projected[to + i] += factor * unfolded[from + i];
    }
  }
  const kept = (o: number, k: number, isSmall: boolean): number => {
    let sum = 0;
    for (let p = 0; p < taps; p++) {
      if (!isSmall || p === middle) sum += projected[(k * outputs + o) * taps + p] ** 2;
    }
    return sum;
  };
  const outline = (s: number): [Outline, Branches<Outline>] => {
    const ones = kernel.map(() => 1);
    const axes = [...kernel.keys()];
    const squeeze = { name: "squeeze", shape: [s, inputs, ...ones], axes: [] };
    const expand1 = { name: "expand1", shape: [small, s, ...ones], axes };
    const expand3 = { name: "expand3", shape: [outputs - small, s, ...kernel], axes };
    return [squeeze, { join: "concat", branches: [[expand1], [expand3]] }];
  };
  let error = energy;
  let done = 0;
  const points = (small === 0 ? [] : ranksUpTo(full, multiple)).map((rank): Point => {
    for (; done < rank; done++) {
      for (const [at, o] of order.entries()) error -= kept(o, done, at < small);
    }
    const { params, macs } = costOf(layer, outline(rank));
    return { ranks: [rank], error: Math.max(0, error), parameters: params, macs };
  });
  if (points.length === 0) return "has too few outputs for two kinds of them";
  return {
    points,
    energy,
    chainAt({ ranks: [s] }) {
      const columns = inputs * taps;
      const squeeze = unwhiten(transpose(u, inputs, width).slice(0, s * inputs));
      const [first, { join }] = outline(s);
      const see = seenBy(evidence);
      const features = new Float64Array(s * columns);
      for (let k = 0; k < s; k++) {
        for (let c = 0; c < inputs; c++) {
          features[k * columns + c * taps + middle] = squeeze[k * inputs + c];
        }
      }
      const rows = new Float64Array(small * columns);
      for (let at = 0; at < small; at++) {
        rows.set(matrix.subarray(order[at] * columns, (order[at] + 1) * columns), at * columns);
      }
      const { weights } = fitFeatures(see(rows), see(features), columns);
      const whole = new Float64Array(outputs * s * taps);
      for (let o = 0; o < outputs; o++) {
        for (let k = 0; k < s; k++) {
          const from = (k * outputs + o) * taps;
          whole.set(projected.subarray(from, from + taps), (o * s + k) * taps);
        }
      }
      const plain = unscale(whole);
      const large = new Float64Array((outputs - small) * s * taps);
      for (let at = small; at < outputs; at++) {
        const from = order[at] * s * taps;
        large.set(plain.subarray(from, from + s * taps), (at - small) * s * taps);
      }
      const [[expand1], [expand3]] = outline(s)[1].branches as Outline[][];
      return [
        { ...first, values: squeeze },
        {
          join,
          branches: [[{ ...expand1, values: weights }], [{ ...expand3, values: large }]],
        },
        reordered(order),
      ];
    },
  };
}
