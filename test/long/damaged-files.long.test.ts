import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { TersorError } from "../../src/errors.ts";
import { printModel } from "../../src/ir/print.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { readModel } from "../../src/onnx/read.ts";
import { concat, writeModel } from "../../src/onnx/write.ts";
import { conformanceCases } from "../onnx/conformance.ts";

const files = conformanceCases()
  .map((folder) => new Uint8Array(readFileSync(`${folder}/model.onnx`)))
  .filter(({ length }) => length < 20_000);

describe.skipIf(files.length === 0)("every operator's file, damaged", () => {
  test.each([1, 2, 3, 4])(
    "seed %i: an error of the catalogue, or a model that survives a round trip",
    (seed) => {
      const random = createRandom(seed);
      let read = 0;
      for (let i = 0; i < 50_000; i++) {
        const bytes = files[random.int(files.length)].slice();
        for (let flips = 1 + random.int(4); flips > 0; flips--) {
          bytes[random.int(bytes.length)] = random.int(3) > 0 ? random.int(256) : 255;
        }
        try {
          const model = readModel(bytes);
          read++;
          const again = readModel(concat(writeModel(model)));
          if (printModel(again) !== printModel(model)) throw new Error("it came back changed");
        } catch (error) {
          if (!(error instanceof TersorError))
            throw new Error(`seed ${seed}, file ${i}`, { cause: error });
        }
      }
      expect(read).toBeGreaterThan(1000);
    },
    300_000,
  );
});
