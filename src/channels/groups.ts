/** @file Groups of coupled channels, with the nodes that make, pass on and read them. */
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { coupleChannels } from "./couple.ts";

/** Channels, heads or neurons of which each can only be removed at all places at once. */
export interface ChannelGroup {
  /** The first layer that makes them, or else the first that reads them. */
  readonly name: string;
  /** How many there are. */
  readonly size: number;
  /** The nodes whose outputs have these channels: layers that make them, and what passes them on. */
  readonly makers: ReadonlySet<Node>;
  /** The other nodes that they reach: layers that sum over them. */
  readonly readers: ReadonlySet<Node>;
  /** Why none of them can be removed; null if each can. */
  readonly fixed: string | null;
}

/** The groups of a model whose shapes are inferred; see `couple`. */
export function channelGroups(model: Model): ChannelGroup[] {
  return coupleChannels(model).groups.map(({ name, units, pinned }) => {
    const [makers, readers] = [new Set<Node>(), new Set<Node>()];
    const values = units[0].members.map(({ value }) => value);
    for (const { producer } of values) if (producer) makers.add(producer);
    for (const { consumers } of values) {
      for (const node of consumers) if (!makers.has(node)) readers.add(node);
    }
    const fixed = pinned && `${pinned.node} ${pinned.reason}`.trim();
    return { name, size: units.length, makers, readers, fixed };
  });
}
