/** @file docs/benchmarks.md: convolutions as products of spectra, from bench/results/fft.json. */
import type { FftBench } from "../../bench/fft.ts";
import type { Runs } from "../../bench/record.ts";
import { latest, table } from "./page.ts";

type Layer = FftBench["layers"][number];

const engines = { node: "native", web: "wasm" } as const;
const times = (speedup: number): string => `${speedup.toFixed(speedup < 10 ? 2 : 1)}x`;
const megabytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(bytes < 2 ** 20 ? 2 : 1);

/** Layers by kind and channels, a column for each size and engine; networks; the DFT operator. */
export function fftSection(runs: Runs<FftBench>): string[] {
  const { layers, networks, operator } = latest(runs);
  const worst = Math.max(...layers.map(({ error }) => error));
  const bytes = layers.map((row) => row.bytes);
  const kinds = [...new Set(layers.map(({ kind }) => kind))];
  return [
    "## Convolutions as products of spectra",
    `Speed-up of one convolution when it is computed as a product of spectra (\`fft-convolution\`), by its filters and the map; one thread, timed in turn; the fastest of the up to three plans that the method tries. Largest error: ${worst.toExponential(1)} of the outputs' norm. The file grows by ${Math.min(...bytes)} to ${Math.max(...bytes)} bytes a layer, because it keeps the filters; the engine holds the spectra (last column: MB of filters and of spectra, for the first map). The method keeps the convolution where the model is no faster. \`npm run bench:fft\`.`,
    ...kinds.map((kind) => layerTable(layers.filter((row) => row.kind === kind))),
    "Networks with random weights, of the sizes of published ones, and a network of long filters: how many of the large convolutions the method replaced by timing the model, and the speed-up of the whole.",
    table(
      ["network", "engine", "replaced", "speed-up", "error", "a reason of those that stay"],
      networks.map((row) => [
        row.name,
        engines[row.runtime as keyof typeof engines],
        `${row.replaced} of ${row.convolutions}`,
        times(row.speedup),
        row.error.toExponential(1),
        row.reason ?? "",
      ]),
    ),
    "The engine's DFT operator there and back, without the product between, and a whole convolution on a map of that many points by products with matrices of sines and cosines, in ms.",
    table(
      ["channels", "points", "engine", "DFT operator", "products of matrices"],
      operator.map(({ channels, points, runtime, ...ms }) => [
        String(channels),
        points.join(" x "),
        engines[runtime as keyof typeof engines],
        ms.operator.toFixed(1),
        ms.products.toFixed(1),
      ]),
    ),
    `${Object.keys(runs).at(-1)}.`,
  ];
}

/** Rows of one kind: channels and taps, then the speed-up for each map and engine. */
function layerTable(rows: readonly Layer[]): string {
  const sizes = [...new Set(rows.map(({ size }) => size))].sort((a, b) => a - b);
  const columns = Object.keys(engines).flatMap((runtime) =>
    sizes.map((size) => ({ runtime, size })),
  );
  const keys = [...new Map(rows.map((row) => [`${row.channels}, ${row.taps}`, row])).values()];
  const sorted = keys.sort((a, b) => a.channels - b.channels || a.taps - b.taps);
  const isLine = rows[0].kind.startsWith("line");
  return table(
    [
      rows[0].kind,
      ...columns.map(({ runtime, size }) => `${engines[runtime as "node" | "web"]} @ ${size}`),
      "MB",
    ],
    sorted.map((row) => {
      const own = rows.filter(
        ({ channels, taps }) => channels === row.channels && taps === row.taps,
      );
      const taps = isLine ? `${row.taps}` : `${row.taps} x ${row.taps}`;
      const [filters, spectra] = own[0].memory;
      return [
        `${row.channels} channels, ${taps}`,
        ...columns.map(({ runtime, size }) => {
          const found = own.find((one) => one.runtime === runtime && one.size === size);
          return found ? times(found.speedup) : "-";
        }),
        `${megabytes(filters)}, ${megabytes(spectra)}`,
      ];
    }),
  );
}
