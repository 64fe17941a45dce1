/** @file Every real model, packed and unpacked: the same tensors, ports and outputs. */
import { test } from "vitest";
import { expectSamePacked } from "../onnx/packed.ts";
import { realModels } from "../support/real-models.ts";

const present = realModels.filter(({ path }) => path !== null);

test.each(present)("$name", (model) => expectSamePacked(model));
