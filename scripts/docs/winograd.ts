/** @file docs/benchmarks.md: Winograd tiles by shapes and engine, from bench/results/winograd.json. */
import type { Runs } from "../../bench/record.ts";
import type { WinogradBench } from "../../bench/winograd.ts";
import { latest, table } from "./page.ts";

/** A row for each shape, a column for each engine and tile. */
export function winogradSection(runs: Runs<WinogradBench>): string[] {
  const { rows } = latest(runs);
  const columns = ["web", "node"].flatMap((runtime) =>
    ([4, 2] as const).map((tile) => ({ runtime, tile })),
  );
  const shapes = [...new Map(rows.map((row) => [`${row.channels} @ ${row.side}`, row]))];
  const worst = Math.max(...rows.map(({ error }) => error));
  return [
    "## Winograd tiles",
    `Speed-up of three 3x3 convolutions, with Relu after each, when they are computed in tiles of 4 x 4 or 2 x 2 outputs (\`winograd:measure=false\`), by channels @ side of the map; one thread, timed in turn. Largest error: ${worst.toExponential(1)} of the outputs' norm. The method itself keeps the convolution where tiles are no faster. \`npm run bench:winograd\`.`,
    table(
      [
        "convolutions",
        ...columns.map(({ runtime, tile }) =>
          runtime === "web" ? `wasm, ${tile} x ${tile}` : `native, ${tile} x ${tile}`,
        ),
      ],
      shapes.map(([name, { channels, side }]) => [
        name,
        ...columns.map(({ runtime, tile }) => {
          const row = rows.find(
            (one) =>
              one.channels === channels &&
              one.side === side &&
              one.runtime === runtime &&
              one.tile === tile,
          );
          return row ? `${row.speedup.toFixed(2)}x` : "-";
        }),
      ]),
    ),
    `${Object.keys(runs).at(-1)}.`,
  ];
}
