/** @file `net:<name>` wherever a model is asked for. */
import { expect, test } from "vitest";
import { load, nets } from "../../src/node.ts";
import { run } from "../cli/run.ts";

test("load: seed 1 unless another is given", async () => {
  const [first, again, other] = [
    await load("net:lenet-5"),
    await load("net:lenet-5", { seed: 1 }),
    await load("net:lenet-5", { seed: 2 }),
  ];
  expect(first.name).toBe("lenet-5.onnx");
  expect(again.hash).toBe(first.hash);
  expect(other.hash).not.toBe(first.hash);
  expect(first.model.graph.outputs[0].shape).toEqual(["N", nets["lenet-5"].classes]);
});

test("tersor inspect prints a network's cost, and takes the seed", async () => {
  const inspect = async (...more: string[]) => {
    const argv = ["inspect", "net:resnet-20", "--timing", "0.05s", "--json", ...more];
    const { status, stdout } = await run(argv);
    expect(status).toBe(0);
    return JSON.parse(stdout);
  };
  const [first, other] = [await inspect(), await inspect("--seed", "2")];
  expect(first.totals).toMatchObject({ params: 269_722, macs: 40_551_040 });
  expect(other.totals).toMatchObject({ params: 269_722, macs: 40_551_040 });
  expect(other.model.hash).not.toBe(first.model.hash);
});

test("an unknown name is bad input, with the nearest one", async () => {
  const { status, stdout, stderr } = await run(["inspect", "net:vgg16"]);
  expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
  expect(stderr).toBe(
    'tersor: unknown-net: net:vgg16: there is no network "vgg16". Did you mean "net:vgg-16"?\n',
  );
});
