/**
 * @file How much evaluation may do: a few bytes of a file can ask for more work and memory than any
 * computer has, so both are counted before they are spent.
 */

/** Elements of one tensor, or places that are walked through at once, at most. */
const MOST = 2 ** 28;

/** Thrown where a node would take more than it may. `evaluateNode` turns it into a TersorError. */
export class TooMuchWork extends RangeError {}

/** Steps that may still be spent; a step is about one element that is read or written. */
let left = Number.POSITIVE_INFINITY;

/** Counts `steps` about to be done. Throws TooMuchWork if they are more than may be spent. */
export function spend(steps: number): void {
  if (!(steps <= left)) throw new TooMuchWork(`${steps} steps, where ${left} are left`);
  left -= steps;
}

/** Counts `elements` about to be allocated or walked through. Throws TooMuchWork. */
export function spendElements(elements: number): void {
  if (!(elements <= MOST)) throw new TooMuchWork(`${elements} elements, of at most ${MOST}`);
  spend(elements);
}

/** Runs `work`, which may spend `steps` at most, and no more than may be spent around it. */
export function within<T>(steps: number, work: () => T): T {
  const outer = left;
  const given = Math.min(steps, outer);
  left = given;
  try {
    return work();
  } finally {
    left = outer - (given - left);
  }
}

/**
 * Steps that computing a constant may take which is stored in `bytes`. The limit is far above what
 * compressed weights need (1 of 1,000 elements kept; a Kronecker product of two small matrices).
 */
export const stepsFor = (bytes: number): number => 2 ** 23 + 2 ** 15 * bytes;
