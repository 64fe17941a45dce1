/** @file What a decoder believes: forged files must neither fill the memory nor take hours. */

/** The most bytes that may come out of `read` ones: memory grows with what was really sent. */
export const plausible = (read: number): number => 2 ** 22 + 4096 * read;

/** The most tokens in a graph of `coded` bytes. */
export const plausibleTokens = (coded: number): number => 2 ** 16 + 64 * coded;
