/** @file A metric of your own: tersor compress model.onnx --data npz:records.npz --metric ./own-metric.ts */
import { ownMetric } from "tersor";

/** The mean absolute error of the first output; without labels that of its distance to the original's. */
export default () => {
  let [sum, count] = [0, 0];
  return ownMetric({
    name: "mean-error",
    higherIsBetter: false,
    add(outputs, label, original) {
      const [name] = Object.keys(outputs);
      const target = label ?? original?.[name];
      if (!target) return;
      for (const [i, y] of outputs[name].values.entries()) {
        sum += Math.abs(y - target.values[i]);
        count++;
      }
    },
    finish: () => ({ value: sum / count, words: `over ${count} numbers` }),
  });
};
