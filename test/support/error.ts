/** @file The relative error between the outputs of two runs. */
import type { Tensor } from "../../src/ir/tensor.ts";

/**
 * max |a - b| / max |a| of the output in which it is largest, with a expected and b actual.
 * Infinity if a shape differs or a NaN is only on one side.
 */
export function relativeError(
  expected: Readonly<Record<string, Tensor>>,
  actual: Readonly<Record<string, Tensor>>,
): number {
  let worst = 0;
  for (const [name, a] of Object.entries(expected)) {
    const b = actual[name];
    if (b?.shape.join() !== a.shape.join()) return Infinity;
    const [p, q] = [a.numbers(), b.numbers()];
    let [error, range] = [0, 0];
    for (let i = 0; i < p.length; i++) {
      if (Object.is(p[i], q[i]) || p[i] === q[i]) {
        range = Math.max(range, Math.abs(p[i]) || 0);
        continue;
      }
      const gap = Math.abs(p[i] - q[i]);
      error = Number.isNaN(gap) ? Infinity : Math.max(error, gap);
      range = Math.max(range, Math.abs(p[i]));
    }
    worst = Math.max(worst, range > 0 ? error / range : error);
  }
  return worst;
}
