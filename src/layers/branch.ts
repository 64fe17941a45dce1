/** @file Puts the rest of a network behind an If, so that it runs only where it is needed. */
import { Graph, type Value } from "../ir/graph.ts";
import { dependencies } from "../ir/sort.ts";

/**
 * The graph's only output becomes
 *   If(condition, then: early, else: what it was)
 * and every node that `early` and `condition` do not depend on moves into the second body, with the
 * constants that nothing else reads. Returns the reason why not, or null. `condition` is a bool of one
 * element, `early` has the type and the rank of the output.
 */
export function exitEarly(graph: Graph, condition: Value, early: Value): string | null {
  const [output, ...others] = graph.outputs;
  if (others.length > 0) return "the model has several outputs";
  const first = dependencies([condition, early]);
  const moved = graph.sorted().filter(({ outputs }) => !outputs.some((value) => first.has(value)));
  const set = new Set(moved);
  if (!output.producer || !set.has(output.producer)) return "nothing is left behind the exit";
  if (moved.some(({ subgraphs }) => subgraphs.length > 0))
    return "the rest holds bodies of its own";
  const rest = new Graph("late");
  const twins = new Map<Value, Value>();
  const twinOf = (value: Value): Value => {
    const isOwn = value.producer
      ? set.has(value.producer)
      : value.tensor !== null && value.consumers.every((node) => set.has(node)) && !value.isOutput;
    if (!isOwn) return value;
    const known = twins.get(value);
    if (known) return known;
    const twin = rest.addValue(value.name);
    [twin.dtype, twin.shape] = [value.dtype, value.shape];
    if (value.tensor) rest.setConstant(twin, value.tensor);
    twins.set(value, twin);
    return twin;
  };
  for (const { op, name, domain, attributes, inputs, outputs } of moved) {
    rest.add(
      op,
      inputs.map((input) => input && twinOf(input)),
      { name, domain, attributes, outputs: outputs.map((value) => twinOf(value)) },
    );
  }
  rest.setOutputs([twinOf(output)]);
  const taken = new Graph("early");
  taken.setOutputs([taken.add("Identity", [early], { name: `${early.name}/taken` }).output]);
  const { output: result } = graph.add("If", [condition], {
    name: "exit",
    attributes: {
      then_branch: { type: "graph", value: taken },
      else_branch: { type: "graph", value: rest },
    },
  });
  [result.dtype, result.shape] = [output.dtype, output.shape];
  graph.replace(output, result);
  for (const node of moved.reverse()) graph.remove(node);
  for (const value of twins.keys()) if (value.tensor) graph.removeConstant(value);
  return null;
}
