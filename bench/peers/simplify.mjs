/** @file Rewrites a model by npm's onnxsim: node simplify.mjs folder-with-node_modules in out. */
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, source, target] = process.argv.slice(2);
const { simplify } = await import(pathToFileURL(`${folder}/node_modules/onnxsim/index.mjs`).href);
const { model } = await simplify(readFileSync(source));
writeFileSync(target, model);
process.exit(0);
