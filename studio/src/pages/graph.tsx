/** @file The operators of the model before and after the recipe, and the nodes by name. */

import { format } from "tersor";
import { Scroll } from "../parts/scroll.tsx";
import type { NodeInfo } from "../protocol.ts";
import { candidate, model } from "../state.ts";

export function GraphPage() {
  const before = model.value?.nodes ?? [];
  const after = candidate.value?.nodes ?? null;
  return (
    <section>
      <h2>Operators</h2>
      <Scroll name="Operators" class="narrow">
        <table>
          <thead>
            <tr>
              <th scope="col">operator</th>
              <th scope="col" class="right">
                original
              </th>
              {after && (
                <th scope="col" class="right">
                  candidate
                </th>
              )}
            </tr>
          </thead>
          <tbody>
            {counts(before, after ?? []).map(({ op, old, now }) => (
              <tr key={op} class={after && old !== now ? "differs" : ""}>
                <td>{op}</td>
                <td class="right">{format.count(old)}</td>
                {after && <td class="right">{format.count(now)}</td>}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      <div class="columns">
        <Nodes title="Original" nodes={before} />
        {after && <Nodes title="Candidate" nodes={after} />}
      </div>
    </section>
  );
}

function Nodes({ title, nodes }: { title: string; nodes: readonly NodeInfo[] }) {
  return (
    <details open={nodes.length <= 60}>
      <summary>
        {title}: {format.plural(nodes.length, "node")}
      </summary>
      <ol class="nodes">
        {nodes.map(({ name, op }, i) => (
          <li key={`${i} ${name}`}>
            <b>{op}</b> <code>{name}</code>
          </li>
        ))}
      </ol>
    </details>
  );
}

/** How often each operator occurs in both graphs, the most frequent first. */
function counts(before: readonly NodeInfo[], after: readonly NodeInfo[]) {
  const count = (nodes: readonly NodeInfo[], op: string) =>
    nodes.filter((node) => node.op === op).length;
  const ops = [...new Set([...before, ...after].map(({ op }) => op))];
  return ops
    .map((op) => ({ op, old: count(before, op), now: count(after, op) }))
    .sort((a, b) => b.old + b.now - (a.old + a.now));
}
