/** @file VGG: two or three 3x3 convolutions between poolings, for CIFAR and ImageNet. */
import { z } from "zod";
import { filterOptions, withFilters } from "./filters.ts";
import { last } from "./layers.ts";
import { colour, defineNet } from "./net.ts";

/** The VGG of papers on binary and few-bit weights, as its full-precision baseline. */
export const vggSmall = defineNet({
  title: "VGG-small",
  cite: "Cai et al. 2017, arXiv 1702.00953; Zhang et al. 2018, arXiv 1807.10029",
  input: [3, 32, 32],
  classes: 10,
  preprocess: colour,
  options: {
    width: z.int().min(8).max(1024).multipleOf(8).default(128).meta({
      description: "Channels of the first stage, a multiple of 8; later ones double them.",
    }),
    ...filterOptions,
  },
  draw(layers, image, classes, { width, filters }) {
    const { maxPool, dense } = layers;
    const { conv, norm, relu } = withFilters(layers, filters);
    let x = image;
    for (const channels of [width, 2 * width, 4 * width]) {
      x = relu(norm(conv(x, channels, 3, { bias: false })));
      x = relu(norm(conv(x, channels, 3, { bias: false })));
      x = maxPool(x, 2);
    }
    return dense(x, classes, last);
  },
});

/** Configuration D without dropout. */
export const vgg16 = defineNet({
  title: "VGG-16",
  cite: "Simonyan and Zisserman 2015, arXiv 1409.1556, table 1 D",
  input: [3, 224, 224],
  classes: 1000,
  preprocess: colour,
  draw({ conv, relu, maxPool, dense }, image, classes) {
    let x = image;
    for (const [channels, depth] of [
      [64, 2],
      [128, 2],
      [256, 3],
      [512, 3],
      [512, 3],
    ]) {
      for (let i = 0; i < depth; i++) x = relu(conv(x, channels, 3));
      x = maxPool(x, 2);
    }
    for (let i = 0; i < 2; i++) x = relu(dense(x, 4096));
    return dense(x, classes, last);
  },
});
