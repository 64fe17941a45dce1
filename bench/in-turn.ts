/** @file Times models in turn on one engine, with one thread, and compares what they give. */
import type { Tensor } from "../src/ir/tensor.ts";
import { type LatencyOptions, measureLatency } from "../src/measure/latency.ts";
import { nodePlatform } from "../src/node/platform.ts";
import type { Runtime } from "../src/runtime/runtime.ts";

/** The timings of the models on these inputs, and the output `y` of each. */
export async function timeInTurn(
  engine: Runtime,
  models: readonly Uint8Array[],
  feeds: Readonly<Record<string, Tensor>>,
  options: Omit<LatencyOptions, "platform">,
) {
  const candidates = [];
  const outputs: Float32Array[] = [];
  for (const [i, bytes] of models.entries()) {
    let session = await engine.open({ bytes }, { threads: 1 });
    outputs.push((await session.run(feeds)).y.floats());
    candidates.push({
      name: String(i),
      run: () => session.run(feeds),
      async renew() {
        await session.close();
        session = await engine.open({ bytes }, { threads: 1 });
      },
      close: () => session.close(),
    });
  }
  const timings = await measureLatency(candidates, { platform: nodePlatform, ...options });
  for (const { close } of candidates) await close();
  return { timings, outputs };
}

/** |a - b| / |a|. */
export function errorOf(a: Float32Array, b: Float32Array): number {
  let [error, power] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    error += (a[i] - b[i]) ** 2;
    power += a[i] ** 2;
  }
  return Math.sqrt(error / power);
}
