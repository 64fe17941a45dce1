/** @file Boxes: how much two overlap, non-maximum suppression, and which of two lists are the same. */

/** A box that a detector gives; corners in pixels or as shares of the picture, x1 <= x2, y1 <= y2. */
export interface Box {
  readonly class: number;
  /** 0..1. */
  readonly score: number;
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
}

export type Corners = Pick<Box, "x1" | "y1" | "x2" | "y2">;

const areaOf = ({ x1, y1, x2, y2 }: Corners): number => Math.max(0, x2 - x1) * Math.max(0, y2 - y1);

/** Intersection over union of two boxes, 0..1; 0 for two without an area. */
export function overlap(a: Corners, b: Corners): number {
  const width = Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1);
  const height = Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1);
  if (width <= 0 || height <= 0) return 0;
  const both = width * height;
  return both / (areaOf(a) + areaOf(b) - both);
}

/** The boxes, the surest first; of equal scores in the order that they have. */
export const bySureness = <B extends Pick<Box, "score">>(boxes: readonly B[]): B[] =>
  [...boxes].sort((a, b) => b.score - a.score);

/**
 * Greedy non-maximum suppression: from the surest box on, each takes away the others of its class
 * that overlap it by more than `limit`. At most `candidates` boxes are looked at.
 */
export function suppress(boxes: readonly Box[], limit: number, candidates = 1000): Box[] {
  const kept: Box[] = [];
  for (const box of bySureness(boxes).slice(0, candidates)) {
    const isNew = kept.every((other) => other.class !== box.class || overlap(other, box) <= limit);
    if (isNew) kept.push(box);
  }
  return kept;
}

/** How many boxes two versions have in common, and how many only one of them has. */
export interface Changes {
  readonly kept: number;
  readonly lost: number;
  readonly added: number;
}

/**
 * Pairs boxes of one class that overlap by at least `limit`: from the surest of `found` on, each
 * takes the one of `expected` that is left and overlaps it most.
 */
export function compareBoxes(
  found: readonly Box[],
  expected: readonly Box[],
  limit = 0.5,
): Changes {
  const left = new Set(expected);
  let kept = 0;
  for (const box of bySureness(found)) {
    let best: Box | null = null;
    let most = limit;
    for (const other of left) {
      const shared = other.class === box.class ? overlap(other, box) : 0;
      if (shared >= most && (best === null || shared > most)) [best, most] = [other, shared];
    }
    if (!best) continue;
    left.delete(best);
    kept++;
  }
  return { kept, lost: expected.length - kept, added: found.length - kept };
}
