/** @file Runs the operator tests of Debian's libonnx-testdata: round trip, then outputs as expected. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fromBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema, TensorProtoSchema } from "onnx-buf";
import { TersorError } from "../../src/errors.ts";
import type { Tensor } from "../../src/ir/tensor.ts";
import { readModel } from "../../src/onnx/read.ts";
import { readTensor } from "../../src/onnx/tensor-proto.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import type { Feeds, Runtime } from "../../src/runtime/runtime.ts";

const root = "/usr/lib/python3/dist-packages/onnx/backend/test/data";
const suites = ["node", "simple", "pytorch-converted", "pytorch-operator"];

/** Folders with a model.onnx; empty, with the reason printed, where the package is not installed. */
export function conformanceCases(): string[] {
  if (!existsSync(root)) console.info(`skipped: ${root} is missing (apt install libonnx-testdata)`);
  return suites.flatMap((suite) => {
    const folder = `${root}/${suite}`;
    if (!existsSync(folder)) return [];
    return readdirSync(folder)
      .map((name) => `${folder}/${name}`)
      .filter((path) => existsSync(`${path}/model.onnx`));
  });
}

export interface Outcome {
  /** "exact": the same bits as the untouched model gives; "close": it does not run, or differs. */
  readonly status: "exact" | "close" | "failed" | "skipped";
  readonly why: string;
  readonly opset: number;
}

/** Every case must come back from a round trip unchanged; those the engine runs must be right. */
export async function runCase(folder: string, runtime: Runtime): Promise<Outcome> {
  const bytes = new Uint8Array(readFileSync(`${folder}/model.onnx`));
  const proto = fromBinary(ModelProtoSchema, bytes);
  const opset = Number(proto.opsetImport.find(({ domain }) => domain === "")?.version ?? 0);
  const outcome = (status: Outcome["status"], why = ""): Outcome => ({ status, why, opset });

  let written: Uint8Array;
  try {
    written = concat(writeModel(readModel(bytes, { name: folder })));
    const again = concat(writeModel(readModel(written, { name: folder })));
    if (!sameBytes(written, again)) return outcome("failed", "a second round trip changed it");
  } catch (error) {
    if (error instanceof TersorError) return outcome("failed", error.message);
    throw error;
  }

  const data = readData(folder, proto.graph?.input.map(({ name }) => name) ?? []);
  if (!data) {
    const opens = typeof (await run(runtime, bytes, null)) !== "string";
    const refusal = await run(runtime, written, null);
    if (opens && typeof refusal === "string") return outcome("failed", refusal);
    return outcome("skipped", "sequences, optionals or unknown types: opened only");
  }
  const before = await run(runtime, bytes, data.feeds);
  const after = await run(runtime, written, data.feeds);
  if (typeof after === "string") {
    if (typeof before === "string") return outcome("skipped", `engine: ${before}`);
    return outcome("failed", `only the original runs: ${after}`);
  }
  // Some expected outputs are not this engine's; then it counts that nothing changed.
  if (typeof before !== "string" && sameOutputs(before, after)) return outcome("exact");
  const wrong = mismatch(Object.values(after), data.expected);
  if (!wrong) return outcome("close", typeof before === "string" ? before : "bits differ");
  const original = typeof before !== "string" && mismatch(Object.values(before), data.expected);
  return original ? outcome("skipped", `random: ${original}`) : outcome("failed", wrong);
}

/** The outputs, or the engine's words; without feeds it only opens the model. */
async function run(
  runtime: Runtime,
  bytes: Uint8Array,
  feeds: Feeds | null,
): Promise<Record<string, Tensor> | string> {
  try {
    const session = await runtime.open({ bytes });
    try {
      return feeds ? await session.run(feeds) : {};
    } finally {
      await session.close();
    }
  } catch (error) {
    return (error as Error).message;
  }
}

/** Null where inputs or outputs are no tensors that the engine's binding takes. */
function readData(folder: string, inputs: string[]): { feeds: Feeds; expected: Tensor[] } | null {
  const set = `${folder}/test_data_set_0`;
  const read = (kind: string): Tensor[] => {
    const count = readdirSync(set).filter((file) => file.startsWith(`${kind}_`)).length;
    return Array.from({ length: count }, (_, i) =>
      readTensor(fromBinary(TensorProtoSchema, readFileSync(`${set}/${kind}_${i}.pb`)), {
        where: folder,
        external: null,
      }),
    );
  };
  try {
    const values = read("input");
    return {
      feeds: Object.fromEntries(values.map((value, i) => [inputs[i], value])),
      expected: read("output"),
    };
  } catch {
    return null;
  }
}

/** The tolerance of onnx.backend.test. */
function mismatch(actual: readonly Tensor[], expected: readonly Tensor[]): string | null {
  for (const [i, want] of expected.entries()) {
    const got = actual[i];
    if (!got || got.dtype !== want.dtype) return `output ${i} is ${got?.dtype}, not ${want.dtype}`;
    if (String(got.shape) !== String(want.shape)) {
      return `output ${i} is [${got.shape}], not [${want.shape}]`;
    }
    if (want.strings) {
      if (want.strings.join("\n") !== got.strings?.join("\n")) return `output ${i} differs`;
      continue;
    }
    const [a, b] = [got.numbers(), want.numbers()];
    const tolerance = want.dtype === "float16" ? 1e-2 : 1e-3;
    for (let k = 0; k < b.length; k++) {
      if (Object.is(a[k], b[k]) || a[k] === b[k]) continue;
      if (!(Math.abs(a[k] - b[k]) <= 1e-7 + tolerance * Math.abs(b[k]))) {
        return `output ${i}[${k}] is ${a[k]}, not ${b[k]}`;
      }
    }
  }
  return null;
}

export function sameOutputs(a: Record<string, Tensor>, b: Record<string, Tensor>): boolean {
  return Object.entries(a).every(([name, x]) => {
    const y = b[name];
    return (
      y !== undefined &&
      String(x.shape) === String(y.shape) &&
      (x.strings ? x.strings.join("\n") === y.strings?.join("\n") : sameBytes(x.bytes(), y.bytes()))
    );
  });
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
