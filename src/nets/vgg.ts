/** @file VGG: two or three 3x3 convolutions between poolings, for CIFAR and ImageNet. */
import { last } from "./layers.ts";
import { colour, defineNet } from "./net.ts";

/** The VGG of papers on binary and few-bit weights, as its full-precision baseline. */
export const vggSmall = defineNet({
  title: "VGG-small",
  cite: "Cai et al. 2017, arXiv 1702.00953; Zhang et al. 2018, arXiv 1807.10029",
  input: [3, 32, 32],
  classes: 10,
  preprocess: colour,
  draw({ conv, norm, relu, maxPool, dense }, image, classes) {
    let x = image;
    for (const channels of [128, 256, 512]) {
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
