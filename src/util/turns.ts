/** @file Turns: asynchronous works that must not overlap are done one after another. */

/**
 * A function that begins each work when the one before has ended, in the order of the calls, and
 * resolves or rejects as the work does.
 */
export function createTurns(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const own = last.then(work);
    last = own.catch(() => {});
    return own;
  };
}
