"""ONNX Runtime's own static quantization, one setting per process, timed from outside.

    python quantize.py model.onnx calibration.npz out-folder [--samples N] [--settings 'pre-*' ...]

The .npz holds one array per model input, already preprocessed (`label` is ignored). Every setting
is QDQ, activations uint8, weights int8, reduce_range off. A setting's name says the rest:
[pre-](channel|tensor)-(minmax|entropy|percentile|percentile99.9): `pre` runs quant_pre_process
first, `percentile` is the tool's own default, 99.999.
A model below operator set 13, which scales per channel need, is converted to it first.
One JSON line per setting on stdout; the tool's own chatter goes to stderr.
"""

import argparse
import fnmatch
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CALIBRATORS = {  # setting -> calibrate_method, extra_options
    "minmax": ("MinMax", {}),
    "entropy": ("Entropy", {}),
    "percentile": ("Percentile", {}),
    "percentile99.9": ("Percentile", {"CalibPercentile": 99.9}),
}
SETTINGS = [
    f"{pre}{grain}-{calibrator}"
    for pre, grain, calibrator in itertools.product(["", "pre-"], ["tensor", "channel"], CALIBRATORS)
]


def batches(session_inputs, arrays, samples):
    """Feeds of equal size: the histogram calibrators stack them into one array."""
    count = min(samples or sys.maxsize, *(len(a) for a in arrays.values()))
    fixed = [i.shape[0] for i in session_inputs if isinstance(i.shape[0], int)]
    size = fixed[0] if fixed else max(b for b in range(1, 33) if count % b == 0)
    for start in range(0, count - size + 1, size):
        yield {name: array[start : start + size] for name, array in arrays.items()}


def quantize(model, data, file, setting, samples):
    """What a user of the peer runs; the imports count, as they do for that user."""
    import numpy as np
    import onnx
    import onnxruntime
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    inputs = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).get_inputs()
    archive = np.load(data)
    feeds = batches(inputs, {i.name: archive[i.name] for i in inputs}, samples)

    class Reader(quantization.CalibrationDataReader):
        def get_next(self):
            return next(feeds, None)

    *pre, grain, calibrator = setting.split("-")
    method, extra = CALIBRATORS[calibrator]
    with tempfile.TemporaryDirectory() as folder:
        loaded = onnx.load(model)
        if next(o.version for o in loaded.opset_import if o.domain == "") < 13:
            model = str(Path(folder) / "converted.onnx")
            onnx.save(onnx.version_converter.convert_version(loaded, 13), model)
        if pre:
            prepared = str(Path(folder) / "prepared.onnx")
            quant_pre_process(model, prepared)
            model = prepared
        quantization.quantize_static(
            model,
            file,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=grain == "channel",
            reduce_range=False,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod[method],
            extra_options=extra,
        )


def timed(arguments):
    """Exit status, wall and CPU seconds of one child process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    child = subprocess.run([sys.executable, __file__, *arguments], stdout=sys.stderr)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return child.returncode, {"wall": round(wall, 2), "cpu": round(cpu, 2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("out")
    parser.add_argument("--samples", type=int, help="use the first N records (default: all)")
    parser.add_argument("--settings", nargs="+", default=["*"], metavar="GLOB")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        quantize(options.model, options.data, options.out, options.one, options.samples)
        return 0
    chosen = [s for s in SETTINGS if any(fnmatch.fnmatch(s, g) for g in options.settings)]
    if not chosen:
        parser.error(f"no setting matches {options.settings}; there are: {', '.join(SETTINGS)}")
    Path(options.out).mkdir(parents=True, exist_ok=True)
    failures = 0
    for setting in chosen:
        file = Path(options.out) / f"{Path(options.model).stem}.{setting}.onnx"
        file.unlink(missing_ok=True)
        limit = ["--samples", str(options.samples)] if options.samples else []
        status, seconds = timed([options.model, options.data, str(file), "--one", setting, *limit])
        failures += status != 0
        line = {"setting": setting, "seconds": seconds}
        if status == 0:
            line |= {"bytes": file.stat().st_size, "file": str(file)}
        else:
            line |= {"bytes": None, "file": None, "error": f"exit status {status}, see stderr"}
        print(json.dumps(line), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
