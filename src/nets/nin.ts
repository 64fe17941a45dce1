/**
 * @file Network in Network for CIFAR-10: 1x1 convolutions after each convolution, and a global
 * average instead of a dense classifier.
 */
import { last } from "./layers.ts";
import { colour, defineNet } from "./net.ts";

/** Caffe lets these windows reach beyond the lower and the right border. */
const overlapping = { stride: 2, pad: [0, 0, 1, 1] } as const;

/** As in the authors' Caffe definition, but without dropout. */
export const nin = defineNet({
  title: "Network in Network",
  cite: "Lin et al. 2014, arXiv 1312.4400",
  input: [3, 32, 32],
  classes: 10,
  preprocess: colour,
  draw({ conv, relu, maxPool, averagePool, globalPool }, image, classes) {
    let x = relu(conv(image, 192, 5));
    x = relu(conv(x, 160, 1));
    x = relu(conv(x, 96, 1));
    x = relu(conv(maxPool(x, 3, overlapping), 192, 5));
    x = relu(conv(x, 192, 1));
    x = relu(conv(x, 192, 1));
    x = relu(conv(averagePool(x, 3, overlapping), 192, 3));
    x = relu(conv(x, 192, 1));
    return globalPool(relu(conv(x, classes, 1, last)));
  },
});
