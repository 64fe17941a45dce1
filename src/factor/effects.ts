/** @file Effects: how far the network's outputs move for an error of each piece. */
import type { Context } from "../context.ts";
import { outputShiftOf } from "../evidence/output-shift.ts";
import type { Model } from "../ir/model.ts";
import type { Point } from "./decomposition.ts";
import { type Piece, savings, type Twins } from "./piece.ts";

/** The relative error of a piece at which its effect is measured. */
const NEAR = 0.05;
/** Records for it: each piece takes a pass of its own over them. */
const RECORDS = 64;

export interface Cut {
  readonly piece: Piece;
  readonly point: Point;
}

/** Measures |y' - y|^2 / |y|^2 of the network's outputs y with the cuts made, in a copy. */
export type Shift = (cuts: readonly Cut[]) => Promise<number>;

export const shiftOf = (model: Model, records: number, context: Context): Promise<Shift> =>
  outputShiftOf<Cut>(
    model,
    Math.min(records, RECORDS),
    context.observe,
    async (_, twins: Twins, cuts) => {
      for (const { piece, point } of cuts) await piece.place(point, twins);
    },
  );

/**
 * For each piece, the factor g that turns its error e into an error of the network's outputs, g e ~
 * |y' - y|^2 / |y|^2: small errors add up, so it is measured once for each piece alone, at a size
 * that leaves about 5 % of the piece's own energy.
 */
export async function effectsOf(
  pieces: readonly Piece[],
  shift: Shift,
  context: Context,
): Promise<number[]> {
  const effects: number[] = [];
  for (const [i, piece] of pieces.entries()) {
    await context.progress(i, pieces.length);
    const point = nearest(piece);
    if (!point) effects.push(0);
    else {
      const moved = await shift([{ piece, point }]);
      effects.push((Number.isFinite(moved) ? moved : 1) / point.error);
    }
  }
  return effects;
}

/** The saving point with an error, whose share of the energy is nearest to NEAR by ratio. */
function nearest(piece: Piece): Point | null {
  let [found, least]: [Point | null, number] = [null, Number.POSITIVE_INFINITY];
  for (const point of savings(piece)) {
    const ratio = point.error / piece.energy / NEAR;
    if (!(ratio > 0)) continue;
    const far = Math.max(ratio, 1 / ratio);
    if (far < least) [found, least] = [point, far];
  }
  return found;
}
