/** @file Bytes against loss, a point a row; a point is a button that loads the row's recipe. */
import { familyClass, format } from "tersor";
import type { Row } from "../protocol.ts";

const width = 640;
/** Room for the scale below the frame. */
const scale = 38;
/** The frame's bottom, where something is lost and where nothing is. */
const bottoms = { some: 262, none: 40 };

export function Scatter(props: {
  rows: readonly Row[];
  pareto: readonly string[];
  /** The recipe that a search holds for the best. */
  best: string | null;
  onPick(recipe: string): void;
}) {
  const { rows, pareto, best, onPick } = props;
  const points = rows.flatMap((row, i) => {
    // The first row is the original's: nothing is lost.
    const loss = i === 0 ? 0 : row.loss?.value;
    if (loss === undefined || !Number.isFinite(loss)) return [];
    return [{ row, bytes: row.result.bytes.raw, loss: Math.max(0, loss) }];
  });
  if (points.length < 2) return null;
  const logs = points.map(({ bytes }) => Math.log10(bytes));
  const [low, high] = [Math.min(...logs), Math.max(...logs)];
  const largest = Math.max(...points.map(({ loss }) => loss));
  const bottom = largest > 0 ? bottoms.some : bottoms.none;
  const frame = { left: 64, right: 628, top: 14, bottom };
  const most = largest || 1;
  const x = (bytes: number) =>
    frame.left + ((Math.log10(bytes) - low) / (high - low || 1)) * (frame.right - frame.left);
  // A square root spreads the small losses, which matter, and still shows the large ones.
  const y = (loss: number) => frame.bottom - Math.sqrt(loss / most) * (frame.bottom - frame.top);
  const name = points[1].row.loss?.name ?? "loss";
  const sizes = (high > low ? [low, (low + high) / 2, high] : [low]).map((log) => 10 ** log);
  return (
    <figure>
      <figcaption>Bytes of the ONNX file (across, logarithmic) against {name} (up)</figcaption>
      <svg class="plot" viewBox={`0 0 ${width} ${bottom + scale}`}>
        <title>Scatter plot of the rows</title>
        {(largest > 0 ? [0, most / 4, most] : [0]).map((loss) => (
          <g key={loss}>
            <line class="grid" x1={frame.left} x2={frame.right} y1={y(loss)} y2={y(loss)} />
            <text class="soft end" x={frame.left - 12} y={y(loss) + 4}>
              {format.precise(loss)}
            </text>
          </g>
        ))}
        {sizes.map((bytes, i) => (
          <text
            key={bytes}
            class={`soft ${["", "mid", "end"][i]}`}
            x={x(bytes)}
            y={frame.bottom + 22}
          >
            {format.bytes(bytes)}
          </text>
        ))}
        {points.map(({ row, bytes, loss }, i) => {
          const { recipe, family } = row.result;
          const text = `${recipe}: ${format.bytes(bytes)}, ${row.loss?.text ?? "nothing lost"}`;
          return (
            // biome-ignore lint/a11y/useSemanticElements: SVG has no button element
            <circle
              key={`${i} ${recipe}`}
              class={`${familyClass(family)} ${pareto.includes(recipe) ? "best" : ""} ${recipe === best ? "chosen" : ""}`}
              cx={x(bytes)}
              cy={y(loss)}
              r={6}
              role="button"
              tabindex={0}
              aria-label={text}
              onClick={() => onPick(recipe)}
              onKeyDown={(event) => event.key === "Enter" && onPick(recipe)}
            >
              <title>{text}</title>
            </circle>
          );
        })}
      </svg>
    </figure>
  );
}
