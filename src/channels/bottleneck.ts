/**
 * @file Bottlenecks: groups so narrow between wide layers that every channel carries something else.
 *
 * A layer N -> n followed by layers n -> M is one of rank n. Where n is much less than N and M, what
 * is left of n channels cannot make up for those that go, and a share of each layer that is mild for
 * wide layers destroys the model. Natively it saves no time either: kernels compute 16 channels at
 * once.
 */
import type { Candidate, Part } from "./candidates.ts";

/** Wider groups are no bottlenecks: they are several blocks of channels of the engine's kernels. */
const WIDEST = 16;
/** The layers before and behind are at least so many times as wide. */
const WIDER = 2;

/** Why a group is not cut by a share that suits wide layers; null if it may be. */
export function whyNarrow({ group, makers, readers }: Candidate): string | null {
  const width = makers[0]?.indices(0).length ?? 1;
  const channels = group.units.length * width;
  // Depthwise layers hand channels on as they are.
  const mixing = makers.filter((part) => inputsOf(part) > 1);
  const parts = readers.flatMap(({ part }) => part ?? []);
  if (channels > WIDEST || mixing.length === 0 || parts.length === 0) return null;
  const before = Math.min(...mixing.map(inputsOf));
  const behind = parts.reduce((sum, part) => sum + outputsOf(part), 0);
  return before >= WIDER * channels && behind >= WIDER * channels
    ? `${channels} channels between ${before} and ${behind} are a bottleneck: allocation=global or sensitivity cuts it where it bears that`
    : null;
}

const inputsOf = ({ use: { role }, weight: { shape } }: Part): number => shape[role.inputAxis];

const outputsOf = ({ use: { role }, weight: { shape } }: Part): number => shape[role.outputAxis];
