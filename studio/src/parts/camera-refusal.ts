/** @file Why there is no camera, in a sentence. */

/** Why there is no picture, and what to do. */
export function whyNot(error: unknown): string {
  const name = error instanceof Error ? error.name : "";
  const remedy = "Choose a picture file instead.";
  if (name === "NotAllowedError") {
    return `The browser does not let this page use the camera. Allow it beside the address, or: ${remedy.toLowerCase()}`;
  }
  if (name === "NotFoundError" || name === "OverconstrainedError") {
    return `This computer has no camera. ${remedy}`;
  }
  if (name === "NotReadableError") return `Another program uses the camera. ${remedy}`;
  return `The camera cannot be used here. ${remedy}`;
}
