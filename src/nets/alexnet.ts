/** @file AlexNet in one column without groups and response normalization, as torchvision's. */
import { last } from "./layers.ts";
import { colour, defineNet } from "./net.ts";

/** Dropout is left out. */
export const alexnet = defineNet({
  title: "AlexNet (one column)",
  cite: "Krizhevsky et al. 2012; Krizhevsky 2014, arXiv 1404.5997",
  input: [3, 224, 224],
  classes: 1000,
  preprocess: colour,
  draw({ conv, relu, maxPool, dense }, image, classes) {
    const pool = { stride: 2 };
    let x = relu(conv(image, 64, 11, { stride: 4, pad: 2 }));
    x = relu(conv(maxPool(x, 3, pool), 192, 5));
    x = relu(conv(maxPool(x, 3, pool), 384, 3));
    x = relu(conv(x, 256, 3));
    x = relu(conv(x, 256, 3));
    x = maxPool(x, 3, pool);
    for (let i = 0; i < 2; i++) x = relu(dense(x, 4096));
    return dense(x, classes, last);
  },
});
