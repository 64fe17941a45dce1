/** @file The plots of a report: quality against bytes and latency, layers, loss curves. */
import type { Result } from "../measure/measurement.ts";
import { bars, type Panel } from "./bars.ts";
import { curveFigure } from "./curve.ts";
import * as format from "./format.ts";
import { heatMap } from "./heat.ts";
import type { Markup } from "./markup.ts";
import {
  familyTitle,
  type Layer,
  type LayerErrors,
  type Loss,
  layerName,
  lossOf,
  type Report,
  rowsOf,
} from "./report.ts";
import { type Point, scatter } from "./scatter.ts";
import { unitOf } from "./speed.ts";
import { familyClass, standalone } from "./svg.ts";

/** A plot with its title and caption. */
export interface Figure {
  readonly title: string;
  readonly caption: string;
  readonly image: Markup;
}

/** How many layers get a row of their own; the others share one. */
const mostLayers = 24;

/** A number of bytes for a tick, without trailing zeros: 500 kB, not 500.0 kB. */
const tickBytes = (n: number) => format.bytes(n).replace(/\.0+(?= )|(?<=\.\d)0+(?= )/, "");
const tick = (n: number) => String(Number(n.toPrecision(3)));

/** The horizontal axis of a Pareto plot, and the quantity that the circles' areas show. */
interface Axis {
  readonly id: string;
  /** Title of the figure. */
  readonly title: string;
  readonly label: string;
  /** Name of the quantity shown by the areas. */
  readonly size: string;
  x(row: Result): number | null;
  area(row: Result): number | null;
  format(value: number): string;
}

const byBytes: Axis = {
  id: "pareto-bytes",
  title: "Quality against file size",
  label: "ONNX file",
  size: "latency",
  x: (row) => row.bytes.raw,
  area: (row) => row.latency?.median ?? null,
  format: tickBytes,
};
const byLatency = ({ baseline }: Report): Axis => ({
  id: "pareto-latency",
  title: "Quality against latency",
  label: `latency, ${unitOf(baseline.latency?.clock)}`,
  size: "file size",
  x: (row) => row.latency?.median ?? null,
  area: (row) => row.bytes.raw,
  format: tick,
});

/** Least ratio of the largest to the smallest value on an axis: less is noise, no comparison. */
const leastRange = 1.1;

/**
 * A scatter plot of the loss of quality against an axis; null where there is nothing to compare:
 * fewer than two recipes beside the original, or no difference on the axis.
 */
function paretoFigure(report: Report, axis: Axis): Figure | null {
  const rows = rowsOf(report);
  const names = format.shortNames(rows.map((row) => row.recipe));
  const loss = lossOf(report);
  if (!loss) return null;
  const points = rows.flatMap((row, i): Point[] => {
    const x = axis.x(row);
    const y = loss.of(row);
    if (x === null || y === null || !(x > 0)) return [];
    const text = names.get(row.recipe) ?? row.recipe;
    return [
      {
        x,
        y,
        size: axis.area(row),
        text: [...text].length > 30 ? `${[...text].slice(0, 29).join("")}…` : text,
        short: String(i),
        family: row.family,
        detail: tooltip(row, loss),
        href: `#row-${i}`,
      },
    ];
  });
  const xs = points.map(({ x }) => x);
  if (points.length < 3 || Math.max(...xs) < leastRange * Math.min(...xs)) return null;
  const { performance } = report.thresholds;
  const [good, fair] = [performance.good * loss.point, performance.fair * loss.point];
  const missing = rows.length - points.length;
  const caption = `Top left is better. The area of a circle shows the ${axis.size}. No circle is left of and above the dashed line. A number stands for a row of the table. The vertical axis is logarithmic away from zero.${missing ? ` ${format.plural(missing, "row")} without the figures ${missing === 1 ? "is" : "are"} left out.` : ""}`;
  return {
    title: axis.title,
    caption,
    image: scatter({
      id: axis.id,
      title: axis.title,
      description: `${format.plural(points.length, "model")}; horizontal: ${axis.label}; vertical: ${loss.name}. The table holds the same figures.`,
      points,
      x: { label: axis.label, format: axis.format },
      y: {
        label: `${loss.name}${loss.unit ? `, ${loss.unit}` : ""}`,
        unit: good / 4 || 0.1,
        format: tick,
      },
      limits: [
        { y: good, text: `quality kept up to ${good}` },
        { y: fair, text: `fair up to ${fair}` },
      ],
    }),
  };
}

function tooltip(row: Result, loss: Loss): string {
  return [
    row.recipe,
    familyTitle(row.family),
    `${format.bytes(row.bytes.raw)} (${format.ratio(row.alpha.bytes)})`,
    ...(row.latency
      ? [`${format.milliseconds(row.latency.median)} ${unitOf(row.latency.clock)}`]
      : []),
    `${loss.name} ${format.points(loss.of(row), loss.digits)} ${loss.unit}`.trim(),
  ].join(" · ");
}

/** A bar chart of the original's bytes, MACs and time, layer by layer; null for a single layer. */
function layerFigure({ layers, baseline }: Report): Figure | null {
  if (layers.length < 2) return null;
  const weight = ({ share }: Layer) => Math.max(share.bytes, share.macs ?? 0, share.ms ?? 0);
  const { shown, rest } = heaviest(layers, weight);
  const panel = (
    title: string,
    key: (layer: Layer) => number | null,
    show: (n: number) => string,
  ): Panel[] => {
    const sum = (list: readonly Layer[]) => list.reduce((total, l) => total + (key(l) ?? 0), 0);
    const total = sum(layers);
    if (!(total > 0)) return [];
    const text = (n: number | null) =>
      n === null ? "-" : `${show(n)} (${format.percent(n / total, 0)})`;
    const cells = shown.map((layer) => ({ value: key(layer), text: text(key(layer)) }));
    // The sum of many layers could be far larger than any other bar, so it is only given as text.
    if (rest.length) cells.push({ value: null, text: text(sum(rest)) });
    return [{ title: `${title}, total ${show(total)}`, colour: null, full: null, cells }];
  };
  const rows = [...shown.map(layerName), ...(rest.length ? [`${rest.length} other layers`] : [])];
  return {
    title: "Where size and time sit",
    caption: `The original, layer by layer${rest.length ? `; the ${shown.length} heaviest of ${layers.length} one by one` : ""}.`,
    image: bars({
      id: "layers",
      title: "Bytes, arithmetic and time of each layer",
      description: `${format.plural(layers.length, "layer")} of the original.`,
      rows,
      panels: [
        ...panel("bytes", (l) => l.bytes, format.bytes),
        ...panel("MACs", (l) => l.macs, format.quantity),
        ...panel(
          "time",
          (l) => l.ms,
          (n) => `${format.milliseconds(n)} ${unitOf(baseline.latency?.clock)}`,
        ),
      ],
    }),
  };
}

/** Divides layers into the `mostLayers` of largest weight and the rest, both in network order. */
function heaviest<L>(
  layers: readonly L[],
  weight: (layer: L) => number,
): { shown: L[]; rest: L[] } {
  const kept = new Set([...layers].sort((a, b) => weight(b) - weight(a)).slice(0, mostLayers));
  return {
    shown: layers.filter((layer) => kept.has(layer)),
    rest: layers.filter((layer) => !kept.has(layer)),
  };
}

/** Recipes whose errors are drawn as bars, at most; of more there is a map of all as well. */
const mostBars = 4;

/** The SQNR of each layer's output: as bars for a few recipes, as a map for many. */
function errorFigures(report: Report): Figure[] {
  const errors = (report.errors ?? []).filter((entry) => entry.layers.length > 1);
  if (errors.length === 0) return [];
  if (errors.length <= mostBars) return [errorFigure(report, errors)];
  return [errorMap(report, errors), errorFigure(report, errors.slice(0, mostBars))];
}

/** Decibels at which an error is not seen in the map. */
const clean = 60;

/** All layers that differ in any recipe, in network order; the worst of many. */
function errorMap(report: Report, errors: readonly LayerErrors[]): Figure {
  const { names, sqnr, rest } = worstLayers(errors);
  const numbers = new Map(rowsOf(report).map(({ recipe }, i) => [recipe, String(i)]));
  return {
    title: "Error by layer and recipe",
    caption: `Signal to quantization noise of each layer's output: the darker, the worse; a full cell is 0 dB, an empty one ${clean} dB or unchanged. A number stands for a row of the table${rest ? `; the ${names.length} worst of ${names.length + rest} layers` : ""}.`,
    image: heatMap({
      id: "error-map",
      title: "Error of each layer by recipe",
      description: `${format.plural(errors.length, "recipe")}, ${format.plural(names.length, "layer")}. Hover a cell for its figure.`,
      rows: names,
      columns: errors.map(({ recipe }, i) => ({
        short: numbers.get(recipe) ?? "",
        name: recipe,
        cells: names.map((name) => {
          const value = sqnr[i].get(name) ?? null;
          const heat = value === null ? null : Math.min(1, Math.max(0, 1 - value / clean));
          return { heat, text: decibels(value) };
        }),
      })),
    }),
  };
}

/** The SQNR of layers by recipe, and the layers that are worst in any of them, in network order. */
function worstLayers(errors: readonly LayerErrors[]) {
  // An unchanged layer has the SQNR Infinity, or null if the errors were read from JSON.
  const sqnr = errors.map(
    ({ layers }) =>
      new Map(layers.map(({ name, sqnr }) => [name, sqnr ?? Number.POSITIVE_INFINITY])),
  );
  const names = [...new Set(errors.flatMap(({ layers }) => layers.map(({ name }) => name)))];
  const worst = (name: string) => Math.min(...sqnr.map((map) => map.get(name) ?? Infinity));
  const { shown, rest } = heaviest(names, (name) => -worst(name));
  return { names: shown, sqnr, rest: rest.length };
}

/** The chart for a few recipes; the layers with the worst SQNR in any of them are shown. */
function errorFigure(report: Report, errors: readonly LayerErrors[]): Figure {
  const { names: shown, sqnr, rest } = worstLayers(errors);
  const figures = errors.flatMap(({ layers }) => layers.map(({ sqnr }) => sqnr ?? 0));
  const full = Math.max(...figures.filter(Number.isFinite));
  const family = new Map(report.results.map((row) => [row.recipe, row.family]));
  return {
    title: "Error by layer",
    caption: `Signal to quantization noise of each layer's output in dB: shorter is worse, grey is unchanged${rest ? `; the ${shown.length} worst of ${shown.length + rest} layers` : ""}.`,
    image: bars({
      id: "errors",
      title: "Signal to noise of each layer, dB",
      description: errors.map(({ recipe }) => recipe).join("; "),
      rows: shown,
      panels: errors.map(({ recipe }, i) => ({
        title: recipe,
        colour: familyClass(family.get(recipe) ?? ""),
        full,
        cells: shown.map((name) => {
          const value = sqnr[i].get(name) ?? null;
          return { value, text: decibels(value) };
        }),
      })),
    }),
  };
}

function decibels(n: number | null): string {
  return n === Number.POSITIVE_INFINITY
    ? "unchanged"
    : n === null
      ? "-"
      : `${format.fixed(n, 1)} dB`;
}

/** All plots for which the report has the data. */
export function figuresOf(report: Report): {
  pareto: Figure[];
  layers: Figure[];
  training: Figure[];
} {
  const present = (figures: readonly (Figure | null)[]) => figures.filter((f) => f !== null);
  return {
    pareto: present([paretoFigure(report, byBytes), paretoFigure(report, byLatency(report))]),
    layers: present([layerFigure(report), ...errorFigures(report)]),
    training: (report.training ?? []).map(curveFigure),
  };
}

/** The plot of quality against bytes as an SVG file; null where no quality was measured. */
export function paretoSvg(report: Report): string | null {
  const figure = paretoFigure(report, byBytes);
  return figure && standalone(figure.image);
}
