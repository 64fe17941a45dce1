"""Accuracy and flips of models on one .npz, by ONNX Runtime; latency when asked.

    python evaluate.py original.onnx test.npz [model.onnx ...] [--samples N] [--latency RUNS]

The .npz holds one array per model input, already preprocessed, and `label` (class indices). The
prediction is the argmax of the first output. Percentages; flips are predictions that differ from
the original's. Latency: process CPU time, batch 1, one thread, the models interleaved. Prints one
JSON object.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime


def open_session(file, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def feed(session, data, start, end):
    return {i.name: data[i.name][start:end] for i in session.get_inputs()}


def predict(session, data, count):
    """Class indices; models of fixed batch size 1 are fed one by one."""
    size = 1 if isinstance(session.get_inputs()[0].shape[0], int) else 50
    parts = []
    for start in range(0, count, size):
        output = session.run(None, feed(session, data, start, min(start + size, count)))[0]
        parts.append(output.reshape(len(output), -1).argmax(1))
    return np.concatenate(parts)


def speedup(first, other):
    """Median of the ratios within rounds, and its 95 % interval by the sign test."""
    ratios = np.sort(np.array(first) / np.array(other))
    n, k, tail = len(ratios), 0, 0.5 ** len(ratios)
    while tail <= 0.025:
        k += 1
        tail += math.comb(n, k) * 0.5**n
    interval = None if k == 0 else [round(float(ratios[k - 1]), 4), round(float(ratios[n - k]), 4)]
    return {"value": round(float(np.median(ratios)), 4), "ci95": interval}


def latencies(files, data, runs):
    """CPU milliseconds of single runs by file; all but the first's are its divided by the speed-up."""
    sessions = {file: open_session(file, 1) for file in files}
    cpu = {file: [] for file in files}
    for run in range(-3, runs):  # three rounds to warm up
        for file, session in sessions.items():
            feeds = feed(session, data, 0, 1)
            begin = time.process_time()
            session.run(None, feeds)
            if run >= 0:
                cpu[file].append(1000 * (time.process_time() - begin))
    first = cpu[files[0]]
    found = {}
    for file in files:
        paired = speedup(first, cpu[file])
        ms = float(np.median(first)) / paired["value"]
        found[file] = {"cpu": round(ms, 4), "n": runs, "speedup": paired}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("original")
    parser.add_argument("data")
    parser.add_argument("models", nargs="*")
    parser.add_argument("--samples", type=int, help="use the first N records (default: all)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--latency", type=int, default=0, metavar="RUNS")
    options = parser.parse_args()

    with np.load(options.data) as archive:
        data = {name: archive[name] for name in archive.files}
    label = data["label"].reshape(-1)[: options.samples]
    original = predict(open_session(options.original, options.threads), data, len(label))
    rows, runnable = [], []
    for file in [options.original, *options.models]:
        row = {"file": file, "bytes": Path(file).stat().st_size}
        rows.append(row)
        try:
            predicted = predict(open_session(file, options.threads), data, len(label))
        except Exception as error:  # the peer does write models that its own runtime refuses
            row |= {"accuracy": None, "flips": None, "error": str(error)}
            continue
        runnable.append(file)
        row["accuracy"] = round(100 * float((predicted == label).mean()), 4)
        row["flips"] = round(100 * float((predicted != original).mean()), 4)
    speed = latencies(runnable, data, options.latency) if options.latency else {}
    for row in rows:
        row["latency"] = speed.get(row["file"])
    versions = {"onnxruntime": onnxruntime.__version__, "python": sys.version.split()[0]}
    print(json.dumps({"data": options.data, "n": len(label), "models": rows, "versions": versions}))


if __name__ == "__main__":
    main()
