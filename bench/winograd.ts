/**
 * @file Winograd tiles against the engine's own convolution: stacks of three 3x3 convolutions, in wasm
 * and natively, timed in turn with one thread. Writes results/winograd.json; `npm run bench:winograd`
 * takes about a minute.
 */
import { tensor } from "../src/ir/tensor.ts";
import { createRandom } from "../src/numeric/random.ts";
import { concat, writeModel } from "../src/onnx/write.ts";
import { openNodeRuntime } from "../src/runtime/ort-node.ts";
import { openWebRuntime } from "../src/runtime/ort-web.ts";
import { apply, environmentOf } from "../test/support/apply.ts";
import { layerModel } from "../test/support/layer.ts";
import { nets } from "../test/support/nets.ts";
import { errorOf, timeInTurn } from "./in-turn.ts";
import { writeRun } from "./record.ts";

const runtimes = { web: await openWebRuntime(), node: await openNodeRuntime() };
const random = createRandom(1);
const normal = (size: number, scale: number) =>
  Float32Array.from({ length: size }, () => random.normal() * scale);

/** Channels and the side of the map. */
const shapes = [
  [64, 56],
  [128, 28],
  [256, 14],
  [256, 7],
] as const;
const depth = 3;

export interface WinogradBench {
  readonly rows: readonly {
    readonly channels: number;
    readonly side: number;
    readonly runtime: string;
    readonly tile: 2 | 4;
    /** The convolutions' time over that of the tiles, with its 95 % interval. */
    readonly speedup: number;
    readonly ci95: readonly [number, number] | null;
    /** |difference| / |outputs|. */
    readonly error: number;
  }[];
}

const round = (x: number): number => Number(x.toFixed(3));

const rows: WinogradBench["rows"][number][] = [];
for (const [channels, side] of shapes) {
  const shape = [1, channels, side, side];
  const direct = layerModel(shape, (g, x) => {
    let y = x;
    for (let i = 0; i < depth; i++) {
      const scale = Math.sqrt(2 / (9 * channels));
      const weight = g.constant(normal(9 * channels ** 2, scale), {
        shape: [channels, channels, 3, 3],
      });
      const attributes = { kernel_shape: [3, 3], pads: [1, 1, 1, 1] };
      y = g.Relu(g.Conv(y, weight, g.constant(normal(channels, 0.1)), attributes));
    }
    return y;
  });
  const env = environmentOf(nets[0]);
  const tiles = [4, 2] as const;
  const models = [concat(writeModel(direct))];
  for (const tile of tiles) {
    const options = { tile: String(tile), measure: false };
    models.push((await apply(direct, "winograd", options, env)).bytes);
  }
  const x = tensor("float32", shape, normal(channels * side ** 2, 1));
  for (const [runtime, engine] of Object.entries(runtimes)) {
    const { timings, outputs } = await timeInTurn(engine, models, { x }, { budgetMs: 6000 });
    for (const [i, tile] of tiles.entries()) {
      const { value, ci95 } = timings[i + 1].ratio;
      const row = {
        ...{ channels, side, runtime, tile, speedup: round(value) },
        ci95: ci95 && ([round(ci95[0]), round(ci95[1])] as const),
        error: Number(errorOf(outputs[0], outputs[i + 1]).toExponential(2)),
      };
      rows.push(row);
      console.log(JSON.stringify(row));
    }
  }
}
writeRun("winograd", { rows });
process.exit(0);
