/** @file The table of metrics, in the order in which they are guessed from labels and outputs. */

import { errors, fail } from "../../errors.ts";
import { nearest } from "../../util/nearest.ts";
import { splitQuoted } from "../../util/quoted.ts";
import { shapesOf } from "../task.ts";
import { accuracy } from "./accuracy.ts";
import { correlation } from "./correlation.ts";
import { detection } from "./detection.ts";
import { errorRate } from "./error-rate.ts";
import { fidelity } from "./fidelity.ts";
import { iou } from "./iou.ts";
import { perplexity } from "./perplexity.ts";
import { psnr } from "./psnr.ts";
import { retrieval } from "./retrieval.ts";
import { siSdr } from "./si-sdr.ts";
import { snr } from "./snr.ts";
import { type Batch, type Fit, type MetricSpec, withOptions } from "./spec.ts";
import { ssim } from "./ssim.ts";
import { top5 } from "./top-5.ts";

const table: readonly MetricSpec[] = [
  detection,
  iou,
  accuracy,
  top5,
  perplexity,
  errorRate,
  psnr,
  ssim,
  snr,
  siSdr,
  correlation,
  retrieval,
  fidelity,
];

/** All metrics by name. */
export const metrics: ReadonlyMap<string, MetricSpec> = new Map(
  table.map((spec) => [spec.id, spec]),
);

/**
 * The metric of a text such as "detection" or "detection:score=0.5". Throws TersorError
 * "bad-option", which names `where`, for an unknown name, and what `withOptions` throws.
 */
export function metricNamed(text: string, where: string): MetricSpec {
  const [name, ...rest] = text.split(":");
  const spec = metrics.get(name.trim());
  if (!spec) {
    const known = [...metrics.keys()];
    const near = nearest(name, known);
    const remedy = near
      ? `Did you mean "${near}"?`
      : `Give one of: ${known.join(", ")}, or ./my-metric.ts`;
    throw fail(errors.badOption(where, `"${name}" is no metric`, remedy));
  }
  const pairs = splitQuoted(rest.join(":"), ",").filter((pair) => pair.trim() !== "");
  const given = pairs.map((pair) => {
    const equals = pair.indexOf("=");
    if (equals > 0) return [pair.slice(0, equals).trim(), pair.slice(equals + 1).trim()];
    throw fail(errors.badOption(where, `"${pair.trim()}" has no value`, "Write name=value"));
  });
  return given.length === 0 ? spec : withOptions(spec, Object.fromEntries(given), where);
}

/** A metric and how it judges a model. */
export interface Chosen {
  readonly spec: MetricSpec;
  readonly fit: Fit;
}

/** The first metric that is clear from the label and the outputs; null if there is none. */
function clearMetric(batch: Batch): Chosen | null {
  for (const spec of table) {
    const fit = spec.fits(batch);
    if (typeof fit !== "string" && spec.isGuessed(batch)) return { spec, fit };
  }
  return null;
}

/**
 * The metric of a model and data for which none was named. With `mayLeaveLabels`, class indices that
 * fit no output are left out, and a note says so: a folder of pictures has classes whether or not
 * the model is a classifier. Throws TersorError "label-mismatch", which names `where`, if there is
 * none.
 */
export function guessMetric(batch: Batch, where: string, { mayLeaveLabels = false } = {}): Chosen {
  const found = clearMetric(batch);
  if (found) return found;
  const isClass = batch.label?.size === batch.records;
  const without = mayLeaveLabels && isClass ? clearMetric({ ...batch, label: null }) : null;
  if (without) {
    const { spec, fit } = without;
    const left = "the labels are left out, because classes fit none of the outputs";
    return { spec, fit: { ...fit, note: fit.note ? `${fit.note}; ${left}` : left } };
  }
  throw fail(
    errors.labelMismatch(where, batch.label?.shape.join(",") ?? "", shapesOf(batch.outputs)),
  );
}
