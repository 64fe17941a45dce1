/** @file Which layers a step works on: globs over node names and operator types. */
import { errors, fail } from "../errors.ts";
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { weightsOf } from "../ops/weights.ts";
import { globToRegExp } from "../util/glob.ts";
import { nearest } from "../util/nearest.ts";

export { layerOptions as siteOptions, rescueOptions } from "../options.ts";

export interface Selection {
  readonly only: readonly string[];
  readonly except: readonly string[];
}

/** The layers with weights that pass `only` and `except`, in whatever form their weights are. */
export const chosenLayers = (model: Model, selection: Selection): Set<Node> =>
  select(
    weightsOf(model).map(({ node }) => node),
    selection,
  );

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
