/** @file Learning rates by layer: the option `rates` of training. */
import { errors, fail } from "../errors.ts";
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { globToRegExp } from "../util/glob.ts";
import { select } from "../weights/select.ts";

/**
 * Rules such as "fc*=0.1" -> the factor on the learning rate of a parameter, by the name or
 * operator of its layer. The last rule that matches counts; without one it is 1. Throws TersorError
 * "bad-option" for another format and "no-match" for a glob that matches no layer.
 */
export function rateOf(model: Model, rates: readonly string[]) {
  const nodes = [...model.graph.walk()].flatMap((graph) => [...graph.nodes]);
  const rules = parseRates(rates).map(({ glob, factor }) => {
    select(nodes, { only: [glob], except: [] }); // throws where nothing fits
    return { pattern: globToRegExp(glob), factor };
  });
  return ({ node }: { readonly node: Node }): number =>
    rules.findLast(({ pattern }) => pattern.test(node.name) || pattern.test(node.op))?.factor ?? 1;
}

/** The rules for learning rates. Throws TersorError "bad-option" for another format. */
export function parseRates(rates: readonly string[]): { glob: string; factor: number }[] {
  return rates.map((text) => {
    const [glob, factor] = text.split("=");
    if (Number(factor) >= 0) return { glob, factor: Number(factor) };
    throw fail(errors.badOption("rates", `"${text}" is no glob=factor`, "Write fc*=0.1"));
  });
}
