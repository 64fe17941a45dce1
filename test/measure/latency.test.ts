/** @file Latency on a clock of our own: what is timed, in what order, for how long, and what comes out. */
import { expect, test } from "vitest";
import { tensor } from "../../src/ir/tensor.ts";
import { measureLatency, speedupOver, type Timed } from "../../src/measure/latency.ts";
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
  const candidates = () => [
    candidate("a", () => 20),
    candidate("b", (run) => 10 + (run % 3) - 1),
    candidate("c", () => 10, 30),
  ];
  const options = { platform, maxRuns: 30, budgetMs: 1e9 };
  const [a, b, c] = await measureLatency(candidates(), options);
  const alone = { median: 20, p90: 20, clock: "cpu", n: 30 };
  expect(a).toMatchObject({ name: "a", latency: alone });
  expect(a.ratio).toEqual({ value: 1, ci95: [1, 1] });
  expect(b.latency.median).toBe(10);
  expect(b.latency.p90).toBe(11);
  expect(b.ratio.value).toBe(2);
  expect(b.ratio.ci95![0]).toBeGreaterThanOrEqual(20 / 11);
  expect(b.ratio.ci95![1]).toBeLessThanOrEqual(20 / 9);
  expect(c.ratio).toEqual({ value: 2, ci95: [2, 2] });
  // With several engine threads CPU time adds up over them, so the wall clock counts.
  const [x, , z] = await measureLatency(candidates(), { ...options, threads: 2 });
  expect(x.latency).toEqual({ ...alone, clock: "wall" });
  expect(z.ratio).toEqual({ value: 0.5, ci95: [0.5, 0.5] });
  expect(z.latency.median).toBe(40);
});

test("each candidate's time is the first's divided by its paired speed-up", async () => {
  const { platform, candidate } = bench();
  // Both drift over the rounds, and not alike: the medians 30 and 18 are of different rounds. The
  // ratios within rounds are 1, 1, 4 over and over, and their median is 1.
  const drift = [10, 30, 40];
  const pace = [10, 30, 10];
  const candidates = [
    candidate("a", (run) => drift[run % 3]),
    candidate("b", (run) => pace[run % 3]),
  ];
  const options = { platform, warmup: 0, minRuns: 30, maxRuns: 30, budgetMs: 1e9 };
  const [a, b] = await measureLatency(candidates, options);
  expect(a.latency.median).toBe(30);
  expect(b.ratio.value).toBe(1);
  expect(b.latency.median).toBe(30);
  expect(a.latency.median / b.latency.median).toBe(b.ratio.value);
});

test("speedupOver pairs any two candidates by round", async () => {
  const { platform, candidate } = bench();
  const load = (run: number) => 1 + (run % 5);
  const candidates = [30, 20, 8].map((ms) => candidate(String(ms), (run) => ms * load(run)));
  const [a, b, c] = await measureLatency(candidates, { platform, maxRuns: 20, budgetMs: 1e9 });
  expect(speedupOver(a, c)).toEqual(c.ratio);
  expect(speedupOver(b, c)).toEqual({ value: 2.5, ci95: [2.5, 2.5] });
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

test("median and p90 of short runs are those of single runs, not of blocks", async () => {
  const { platform, candidate } = bench();
  // Every fifth run takes eight times as long. Blocks of at least 5 ms hold several of each kind,
  // so all their means are near 0.6 ms; of single runs the median is 0.25 and the p90 is 2.
  const candidates = [candidate("a", (run) => (run % 5 === 4 ? 2 : 0.25))];
  const [a] = await measureLatency(candidates, { platform, maxRuns: 50, budgetMs: 1e9 });
  expect(a.latency.n).toBeGreaterThanOrEqual(50 * 8);
  expect(a.latency.median).toBe(0.25);
  expect(a.latency.p90).toBe(2);
});

test("p90 is the time that nine of ten runs keep to", async () => {
  const { platform, candidate } = bench();
  // 101 runs, one at a time, take 100, 101, ..., 200 ms in some order.
  const candidates = [candidate("a", (run) => 100 + ((run * 37) % 101))];
  const options = { platform, minRuns: 101, maxRuns: 101, budgetMs: 1e9 };
  const [a] = await measureLatency(candidates, options);
  expect(a.latency).toMatchObject({ median: 150, p90: 190, n: 101 });
});

test("the time that reading the CPU clock takes is no time of the run", async () => {
  const { platform, candidate } = bench();
  let spent = 0;
  const reading = { ...platform, cpuMs: () => (platform.cpuMs() ?? 0) + (spent += 1 / 1024) };
  const [a, b] = await measureLatency(
    [candidate("a", () => 1 / 16), candidate("b", () => 1 / 32)],
    { platform: reading, maxRuns: 10 },
  );
  expect(a.latency.median).toBe(1 / 16);
  expect(a.latency.p90).toBe(1 / 16);
  expect(b.ratio.value).toBe(2);
});

test("runs of few microseconds are timed by the wall clock, unless others were not", async () => {
  const { platform, candidate } = bench();
  // A CPU clock of whole microseconds, as Linux has it; reading it takes some time.
  let reads = 0;
  const micros = {
    wallMs: platform.wallMs,
    cpuMs: () => Math.floor(1000 * (platform.cpuMs()! + reads++ / 4000)) / 1000,
  };
  const time = async (ms: number, clock?: "cpu" | "wall") =>
    (await measureLatency([candidate("a", () => ms)], { platform: micros, maxRuns: 10, clock }))[0]
      .latency;
  expect(await time(1 / 256)).toMatchObject({ clock: "wall", median: 1 / 256, p90: 1 / 256 });
  expect(await time(1 / 16)).toMatchObject({ clock: "cpu" });
  expect(await time(1 / 16, "wall")).toMatchObject({ clock: "wall", median: 1 / 16 });
  expect(await time(1 / 256, "cpu")).toMatchObject({ clock: "cpu", p90: null });
});

test("a clock that counts in steps gives no p90 of shorter runs, and no CPU time", async () => {
  const { platform, candidate } = bench();
  let reads = 0;
  /** The time so far, rounded down to whole steps; reading it 16 times takes a step. */
  const coarse = (exact: () => number | null, step: number) => () =>
    Math.floor((exact()! + (reads++ * step) / 16) / step) * step;
  const steps = {
    wallMs: coarse(platform.wallMs, 1),
    cpuMs: coarse(platform.cpuMs, 15.625),
  };
  const [a] = await measureLatency([candidate("a", () => 0.25)], { platform: steps, maxRuns: 40 });
  expect(a.latency).toMatchObject({ clock: "wall", p90: null });
  expect(a.latency.median).toBeGreaterThan(0.2);
  expect(a.latency.median).toBeLessThan(0.4);
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

test("sessions are opened anew between sittings, and the interval is that of the sittings", async () => {
  const { platform, candidate } = bench();
  // Each session of b has its own speed, as memory happens to lie; within a session nothing varies,
  // so the interval of the rounds of one session would say 1.25 for certain.
  const luck = [8, 12, 9, 11, 10, 10.5, 9.5, 8.5, 11.5];
  let session = 0;
  const candidates = () => {
    session = 0;
    return [
      candidate("a", () => 10),
      { ...candidate("b", () => luck[session]), renew: async () => void session++ },
    ];
  };
  const [, b] = await measureLatency(candidates(), { platform, maxRuns: 90, budgetMs: 1e9 });
  expect(session).toBe(8);
  expect(b.rounds.map((sitting) => sitting.length)).toEqual(new Array(9).fill(10));
  // Of nine medians the sign test's interval leaves out the least and the greatest.
  expect(b.ratio.value).toBeCloseTo(10 / 10, 12);
  expect(b.ratio.ci95![0]).toBeCloseTo(10 / 11.5, 12);
  expect(b.ratio.ci95![1]).toBeCloseTo(10 / 8.5, 12);
  // By time: a ninth of the budget each.
  const [, timed] = await measureLatency(candidates(), { platform, budgetMs: 2000 });
  expect(timed.rounds.length).toBe(9);
  expect(timed.rounds.flat().length).toBeGreaterThan(60);
});

test("too few rounds for nine sittings are one sitting", async () => {
  const { platform, candidate } = bench();
  let renewed = 0;
  const slow = { ...candidate("b", () => 100), renew: async () => void renewed++ };
  const options = { platform, minRuns: 10, budgetMs: 2000 };
  const [, b] = await measureLatency([candidate("a", () => 100), slow], options);
  expect(renewed).toBe(0);
  expect(b.rounds).toHaveLength(1);
  expect(b.ratio).toEqual({ value: 1, ci95: [1, 1] });
});

test("models that take long to open are opened anew once, and no more", async () => {
  const { platform, candidate } = bench();
  const open = candidate("open", () => 200);
  const slow = { ...candidate("b", () => 10), renew: async () => void (await open.run()) };
  const [, b] = await measureLatency([candidate("a", () => 10), slow], { platform });
  expect(b.rounds).toHaveLength(2);
  expect(b.rounds.flat().length).toBeGreaterThan(30);
  expect(b.ratio).toEqual({ value: 1, ci95: [1, 1] });
});

test("below six rounds there is no interval; without a CPU clock wall time counts", async () => {
  const { platform, candidate } = bench();
  const options = { platform: { ...platform, cpuMs: () => null }, minRuns: 5, maxRuns: 5 };
  const candidates = [candidate("a", () => 6, 2), candidate("b", () => 2, 2)];
  const [a, b] = await measureLatency(candidates, options);
  expect(a.latency).toMatchObject({ median: 8, clock: "wall" });
  expect(b.ratio).toEqual({ value: 2, ci95: null });
});

test("runs that only wait still end the calibration", async () => {
  const { platform, candidate } = bench();
  const options = { platform, maxRuns: 6, threads: 2 };
  const [a] = await measureLatency([candidate("a", () => 0, 10)], options);
  expect(a.latency.median).toBe(10);
  const [b] = await measureLatency([candidate("b", () => 0, 10)], { platform, maxRuns: 6 });
  expect(b.latency).toMatchObject({ median: 0, clock: "cpu" });
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
