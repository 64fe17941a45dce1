/** @file Spelling suggestions: the known name with the fewest edits from a mistyped one. */
import { editDistance } from "./edit-distance.ts";

/**
 * The suggestion, or undefined if every known name takes more edits than a third of `name`'s length
 * (and more than 2). Case is ignored.
 */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}
