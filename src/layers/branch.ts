/** @file Puts the rest of a network, or a block of it, behind an If: it runs only where it is needed. */
import { Graph, type Node, type Value } from "../ir/graph.ts";
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
  if (!output.producer || !moved.includes(output.producer))
    return "nothing is left behind the exit";
  if (moved.some(({ subgraphs }) => subgraphs.length > 0))
    return "the rest holds bodies of its own";
  const { body: rest, remove } = bodyOf("late", moved, output);
  const taken = new Graph("early");
  taken.setOutputs([taken.add("Identity", [early], { name: `${early.name}/taken` }).output]);
  graph.replace(output, choice(graph, "exit", condition, taken, rest, output));
  remove();
  return null;
}

/**
 * The value `result` becomes
 *   If(condition, then: what it was, else: what `otherwise` gives in a body of its own)
 * and the `moved` nodes, of which nothing else reads anything, move into the first body. `condition` is
 * a bool of one element.
 */
export function runOnlyIf(
  condition: Value,
  { moved, result }: { readonly moved: readonly Node[]; readonly result: Value },
  otherwise: (body: Graph) => Value,
): void {
  const { graph } = result;
  const { body, remove } = bodyOf("run", moved, result);
  const skipped = new Graph("skipped");
  skipped.setOutputs([otherwise(skipped)]);
  graph.replace(result, choice(graph, `${moved[0].name}/gate`, condition, body, skipped, result));
  remove();
}

/** The result of an If, of the type of `like`. */
function choice(
  graph: Graph,
  name: string,
  condition: Value,
  then: Graph,
  otherwise: Graph,
  like: Value,
): Value {
  const attributes = {
    then_branch: { type: "graph", value: then },
    else_branch: { type: "graph", value: otherwise },
  } as const;
  const { output } = graph.add("If", [condition], { name, attributes });
  [output.dtype, output.shape] = [like.dtype, like.shape];
  return output;
}

/**
 * A body that computes `result` by copies of the nodes, with the constants that nothing else reads.
 * `remove` takes the nodes away once nothing reads `result` any more.
 */
function bodyOf(name: string, moved: readonly Node[], result: Value) {
  const { graph } = result;
  const set = new Set(moved);
  const body = new Graph(name);
  const twins = new Map<Value, Value>();
  const twinOf = (value: Value): Value => {
    const isOwn = value.producer
      ? set.has(value.producer)
      : value.tensor !== null && value.consumers.every((node) => set.has(node)) && !value.isOutput;
    if (!isOwn) return value;
    const known = twins.get(value);
    if (known) return known;
    const twin = body.addValue(value.name);
    [twin.dtype, twin.shape] = [value.dtype, value.shape];
    if (value.tensor) body.setConstant(twin, value.tensor);
    twins.set(value, twin);
    return twin;
  };
  for (const { op, name, domain, attributes, inputs, outputs } of moved) {
    body.add(
      op,
      inputs.map((input) => input && twinOf(input)),
      { name, domain, attributes, outputs: outputs.map((value) => twinOf(value)) },
    );
  }
  body.setOutputs([twinOf(result)]);
  const remove = (): void => {
    for (const node of moved.toReversed()) graph.remove(node);
    for (const value of twins.keys()) if (value.tensor) graph.removeConstant(value);
  };
  return { body, remove };
}
