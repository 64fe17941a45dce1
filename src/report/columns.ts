/** @file The columns of each table, declared once; terminal, Markdown and HTML print from them. */
import { aboutOf } from "../measure/about.ts";
import type { ClockKind } from "../measure/clock.ts";
import type { Result } from "../measure/measurement.ts";
import { isSame } from "../measure/speed.ts";
import type { Interval } from "../numeric/statistics.ts";
import * as format from "./format.ts";
import {
  type BenchRun,
  familyTitle,
  hasQuality,
  type Layer,
  layerName,
  type Report,
} from "./report.ts";
import { type Line, line, plainText, span, type Tone } from "./span.ts";
import { factor, interval, unitOf } from "./speed.ts";
import { speedColumns } from "./speed-columns.ts";

/** One column of a table with rows of type Row. */
export interface Column<Row> {
  readonly id: string;
  readonly title: string;
  readonly align: "left" | "right";
  /** Explanation of the title; the HTML report shows it as a tooltip. */
  readonly hint: string;
  cell(row: Row): Line;
  /** The value that rows are sorted by; null where it was not measured, which sorts last. */
  key(row: Row): number | string | null;
}

/** A left-aligned column of text. */
function text<Row>(
  id: string,
  title: string,
  hint: string,
  key: (row: Row) => string,
  tone: Tone = "plain",
): Column<Row> {
  return {
    id,
    title,
    hint,
    align: "left",
    key,
    cell: (row) => line(span(key(row), tone)),
  };
}

/** A right-aligned column of numbers; NaN and infinite values count as not measured. */
export function number<Row>(
  id: string,
  title: string,
  hint: string,
  key: (row: Row) => number | null | undefined,
  show: (n: number | null) => string,
  tone: (row: Row) => Tone = () => "plain",
): Column<Row> {
  const finite = (row: Row) => {
    const n = key(row) ?? null;
    return n !== null && Number.isFinite(n) ? n : null;
  };
  return {
    id,
    title,
    hint,
    align: "right",
    key: finite,
    cell: (row) => {
      const n = finite(row);
      return line(span(show(n), n === null ? "dim" : tone(row)));
    },
  };
}

/** The columns without the numeric ones that no row has a value for. */
export function measured<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
): Column<Row>[] {
  return columns.filter(
    (column) => column.align === "left" || rows.some((row) => column.key(row) !== null),
  );
}

/** Columns that stand for others where there is little room, so no other table has them. */
export const isNarrow = ({ id }: { readonly id: string }): boolean => /^marks$|Short$/.test(id);

/** What the star means: without data quality is no respect in which rows are compared. */
export function starHint(report: Report): string {
  return hasQuality(report)
    ? "★ no other row is smaller, faster and as good at once (Pareto front)"
    : "★ no other row is both smaller and faster (Pareto front)";
}

/** The columns of the survey table but for the paper's, without those that no row has a value for. */
export function surveyColumns(report: Report, rows: readonly Result[]): Column<Result>[] {
  const { baseline, pareto, thresholds } = report;
  const metric = baseline.metric ?? rows.find((r) => r.metric)?.metric ?? { name: "metric" };
  const { unit, dropUnit, digits, point, higherIsBetter } = aboutOf(metric);
  const isBase = (r: Result) => r === baseline;
  const clock = baseline.latency?.clock;
  const dropTone = (r: Result): Tone => {
    const drop = (r.metric?.drop ?? 0) / point;
    if (drop > thresholds.performance.fair) return "bad";
    return drop > thresholds.performance.good ? "fair" : "plain";
  };
  const columns: Column<Result>[] = [
    {
      id: "star",
      title: " ",
      align: "left",
      hint: starHint(report),
      key: (r) => (pareto.includes(r.recipe) ? 0 : 1),
      cell: (r) => line(pareto.includes(r.recipe) ? span("★", "fair") : " "),
    },
    text("recipe", "recipe", "The steps that made the model", (r) => r.recipe),
    text("family", "family", "Family in the survey", (r) => familyTitle(r.family)),
    number("file", "file", "Bytes of the ONNX file", (r) => r.bytes.raw, format.bytes),
    number(
      "alpha",
      "smaller",
      "Compression rate alpha: bytes of the original's file / of this file",
      (r) => r.alpha.bytes,
      format.ratio,
    ),
    number(
      "saved",
      "saved",
      "Share of the file's bytes that is gone",
      (r) => (isBase(r) ? null : r.beta.saved),
      (n) => format.percent(n),
    ),
    number("brotli", "brotli", "Download, brotli -11", (r) => r.bytes.brotli, format.bytes),
    number("packed", "packed", "Bytes of the .tersor file", (r) => r.bytes.packed, format.bytes),
    number(
      "params",
      "params",
      "Numbers that the file stores for the layers; of a compressed weight those of its form",
      (r) => r.params,
      format.count,
    ),
    number("nonzeros", "nonzeros", "Params that are not zero", (r) => r.nonzeros, format.count),
    number(
      "ms",
      unitOf(clock),
      "Median of single runs: the original's divided by the speed-up",
      (r) => r.latency?.median,
      format.milliseconds,
    ),
    ...speedColumns(
      {
        id: "speedup",
        title: "speed-up",
        hint: "Over the original: median of the ratios within rounds that time both",
        of: "infer",
      },
      isBase,
    ),
    ...speedColumns(
      {
        id: "own",
        title: "recipe alone",
        hint: "Speed-up over the simplified original: what the recipe itself gained",
        of: "recipe",
      },
      isBase,
    ),
    ...speedColumns(
      {
        id: "train",
        title: "training",
        hint: "Speed-up of a training step over the original's",
        of: "train",
      },
      isBase,
    ),
    exactly(
      number(
        "metric",
        `${metric.name}${unit ? ` ${unit}` : ""}`,
        `On the evaluation data; ${higherIsBetter ? "higher" : "lower"} is better`,
        (r) => r.metric?.value,
        (n) => format.fixed(n, digits),
      ),
    ),
    number(
      "drop",
      `drop${dropUnit ? ` ${dropUnit}` : ""}`,
      "Loss against the original; negative is a gain",
      (r) => (isBase(r) ? null : r.metric?.drop),
      (n) => format.points(n, digits),
      dropTone,
    ),
    {
      id: "drop95",
      title: "95 %",
      align: "right",
      hint: "Interval of the drop, from the records that both models were judged on",
      key: (r) => (isBase(r) ? null : (r.metric?.dropCi95?.[1] ?? null)),
      cell: (r) =>
        line(span(isBase(r) ? "-" : dropInterval(r.metric?.dropCi95 ?? null, digits), "dim")),
    },
    number(
      "flips",
      "flips %",
      "Predictions that differ from the original's",
      (r) => (isBase(r) ? null : r.metric?.flips),
      (n) => format.fixed(n),
    ),
  ];
  return measured(columns, rows).filter(({ id }) => id !== "star" || pareto.length > 0);
}

/** The metric's column: an infinite ratio of equal outputs is "exact", better than every number. */
function exactly(column: Column<Result>): Column<Result> {
  const isExact = ({ metric }: Result) => metric !== null && format.isExact(metric);
  return {
    ...column,
    key: (row) => (isExact(row) ? Number.POSITIVE_INFINITY : column.key(row)),
    cell: (row) => (isExact(row) ? line("exact") : column.cell(row)),
  };
}

/** An interval of drops: "-0.03 to +0.11"; "-" for none. */
export function dropInterval(ci95: Interval | null, digits = 2): string {
  return ci95 ? ci95.map((n) => format.points(n, digits)).join(" to ") : "-";
}

/**
 * The columns of `tersor inspect`: bytes, MACs and time of each layer, with their shares. Times are
 * in milliseconds by `clock`.
 */
export function layerColumns(layers: readonly Layer[], clock: ClockKind | null): Column<Layer>[] {
  return measured<Layer>(
    [
      text("name", "layer", "Node of the graph", layerName),
      text("op", "op", "ONNX operator", (l) => l.op),
      text("shape", "weight", "Shape of its weight", (l) =>
        l.shape.length ? format.shape(l.shape) : "",
      ),
      number("params", "params", "Numbers that the file stores", (l) => l.params, format.count),
      number("bytes", "bytes", "Bytes of its weights", (l) => l.bytes, format.bytes),
      number("bytesShare", "% bytes", "Share of the bytes", (l) => l.share.bytes, share),
      number("macs", "MACs", "Multiply-accumulates per run", (l) => l.macs, format.quantity),
      number("macsShare", "% MACs", "Share of the arithmetic", (l) => l.share.macs, share),
      number(
        "ms",
        unitOf(clock),
        "Its share of the median of whole runs",
        (l) => l.ms,
        format.milliseconds,
      ),
      number("msShare", "% time", "Share of the engine's trace", (l) => l.share.ms, share),
    ],
    layers,
  );
}

const share = (n: number | null) => format.fixed(n === null ? null : n * 100, 1);

/** The columns of `tersor bench`. */
export function benchColumns(runs: readonly BenchRun[]): Column<BenchRun>[] {
  const unit = unitOf(runs[0]?.latency?.clock);
  const speed = (run: BenchRun) =>
    isSame(run.ci95) ? "no difference" : factor(run.ratio, run.ci95);
  return measured<BenchRun>(
    [
      text("file", "file", "The model", (r) => r.file),
      number("bytes", "bytes", "Bytes of the file", (r) => r.bytes, format.bytes),
      number(
        "median",
        `median ${unit}`,
        "Median of single runs: the first file's divided by the speed-up",
        (r) => r.latency?.median,
        format.milliseconds,
      ),
      number(
        "p90",
        `p90 ${unit}`,
        "90th percentile of single runs",
        (r) => r.latency?.p90,
        format.milliseconds,
      ),
      {
        ...text<BenchRun>(
          "ratio",
          "speed-up",
          "Over the first file: median of the ratios within rounds that time all",
          speed,
        ),
        align: "right",
        key: (r) => r.ratio,
      },
      {
        ...text<BenchRun>("ci95", "95 %", "Interval of the speed-up", (r) => interval(r.ci95)),
        align: "right",
        key: (r) => r.ratio,
      },
      number("n", "runs", "Timed runs", (r) => r.latency?.n, format.count),
      text("runtime", "engine", "ONNX Runtime: node or web", (r) => r.latency?.runtime ?? ""),
      number("threads", "threads", "Threads", (r) => r.latency?.threads, format.count),
      number("batch", "batch", "Records per run", (r) => r.latency?.batch, format.count),
    ],
    runs,
  );
}

/** The text of a column's cell. */
export function cellText<Row>(column: Column<Row>, row: Row): string {
  return plainText(column.cell(row));
}
