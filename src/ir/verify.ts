/** @file Structural checks of a graph, which must hold after every rewrite and every method. */
import type { Graph, Value } from "./graph.ts";
import type { Model } from "./model.ts";
import { reads } from "./sort.ts";

/** What is wrong with a model, in sentences that name the node; an empty list if nothing is. */
export function verify(model: Model): string[] {
  return [...model.graph.walk()].flatMap(verifyGraph);
}

/**
 * Every value that is read has a source, uses and producers agree with the nodes, and
 * there is no cycle.
 */
function verifyGraph(graph: Graph): string[] {
  const problems: string[] = [];
  const isDefined = (value: Value): boolean =>
    value.tensor !== null ||
    value.graph.inputs.includes(value) ||
    (value.producer !== null && value.graph.nodes.has(value.producer));
  for (const node of graph.nodes) {
    for (const value of reads(node)) {
      if (!isDefined(value))
        problems.push(`${node.name} reads ${value.name}, which nothing produces`);
    }
    for (const [index, input] of node.inputs.entries()) {
      const isListed = !input || [...input.uses].some((u) => u.user === node && u.index === index);
      if (!isListed) problems.push(`${node.name} is not among the readers of ${input?.name}`);
    }
    for (const output of node.outputs) {
      if (output.producer !== node) problems.push(`${node.name} lost its output ${output.name}`);
      if (output.tensor) problems.push(`${node.name} produces the constant ${output.name}`);
    }
  }
  for (const output of graph.outputs) {
    if (!isDefined(output))
      problems.push(`the graph returns ${output.name}, which nothing produces`);
  }
  try {
    graph.sorted();
  } catch (cause) {
    problems.push((cause as Error).message);
  }
  return problems;
}
