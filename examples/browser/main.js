/** @file tersor in a page: the chosen model gets smaller, and can be downloaded. */
import { compress, load } from "tersor";
import { unpack } from "tersor/unpack";

const input = document.getElementById("model");
const output = document.getElementById("output");

input.addEventListener("change", async () => {
  const bytes = new Uint8Array(await input.files[0].arrayBuffer());
  const model = await load(bytes); // a URL does as well
  const small = await compress(model, { preset: "small" });
  output.textContent = small.table();

  const packed = small.pack(); // the smallest download, a .tersor file
  const link = document.createElement("a");
  link.download = "model.tersor";
  link.href = URL.createObjectURL(new Blob([packed]));
  link.textContent = `model.tersor: ${packed.length} bytes`;
  output.after(link);

  // A page that only runs the model needs no more than this, a decoder of 10 KB:
  const onnx = await unpack(packed); // or of fetch("model.tersor")
  link.textContent += `, unpacked ${onnx.length} bytes`;
});
