/** @file Residual networks: ResNet-20 and -56 for CIFAR, MLPerf Tiny's ResNet-8, and ResNet-50. */
import type { Value } from "../ir/graph.ts";
import { type Layers, last } from "./layers.ts";
import { colour, defineNet } from "./net.ts";

const cite = "He et al. 2016, arXiv 1512.03385";

/**
 * y = relu(x + branch) with two 3x3 convolutions in the branch. Shortcuts have no
 * parameters (option A).
 */
function plainBlock({ conv, norm, relu, join, subsample }: Layers, x: Value, channels: number) {
  const stride = x.shape?.[1] === channels ? 1 : 2;
  const inner = relu(norm(conv(x, channels, 3, { stride, bias: false })));
  const branch = norm(conv(inner, channels, 3, { bias: false }));
  return join(stride === 1 ? x : subsample(x, channels), branch);
}

/** A network of 6 n + 2 layers in three stages of n blocks. */
function cifarNet(n: number) {
  return defineNet({
    title: `ResNet-${6 * n + 2} (CIFAR, shortcuts of option A)`,
    cite: `${cite}, section 4.2`,
    input: [3, 32, 32],
    classes: 10,
    preprocess: colour,
    draw(layers, image, classes) {
      const { conv, norm, relu, globalPool, dense } = layers;
      let x = relu(norm(conv(image, 16, 3, { bias: false })));
      for (const channels of [16, 32, 64]) {
        for (let i = 0; i < n; i++) x = plainBlock(layers, x, channels);
      }
      return dense(globalPool(x), classes, last);
    },
  });
}

export const resnet20 = cifarNet(3);
export const resnet56 = cifarNet(9);

/** TensorFlow pads a strided 3x3 convolution of an even size only below and at the right. */
const sameStrided = { stride: 2, pad: [0, 0, 1, 1] } as const;

/**
 * As in the Keras model, convolutions have biases, and a shortcut is a 1x1 convolution
 * without normalization.
 */
export const resnet8 = defineNet({
  title: "ResNet-8 (MLPerf Tiny)",
  cite: "Banbury et al. 2021, arXiv 2106.07597",
  input: [3, 32, 32],
  classes: 10,
  preprocess: colour,
  draw({ conv, norm, relu, join, globalPool, dense }, image, classes) {
    let x = relu(norm(conv(image, 16, 3)));
    for (const channels of [16, 32, 64]) {
      const isWider = channels > 16;
      const inner = relu(norm(conv(x, channels, 3, isWider ? sameStrided : {})));
      const branch = norm(conv(inner, channels, 3));
      x = join(isWider ? conv(x, channels, 1, { stride: 2 }) : x, branch);
    }
    return dense(globalPool(x), classes, last);
  },
});

/**
 * 1x1, 3x3 and 1x1 convolutions, the last with four times the channels. The 3x3 convolution has the
 * stride, as in torchvision ("v1.5").
 */
function bottleneck({ conv, norm, relu, join }: Layers, x: Value, width: number, stride: number) {
  const plain = { bias: false };
  const inner = relu(norm(conv(x, width, 1, plain)));
  const middle = relu(norm(conv(inner, width, 3, { stride, bias: false })));
  const branch = norm(conv(middle, 4 * width, 1, plain));
  const isSame = x.shape?.[1] === 4 * width;
  return join(isSame ? x : norm(conv(x, 4 * width, 1, { stride, bias: false })), branch);
}

export const resnet50 = defineNet({
  title: "ResNet-50 (v1.5)",
  cite: `${cite}, table 1`,
  input: [3, 224, 224],
  classes: 1000,
  preprocess: colour,
  draw(layers, image, classes) {
    const { conv, norm, relu, maxPool, globalPool, dense } = layers;
    let x = relu(norm(conv(image, 64, 7, { stride: 2, bias: false })));
    x = maxPool(x, 3, { stride: 2, pad: 1 });
    for (const [stage, blocks] of [3, 4, 6, 3].entries()) {
      for (let i = 0; i < blocks; i++) {
        x = bottleneck(layers, x, 64 * 2 ** stage, stage > 0 && i === 0 ? 2 : 1);
      }
    }
    return dense(globalPool(x), classes, last);
  },
});
