/**
 * @file ONNX Runtime as on an older processor: a copy of the native engine that AVX512 and VNNI are hidden from.
 *
 * ONNX Runtime has no switch for it. In a copy of its library each cpuid is replaced by ud2, which is as
 * long and raises a signal; a library loaded beforehand (hidden-cpu.c) answers that. Kernels are chosen by
 * what cpuid says, so that those for AVX2 run. Linux on x64 with gcc and objdump only.
 */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const [CPUID, UD2] = [0x0fa2, 0x0f0b];

/** The path of the engine's module and the environment of its process; null where it cannot be made. */
export function hiddenCpu(
  folder: string,
): { readonly engine: string; readonly env: Readonly<Record<string, string>> } | null {
  if (process.platform !== "linux" || process.arch !== "x64") return null;
  const require = createRequire(import.meta.url);
  const modules = join(folder, "node_modules");
  const packages = ["onnxruntime-node", "onnxruntime-common"];
  try {
    mkdirSync(modules, { recursive: true });
    for (const name of packages) {
      const [root] = require.resolve(name).split(join(name, "dist"));
      cpSync(join(root, name), join(modules, name), { recursive: true });
    }
    const engine = join(modules, "onnxruntime-node", "dist", "index.js");
    const binaries = join(modules, "onnxruntime-node", "bin", "napi-v6", "linux", "x64");
    replaceCpuid(join(binaries, "libonnxruntime.so.1"));
    const preload = join(folder, "hidden-cpu.so");
    const source = fileURLToPath(new URL("hidden-cpu.c", import.meta.url));
    execFileSync("gcc", ["-shared", "-fPIC", "-O2", "-w", "-o", preload, source]);
    return { engine, env: { LD_PRELOAD: preload } };
  } catch (cause) {
    console.log(
      `no older processor: ${cause instanceof Error ? cause.message.split("\n")[0] : cause}`,
    );
    return null;
  }
}

/** Rewrites a library in place. Its text section has to lie in the file where it lies in memory. */
function replaceCpuid(path: string): void {
  const text = execFileSync("objdump", ["-d", "--no-show-raw-insn", "-j", ".text", path], {
    encoding: "utf8",
    maxBuffer: 2 ** 31,
  });
  const bytes = readFileSync(path);
  const found = [...text.matchAll(/^\s*([0-9a-f]+):\s+cpuid\b/gm)].map(([, at]) =>
    Number.parseInt(at, 16),
  );
  if (found.length === 0) throw new Error(`no cpuid in ${dirname(path)}`);
  for (const at of found) {
    if (bytes.readUInt16BE(at) !== CPUID) throw new Error(`no cpuid at ${at} of ${path}`);
    bytes.writeUInt16BE(UD2, at);
  }
  writeFileSync(path, bytes);
}
