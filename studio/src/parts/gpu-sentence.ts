/** @file Whether the GPU is trusted, in a sentence, with the largest difference and what is allowed. */
import type { OnGpu } from "tersor";

const names = ["the original", "the candidate"];

export function gpuSentence({ runs, tolerance }: OnGpu): string {
  const allowed = `allowed is ${percent(tolerance)}`;
  const refused = runs.findIndex(({ refusal }) => refusal !== null);
  if (refused >= 0) {
    return `It cannot run ${names[refused]} (${runs[refused].refusal}), so nothing is timed on it.`;
  }
  const wrong = runs.flatMap((run, i) => (run.isTrusted ? [] : [names[i]]));
  const worst = Math.max(...runs.map(({ difference }) => difference));
  if (wrong.length > 0) {
    return `It is not trusted: for ${wrong.join(" and ")} its outputs differ from WebAssembly's by ${percent(worst)} of the largest output (${allowed}). Nothing is timed on it.`;
  }
  return `Its outputs are those of WebAssembly: they differ by at most ${percent(worst)} of the largest output (${allowed}).`;
}

const percent = (share: number): string =>
  Number.isFinite(share) ? `${Number((100 * share).toPrecision(2))} %` : "more than can be counted";
