/**
 * @file Upper limits on what a file may decode to, so that a forged one can neither fill the
 * memory nor take hours.
 */

/**
 * The most bytes of tensors that may have come out after `read` bytes of the file were read. Memory
 * thus grows only with what was really sent.
 */
export const plausible = (read: number): number => 2 ** 22 + 4096 * read;

/** The most tokens in a graph of `coded` bytes. */
export const plausibleTokens = (coded: number): number => 2 ** 16 + 64 * coded;
