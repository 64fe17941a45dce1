/** @file Weights on 2^k even levels through tanh (DoReFa-Net: Zhou et al. 2016, arXiv 1606.06160). */
import { exp } from "../numeric/exp.ts";
import { roundHalfEven } from "../numeric/level.ts";
import { log } from "../numeric/log.ts";
import { codebookOf } from "../weights/forms/codebook.ts";
import { type Latent, type Opened, open } from "../weights/latent.ts";
import type { ThetaSite } from "../weights/sites.ts";
import { SCALE_OF_ZEROS } from "./scaled.ts";
import { detached } from "./straight-through.ts";

/** Where |u| starts at most: tanh passes 0.42 of the gradient there. */
const START = 1;
/** The smallest share of the weights' range that the levels may cover, and the ratio of candidates. */
const [NARROWEST, RATIO] = [0.1, 0.97];

/**
 * Opens a weight as W = H (2 q(tanh(u) / (2 m) + 1/2) - 1), m = max |tanh u|, with
 * q(r) = round(n r) / n, n = 2^bits - 1 (eq. 9). Rounding passes gradients straight through and m is a
 * constant to them, so that dW/du = H (1 - tanh(u)^2) / m.
 *
 * The paper trains from random weights, H = 1, and a normalization behind the layer undoes the change
 * of size. Here a network that is trained already has to compute the same at first: H is the bound of the
 * levels that fit its weights best, fixed, and u starts where tanh(u) / m is w / H.
 */
export function openTanh({ node, value, weight }: ThetaSite, bits: number): Opened {
  const { shape, values } = weight;
  const n = 2 ** bits - 1;
  const bound = boundFor(values, n);
  const start = values.map((w) => atanh(tanh(START) * Math.max(-1, Math.min(1, w / bound))));
  const latent: Latent<"latent"> = {
    theta: { latent: { start, shape } },
    build(g, { latent: u }) {
      const t = g.Tanh(u);
      const most = detached(g, g.Max(g.ReduceMax(g.Abs(t), { keepdims: 0 }), g.constant(TINY)));
      const level = g.Add(g.Mul(g.Div(t, most), g.constant(n / 2)), g.constant(n / 2));
      const unit = g.Mul(g.Sub(g.Round(level), g.constant(n / 2)), g.constant(2 / n));
      return g.Mul(unit, g.constant(bound));
    },
    close({ latent: u }) {
      const t = u.map(tanh);
      const most = t.reduce((a, x) => Math.max(a, Math.abs(x)), TINY);
      const index = Uint16Array.from(t, (x) => levelOf(x / most, n));
      const codebook = Float32Array.from({ length: n + 1 }, (_, i) => bound * ((2 * i) / n - 1));
      return codebookOf({ codebook, index }, shape);
    },
  };
  return open({ node, value }, latent);
}

const TINY = 2 ** -40;

const tanh = (x: number): number => 1 - 2 / (exp(2 * x) + 1);
const atanh = (y: number): number => log((1 + y) / (1 - y)) / 2;

/** 0 to n for a share of the bound, -1 to 1. */
const levelOf = (share: number, n: number): number =>
  roundHalfEven((Math.max(-1, Math.min(1, share)) * n) / 2 + n / 2);

/** The H of least squared error of weights rounded to the n + 1 levels from -H to H. */
function boundFor(values: Float32Array, n: number): number {
  const largest = values.reduce((most, w) => Math.max(most, Math.abs(w)), 0);
  let [best, least] = [largest, Number.POSITIVE_INFINITY];
  for (let bound = largest; bound > NARROWEST * largest; bound *= RATIO) {
    let error = 0;
    for (const w of values) error += (w - bound * ((2 * levelOf(w / bound, n)) / n - 1)) ** 2;
    if (error < least) [best, least] = [bound, error];
  }
  return Math.fround(best) || SCALE_OF_ZEROS;
}
