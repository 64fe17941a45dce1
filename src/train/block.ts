/** @file Puts forward convolutions of a training graph into the engine's blocked layout. */
import type { Node } from "../ir/graph.ts";
import type { Model } from "../ir/model.ts";
import { build } from "../ops/builder.ts";
import { geometryOf } from "../ops/grad/conv.ts";
import { blockedConv, blockedDomain } from "../ops/grad/conv-blocked.ts";
import type { Forms, GradNode } from "../ops/grad.ts";
import { inferNode } from "../ops/infer.ts";
import { linearOf } from "../ops/linear.ts";

const blocks = { blocked16: 16, blocked8: 8 } as const;

/**
 * Replaces those convolutions among `nodes` for which `forms.output` chooses a blocked form, and
 * declares the domain of blocked operators if there are any. Convolutions of unknown size stay.
 */
export function blockConvolutions(model: Model, nodes: Iterable<Node>, forms: Forms): void {
  for (const node of nodes) {
    if (linearOf(node)?.kind !== "conv" || node.graph !== model.graph) continue;
    const [x, w, bias] = node.inputs;
    if (![x, w, node.output].every((value) => isSized(value?.shape))) continue;
    const geometry = geometryOf(node as GradNode);
    const form = forms.output(geometry);
    if (form === "plain" || !x || !w) continue;
    const g = build(model.graph, node.name, inferNode);
    const y = blockedConv(g, x, w, bias ?? null, geometry, blocks[form]);
    model.graph.replace(node.output, y);
    model.graph.remove(node);
  }
  const uses = [...model.graph.walk()].some((graph) =>
    [...graph.nodes].some(({ domain }) => domain === blockedDomain),
  );
  if (uses) model.domains.set(blockedDomain, 1);
}

const isSized = (shape: readonly unknown[] | null | undefined): boolean =>
  shape?.every((dim) => typeof dim === "number") ?? false;
