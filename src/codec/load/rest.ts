/** @file Rests: long work lets the page answer and draw. */

/** After this time without a rest the page gets a turn, in ms: that of a frame. */
const frame = 16;

/** Waits for the page where it had no turn for the time of a frame. */
export type Rest = () => Promise<void>;

export function createRest(): Rest {
  let rested = Date.now();
  return async () => {
    if (Date.now() - rested < frame) return;
    await new Promise((resume) => setTimeout(resume));
    rested = Date.now();
  };
}
