/** @file Real models compute the same after rewriting, in a file that is no larger. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { verify } from "../../src/ir/verify.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { rewrite } from "../../src/rewrite/index.ts";
import { openNodeRuntime } from "../../src/runtime/ort-node.ts";
import { relativeError } from "../support/error.ts";
import { feedsOf, realModels } from "../support/real-models.ts";

const runtime = await openNodeRuntime();

describe.each(realModels)("$name", ({ name, path, shapes }) => {
  test.skipIf(!path)("keeps its outputs and does not grow", async () => {
    const bytes = new Uint8Array(readFileSync(path as string));
    const model = readModel(bytes, { name });
    const upgraded = writeModel(model).byteLength;
    rewrite(model);
    expect(verify(model)).toEqual([]);
    const rewritten = concat(writeModel(model));
    expect(rewritten.byteLength).toBeLessThanOrEqual(Math.max(upgraded, bytes.byteLength));
    const sessions = await Promise.all([bytes, rewritten].map((b) => runtime.open({ bytes: b })));
    for (const shape of shapes) {
      const feeds = feedsOf(shape);
      const [expected, actual] = await Promise.all(sessions.map((session) => session.run(feeds)));
      expect(relativeError(expected, actual)).toBeLessThan(5e-5);
    }
    for (const session of sessions) await session.close();
  });
});
