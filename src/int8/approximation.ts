/** @file What it costs to compute activations by integer forms that are only close to them. */
import type { Context } from "../context.ts";
import { valuesOf } from "../evidence/output-shift.ts";
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { sqnr } from "../numeric/similarity.ts";
import { integerActivationOf } from "../ops/int8-activations.ts";
import { formed, type Plan } from "./plan.ts";

/** Calibration records that outputs are compared on. */
const RECORDS = 16;

/** The activations of a plan whose integer form is not the same function. */
export const approximated = ({ others }: Plan): Node[] =>
  formed(others).filter((node) => (integerActivationOf(node)?.error ?? 0) > 0);

/** The same model three times: before the step, with all activations exact, and with close forms. */
export interface Compared {
  readonly float: Model;
  readonly exact: Model;
  readonly close: Model;
}

/**
 * Warns of how far `nodes`, which are computed by close forms, move the outputs on calibration
 * records, beside how far the step moves them without. Only the user knows which is near enough.
 */
export async function warnOfApproximation(
  nodes: readonly Node[],
  { float, exact, close }: Compared,
  { observe, warn }: Pick<Context, "observe" | "warn">,
): Promise<void> {
  const numbersOf = (model: Model): Promise<Float32Array[]> => {
    const outputs = model.graph.outputs.filter(({ dtype }) => dtype === "float32");
    return valuesOf(model, outputs, RECORDS, observe);
  };
  const before = await numbersOf(float);
  const decibels = async (model: Model): Promise<string> => {
    const after = await numbersOf(model);
    const worst = Math.min(...before.map((values, i) => sqnr(values, after[i])));
    return `${worst.toFixed(1)} dB`;
  };
  const counts = new Map<string, number>();
  for (const { op } of nodes) counts.set(op, (counts.get(op) ?? 0) + 1);
  const counted = [...counts].map(([op, count]) => `${count} ${op}`).join(", ");
  const [one, other] = [await decibels(close), await decibels(exact)];
  warn(
    `activations=approximate (${counted}): signal-to-noise ratio of the outputs ${one}, with activations=exact ${other}`,
  );
}
