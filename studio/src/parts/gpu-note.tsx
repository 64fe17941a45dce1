/** @file What the GPU does with the candidate: whether it is trusted, how fast, what falls back. */
import { format, type OnGpu } from "tersor";
import { gpuSentence } from "./gpu-sentence.ts";
import { Scroll } from "./scroll.tsx";

export function GpuNote({ found }: { found: OnGpu }) {
  const { runs, bench } = found;
  const [before, after] = runs;
  const sides = ["for the original", "for the candidate"];
  const times = (bench ?? []).map(
    ({ latency }, i) => `${format.milliseconds(latency?.median)} ms ${sides[i]}`,
  );
  return (
    <section class="gpu" aria-label="On the GPU">
      <h3>
        On the GPU <small>WebGPU, {found.adapter}</small>
      </h3>
      <p>{gpuSentence(found)}</p>
      {bench && (
        <p>
          A run there: {times.join(", ")}
          {bench.length > 1 && `: ${speedOf(bench[1])}`}.
        </p>
      )}
      <Fallbacks before={before?.fallbacks ?? []} after={after?.fallbacks ?? []} />
    </section>
  );
}

function speedOf({ ratio, ci95 }: NonNullable<OnGpu["bench"]>[number]): string {
  if (ratio === null || !ci95 || (ci95[0] <= 1 && ci95[1] >= 1)) return "no difference";
  return `${format.ratio(ratio)} speed`;
}

function Fallbacks({
  before,
  after,
}: Record<"before" | "after", OnGpu["runs"][number]["fallbacks"]>) {
  const ops = [...new Set([...before, ...after].map(({ op }) => op))];
  if (ops.length === 0) return <p class="dim">Every operator has a kernel there.</p>;
  const count = (list: typeof before, op: string) => list.find((one) => one.op === op)?.count ?? 0;
  return (
    <details open>
      <summary>Operators that fall back to the processor</summary>
      <Scroll name="Operators that fall back" class="narrow">
        <table>
          <thead>
            <tr>
              <th scope="col">operator</th>
              <th scope="col" class="right">
                original
              </th>
              <th scope="col" class="right">
                candidate
              </th>
            </tr>
          </thead>
          <tbody>
            {ops.map((op) => (
              <tr key={op}>
                <th scope="row">{op}</th>
                <td class="right">{format.count(count(before, op))}</td>
                <td class="right">{format.count(count(after, op))}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </details>
  );
}
