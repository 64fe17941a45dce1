/** @file What every method must do on every kind of network: being in the table is being tested. */
import { describe, expect, test } from "vitest";
import type { Model } from "../../src/ir/model.ts";
import { verify } from "../../src/ir/verify.ts";
import { type MethodId, methods } from "../../src/methods/index.ts";
import type { Method } from "../../src/methods/method.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { weightsOf } from "../../src/ops/weights.ts";
import { applyRecipe } from "../../src/recipe/apply.ts";
import type { Environment } from "../../src/recipe/environment.ts";
import { isTraining, parseRecipe } from "../../src/recipe/steps.ts";
import { openWebRuntime } from "../../src/runtime/ort-web.ts";
import { apply, environmentOf, outputsOf } from "../support/apply.ts";
import { relativeError } from "../support/error.ts";
import { type Net, smallNets } from "../support/nets.ts";

const web = await openWebRuntime();
/** Without the step that edits nothing and says how the file is written. */
const table = (Object.entries(methods) as unknown as [MethodId, Method][]).filter(
  ([, { packs }]) => !packs,
);
const bytesOf = (model: Model): Uint8Array => concat(writeModel(model));

/** The defaults, then whatever a survey tries. */
function settingsOf({ survey }: Method): Record<string, unknown>[] {
  const seen = new Map([{}, ...survey].map((options) => [JSON.stringify(options), options]));
  return [...seen.values()];
}

/** With a teacher by name, because the step `train` alone must not learn from its own start. */
const envOf = (net: Net, changes: Partial<Environment> = {}): Environment =>
  environmentOf(net, { teacher: net.model, ...changes });

/**
 * `some`: where nothing but the network changes, each setting of a method is tried on one, in turn
 * with the next setting and the next method.
 */
export function describeContract(mode: "all" | "some"): void {
  describe.each(table)("%s", (id, method) => {
    describe.each(smallNets.map((net) => [net.name, net] as const))("on %s", (_, net) => {
      const [row, column] = [table.findIndex(([own]) => own === id), smallNets.indexOf(net)];
      const isTried = (setting: number): boolean =>
        mode === "all" || (row + column + setting) % smallNets.length === 0;
      const isThorough = isTried(0);
      let usual: ReturnType<typeof apply> | null = null;
      /** What the defaults give, once for all tests that begin with it. */
      const applied = (): ReturnType<typeof apply> => {
        usual ??= apply(net.model, id, {}, envOf(net));
        return usual;
      };

      test.each(settingsOf(method).filter((_, setting) => isTried(setting)))(
        "opens, runs, repeats and round-trips with %j",
        async (options) => {
          const env = envOf(net);
          const before = bytesOf(net.model);
          const original = await outputsOf(before, env.feeds);
          const { model, bytes, skipped, drew } = await apply(net.model, id, options, env);
          expect(verify(model)).toEqual([]);
          expect(same(bytesOf(net.model), before)).toBe(true);
          const outputs = await outputsOf(bytes, env.feeds);
          for (const [name, expected] of Object.entries(original)) {
            expect(outputs[name].shape).toEqual(expected.shape);
            expect(outputs[name].floats().every(Number.isFinite)).toBe(true);
          }
          // What learns follows its labels, here noise; other settings are there to be tried.
          const isRough =
            method.isControl ||
            method.isStart ||
            parseRecipe([{ method: id }] as never).some(isTraining) ||
            Object.keys(options).length > 0;
          expect(noise(original, outputs)).toBeLessThan(isRough ? 1.3 : 0.8);

          expect(writeModel(model).byteLength).toBe(bytes.length);
          const again = bytesOf(readModel(bytes, { name: id }));
          expect(relativeError(outputs, await outputsOf(again, env.feeds))).toBe(0);

          const repeated = await apply(net.model, id, options, env);
          expect(same(repeated.bytes, bytes)).toBe(true);
          // What was drawn for a step that then left all as it was is in no bytes.
          if (drew && !same(bytes, before)) {
            const other = await apply(net.model, id, options, { ...env, seed: 2 });
            expect(same(other.bytes, bytes)).toBe(false);
          }

          const names = new Set(
            [...net.model.graph.walk()].flatMap((g) => [...g.nodes].map((n) => n.name)),
          );
          for (const { node, reason } of skipped) {
            expect(names).toContain(node);
            expect(reason).toMatch(/^\S.{8,}[^.]$/);
          }
        },
      );

      test.runIf(method.neutral && isThorough)(
        "leaves outputs alone with neutral options",
        async () => {
          const env = envOf(net);
          const original = await outputsOf(bytesOf(net.model), env.feeds);
          const { bytes } = await apply(net.model, id, { ...method.neutral }, env);
          expect(relativeError(original, await outputsOf(bytes, env.feeds))).toBeLessThan(1e-5);
        },
      );

      test.runIf(isThorough)("gives the same in the web build", async () => {
        const env = envOf(net);
        const { bytes } = await applied();
        const session = await web.open({ bytes });
        const outputs = await session.run(env.feeds);
        await session.close();
        // Integer kernels may round a sum the other way.
        expect(noise(await outputsOf(bytes, env.feeds), outputs)).toBeLessThan(0.02);
      });

      test.runIf(isThorough)("may be applied twice", async () => {
        const env = envOf(net);
        const once = await applied();
        const twice = await apply(once.model, id, {}, env);
        expect(verify(twice.model)).toEqual([]);
        const outputs = await outputsOf(twice.bytes, env.feeds);
        expect(noise(await outputsOf(once.bytes, env.feeds), outputs)).toBeLessThan(1);
      });

      const isChoosing = "except" in method.options.shape;
      test.runIf(isThorough && isChoosing)("works on the chosen layers only", async () => {
        const env = envOf(net);
        const names = [...new Set(weightsOf(net.model).map(({ node }) => node.name))];
        const none = await apply(net.model, id, { except: ["*"] }, env);
        expect(same(none.bytes, bytesOf(net.model))).toBe(true);
        const ends = [names[0], names.at(-1) as string];
        for (const name of mode === "all" ? ends : [ends[row % 2]]) {
          const { model, skipped } = await apply(net.model, id, { only: [name] }, env);
          expect(touched(net.model, model).filter((touchedName) => touchedName !== name)).toEqual(
            [],
          );
          expect(skipped.filter(({ node }) => node !== name)).toEqual([]);
          const rest = await apply(net.model, id, { except: [name] }, env);
          expect(touched(net.model, rest.model)).not.toContain(name);
        }
        const wrong = apply(net.model, id, { only: ["no-such-layer*"] }, env);
        await expect(wrong).rejects.toMatchObject({ code: "no-match" });
      });
    });

    test("stops when it is told to, before and in the middle", async () => {
      const [net] = smallNets;
      const steps = parseRecipe([{ method: id }] as never);
      const before = envOf(net, { signal: AbortSignal.abort() });
      await expect(applyRecipe(net.model, steps, before)).rejects.toMatchObject({
        code: "aborted",
      });
      const controller = new AbortController();
      const { calibration } = envOf(net);
      const env = envOf(net, {
        signal: controller.signal,
        onEvent: () => controller.abort(),
        calibration: calibration && {
          ...calibration,
          read(indices) {
            controller.abort();
            return calibration.read(indices);
          },
        },
      });
      await expect(applyRecipe(net.model, steps, env)).rejects.toMatchObject({ code: "aborted" });
      expect(controller.signal.aborted).toBe(true);
    });

    test("says what it is", () => {
      expect(id).toMatch(/^[a-z]+(-[a-z0-9]+)*$/);
      expect(method.title.length * method.cite.length).toBeGreaterThan(0);
      expect(method.summary).toMatch(/^[A-Zi].*\.$/);
    });
  });
}

/** Layers of which some weight is no longer the very same tensor (tensors are immutable). */
function touched(before: Model, after: Model): string[] {
  const left = new Set(
    [...after.graph.walk()].flatMap((g) => [...g.constants].map((c) => c.tensor)),
  );
  const gone = weightsOf(before).filter(({ value }) => value.tensor && !left.has(value.tensor));
  return [...new Set(gone.map(({ node }) => node.name))];
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** |a - b| / |a|, of all outputs together. */
function noise(a: Awaited<ReturnType<typeof outputsOf>>, b: typeof a): number {
  let [error, power] = [0, 0];
  for (const [name, expected] of Object.entries(a)) {
    const [x, y] = [expected.floats(), b[name].floats()];
    for (let i = 0; i < x.length; i++) {
      error += (x[i] - y[i]) ** 2;
      power += x[i] ** 2;
    }
  }
  return Math.sqrt(error / power);
}
