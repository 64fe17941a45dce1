/** @file Effects: how far the network's outputs move for each error of a piece. */
import type { Context } from "../context.ts";
import { outputsOf } from "../evidence/output-shift.ts";
import type { Model } from "../ir/model.ts";
import type { Point } from "./decomposition.ts";
import { type Cut, type Piece, savings, withCuts } from "./piece.ts";

/** The relative errors of a piece near which its effect is measured. */
const PLACES = [0.01, 0.05, 0.25];
/** Records for it, since every measurement takes a pass of its own over them: a few, and so many at
 * most, while their outputs have less than ELEMENTS numbers. */
const [FEW, MOST] = [8, 64];
const ELEMENTS = 2 ** 20;

/**
 * Measures how far the network's outputs y move with the cuts made, in a copy of the model:
 * |y' - y|^2 / |y - E[y]|^2, with a mean for each place of the last axis. What all records have in
 * common, such as the low scores of rare tokens, says nothing of them and does not count.
 */
export type Shift = (cuts: readonly Cut[]) => Promise<number>;

export async function shiftOf(model: Model, records: number, context: Context): Promise<Shift> {
  const few = await outputsOf(model, Math.min(records, FEW), context.observe);
  const size = few.reduce((total, { length }) => total + length, 0) / FEW;
  const most = Math.min(records, Math.max(FEW, Math.min(MOST, Math.floor(ELEMENTS / size))));
  const expected = most > FEW ? await outputsOf(model, most, context.observe) : few;
  const energy = expected.reduce((total, y, i) => {
    const size = model.graph.outputs[i].shape?.at(-1);
    return total + varianceOf(y, typeof size === "number" ? size : 1);
  }, 0);
  return async (cuts) => {
    const found = await outputsOf(await withCuts(model, cuts), most, context.observe);
    let error = 0;
    for (const [i, y] of expected.entries()) {
      if (found[i].length !== y.length) return Number.POSITIVE_INFINITY;
      for (let k = 0; k < y.length; k++) error += (found[i][k] - y[k]) ** 2;
    }
    return error / (energy || 1);
  };
}

/** The sum of (y - E[y])^2 over [..., size], with a mean for each place of the last axis. */
function varianceOf(y: Float32Array, size: number): number {
  const means = new Float64Array(size);
  const rows = y.length / size;
  for (let k = 0; k < y.length; k++) means[k % size] += y[k] / rows;
  let sum = 0;
  for (let k = 0; k < y.length; k++) sum += (y[k] - means[k % size]) ** 2;
  return sum;
}

/** What an error of a piece, in units of its energy, moves the outputs. */
export type Effect = (error: number) => number;

/**
 * The effect of each piece alone, measured at up to three of its sizes; between and beyond them
 * straight lines in logarithms, as for small errors the shift is proportional to them. A branch that
 * no record takes moves nothing, which says nothing of its layers: their own relative error counts.
 */
export async function effectsOf(
  { graph }: Model,
  pieces: readonly Piece[],
  shift: Shift,
  context: Context,
): Promise<Effect[]> {
  const effects: Effect[] = [];
  for (const [i, piece] of pieces.entries()) {
    await context.progress(i, pieces.length);
    const seen: Seen[] = [];
    for (const point of telling(piece)) {
      const moved = await shift([{ piece, point }]);
      seen.push({ error: point.error, moved: Number.isFinite(moved) ? moved : 1 });
    }
    const isUnseen = piece.node.graph !== graph && seen.every(({ moved }) => moved === 0);
    effects.push(isUnseen ? (error) => error / (piece.energy || 1) : curveThrough(seen));
  }
  return effects;
}

interface Seen {
  readonly error: number;
  readonly moved: number;
}

/** Up to three saving points, whose shares of the energy are nearest to PLACES by ratio. */
function telling(piece: Piece): Set<Point> {
  const points = savings(piece).filter(({ error }) => error > 0);
  const far = ({ error }: Point, place: number): number => {
    const ratio = error / piece.energy / place;
    return Math.max(ratio, 1 / ratio);
  };
  return new Set(
    points.length === 0
      ? []
      : PLACES.map((place) => points.reduce((a, b) => (far(b, place) < far(a, place) ? b : a))),
  );
}

/** The curve through what was seen: moved = a error^b from one to the next, proportional beyond. */
export function curveThrough(seen: readonly Seen[]): Effect {
  let most = 0;
  const rising = seen
    .toSorted((a, b) => a.error - b.error)
    .map(({ error, moved }) => ({ error, moved: (most = Math.max(most, moved)) }))
    .filter(({ moved }) => moved > 0);
  return (error) => {
    if (error === 0 || rising.length === 0) return 0;
    const at = rising.findIndex((place) => place.error >= error);
    const high = rising[at < 0 ? rising.length - 1 : at];
    const low = rising[(at < 0 ? rising.length : at) - 1];
    if (at < 0 || !low || low.error === high.error) return (high.moved * error) / high.error;
    return between(low, high, error);
  };
}

/**
 * What is moved at `error` on the straight line in logarithms between two points. By halving, since
 * square roots are rounded alike by all engines and powers are not.
 */
function between(low: Seen, high: Seen, error: number): number {
  let [a, b] = [low, high];
  for (let look = 0; look < 20; look++) {
    const middle = {
      error: Math.sqrt(a.error * b.error),
      moved: Math.sqrt(a.moved * b.moved),
    };
    if (middle.error < error) a = middle;
    else b = middle;
  }
  return b.moved;
}
