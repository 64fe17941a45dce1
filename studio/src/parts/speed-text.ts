/** @file A speed-up in words: none is claimed where its 95 % interval holds 1. */
import { format, type Result } from "tersor";

export function speedText({ delta: { infer, ci95 } }: Result): string {
  if (infer === null) return "-";
  const [low, high] = ci95.infer ?? [1, 1];
  return low <= 1 && high >= 1 ? "no difference" : `${format.ratio(infer)} speed`;
}
