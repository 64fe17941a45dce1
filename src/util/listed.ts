/** @file Numbered things as text: "record 17", "records 3, 9 and 12". */

/** So many numbers are written out; of more, the first ones and how many there are. */
const MOST = 8;

/** "record 17"; "records 3, 9 and 12"; "records 0, 1, 2, 3, 4, 5, 6, 7 and 32 more". */
export function listed(what: string, numbers: readonly number[]): string {
  const [first, ...others] = numbers;
  if (others.length === 0) return `${what} ${first}`;
  const shown = numbers.slice(0, MOST);
  const hidden = numbers.length - shown.length;
  const last = hidden > 0 ? `${hidden} more` : shown.pop();
  return `${what}s ${shown.join(", ")} and ${last}`;
}
