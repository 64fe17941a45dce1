"""PyTorch's side of bench/train.ts: the same networks, weights, data and optimizer.

python train.py <task> <threads> <folder with parameters.bin, x.bin, label.bin> [channels_last]
Answers each line "<steps>" with one line of JSON: CPU and wall ms of each step, losses, peak MB.
"""
import json
import resource
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

task, threads, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
last = "channels_last" in sys.argv
torch.set_num_threads(threads)


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.f1, self.f2 = nn.Linear(800, 500), nn.Linear(500, 10)

    def forward(self, x):
        x = F.max_pool2d(self.c1(x), 2)
        x = F.max_pool2d(self.c2(x), 2)
        return self.f2(F.relu(self.f1(x.flatten(1))))


class Block(nn.Module):
    def __init__(self, before, channels):
        super().__init__()
        self.stride = 1 if before == channels else 2
        self.more = channels - before
        self.c1 = nn.Conv2d(before, channels, 3, self.stride, 1, bias=False)
        self.n1 = nn.BatchNorm2d(channels)
        self.c2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.n2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        y = self.n2(self.c2(F.relu(self.n1(self.c1(x)))))
        short = x if self.stride == 1 else F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.more))
        return F.relu(short + y)


def resnet20():
    blocks, before = [], 16
    for channels in (16, 32, 64):
        for _ in range(3):
            blocks.append(Block(before, channels))
            before = channels
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), *blocks,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def separable():
    def pair(c, m, s):
        return [nn.Conv2d(c, c, 3, s, 1, groups=c, bias=False), nn.BatchNorm2d(c), nn.ReLU(),
                nn.Conv2d(c, m, 1, bias=False), nn.BatchNorm2d(m), nn.ReLU()]
    return nn.Sequential(*pair(64, 128, 1), *pair(128, 256, 2))


class Inverted(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(64, 384, 1, bias=False), nn.BatchNorm2d(384), nn.ReLU6(),
            nn.Conv2d(384, 384, 3, 1, 1, groups=384, bias=False), nn.BatchNorm2d(384), nn.ReLU6(),
            nn.Conv2d(384, 64, 1, bias=False), nn.BatchNorm2d(64))

    def forward(self, x):
        return x + self.body(x)


class Encoder(nn.Module):
    def __init__(self, d=384, heads=6, inner=1536):
        super().__init__()
        self.heads = heads
        self.n1 = nn.LayerNorm(d)
        self.q, self.k, self.v, self.o = (nn.Linear(d, d) for _ in range(4))
        self.n2 = nn.LayerNorm(d)
        self.up, self.down = nn.Linear(d, inner), nn.Linear(inner, d)

    def forward(self, x):
        b, t, d = x.shape
        n = self.n1(x)
        q, k, v = (f(n).view(b, t, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, d)
        x = x + self.o(y)
        return x + self.down(F.gelu(self.up(self.n2(x))))


nets = {"lenet5": LeNet, "resnet20": resnet20, "separable": separable, "inverted": Inverted, "encoder": Encoder}
net = nets[task]()
shapes = json.load(open(f"{folder}/shapes.json"))
flat = np.fromfile(f"{folder}/parameters.bin", np.float32)
at = 0
with torch.no_grad():
    for p in net.parameters():
        piece = torch.from_numpy(flat[at:at + p.numel()].copy())
        at += p.numel()
        p.copy_(piece.view(p.shape[::-1]).T if task == "encoder" and p.ndim == 2 else piece.view(p.shape))
assert at == len(flat), (at, len(flat))
x = torch.from_numpy(np.fromfile(f"{folder}/x.bin", np.float32)).view(shapes["x"])
classes = shapes["label"] == "classes"
label = torch.from_numpy(np.fromfile(f"{folder}/label.bin", np.int64 if classes else np.float32))
if not classes:
    label = label.view(shapes["label"])
if last:
    net = net.to(memory_format=torch.channels_last)
    x = x.to(memory_format=torch.channels_last)
net.train()
optimizer = torch.optim.Adam(net.parameters(), lr=1e-4, fused=True)


def step():
    optimizer.zero_grad(set_to_none=True)
    y = net(x)
    loss = F.cross_entropy(y, label) if classes else F.mse_loss(y, label)
    loss.backward()
    optimizer.step()
    return loss.item()


for line in sys.stdin:
    cpu, wall, losses = [], [], []
    for _ in range(int(line)):
        a, b = time.process_time(), time.perf_counter()
        losses.append(step())
        cpu.append((time.process_time() - a) * 1e3)
        wall.append((time.perf_counter() - b) * 1e3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu": cpu, "wall": wall, "losses": losses, "peak": peak, "version": torch.__version__}), flush=True)
