/** @file Names of files that follow from what the user typed for a model. */
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { modelName, withEnding } from "../../src/cli/paths.ts";

test("a file URL is the path that it names", () => {
  const url = pathToFileURL("/models/my net.onnx").href;
  expect(url).toBe("file:///models/my%20net.onnx");
  expect(modelName(url)).toBe("/models/my net.onnx");
  expect(withEnding(url, ".tersor")).toBe("/models/my net.tersor");
});

test("an address and a benchmark network are files of the current folder", () => {
  expect(modelName("https://example.org/a/my%20net.onnx?download=1")).toBe("my net.onnx");
  expect(withEnding("https://example.org/a/net.tersor", ".onnx")).toBe("net.onnx");
  expect(withEnding("HTTPS://example.org/", ".half.onnx")).toBe("example.org.half.onnx");
  expect(modelName("net:lenet-5")).toBe("lenet-5.onnx");
  expect(modelName("net:vgg-small?filters=p4&width=8")).toBe("vgg-small.filters=p4.width=8.onnx");
  expect(withEnding("net:lenet-5", ".trained.onnx")).toBe("lenet-5.trained.onnx");
});

test("a path stays one, whatever is in it", () => {
  expect(modelName("a/b 100%.onnx")).toBe("a/b 100%.onnx");
  expect(withEnding("a/b.onnx", ".half.onnx")).toBe("a/b.half.onnx");
  expect(withEnding("a/b.bin", ".half.onnx")).toBe("a/b.bin.half.onnx");
});
