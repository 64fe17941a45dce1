/** @file The loss of a run of training by step: afterwards, and while it runs. */
import { format } from "tersor";
import type { Point } from "../protocol.ts";
import { training } from "../state.ts";

interface CurveProps {
  /** The recipe's step as text. */
  readonly step: string;
  /** [step, loss] */
  readonly points: readonly Point[];
  /** Steps of the whole run, where it still goes on. */
  readonly total?: number;
}

/** The loss of a run of training by step, on a logarithmic axis. */
export function Curve({ step, points, total = 0 }: CurveProps) {
  const shown = points.filter(([, loss]) => loss > 0);
  if (shown.length < 2) return null;
  const losses = shown.map(([, loss]) => Math.log(loss));
  const [low, high] = [Math.min(...losses), Math.max(...losses)];
  const last = Math.max(total, shown[shown.length - 1][0]);
  const path = shown.map(
    ([at], i) =>
      `${((560 * at) / last).toFixed(1)} ${(8 + (104 * (high - losses[i])) / (high - low || 1)).toFixed(1)}`,
  );
  const text = `loss ${format.precise(shown[0][1])} to ${format.precise(shown[shown.length - 1][1])}`;
  return (
    <figure>
      <figcaption>
        <code>{step}</code>: {text} in {format.count(shown[shown.length - 1][0])} steps
      </figcaption>
      <svg class="plot" viewBox="0 0 560 120" role="img" aria-label={text}>
        <path class="curve" d={`M${path.join("L")}`} />
      </svg>
    </figure>
  );
}

/** The curve of the training that goes on. */
export function LiveCurve() {
  const run = training.value;
  if (!run) return null;
  return (
    <div data-live={run.points.length}>
      <Curve step={run.what} points={run.points} total={run.total} />
    </div>
  );
}
