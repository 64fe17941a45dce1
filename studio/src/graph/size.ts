/** @file Sizes of a drawn graph, in units of its drawing. */
export const boxWidth = 184;
export const boxHeight = 44;
/** From the top of a row to the top of the next. */
export const rowHeight = 80;
/** Around everything. */
export const margin = 16;
