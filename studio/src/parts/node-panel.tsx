/** @file One node of a graph: its weight, attributes, inputs and outputs, and its channels. */
import { format } from "tersor";
import type { GroupInfo, NodeDetail, PortInfo } from "../protocol.ts";
import { SpreadPlot } from "./spread-plot.tsx";

export interface NodeProps {
  readonly title: string;
  /** Null where this model has no such node. */
  readonly detail: NodeDetail | null;
  /** The group that is lit. */
  readonly lit: GroupInfo | null;
  onLight(group: GroupInfo | null): void;
}

export function NodePanel({ title, detail, lit, onLight }: NodeProps) {
  if (!detail) return <p class="dim">The {title} has no node of this name.</p>;
  const { op, name, domain, attributes, inputs, outputs, spread, groups } = detail;
  return (
    <article class="node-panel" aria-label={`${name} in the ${title}`}>
      <h3>
        {op} <small>{domain ? `${domain}, ${title}` : title}</small>
      </h3>
      <p>
        <code>{name}</code>
      </p>
      {spread && <SpreadPlot found={spread} />}
      <dl class="facts">
        {attributes.map(([key, text]) => (
          <div key={key}>
            <dt>{key}</dt>
            <dd>{text}</dd>
          </div>
        ))}
        <Ports name="in" ports={inputs} />
        <Ports name="out" ports={outputs.map((port) => ({ ...port, from: "" }))} />
      </dl>
      {groups.length > 0 && <h4>Channels that can only be removed together</h4>}
      <ul class="groups">
        {groups.map((group, i) => {
          const isLit = group === lit;
          return (
            <li key={`${i} ${group.name}`}>
              <button
                type="button"
                aria-pressed={isLit}
                onClick={() => onLight(isLit ? null : group)}
              >
                {format.count(group.size)} of <code>{group.name}</code>
              </button>
              <small>
                {group.makes ? "made or passed on here" : "read here"};{" "}
                {format.plural(group.makers.length + group.readers.length, "node")} in all
                {group.fixed && `; fixed: ${group.fixed}`}
              </small>
            </li>
          );
        })}
      </ul>
    </article>
  );
}

function Ports({ name, ports }: { name: string; ports: readonly PortInfo[] }) {
  return (
    <>
      {ports.map((port, i) => (
        <div key={`${i} ${port.name}`}>
          <dt>
            {name} {ports.length > 1 ? i : ""}
          </dt>
          <dd>
            <code>{port.name}</code> {port.type}
            {port.from && <small> {port.from}</small>}
          </dd>
        </div>
      ))}
    </>
  );
}
