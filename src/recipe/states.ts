/**
 * @file States: inputs that are fed back from an output, as recurrent networks and caches ask for.
 * The original runs once over the records in their order, and each record keeps the state it met:
 *
 *   state_0 = 0,    state_i = f_output(record_(i-1), state_(i-1))
 *
 * So records can be read in any order afterwards, and every version of the model is judged step by
 * step from the same states.
 */
import { batchAxes } from "../data/batch-axes.ts";
import type { Dataset } from "../data/dataset.ts";
import { checkFeeding, type Feeding } from "../data/feed.ts";
import { joined } from "../data/stack.ts";
import { errors, fail } from "../errors.ts";
import { rawTensor, type Tensor } from "../ir/tensor.ts";
import type { Feeds, Port, Session } from "../runtime/runtime.ts";

/** States are kept in memory up to so many bytes. */
const MOST = 2 ** 30;

/**
 * The dataset with the states of its records, in which `feeding` says "feedback"; the dataset itself
 * if it says none. Throws TersorError "wrong-input" for an output that is not there, "bad-feeds" if
 * the states take more than 1 GB, and what the session throws.
 */
export async function withStates(
  dataset: Dataset,
  session: Pick<Session, "inputs" | "outputs" | "run">,
  ports: readonly Port[],
  feeding: Feeding,
): Promise<Dataset> {
  const sources = [...feeding].flatMap(([name, feed]) =>
    typeof feed === "object" && "feedback" in feed ? [{ name, output: feed.feedback }] : [],
  );
  if (sources.length === 0) return dataset;
  checkFeeding(feeding, ports, session.outputs, dataset.name);
  const states: Feeds[] = [];
  let next: Record<string, Tensor> = {};
  let room = MOST;
  for (let i = 0; i < dataset.length; i++) {
    const inputs = { ...(await dataset.read([i])).inputs, ...next };
    states.push(Object.fromEntries(sources.map(({ name }) => [name, inputs[name]])));
    const outputs = await session.run(
      inputs,
      sources.map(({ output }) => output),
    );
    next = Object.fromEntries(sources.map(({ name, output }) => [name, owned(outputs[output])]));
    for (const { name } of sources) room -= next[name].byteLength;
    if (room >= 0) continue;
    const why = `the states of ${i + 1} records take more than ${MOST / 2 ** 30} GB`;
    throw fail(errors.badFeeds(dataset.name, why, "Take fewer records: --limit"));
  }
  const axes = batchAxes(ports, feeding);
  const shapeOf = (name: string, record: Feeds) => `${record[name].shape}`;
  const isSingle = sources.some(
    ({ name }) =>
      axes.get(name) == null ||
      states.some((record) => shapeOf(name, record) !== shapeOf(name, states[0])),
  );
  const withStates = (dataset: Dataset): Dataset => ({
    ...dataset,
    ...(isSingle && { isSingle }),
    read: async (indices) => {
      const batch = await dataset.read(indices);
      const fed = sources.map(({ name }) => {
        const own = indices.map((index) => states[index][name]);
        return [name, joined(own, axes.get(name) ?? 0)] as const;
      });
      return { ...batch, inputs: { ...batch.inputs, ...Object.fromEntries(fed) } };
    },
    ...(dataset.even && { even: async () => withStates(await dataset.even!()) }),
  });
  return withStates(dataset);
}

/** A copy: the engine may use the memory of its outputs again. */
const owned = (tensor: Tensor): Tensor =>
  rawTensor(tensor.dtype, tensor.shape, tensor.bytes().slice());
