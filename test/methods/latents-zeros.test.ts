/** @file Layers of nothing but zeros, as pruning may leave them, on levels that have no 0. */
import { expect, test } from "vitest";
import { Graph } from "../../src/ir/graph.ts";
import { meanScale } from "../../src/learned/bwn.ts";
import { openConnected } from "../../src/learned/connect.ts";
import { openScaled } from "../../src/learned/scaled.ts";
import { openTanh } from "../../src/learned/tanh.ts";
import type { Opened } from "../../src/weights/latent.ts";
import type { ThetaSite } from "../../src/weights/sites.ts";
import type { Composed } from "../../src/weights/weight.ts";

const shape = [8, 16];

/** A layer's weight; the node and the value are not looked at. */
function siteOf(values: Float32Array): ThetaSite {
  const value = new Graph("zeros").addInput("w", "float32", shape);
  const weight = { form: null, shape, values };
  return { node: null, value, weight, channels: 1, part: null, role: null } as never;
}

const open: Record<string, (site: ThetaSite) => Opened> = {
  "tanh, 2 bits": (site) => openTanh(site, 2),
  "tanh, 8 bits": (site) => openTanh(site, 8),
  "sign, a scale for the layer": (site) => openConnected(site, "deterministic"),
  "sign of a layer that reads signs": (site) => openConnected(site, "deterministic", 0.7),
  "sign, a scale for each output": (site) => openScaled(site, meanScale("channel")),
};

/** What is stored of a weight that has not been trained. */
function closed(how: string, values: Float32Array): Float32Array {
  const { latent } = open[how](siteOf(values));
  const starts = Object.entries(latent.theta).map(([name, { start }]) => [name, start] as const);
  for (const [, start] of starts) expect(start.every(Number.isFinite)).toBe(true);
  return (latent.close(Object.fromEntries(starts), null as never) as Composed)
    .values as Float32Array;
}

test.each(Object.keys(open))("%s: zeros stay next to 0", (how) => {
  const size = closed(how, new Float32Array(128)).map(Math.abs);
  expect(Math.max(...size)).toBeLessThan(1e-9);
});

test.each(Object.keys(open))("%s: small weights keep their size", (how) => {
  const size = closed(how, new Float32Array(128).fill(1e-30)).map(Math.abs);
  for (const w of size) expect(w / 1e-30).toBeCloseTo(how.includes("reads signs") ? 0.7 : 1, 2);
});

test.each(Object.keys(open))("%s: the smallest numbers are no NaN", (how) => {
  const smallest = Float32Array.from({ length: 128 }, (_, i) => (i === 5 ? 2 ** -149 : 0));
  const size = closed(how, smallest).map(Math.abs);
  expect(Math.max(...size)).toBeLessThan(1e-9);
});
