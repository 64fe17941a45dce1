/**
 * @file The survey's benchmark networks by name. A new network is a file in this folder and a line
 * here.
 */
import { errors, fail } from "../errors.ts";
import type { Model } from "../ir/model.ts";
import { createRandom } from "../numeric/random.ts";
import { parseOptions } from "../options.ts";
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

/**
 * The untrained network of that name, with seeded weights. Options follow the name:
 * vgg-small?filters=circ&width=32. Throws TersorError "unknown-net", "unknown-option" or
 * "bad-option".
 */
export function makeNet(spec: string, seed: number): Model {
  const [, name, query] = /^([^?]*)\??(.*)$/s.exec(spec) as RegExpExecArray;
  if (!Object.hasOwn(nets, name)) {
    const known = Object.keys(nets);
    throw fail(errors.unknownNet(`net:${spec}`, name, nearest(name, known), known));
  }
  const net: Net = nets[name as NetName];
  const where = `net:${name}`;
  const given: Record<string, string> = {};
  for (const part of query.split("&").filter(Boolean)) {
    const [, option, value] = /^([^=]*)=?(.*)$/s.exec(part) as RegExpExecArray;
    if (Object.hasOwn(given, option)) {
      throw fail(errors.badOption(where, `${option} is given twice`, "Give each option once"));
    }
    given[option] = value;
  }
  const options = parseOptions(net.options, given, where);
  return net.make(createRandom(seed).fork(name), options);
}
