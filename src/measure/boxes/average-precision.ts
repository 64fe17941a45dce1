/** @file Mean average precision of boxes at an overlap of one half. */
import { type Box, bySureness, type Corners, overlap } from "./box.ts";

/** A labelled box. */
export type Truth = Corners & { readonly class: number };

/** One detection, right or wrong. */
interface Hit {
  readonly score: number;
  readonly isRight: boolean;
}

/** The detections of one record by class, and the number of its labelled boxes by class. */
export interface Judged {
  readonly hits: ReadonlyMap<number, readonly Hit[]>;
  readonly truths: ReadonlyMap<number, number>;
}

/**
 * Judges the boxes of one record as PASCAL VOC does: from the surest on, a box is right if the
 * labelled box of its class that it overlaps most is overlapped by at least `limit` and was not
 * found before.
 */
export function judgeBoxes(boxes: readonly Box[], labelled: readonly Truth[], limit = 0.5): Judged {
  const hits = new Map<number, Hit[]>();
  const truths = new Map<number, number>();
  for (const truth of labelled) truths.set(truth.class, (truths.get(truth.class) ?? 0) + 1);
  const found = new Set<Truth>();
  for (const box of bySureness(boxes)) {
    let best: Truth | null = null;
    let most = 0;
    for (const truth of labelled) {
      const shared = truth.class === box.class ? overlap(truth, box) : 0;
      if (shared > most) [best, most] = [truth, shared];
    }
    const isRight = best !== null && most >= limit && !found.has(best);
    if (isRight) found.add(best as Truth);
    hits.set(box.class, [...(hits.get(box.class) ?? []), { score: box.score, isRight }]);
  }
  return { hits, truths };
}

/**
 * The area under the curve of precision over recall with all-point interpolation (PASCAL VOC from 2010 on):
 *
 *   AP = sum_i (r_i - r_(i-1)) max_(j >= i) p_j
 *
 * over the detections i in the order of their scores, r recall, p precision.
 */
export function averagePrecision(hits: readonly Hit[], truths: number): number {
  const sorted = bySureness(hits);
  let right = 0;
  const precision = sorted.map(({ isRight }, i) => {
    if (isRight) right++;
    return right / (i + 1);
  });
  let [area, most] = [0, 0];
  for (let i = sorted.length - 1; i >= 0; i--) {
    most = Math.max(most, precision[i]);
    if (sorted[i].isRight) area += most / truths;
  }
  return area;
}

/** The mean of the average precision, 0..1, over the classes that have labelled boxes; NaN for none. */
export function meanAveragePrecision(records: readonly Judged[]): number {
  const truths = new Map<number, number>();
  const hits = new Map<number, Hit[]>();
  for (const record of records) {
    for (const [c, n] of record.truths) truths.set(c, (truths.get(c) ?? 0) + n);
    for (const [c, own] of record.hits) {
      const all = hits.get(c);
      if (all) all.push(...own);
      else hits.set(c, [...own]);
    }
  }
  let sum = 0;
  for (const [c, n] of truths) sum += averagePrecision(hits.get(c) ?? [], n);
  return sum / truths.size;
}
