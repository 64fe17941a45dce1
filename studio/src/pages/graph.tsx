/** @file The graphs before and after the recipe, beside one another; a node shows what is in it. */
import { useEffect, useState } from "preact/hooks";
import { format } from "tersor";
import { call } from "../engine.ts";
import { GraphPane, type Lit } from "../parts/graph-pane.tsx";
import { NodePanel } from "../parts/node-panel.tsx";
import { Scroll } from "../parts/scroll.tsx";
import type { Calls, GroupInfo, NodeDetail, NodeInfo, Side } from "../protocol.ts";
import { candidate, model, show } from "../state.ts";

type Drawings = Calls["drawings"][1];
type Details = Readonly<Record<Side, NodeDetail | null>>;

export function GraphPage() {
  const before = model.value?.nodes ?? [];
  const after = candidate.value?.nodes ?? null;
  const [drawings, setDrawings] = useState<Drawings | null>(null);
  const [selected, select] = useState<string | null>(null);
  const [details, setDetails] = useState<Details | null>(null);
  const [group, light] = useState<GroupInfo | null>(null);
  useEffect(() => {
    call("drawings", undefined).then(setDrawings).catch(show);
  }, [model.value, candidate.value]);
  useEffect(() => {
    light(null);
    if (selected === null) return setDetails(null);
    const ask = (side: Side) => call("node", { side, name: selected });
    Promise.all([ask("original"), ask("candidate")])
      .then(([original, candidate]) => setDetails({ original, candidate }))
      .catch(show);
  }, [selected, drawings]);
  /** The chosen group as the node of that side has it: both graphs light up. */
  const groupIn = (side: Side): GroupInfo | null =>
    details?.[side]?.groups.find(
      ({ name, makes }) => name === group?.name && makes === group.makes,
    ) ?? null;
  const sides = (["original", "candidate"] as const).filter((side) => drawings?.[side]);
  return (
    <section>
      <p class="row legend">
        <Find nodes={[...before, ...(after ?? [])]} onFind={select} />
        {after ? (
          <>
            <span class="key changed">changed</span>
            <span class="key new">new</span>
            <span class="key gone">gone</span>
          </>
        ) : (
          <span class="dim">Compress the model to see beside it what changed.</span>
        )}
      </p>
      {!drawings && <p class="dim">Laying the graph out ...</p>}
      <div class={sides.length > 1 ? "graphs pair" : "graphs"}>
        {sides.map((side) => (
          <GraphPane
            key={side}
            title={side}
            drawing={drawings?.[side] as NonNullable<Drawings[Side]>}
            selected={selected}
            lit={litOf(groupIn(side))}
            onSelect={(name) => select(name === selected ? null : name)}
          />
        ))}
      </div>
      {details ? (
        <div class={sides.length > 1 ? "graphs pair" : "graphs"} role="status">
          {sides.map((side) => (
            <NodePanel
              key={side}
              title={side}
              detail={details[side]}
              lit={groupIn(side)}
              onLight={light}
            />
          ))}
        </div>
      ) : (
        drawings && <p class="dim">Choose a node to see its weight, attributes and channels.</p>
      )}
      <Operators before={before} after={after} />
    </section>
  );
}

const litOf = (group: GroupInfo | null): Lit | null =>
  group && { makers: new Set(group.makers), readers: new Set(group.readers) };

/** A field that finds a node by its name. */
function Find({ nodes, onFind }: { nodes: readonly NodeInfo[]; onFind(name: string): void }) {
  const names = [...new Set(nodes.map(({ name }) => name))];
  return (
    <label>
      Find a node{" "}
      <input
        type="text"
        list="node-names"
        spellcheck={false}
        onChange={(event) => {
          const { value } = event.currentTarget;
          const found =
            names.find((name) => name === value) ?? names.find((n) => n.includes(value));
          if (value && found !== undefined) onFind(found);
        }}
      />
      <datalist id="node-names">
        {names.slice(0, 2000).map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </label>
  );
}

function Operators(props: { before: readonly NodeInfo[]; after: readonly NodeInfo[] | null }) {
  const { before, after } = props;
  return (
    <details>
      <summary>Operators, counted</summary>
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
    </details>
  );
}

/** How often each operator occurs in both graphs, the most frequent first. */
function counts(before: readonly NodeInfo[], after: readonly NodeInfo[]) {
  const tally = (nodes: readonly NodeInfo[]) => {
    const found = new Map<string, number>();
    for (const { op } of nodes) found.set(op, (found.get(op) ?? 0) + 1);
    return found;
  };
  const [old, now] = [tally(before), tally(after)];
  return [...new Set([...old.keys(), ...now.keys()])]
    .map((op) => ({ op, old: old.get(op) ?? 0, now: now.get(op) ?? 0 }))
    .sort((a, b) => b.old + b.now - (a.old + a.now));
}
