/** @file The table of `tersor pack`: the bytes of a .tersor file's graph and of each tensor. */
import type { Packed } from "../onnx/pack.ts";
import * as format from "./format.ts";
import { grid } from "./grid.ts";
import { line } from "./span.ts";
import type { TableOptions } from "./table.ts";

/** Rows at most; the smallest tensors beyond that are summed in one row. */
const most = 40;

/** The table as text, with a row per tensor in the order of the file. */
export function packTable({ graph, tensors }: Packed, options: TableOptions): string {
  const sorted = [...tensors].sort((a, b) => b.body.length - a.body.length);
  const shown = new Set(tensors.length > most ? sorted.slice(0, most - 1) : sorted);
  const rest = tensors.filter((tensor) => !shown.has(tensor));
  const sum = (of: (tensor: Packed["tensors"][number]) => number) =>
    rest.reduce((total, tensor) => total + of(tensor), 0);
  const row = (name: string, type: string, raw: number | null, coded: number, coder: string) => {
    const bits = raw === null ? "" : format.ratio(raw / coded);
    const cells = [name, type, raw === null ? "" : format.bytes(raw), format.bytes(coded), bits];
    return [...cells, coder].map((cell) => line(cell));
  };
  const rows = [
    row("graph", "names, nodes, small tensors", null, graph, ""),
    ...tensors
      .filter((tensor) => shown.has(tensor))
      .map(({ name, dtype, shape, bytes, body, coder }) =>
        row(name || "(no name)", `${dtype}[${shape.join(",")}]`, bytes, body.length, coder),
      ),
    ...(rest.length > 0
      ? [
          row(
            `${rest.length} more`,
            "",
            sum(({ bytes }) => bytes),
            sum(({ body }) => body.length),
            "",
          ),
        ]
      : []),
  ];
  const columns = [
    { title: "part", align: "left", flexible: true },
    { title: "type", align: "left" },
    { title: "ONNX", align: "right" },
    { title: "coded", align: "right" },
    { title: "ratio", align: "right" },
    { title: "coder", align: "left" },
  ] as const;
  return grid(columns, rows, options).join("\n");
}
