/** @file How the numbers of a layer's weight are spread, as a histogram. */
import { constantValue, type Model, weightsOf } from "tersor";
import type { Spread } from "./protocol.ts";

const bins = 48;

/** The histogram of the weight of the node `layer`, in whatever form it is stored; null without one. */
export function spreadOf(model: Model, layer: string): Spread | null {
  const use = weightsOf(model).find(({ node }) => node.name === layer);
  const weight = use && constantValue(use.value);
  if (!weight) return null;
  const values = weight.floats();
  let [low, high, sum, squares, zeros, n] = [Infinity, -Infinity, 0, 0, 0, 0];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    n++;
    low = Math.min(low, value);
    high = Math.max(high, value);
    sum += value;
    squares += value * value;
    if (value === 0) zeros++;
  }
  if (n === 0) return null;
  const counts = new Array<number>(bins).fill(0);
  const width = (high - low) / bins || 1;
  for (const value of values) {
    if (Number.isFinite(value)) counts[Math.min(bins - 1, Math.floor((value - low) / width))]++;
  }
  const mean = sum / n;
  const std = Math.sqrt(Math.max(0, squares / n - mean * mean));
  return { layer, shape: weight.shape.map(Number), n, zeros, mean, std, low, high, counts };
}
