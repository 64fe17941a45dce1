/** @file What is written only where it makes the model faster: the sentence for what would not. */

/** The reason to leave a layer alone that takes as long or longer `how` ("as products"); null if it is faster. */
export function whySlower([before, after]: readonly number[], how = ""): string | null {
  if (after < before) return null;
  const way = how && ` ${how}`;
  return `would slow the model down${way}, from ${before.toFixed(3)} to ${after.toFixed(3)} ms a run`;
}
