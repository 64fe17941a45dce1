/** @file LeNet-300-100 and LeNet-5 for MNIST, in Caffe's versions, which compression papers use. */
import { last } from "./layers.ts";
import { defineNet } from "./net.ts";

const cite = "LeCun et al. 1998, Gradient-based learning applied to document recognition";

export const lenet300100 = defineNet({
  title: "LeNet-300-100",
  cite: `${cite}, section III-C.4`,
  input: [1, 28, 28],
  classes: 10,
  draw({ dense, relu }, image, classes) {
    const hidden = relu(dense(relu(dense(image, 300)), 100));
    return dense(hidden, classes, last);
  },
});

/**
 * As in Caffe's examples/mnist/lenet.prototxt, there is only pooling between the
 * convolutions, no activation.
 */
export const lenet5 = defineNet({
  title: "LeNet-5 (Caffe)",
  cite,
  input: [1, 28, 28],
  classes: 10,
  filler: "xavier",
  draw({ conv, maxPool, dense, relu }, image, classes) {
    const low = maxPool(conv(image, 20, 5, { pad: 0 }), 2);
    const high = maxPool(conv(low, 50, 5, { pad: 0 }), 2);
    return dense(relu(dense(high, 500)), classes, last);
  },
});
