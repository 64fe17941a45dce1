/** @file Guards a run of training: keeps the last good state, and returns to it where numbers break. */
import { errors, fail } from "../errors.ts";
import type { LoopParts } from "./loop.ts";
import { norm } from "./optimizers.ts";
import type { TrainState } from "./state.ts";

/** A loss is broken if it exceeds this many times the first one (or 1, if that is larger). */
const EXPLOSION = 1e4;

/**
 * A function to call before each update with the loss and the gradient at `state`. It returns null
 * if both are finite and the loss has not exploded. If not, the parameters, statistics and averages
 * of `state` become those of the last step whose loss was at most the first one, and it returns why
 * the run has to stop. Throws TersorError "diverged" if there is none beyond the start. In a probe losses
 * differ by their records alone, and any finite one is good.
 */
export function createGuard(
  { step, save, where, saveEvery, isProbe = false }: LoopParts,
  start: TrainState,
) {
  let first = start.curve[0]?.loss ?? null;
  let good: ReturnType<typeof copyOf> | null = null;
  return (loss: number, gradient: Float32Array, state: TrainState): string | null => {
    first ??= loss;
    const length = norm(gradient);
    const isNumber = Number.isFinite(loss) && Number.isFinite(length);
    const most = isProbe ? Number.POSITIVE_INFINITY : EXPLOSION * Math.max(1, Math.abs(first));
    if (isNumber && Math.abs(loss) <= most) {
      if (loss <= first) good = copyOf(state);
      return null;
    }
    const why = isNumber
      ? `the loss went from ${first} to ${loss}`
      : `the loss is ${loss} and the gradient's length ${length}`;
    const layer = largest(gradient);
    const remedy = "Lower --rate or set --clip 1";
    if (!good || good.step === 0) {
      const saved = Math.floor(state.step / saveEvery) * saveEvery;
      const kept =
        save && saved > 0 ? `step ${saved} is saved in ${where}` : "nothing was saved yet";
      throw fail(errors.diverged(state.step + 1, why, layer, `${remedy}; ${kept}`));
    }
    const at = state.step + 1;
    state.step = good.step;
    state.parameters.set(good.parameters);
    state.statistics.set(good.statistics);
    state.average.set(good.average);
    return `training stopped at step ${at}: ${why}, and the largest gradient is that of ${layer}: the state after step ${good.step} is kept. ${remedy}`;
  };

  /** The layer with the largest gradient; one that is not finite is the largest. */
  function largest(gradient: Float32Array): string {
    let [worst, layer] = [-1, "no layer"];
    for (const { node, offset, size } of step.parameters) {
      const own = norm(gradient, offset, offset + size);
      const rank = Number.isFinite(own) ? own : Number.POSITIVE_INFINITY;
      if (rank > worst) [worst, layer] = [rank, node.name];
    }
    return layer;
  }
}

const copyOf = ({ step, parameters, statistics, average }: TrainState) => ({
  step,
  parameters: parameters.slice(),
  statistics: statistics.slice(),
  average: average.slice(),
});
