/** @file Groups of coupled channels, with the nodes that make, pass on and read them. */
import type { Node } from "../ir/graph.ts";
import { cloneModel, type Model } from "../ir/model.ts";
import { coupleChannels } from "./couple.ts";
import { spellOut } from "./spell-out.ts";

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

/** The groups of a model whose shapes are inferred; see `couple`. The model stays as it is. */
export function channelGroups(model: Model): ChannelGroup[] {
  // Weights stored as bits or gaps are one long row, in which coupling would follow every element.
  const copy = cloneModel(model);
  spellOut(copy);
  const own = new Map(
    [...model.graph.walk()].flatMap(({ nodes }) => [...nodes].map((node) => [node.name, node])),
  );
  return coupleChannels(copy).groups.map(({ name, units, pinned }) => {
    const [makers, readers] = [new Set<Node>(), new Set<Node>()];
    const values = units[0].members.map(({ value }) => value);
    const ownOf = ({ name }: Node): Node[] => [own.get(name) ?? []].flat();
    for (const { producer } of values) {
      for (const node of producer ? ownOf(producer) : []) makers.add(node);
    }
    for (const node of values.flatMap(({ consumers }) => consumers.flatMap(ownOf))) {
      if (!makers.has(node)) readers.add(node);
    }
    const fixed = pinned && `${pinned.node} ${pinned.reason}`.trim();
    return { name, size: units.length, makers, readers, fixed };
  });
}
