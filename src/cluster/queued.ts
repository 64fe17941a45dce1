/** @file placeholder */
import type { OpenRunner } from "../recipe/runner.ts";
export const queued = (_: { url: string; store: string | undefined }): OpenRunner => {
  throw new Error("not yet");
};
