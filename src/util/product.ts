/** @file The number of elements of a shape. */

/** 1 for a scalar's shape []. */
export const product = (sizes: readonly number[]): number => sizes.reduce((a, b) => a * b, 1);
