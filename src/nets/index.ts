/**
 * @file The survey's benchmark networks by name. A new network is a file in this folder and a line
 * here.
 */
import { errors, fail } from "../errors.ts";
import type { Model } from "../ir/model.ts";
import { createRandom } from "../numeric/random.ts";
import { nearest } from "../util/nearest.ts";
import { alexnet } from "./alexnet.ts";
import { allCnnC } from "./all-cnn.ts";
import { lenet5, lenet300100 } from "./lenet.ts";
import type { Net } from "./net.ts";
import { nin } from "./nin.ts";
import { resnet8, resnet20, resnet50, resnet56 } from "./resnet.ts";
import { vgg16, vggSmall } from "./vgg.ts";

/** By the name that follows `net:`. */
export const nets = {
  "lenet-300-100": lenet300100,
  "lenet-5": lenet5,
  "all-cnn-c": allCnnC,
  nin,
  "vgg-small": vggSmall,
  "resnet-8": resnet8,
  "resnet-20": resnet20,
  "resnet-56": resnet56,
  alexnet,
  "vgg-16": vgg16,
  "resnet-50": resnet50,
} as const satisfies Readonly<Record<string, Net>>;

export type NetName = keyof typeof nets;

/** The untrained network of that name, with seeded weights. Throws TersorError "unknown-net". */
export function makeNet(name: string, seed: number): Model {
  if (!Object.hasOwn(nets, name)) {
    const known = Object.keys(nets);
    throw fail(errors.unknownNet(`net:${name}`, name, nearest(name, known), known));
  }
  return nets[name as NetName].make(createRandom(seed).fork(name));
}
