/** @file The label of what is no record or token, but padding. */

/**
 * No loss and no metric looks at a record or a token with this label: PyTorch's `ignore_index`, with
 * its default value.
 */
export const ignoreIndex = -100;
