/** @file The loss curve of a run of training, with the scores on held-out records. */
import type { TrainingRun } from "../recipe/step-context.ts";
import * as format from "./format.ts";
import { el, fragment } from "./markup.ts";
import type { Figure } from "./plots.ts";
import { linearTicks, logScale, type Scale } from "./scale.ts";
import { image, label } from "./svg.ts";

/** Size of the image and the rectangle of the plot in it, in px. */
const [width, height] = [560, 300];
const frame = { x: 52, y: 14, width: 446, height: 236 };
const [right, bottom] = [frame.x + frame.width, frame.y + frame.height];

/**
 * Plots the training loss by step on a logarithmic axis at the left. If there are at least two
 * scores (higher is better), they are dots with a linear axis at the right. `index` numbers the
 * figures of a report, so that their element ids differ.
 */
export function curveFigure(run: TrainingRun, index: number): Figure {
  const { curve, steps, parameters, seconds } = run;
  const points = curve.filter(({ loss }) => loss > 0);
  const x = (step: number) => frame.x + (step / Math.max(1, steps)) * frame.width;
  const y = logScale(rangeOf(points.map(({ loss }) => loss)), [bottom, frame.y]);
  const scored = curve.flatMap(({ step, score }) => (score === null ? [] : [{ step, score }]));
  const right2 = scored.length > 1 ? linear(scored.map(({ score }) => score)) : null;
  const path = (pairs: readonly (readonly [number, number])[]) =>
    `M${pairs.map(([a, b]) => `${a.toFixed(1)} ${b.toFixed(1)}`).join("L")}`;
  const caption = [
    `${format.plural(steps, "step")}, ${format.count(parameters)} learned numbers, ${format.duration(seconds)}.`,
    right2 ? "Solid: training loss (left axis). Dots: score on held-out records (right axis)." : "",
  ];
  return {
    title: run.step,
    caption: caption.join(" ").trim(),
    image: image(
      {
        id: `curve-${index}`,
        title: `Loss curve of ${run.step}`,
        description: `Loss from ${tick(points[0]?.loss ?? 0)} to ${tick(points.at(-1)?.loss ?? 0)} in ${steps} steps.`,
      },
      width,
      height,
      linearTicks([0, steps]).map((step) =>
        fragment(
          el("line", { x1: x(step), x2: x(step), y1: frame.y, y2: bottom, class: "grid" }),
          label(x(step), bottom + 16, String(step), { class: "soft mid" }),
        ),
      ),
      y.ticks.map((value) =>
        fragment(
          el("line", { x1: frame.x, x2: right, y1: y.at(value), y2: y.at(value), class: "grid" }),
          label(frame.x - 7, y.at(value) + 4, tick(value), { class: "soft end" }),
        ),
      ),
      right2?.ticks.map((value) =>
        label(right + 7, right2.at(value) + 4, tick(value), { class: "soft" }),
      ) ?? null,
      label(frame.x + frame.width / 2, height - 8, "step", { class: "soft mid" }),
      label(0, 0, "loss", {
        class: "soft mid",
        transform: `translate(12 ${frame.y + frame.height / 2}) rotate(-90)`,
      }),
      el("path", {
        class: "curve",
        d: path(points.map(({ step, loss }) => [x(step), y.at(loss)])),
      }),
      right2
        ? scored.map(({ step, score }) =>
            el(
              "circle",
              { cx: x(step), cy: right2.at(score), r: 3.5, class: "score" },
              el("title", {}, `step ${step}: ${tick(score)}`),
            ),
          )
        : null,
    ),
  };
}

/** A number with three significant digits. */
const tick = (n: number): string => String(Number(n.toPrecision(3)));

/** [smallest, largest]; a range that a logarithm accepts where there are no values. */
function rangeOf(values: readonly number[]): readonly [number, number] {
  if (values.length === 0) return [0.1, 1];
  return [Math.min(...values), Math.max(...values)];
}

/** A linear vertical scale over the values, with a margin above and below. */
function linear(values: readonly number[]): Scale {
  const [low, high] = rangeOf(values);
  const margin = 0.06 * (high - low) || 0.5;
  const [from, to] = [low - margin, high + margin];
  const at = (value: number) => bottom - ((value - from) / (to - from)) * frame.height;
  return { at, ticks: linearTicks([from, to]) };
}
