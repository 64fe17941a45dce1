/** @file Several works at a time, with results in the order in which they were asked for. */

/**
 * Does the work of each item, at most `lanes` at a time and begun in the order of the items. The
 * results are in that order too, whichever ends first. Rejects with the first error.
 */
export async function inLanes<T, R>(
  items: readonly T[],
  lanes: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const rest = items.entries();
  const lane = async (): Promise<void> => {
    for (const [i, item] of rest) results[i] = await work(item);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return results;
}
