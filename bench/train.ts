/**
 * @file Compares the time of a training step with PyTorch's, for the same network, weights, batch,
 * optimizer and number of threads. Writes results/train.json.
 *
 * `npm run bench:train [task ...]`, with PEERS_PYTHON naming a Python that has PyTorch. Each side
 * is a process of its own; they take turns. Times are CPU times of the process, which other work on
 * the machine disturbs little. With 2 threads tersor runs an engine per core on half the batch
 * each.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { cpus } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { median, medianInterval } from "../src/numeric/statistics.ts";
import { readRun, writeRun } from "./record.ts";
import { tasks } from "./train-nets.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const work = `${root}bench/.cache/train/`;
const python = process.env.PEERS_PYTHON ?? `${root}bench/.cache/peers/bin/python`;
if (!existsSync(python))
  throw new Error(`${python} is missing: set PEERS_PYTHON to one with torch`);

const rounds = Number(process.env.ROUNDS ?? 12);
const stepsPerRound = 2;
/**
 * Largest relative difference of the first losses; float32 sums in another order differ a little.
 */
const agreement = 1e-3;

/** A line of a child process: times of each step in ms, losses, peak memory in MB. */
interface Answer {
  readonly cpu: number[];
  readonly wall: number[];
  /** tersor's times of the optimizer alone, CPU ms. */
  readonly updates?: number[];
  readonly losses: number[];
  readonly peak: number;
  readonly version: string;
  readonly tuneSeconds?: number;
  readonly choices?: Record<string, string>;
  readonly operators?: Record<string, number>;
}

/** A child process that runs steps. */
interface Side {
  ask(line: string): Promise<Answer>;
  stop(): void;
}

function start(command: string, args: readonly string[]): Side {
  const child: ChildProcessWithoutNullStreams = spawn(command, args, { cwd: root });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let words = "";
  child.stderr.on("data", (chunk) => {
    words += chunk;
  });
  return {
    async ask(line) {
      child.stdin.write(`${line}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error(`${command} ${args[0]} ended: ${words.slice(-2000)}`);
      return JSON.parse(value) as Answer;
    },
    stop: () => child.stdin.end(),
  };
}

interface Times {
  readonly cpuMs: number;
  readonly cpuMinMs: number;
  readonly wallMs: number;
  readonly peakMb: number;
}

const round = (x: number, digits = 1): number => Number(x.toFixed(digits));

function summary(answers: readonly Answer[]): Times {
  const [cpu, wall] = [answers.flatMap((a) => a.cpu), answers.flatMap((a) => a.wall)];
  return {
    cpuMs: round(median(cpu)),
    cpuMinMs: round(Math.min(...cpu)),
    wallMs: round(median(wall)),
    peakMb: Math.round((answers.at(-1) as Answer).peak),
  };
}

async function compare(name: string, threads: number) {
  const { title, limit, input } = tasks[name];
  const folder = `${work}${name}-${threads}`;
  mkdirSync(folder, { recursive: true });
  const count = String(threads);
  const ours = start("npx", ["tsx", "bench/train-child.ts", name, count, folder]);
  const sides: Record<string, Side> = { tersor: ours };
  const answers: Record<string, Answer[]> = { tersor: [await ours.ask("2")] };
  const torch = (...more: string[]) =>
    start(python, [`${root}bench/train.py`, name, count, folder, ...more]);
  sides.pytorch = torch();
  if (input.length === 4) sides.pytorchChannelsLast = torch("channels_last");
  for (const [key, side] of Object.entries(sides)) answers[key] ??= [await side.ask("2")];
  const first = Object.values(answers).map(([{ losses }]) => losses[0]);
  const worst = Math.max(...first.map((loss) => Math.abs(loss / first[0] - 1)));
  if (worst > agreement) throw new Error(`${name}: losses differ: ${first}`);
  for (let i = 0; i < rounds; i++) {
    for (const [key, side] of Object.entries(sides)) {
      answers[key].push(await side.ask(String(stepsPerRound)));
    }
  }
  const { operators } = await ours.ask("profile");
  for (const side of Object.values(sides)) side.stop();
  // The first steps are not counted: they allocate memory and warm the caches.
  const times = Object.fromEntries(
    Object.entries(answers).map(([key, all]) => [key, summary(all.slice(1))]),
  );
  const pairs = answers.tersor.slice(1).map(({ cpu, wall }, i) => {
    const other = answers.pytorch[i + 1];
    return { cpu: median(cpu) / median(other.cpu), wall: median(wall) / median(other.wall) };
  });
  const ratio = {
    cpu: round(median(pairs.map(({ cpu }) => cpu)), 3),
    wall: round(median(pairs.map(({ wall }) => wall)), 3),
    /** 95 % intervals. */
    cpuCi95: medianInterval(pairs.map(({ cpu }) => cpu))?.map((x) => round(x, 3)) ?? null,
    wallCi95: medianInterval(pairs.map(({ wall }) => wall))?.map((x) => round(x, 3)) ?? null,
    cpuMin: round(times.tersor.cpuMinMs / times.pytorch.cpuMinMs, 3),
    peakMemory: round(times.tersor.peakMb / times.pytorch.peakMb, 3),
  };
  const updates = answers.tersor.slice(1).flatMap((answer) => answer.updates ?? []);
  const { tuneSeconds, choices, version } = answers.tersor[0];
  console.log(
    `${title}, ${threads} thread${threads > 1 ? "s" : ""}: ${times.tersor.cpuMs} against ${times.pytorch.cpuMs} CPU ms, ratio ${ratio.cpu} (minima ${ratio.cpuMin}, wall ${ratio.wall}; at most ${limit}), memory ${ratio.peakMemory}`,
  );
  console.log(`  ${JSON.stringify(operators)}`);
  return {
    task: name,
    title,
    threads,
    limit,
    ratio,
    times,
    lossDifference: worst,
    operators,
    updateMs: round(median(updates)),
    tuneSeconds: round(tuneSeconds ?? 0),
    choices,
    versions: { "onnxruntime-node": version, torch: answers.pytorch[0].version },
  };
}

const wanted = process.argv.slice(2);
type Row = Awaited<ReturnType<typeof compare>>;
const before = readRun<{ results: Row[] }>("train")?.results ?? [];
const results = new Map(before.map((row) => [`${row.task} ${row.threads}`, row]));
const threadCounts = (process.env.THREADS ?? "1,2").split(",").map(Number);
for (const name of Object.keys(tasks).filter((task) => !wanted.length || wanted.includes(task))) {
  for (const threads of threadCounts) {
    results.set(`${name} ${threads}`, await compare(name, threads));
  }
}
const machine = { node: process.version, cores: cpus().length };
writeRun("train", { command: "npm run bench:train", machine, results: [...results.values()] });
