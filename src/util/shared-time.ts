/** @file Time shared among works that overlap, so that the sum over all of them is the time that passed. */

/**
 * While n works are going on, each counts an n-th of the time. The function that is returned begins a
 * work; what that returns ends it and gives its share in seconds. `nowMs` is the clock.
 */
export function sharedTime(nowMs: () => number): () => () => number {
  let [working, last, each] = [0, 0, 0];
  /** What a work that goes on from the first moment would have counted so far, in ms. */
  const counted = (change: 1 | -1): number => {
    const now = nowMs();
    if (working > 0) each += (now - last) / working;
    [last, working] = [now, working + change];
    return each;
  };
  return () => {
    const before = counted(1);
    return () => (counted(-1) - before) / 1000;
  };
}
