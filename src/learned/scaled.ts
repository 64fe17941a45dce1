/**
 * @file Weights W = s q, q of -1, (0,) +1, where q and s follow from latent weights u that learn.
 *
 * After every update a scale s is fitted to the new u, and a threshold t if there are zeros. They are
 * thetas with a learning rate of 0, so that checkpoints hold them, and training computes with the
 * very numbers that are stored in the end.
 */
import { z } from "zod";
import type { TrainHooks } from "../context.ts";
import type { Value } from "../ir/graph.ts";
import { groupPlaces } from "../numeric/quantize.ts";
import type { Builder } from "../ops/builder.ts";
import { thetaIn } from "../train/parameters.ts";
import { gridOf } from "../weights/forms/grid.ts";
import { type Latent, type Opened, open, type Theta } from "../weights/latent.ts";
import type { ThetaSite } from "../weights/sites.ts";
import { indicator, passing, signLevels } from "./straight-through.ts";

/** The option for what shares one scale. */
export const scalesOption = z.enum(["channel", "layer"]);

/** The scale of some weights, and the magnitude up to which they are 0. */
export interface Fit {
  readonly scale: number;
  /** Only for levels -1, 0, +1. Without zeros q = sign(u), with sign(0) = 1. */
  readonly threshold?: number;
}

export interface Scaling {
  /** The levels are -1, 0, +1; else -1, +1. */
  readonly isTernary: boolean;
  readonly scales: z.output<typeof scalesOption>;
  /**
   * The fit to latent weights that share one scale. `second` is the optimizer's running mean of
   * their squared gradients (Adam's v), all zero before the first update.
   */
  project(u: Float32Array, second: Float32Array): Fit;
  /** dW/du; 1 if it is left out. `scale` broadcasts against u, `count` numbers share one. */
  slope?(g: Builder, u: Value, scale: Value, count: number): Value;
}

interface Scaled extends Latent {
  /** Fits scales and thresholds, in place, to latent weights that have changed. */
  renew(theta: Readonly<Record<string, Float32Array>>, second: Float32Array): void;
}

/**
 * The scale of weights that are all 0, where the levels have no 0 or an int8 kernel, made of the weight
 * later, would divide by it.
 */
export const SCALE_OF_ZEROS = 2 ** -40;

/** Opens a weight as W = s q. */
export function openScaled(
  { node, value, weight: { shape, values }, channels }: ThetaSite,
  { isTernary, scales, project, slope }: Scaling,
): Opened {
  const axis = scales === "layer" ? null : channels;
  const groups = groupPlaces(shape, axis);
  const dims = axis === null ? [] : shape.map((dim, i) => (i === axis ? dim : 1));
  const renew: Scaled["renew"] = ({ latent, scale, threshold }, second) => {
    for (const [i, places] of groups.entries()) {
      const of = (all: Float32Array) => Float32Array.from(places, (place) => all[place]);
      const found = project(of(latent), of(second));
      scale[i] = Math.fround(found.scale) === 0 ? SCALE_OF_ZEROS : found.scale;
      if (isTernary) threshold[i] = found.threshold ?? 0;
    }
  };
  const fitted = (): Theta => ({ start: new Float32Array(groups.length), shape: dims, rate: 0 });
  const theta: Record<string, Theta> = {
    latent: { start: values, shape },
    scale: fitted(),
    ...(isTernary && { threshold: fitted() }),
  };
  const starts = Object.entries(theta).map(([name, { start }]) => [name, start] as const);
  renew(Object.fromEntries(starts), new Float32Array(values.length));
  const latent: Scaled = {
    theta,
    build(g, { latent: u, scale, threshold }) {
      const pass = passing(g, u);
      const through = slope ? g.Mul(pass, slope(g, u, scale, groups[0].length)) : pass;
      if (!isTernary) return g.Add(g.Mul(signLevels(g, u), scale), through);
      const isUp = indicator(g, g.Greater(u, threshold));
      const isDown = indicator(g, g.Less(u, g.Neg(threshold)));
      // What is compared gets no gradient, and everything that is opened needs one: here 0.
      const none = g.Mul(threshold, g.constant(0));
      return g.Add(g.Mul(g.Sub(isUp, isDown), scale), g.Add(through, none));
    },
    close({ latent: u, scale, threshold }) {
      const levels = new Int8Array(u.length);
      for (const [i, places] of groups.entries()) {
        for (const at of places) {
          levels[at] = isTernary
            ? Number(u[at] > threshold[i]) - Number(u[at] < -threshold[i])
            : u[at] >= 0
              ? 1
              : -1;
        }
      }
      return gridOf(levels, shape, { scales: scale, axis, block: null, bits: isTernary ? 2 : 1 });
    },
    renew,
  };
  return open({ node, value }, latent);
}

/** The hook of training that fits the scales of opened weights after every update. */
export const fitsAfterUpdates = (opened: readonly Opened[]): Pick<TrainHooks, "afterUpdate"> => ({
  afterUpdate({ parameters, optimizer }, { parameters: layout }) {
    for (const { latent } of opened) {
      const { theta, renew } = latent as Partial<Scaled> & Latent;
      if (!renew) continue;
      const found = Object.keys(theta).map(
        (name) => [name, thetaIn(layout, latent, name, parameters)] as const,
      );
      const second = thetaIn(layout, latent, "latent", optimizer.slots.at(-1) as Float32Array);
      // Nothing learns where the loss does not depend on the weight.
      if (second) renew(Object.fromEntries(found) as Record<string, Float32Array>, second);
    }
  },
});
