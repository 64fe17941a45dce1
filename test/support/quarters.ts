/** @file A small task for tests of training: which quarter of an image is bright. */
import { tensor } from "../../src/ir/tensor.ts";
import { createRandom } from "../../src/numeric/random.ts";
import { tensorDataset } from "./dataset.ts";
import { type Net, nets } from "./nets.ts";

export const net = nets.find(({ name }) => name === "lenet5") as Net;

/** Images of one bright quarter: which of the four is the label. */
export function quarters(records: number, seed: number) {
  const [input] = net.model.graph.inputs;
  const [, channels, height, width] = input.shape as number[];
  const random = createRandom(seed);
  const pixels = new Float32Array(records * channels * height * width);
  const labels = new Int32Array(records);
  for (let i = 0; i < records; i++) {
    labels[i] = random.int(4);
    for (let j = 0; j < height * width; j++) {
      const quarter = 2 * Number(j / width >= height / 2) + Number(j % width >= width / 2);
      pixels[i * height * width + j] = random.normal() * 0.3 + Number(quarter === labels[i]);
    }
  }
  const inputs = { [input.name]: tensor("float32", [records, channels, height, width], pixels) };
  return tensorDataset(inputs, tensor("int32", [records], labels), "quarters");
}
