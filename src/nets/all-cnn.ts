/** @file All-CNN-C for CIFAR-10, which has strided convolutions instead of pooling. */
import { last } from "./layers.ts";
import { colour, defineNet } from "./net.ts";

/** Dropout is left out. */
export const allCnnC = defineNet({
  title: "All-CNN-C",
  cite: "Springenberg et al. 2015, arXiv 1412.6806, tables 1 and 2",
  input: [3, 32, 32],
  classes: 10,
  preprocess: colour,
  draw({ conv, relu, globalPool }, image, classes) {
    let x = image;
    for (const channels of [96, 192]) {
      x = relu(conv(x, channels, 3));
      x = relu(conv(x, channels, 3));
      x = relu(conv(x, channels, 3, { stride: 2 }));
    }
    x = relu(conv(x, 192, 3, { pad: 0 }));
    x = relu(conv(x, 192, 1));
    return globalPool(relu(conv(x, classes, 1, last)));
  },
});
