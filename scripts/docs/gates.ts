/** @file docs/benchmarks.md: int8 around activations, from bench/results/gates.json. */
import type { Runs } from "../../bench/record.ts";
import { latest, table } from "./page.ts";

interface Figures {
  /** float32 time / int8 time. */
  readonly speedup: number;
  /** Signal-to-noise ratio of the outputs, dB. */
  readonly sqnr: number;
}
/** By engine, chain of convolutions, activation and what is in int8. */
export type GatesBench = Readonly<
  Record<"native" | "wasm", Readonly<Record<string, Readonly<Record<string, Variants>>>>>
>;
type Variants = Readonly<Partial<Record<"weighted" | "all" | "approximate", Figures>>>;

const shown = (figures: Figures | undefined): string =>
  figures ? `${figures.speedup.toFixed(2)}x, ${figures.sqnr.toFixed(1)} dB` : "-";

/** A row for each chain and activation; for each engine with the activation in float and in int8. */
export function gatesSection(runs: Runs<GatesBench>): string[] {
  const { native, wasm } = latest(runs);
  return [
    "## Activations in int8",
    "Speed-up of ten convolutions with the activation after each over float32, and the signal-to-noise ratio of the outputs: with the convolutions alone in int8 (`quantize-int8:ops=weighted`) and with the activations too (the default; Gelu: `activations=approximate`), by kernel, channels @ side of the map; dw+pw: a depthwise 3x3 before each. Rounding does what Relu does; HardSwish has no integer form. One thread, timed in turn. `npm run bench:gates`.",
    table(
      ["convolutions", "activation", "native, float", "native, int8", "wasm, float", "wasm, int8"],
      Object.entries(native).flatMap(([chain, activations]) =>
        Object.entries(activations).map(([activation, variants]) => [
          chain,
          activation,
          ...[variants, wasm[chain]?.[activation] ?? {}].flatMap((each) => [
            shown(each.weighted),
            shown(each.all ?? each.approximate),
          ]),
        ]),
      ),
    ),
    `${Object.keys(runs).at(-1)}.`,
  ];
}
