/** @file One graph, drawn in a pane that scrolls; only the rows in sight are in the page. */
import { useEffect, useRef, useState } from "preact/hooks";
import { format } from "tersor";
import { boxHeight, boxWidth, margin, rowHeight } from "../graph/size.ts";
import type { Drawing, DrawnNode } from "../protocol.ts";

/** The nodes of a group of channels, by name. */
export interface Lit {
  readonly makers: ReadonlySet<string>;
  readonly readers: ReadonlySet<string>;
}

export interface PaneProps {
  readonly title: string;
  readonly drawing: Drawing;
  readonly selected: string | null;
  readonly lit: Lit | null;
  onSelect(name: string): void;
}

/** What of the drawing is in sight: rows, and columns in steps of `step`. */
interface Sight {
  readonly first: number;
  readonly last: number;
  readonly left: number;
  readonly right: number;
}
const step = 400;
const zooms = [0.25, 0.35, 0.5, 0.7, 1, 1.4] as const;

export function GraphPane({ title, drawing, selected, lit, onSelect }: PaneProps) {
  const { nodes, rows } = drawing;
  const pane = useRef<HTMLDivElement>(null);
  const [zoom, setZoom] = useState(1);
  const [sight, setSight] = useState<Sight>({ first: 0, last: 12, left: 0, right: step });
  const [focus, setFocus] = useState(-1);
  const [width, height] = [drawing.width + 2 * margin, rows.length * rowHeight + margin];
  const rowOf = rowsByNode(drawing);

  const look = (): void => {
    const { current } = pane;
    if (!current) return;
    const { scrollTop, scrollLeft, clientWidth, clientHeight } = current;
    const next = {
      first: Math.max(0, Math.floor(scrollTop / zoom / rowHeight) - 2),
      last: Math.ceil((scrollTop + clientHeight) / zoom / rowHeight) + 1,
      left: (Math.floor(scrollLeft / zoom / step) - 1) * step,
      right: (Math.ceil((scrollLeft + clientWidth) / zoom / step) + 1) * step,
    };
    setSight((old) => (JSON.stringify(old) === JSON.stringify(next) ? old : next));
  };
  const fit = (): void => {
    const room = pane.current?.clientWidth ?? width;
    setZoom(Math.max(zooms[0], Math.min(1, room / width)));
  };
  const reveal = (node: number): void => {
    const { current } = pane;
    if (!current || node < 0) return;
    const top = rowOf[node] * rowHeight * zoom;
    const left = (nodes[node].x + margin) * zoom;
    const isIn = (at: number, from: number, size: number) =>
      at > from + 40 && at < from + size - 60;
    if (isIn(top, current.scrollTop, current.clientHeight)) {
      if (isIn(left, current.scrollLeft, current.clientWidth)) return;
    }
    current.scrollTo({
      top: top - current.clientHeight / 2,
      left: left - current.clientWidth / 2,
    });
  };

  useEffect(fit, [drawing]);
  useEffect(() => {
    look();
    const observer = new ResizeObserver(look);
    if (pane.current) observer.observe(pane.current);
    return () => observer.disconnect();
  }, [drawing, zoom]);
  const chosen = nodes.findIndex(({ name, kind }) => kind === "node" && name === selected);
  useEffect(() => reveal(chosen), [chosen]);
  useEffect(() => {
    if (focus < 0) return;
    reveal(focus);
    // The row is drawn after the scrolling was noticed.
    requestAnimationFrame(() =>
      requestAnimationFrame(() =>
        pane.current?.querySelector<SVGGElement>(`[data-node="${focus}"]`)?.focus(),
      ),
    );
  }, [focus]);

  const inSight = rows.slice(sight.first, sight.last + 1);
  const isWide = (from: number, to: number) =>
    Math.max(from, to) + boxWidth > sight.left && Math.min(from, to) - boxWidth < sight.right;
  const shown = inSight.flatMap((row) => row.nodes).filter((i) => isWide(nodes[i].x, nodes[i].x));
  const stop = shown.includes(focus) ? focus : shown.includes(chosen) ? chosen : shown[0];
  const onKey = (event: KeyboardEvent, node: number): void => {
    if (event.key === "Enter" || event.key === " ") onSelect(nodes[node].name);
    else if (event.key.startsWith("Arrow")) setFocus(neighbour(drawing, rowOf, node, event.key));
    else return;
    event.preventDefault();
  };
  return (
    <section class="graph" aria-label={`Graph of the ${title}`}>
      <h3 class="row">
        {title}
        <small>{format.plural(nodes.filter(({ kind }) => kind === "node").length, "node")}</small>
        <span class="zoom">
          <button
            type="button"
            aria-label={`${title}: smaller`}
            disabled={zoom <= zooms[0]}
            onClick={() => setZoom(zooms.findLast((one) => one < zoom) ?? zooms[0])}
          >
            −
          </button>
          <button
            type="button"
            aria-label={`${title}: larger`}
            disabled={zoom >= zooms[zooms.length - 1]}
            onClick={() => setZoom(zooms.find((one) => one > zoom) ?? 1)}
          >
            +
          </button>
          <button type="button" aria-label={`${title}: fit the width`} onClick={fit}>
            fit
          </button>
        </span>
      </h3>
      <div class="pane" ref={pane} onScroll={look}>
        {/* biome-ignore lint/a11y/noSvgWithoutTitle: it is a group of buttons with names */}
        <svg
          width={width * zoom}
          height={height * zoom}
          viewBox={`0 0 ${width} ${height}`}
          class={lit ? "lit" : ""}
        >
          <g transform={`translate(${margin} ${margin})`}>
            {inSight.flatMap((row, k) =>
              row.segments
                .filter(({ x1, x2 }) => isWide(x1, x2))
                .map((segment, i) => (
                  <path
                    key={`${sight.first + k} ${i}`}
                    class="edge"
                    d={curveOf(segment, sight.first + k)}
                  />
                )),
            )}
            {shown.map((i) => (
              <NodeBox
                key={i}
                node={nodes[i]}
                index={i}
                top={rowOf[i] * rowHeight}
                isSelected={i === chosen}
                mark={markOf(nodes[i], lit)}
                tabIndex={i === stop ? 0 : -1}
                onSelect={onSelect}
                onKey={onKey}
              />
            ))}
          </g>
        </svg>
      </div>
    </section>
  );
}

function NodeBox(props: {
  node: DrawnNode;
  index: number;
  top: number;
  isSelected: boolean;
  mark: string;
  tabIndex: number;
  onSelect(name: string): void;
  onKey(event: KeyboardEvent, index: number): void;
}) {
  const { node, index, top, isSelected, mark, tabIndex, onSelect, onKey } = props;
  const { kind, op, name, note, change, x } = node;
  const word = change === "same" ? "" : change;
  const below = note ? `${cut(name, Math.max(8, 27 - note.length))} ${note}` : cut(name, 28);
  // What is seen, in its order, so that speech input finds it; then the whole name.
  const seen = [op, word, below].filter(Boolean).join(" ");
  const label = below.startsWith(name) ? seen : `${seen}, ${name}`;
  const isPort = kind !== "node";
  return (
    // biome-ignore lint/a11y/useSemanticElements: SVG has no button element
    <g
      class={`box ${kind} ${change} ${mark}`}
      transform={`translate(${x - boxWidth / 2} ${top})`}
      role="button"
      // In SVG the names of attributes have capitals of their own: tabIndex would be another one.
      tabindex={tabIndex}
      data-node={index}
      aria-label={label}
      aria-pressed={isSelected}
      aria-disabled={isPort}
      onClick={() => !isPort && onSelect(name)}
      onKeyDown={(event) => onKey(event, index)}
    >
      <rect width={boxWidth} height={boxHeight} rx={isPort ? boxHeight / 2 : 4} />
      <text x={10} y={18}>
        <tspan class="op">{op}</tspan>
        {word && <tspan class="word">{` ${word}`}</tspan>}
      </text>{" "}
      <text class="soft" x={10} y={34}>
        {below}
      </text>
    </g>
  );
}

/** The end of a text: names of layers differ there. */
const cut = (text: string, most: number): string =>
  text.length > most ? `…${text.slice(1 - most)}` : text;

function markOf({ name, kind }: DrawnNode, lit: Lit | null): string {
  if (!lit || kind !== "node") return "";
  return lit.makers.has(name) ? "makes" : lit.readers.has(name) ? "reads" : "";
}

/** From the bottom of a row to the top of the next, and through that row where the edge goes on. */
function curveOf(segment: Drawing["rows"][number]["segments"][number], row: number): string {
  const { x1, x2, to } = segment;
  const [from, end] = [row * rowHeight + boxHeight, (row + 1) * rowHeight];
  const middle = (from + end) / 2;
  const through = to < 0 ? `V${end + boxHeight}` : "";
  return `M${x1} ${from}C${x1} ${middle} ${x2} ${middle} ${x2} ${end}${through}`;
}

function rowsByNode({ nodes, rows }: Drawing): number[] {
  const found = new Array<number>(nodes.length).fill(0);
  for (const [row, { nodes: own }] of rows.entries()) for (const node of own) found[node] = row;
  return found;
}

/** The node that an arrow key leads to: the next of the row, or the nearest of the row beside it. */
function neighbour(
  { nodes, rows }: Drawing,
  rowOf: readonly number[],
  node: number,
  key: string,
): number {
  const row = rowOf[node];
  const own = rows[row].nodes;
  if (key === "ArrowLeft") return own[own.indexOf(node) - 1] ?? node;
  if (key === "ArrowRight") return own[own.indexOf(node) + 1] ?? node;
  const next = rows[row + (key === "ArrowDown" ? 1 : -1)]?.nodes ?? [];
  const far = (one: number) => Math.abs(nodes[one].x - nodes[node].x);
  return [...next].sort((a, b) => far(a) - far(b))[0] ?? node;
}
