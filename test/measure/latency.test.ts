/** @file Latency on a clock of our own: what is timed, in what order, for how long, and what comes out. */
import { expect, test } from "vitest";
import { tensor } from "../../src/ir/tensor.ts";
import { measureLatency, type Timed } from "../../src/measure/latency.ts";
import { openNodeRuntime } from "../../src/runtime/ort-node.ts";
import { linear } from "../support/tiny.ts";

/** A clock that only the candidates move; `wait` is wall time without CPU time. */
function bench() {
  let wall = 0;
  let cpu = 0;
  const log: string[] = [];
  const candidate = (name: string, ms: (run: number) => number, wait = 0): Timed => {
    let runs = 0;
    return {
      name,
      run: async () => {
        const spent = ms(runs++);
        wall += spent + wait;
        cpu += spent;
        log.push(name);
      },
    };
  };
  const platform = { wallMs: () => wall, cpuMs: (): number | null => cpu };
  return { platform, candidate, log };
}

test("medians, speed-ups against the first and their interval", async () => {
  const { platform, candidate } = bench();
  // The second is twice as fast, give or take; the third waits, which CPU time does not see.
  const candidates = [
    candidate("a", () => 20),
    candidate("b", (run) => 10 + (run % 3) - 1),
    candidate("c", () => 10, 30),
  ];
  const [a, b, c] = await measureLatency(candidates, { platform, maxRuns: 30, budgetMs: 1e9 });
  expect(a).toMatchObject({ name: "a", latency: { median: 20, p90: 20, cpu: 20, n: 30 } });
  expect(a.ratio).toEqual({ value: 1, ci95: [1, 1] });
  expect(b.latency.median).toBe(10);
  expect(b.latency.p90).toBe(11);
  expect(b.ratio.value).toBe(2);
  expect(b.ratio.ci95![0]).toBeGreaterThanOrEqual(20 / 11);
  expect(b.ratio.ci95![1]).toBeLessThanOrEqual(20 / 9);
  expect(c.ratio).toEqual({ value: 0.5, ci95: [0.5, 0.5] });
  expect(c.cpuRatio).toEqual({ value: 2, ci95: [2, 2] });
});

test("a load that comes and goes hits all alike: the ratio stays", async () => {
  const { platform, candidate, log } = bench();
  const load = () => (Math.floor(log.length / 50) % 2 ? 4 : 1); // the machine is 4 times slower at times
  const candidates = [candidate("a", () => 12 * load()), candidate("b", () => 8 * load())];
  const [, b] = await measureLatency(candidates, { platform, maxRuns: 100, budgetMs: 1e9 });
  expect(b.ratio.value).toBeCloseTo(1.5, 12);
  expect(b.ratio.ci95![0]).toBeCloseTo(1.5, 12);
  expect(b.ratio.ci95![1]).toBeCloseTo(1.5, 12);
});

test("short runs are timed in blocks of 5 ms or more", async () => {
  const { platform, candidate } = bench();
  const [a] = await measureLatency([candidate("a", () => 1 / 32)], { platform, maxRuns: 10 });
  expect(a.latency.n).toBe(10 * 160);
  expect(a.latency.median).toBe(1 / 32);
});

test("every round times everyone, in changing order", async () => {
  const { platform, candidate, log } = bench();
  const names = ["a", "b", "c"];
  const candidates = names.map((name) => candidate(name, () => 6));
  await measureLatency(candidates, { platform, minRuns: 8, maxRuns: 8, warmup: 0 });
  const timed = log.slice(-24);
  const rounds = Array.from({ length: 8 }, (_, i) => timed.slice(3 * i, 3 * i + 3).join(""));
  for (const round of rounds) expect([...round].sort()).toEqual(names);
  expect(new Set(rounds).size).toBeGreaterThan(2);
});

test("the budget ends it, but not before the least number of rounds", async () => {
  const { platform, candidate } = bench();
  const run = () => [candidate("a", () => 100)];
  const [few] = await measureLatency(run(), { platform, minRuns: 7, budgetMs: 1 });
  expect(few.latency.n).toBe(7);
  const [more] = await measureLatency(run(), { platform, minRuns: 7, budgetMs: 3000 });
  expect(more.latency.n).toBeGreaterThan(20);
  expect(more.latency.n).toBeLessThanOrEqual(30);
});

test("below six rounds there is no interval; without a CPU clock no CPU figures", async () => {
  const { platform, candidate } = bench();
  const options = { platform: { ...platform, cpuMs: () => null }, minRuns: 5, maxRuns: 5 };
  const [, b] = await measureLatency([candidate("a", () => 6), candidate("b", () => 6)], options);
  expect(b.ratio).toEqual({ value: 1, ci95: null });
  expect(b.cpuRatio).toBeNull();
  expect(b.latency.cpu).toBeNull();
});

test("runs that only wait still end the calibration", async () => {
  const { platform, candidate } = bench();
  const [a] = await measureLatency([candidate("a", () => 0, 10)], { platform, maxRuns: 6 });
  expect(a.latency.median).toBe(10);
});

test("an abort stops it between blocks", async () => {
  const { platform, candidate, log } = bench();
  const control = new AbortController();
  const candidates = [
    candidate("a", (run) => {
      if (run === 20) control.abort();
      return 6;
    }),
  ];
  const measuring = measureLatency(candidates, { platform, signal: control.signal });
  await expect(measuring).rejects.toMatchObject({ code: "aborted" });
  expect(log).toHaveLength(21);
});

test("a real session", async () => {
  const runtime = await openNodeRuntime();
  const session = await runtime.open({ bytes: linear(new Float32Array(6), new Float32Array(2)) });
  const x = tensor("float32", [1, 3], [1, 2, 3]);
  const platform = { wallMs: () => performance.now(), cpuMs: () => process.cpuUsage().user / 1000 };
  const run = () => session.run({ x });
  const [one] = await measureLatency([{ name: "one", run }], { platform, budgetMs: 50 });
  expect(one.latency.n).toBeGreaterThan(100);
  expect(one.latency.median).toBeGreaterThan(0);
  expect(one.latency.p90).toBeGreaterThanOrEqual(one.latency.median);
  await session.close();
});
