"""What models make of the records of one .npz, by ONNX Runtime; latency when asked.

    python evaluate.py original.onnx test.npz [model.onnx ...] [--samples N] [--latency RUNS]

The .npz holds one array per model input, already preprocessed. With `label` (class indices) the
prediction is the argmax of the first output; a flip is one that differs from the original's. Of
them are counted: hits, flips, lost (right only in the original), gained (right only here). Without
labels the first output is a map of probabilities, and a flip is an element that is on the other
side of 0.3: the share of them in each record, and the ratio of signal and noise in dB. Latency:
process CPU time, batch 1, one thread, the models interleaved. Prints one JSON object.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime

# What PaddleOCR takes for text in a detector's map.
THRESHOLD = 0.3


def open_session(file, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def feed(session, data, start, end):
    return {i.name: data[i.name][start:end] for i in session.get_inputs()}


def outputs(session, data, count, size):
    """The first output of all records; models of fixed batch size 1 are fed one by one."""
    if isinstance(session.get_inputs()[0].shape[0], int):
        size = 1
    parts = [
        session.run(None, feed(session, data, start, min(start + size, count)))[0]
        for start in range(0, count, size)
    ]
    return np.concatenate(parts).reshape(count, -1)


def judge(own, original, label):
    """What there is to say of a model's outputs beside the original's."""
    if label is None:
        flips = ((own > THRESHOLD) != (original > THRESHOLD)).mean(1)
        noise = float(((own - original).astype(np.float64) ** 2).sum())
        signal = float((original.astype(np.float64) ** 2).sum())
        sqnr = 10 * math.log10(signal / noise) if noise else None
        return {"flipShares": flips.tolist(), "sqnr": sqnr}
    own, original = own.argmax(1), original.argmax(1)
    right, before = own == label, original == label
    return {
        "hits": int(right.sum()),
        "flips": int((own != original).sum()),
        "lost": int((before & ~right).sum()),
        "gained": int((right & ~before).sum()),
    }


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
    count = min(options.samples or sys.maxsize, *(len(array) for array in data.values()))
    label = data["label"].reshape(-1)[:count] if "label" in data else None
    size = 50 if label is not None else 1
    original = outputs(open_session(options.original, options.threads), data, count, size)
    rows, runnable = [], []
    for file in [options.original, *options.models]:
        row = {"file": file, "bytes": Path(file).stat().st_size}
        rows.append(row)
        try:
            own = outputs(open_session(file, options.threads), data, count, size)
        except Exception as error:  # the peer does write models that its own runtime refuses
            row["error"] = str(error)
            continue
        runnable.append(file)
        row |= judge(own, original, label)
    speed = latencies(runnable, data, options.latency) if options.latency else {}
    for row in rows:
        row["latency"] = speed.get(row["file"])
    versions = {"onnxruntime": onnxruntime.__version__, "python": sys.version.split()[0]}
    print(json.dumps({"data": options.data, "n": count, "models": rows, "versions": versions}))


if __name__ == "__main__":
    main()
