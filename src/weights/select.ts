/** @file Which layers a step works on: globs over node names and operator types. */
import { errors, fail } from "../errors.ts";
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { type WeightUse, weightsOf } from "../ops/weights.ts";
import { globToRegExp } from "../util/glob.ts";
import { nearest } from "../util/nearest.ts";
import { frontEndOf } from "./front-end.ts";

export { rescueOptions, siteOptions } from "../options.ts";

export interface Selection {
  readonly only: readonly string[];
  readonly except: readonly string[];
  /** Whether layers that read a table, not trained weights, are among them (front-end.ts). */
  readonly frontEnds?: boolean;
}

/** Receives the reasons why layers are left alone. */
export interface Skips {
  skip(node: string, reason: string): void;
}

/**
 * The layers with weights that pass `only` and `except`, in whatever form their weights are. Front
 * ends are left out with a reason, unless `frontEnds` is set.
 */
export function chosenLayers(
  model: Model,
  selection: Selection,
  notes: Skips = { skip() {} },
  found: readonly WeightUse[] = weightsOf(model),
): Set<Node> {
  const chosen = select(
    found.map(({ node }) => node),
    selection,
  );
  for (const use of selection.frontEnds ? [] : found) {
    const table = chosen.has(use.node) ? frontEndOf(use) : null;
    if (!table) continue;
    chosen.delete(use.node);
    notes.skip(use.node.name, `its weight is ${table}, not trained: frontEnds=true includes it`);
  }
  return chosen;
}

/**
 * The nodes that pass `only` and `except`, globs over names and operator types. Throws TersorError
 * "no-match" for a glob that matches none.
 */
export function select(nodes: readonly Node[], { only, except }: Selection): Set<Node> {
  const match = (glob: string): Set<Node> => {
    const pattern = globToRegExp(glob);
    const hits = nodes.filter((node) => pattern.test(node.name) || pattern.test(node.op));
    if (hits.length > 0) return new Set(hits);
    const known = new Set(nodes.flatMap((node) => [node.name, node.op]));
    throw fail(errors.noMatch("only/except", glob, nearest(glob, known)));
  };
  const chosen = new Set(only.length > 0 ? only.flatMap((glob) => [...match(glob)]) : nodes);
  for (const glob of except) for (const node of match(glob)) chosen.delete(node);
  return chosen;
}
