/** @file A share as text. */

/** 0.1234 as "12.3 %": three digits, without zeros at the end. */
export const percent = (share: number): string => `${Number((100 * share).toPrecision(3))} %`;
