/** @file A predictor that knows what graphs usually contain. What it knows is learned once. */
import { start } from "../decode/graph.ts";
import {
  type CodeBit,
  createPredictor,
  type Learned,
  nothing,
  type Place,
} from "../decode/predictor.ts";
import { prime } from "../decode/prime.ts";

/** What is learned from primer.ts, and the place after it; null before the first graph. */
let primed: { readonly learned: Learned; readonly place: Place } | null = null;

/** Makes a primed predictor, and the place that it reads, which the caller keeps up to date. */
export function createPrimed(): { code: (bit: CodeBit) => number; place: Place } {
  primed ??= learn();
  const learned = primed.learned.map((part) => part.slice()) as unknown as Learned;
  const place = { ...primed.place };
  return { code: createPredictor(place, learned), place };
}

function learn(): { learned: Learned; place: Place } {
  const place = start();
  const learned = nothing();
  prime(createPredictor(place, learned), place);
  return { learned, place };
}
