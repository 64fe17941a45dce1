/** @file docs/benchmarks.md: int8 of real models by kernel, from bench/results/kernels.json. */
import type { KernelRow, KernelsBench } from "../../bench/kernels.ts";
import type { Runs } from "../../bench/record.ts";
import * as format from "../../src/report/format.ts";
import { latest, table } from "./page.ts";

export function kernelsSection(runs: Runs<KernelsBench>): string[] {
  const speed = ({ speedup, ci95 }: KernelRow): string =>
    `${speedup.toFixed(2)}x${ci95 ? ` (${ci95.map((x) => x.toFixed(2)).join(" to ")})` : ""}`;
  return [
    "## int8 on integers everywhere, and where a table expects it to pay",
    `Speed-up of \`quantize-int8\` over the simplified float32 model and bytes of the file, with \`kernel=integer\` and \`kernel=expected\`, by target; one thread, CPU time, timed in turn. \`npm run bench:kernels\`; ${Object.keys(runs).at(-1)}.`,
    table(
      ["target", "model", "integer", "expected", "bytes, integer", "bytes, expected"],
      Object.entries(latest(runs).targets).flatMap(([target, models]) =>
        Object.entries(models).map(([model, { integer, expected }]) => [
          ...[target, model, speed(integer), speed(expected)],
          ...[integer, expected].map(({ bytes }) => format.bytes(bytes)),
        ]),
      ),
    ),
  ];
}
