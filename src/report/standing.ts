/** @file How a search stands, in sentences: what it has measured, its best row, the nearest misses. */
import type { Result } from "../measure/measurement.ts";
import type { Aim } from "../recipe/search/aim.ts";
import { bestOf, type Found } from "../recipe/search/search.ts";
import { missedTargets } from "../recipe/target.ts";
import { plural } from "./format.ts";

/** How many near misses are named. */
const near = 3;

/** What the rows of a search come to. */
export interface Standing {
  /** The row that meets all targets and is best, or misses them by least. */
  readonly best: Result;
  /** "Best: quantize-weights", or "No recipe met size<=1kB. Nearest:". */
  readonly says: string;
  /** Where no row meets the targets: those that miss them by least, the nearest first. */
  readonly nearest: readonly { readonly recipe: string; readonly misses: string }[];
}

/** How the rows stand to the aim; the first is the original's, which counts where it is alone. */
export function standingOf(aim: Aim, [original, ...rows]: readonly Result[]): Standing {
  const best = bestOf(aim, rows) ?? original;
  const { targets } = aim;
  if (missedTargets(targets, best).length === 0) {
    return { best, says: `Best: ${best.recipe}`, nearest: [] };
  }
  const rest = new Set(rows);
  const nearest: { recipe: string; misses: string }[] = [];
  while (nearest.length < near) {
    const next = bestOf(aim, [...rest]);
    if (!next) break;
    rest.delete(next);
    nearest.push({ recipe: next.recipe, misses: missedTargets(targets, next).join("; ") });
  }
  const limits = targets.map(({ text }) => text).join(", ");
  return { best, says: `No recipe met ${limits}. Nearest:`, nearest };
}

/** What a search has done; without targets also how much of the front it has found. */
export function effortText(
  { targets }: Aim,
  found: Pick<Found, "results" | "pareto" | "hypervolume" | "screened">,
): string[] {
  const { screened, pareto, hypervolume } = found;
  const [, ...rows] = found.results;
  const lines = [
    `${plural(screened, "candidate")} screened, ${plural(rows.length, "recipe")} measured.`,
  ];
  if (targets.length === 0) {
    const front = rows.filter(({ recipe }) => pareto.includes(recipe)).length;
    lines.push(`${front} of them no other beats; hypervolume ${hypervolume.toFixed(3)}.`);
  }
  return lines;
}
