"""PyTorch's side of test/train/torch.test.ts: four runs of 20 steps, in float64.

python test/train/torch/reference.py > test/train/torch/reference.json   (PyTorch 2.13.0)

Records, weights and the order of the records are formulas, which the test has as well.
"""
import json
import math

import torch
from torch import nn
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)
RECORDS, BATCH, EPOCHS, CLASSES = 23, 5, 4, 3
STEPS = EPOCHS * math.ceil(RECORDS / BATCH)


def wave(seed, *shape):
    """sin(seed + 1.7 i + 0.3 i^2 mod 7) as float32, for element i in row-major order."""
    size = math.prod(shape)
    values = [math.sin(seed + 1.7 * i + (0.3 * i * i) % 7) for i in range(size)]
    return torch.tensor(values, dtype=torch.float32).to(torch.float64).reshape(shape)


def order(epoch):
    """Record (7 i + 3 epoch) mod 23 comes at place i."""
    return [(7 * i + 3 * epoch) % RECORDS for i in range(RECORDS)]


class Images(nn.Module):
    """Conv (no bias: BatchNorm would take it away), BatchNorm, Relu, Linear on images of 6 x 6."""

    def __init__(self, seed):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4)
        self.linear = nn.Linear(64, CLASSES)
        self.conv.weight.data = 0.5 * wave(seed, 4, 1, 3, 3)
        self.norm.weight.data = 1 + 0.2 * wave(seed + 2, 4)
        self.norm.bias.data = 0.1 * wave(seed + 3, 4)
        self.linear.weight.data = 0.3 * wave(seed + 4, CLASSES, 64)
        self.linear.bias.data = 0.1 * wave(seed + 5, CLASSES)

    def forward(self, x):
        return self.linear(F.relu(self.norm(self.conv(x))).flatten(1))

    def weights(self):
        return [self.conv.weight, self.linear.weight]


class Tokens(nn.Module):
    """Two linear layers on each of 4 tokens of 6 features."""

    def __init__(self, seed):
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, CLASSES)
        self.first.weight.data = 0.5 * wave(seed, 8, 6)
        self.first.bias.data = 0.1 * wave(seed + 1, 8)
        self.second.weight.data = 0.5 * wave(seed + 2, CLASSES, 8)
        self.second.bias.data = 0.1 * wave(seed + 3, CLASSES)

    def forward(self, x):
        return self.second(F.relu(self.first(x)))

    def weights(self):
        return [self.first.weight, self.second.weight]


def run(net, x, labels, optimizer, schedule, loss, clip):
    """Masks the smallest half of each weight, trains, and gives the losses and all parameters."""
    masks = []
    for weight in net.weights():
        size = weight.data.abs()
        mask = (size > size.flatten().sort().values[weight.numel() // 2 - 1]).double()
        weight.data *= mask
        masks.append((weight, mask))
    decayed = [p for p, _ in masks]
    others = [p for p in net.parameters() if all(p is not d for d in decayed)]
    optimizer = optimizer([{"params": decayed}, {"params": others, "weight_decay": 0}])
    schedule = schedule(optimizer)
    losses = []
    net.train()
    for epoch in range(EPOCHS):
        places = order(epoch)
        for start in range(0, RECORDS, BATCH):
            batch = places[start:start + BATCH]
            optimizer.zero_grad()
            value = loss(net(x[batch]), labels[batch], x[batch])
            value.backward()
            for weight, mask in masks:
                weight.grad *= mask
            nn.utils.clip_grad_norm_(net.parameters(), clip)
            optimizer.step()
            schedule.step()
            losses.append(value.item())
    state = {name: value.flatten().tolist() for name, value in net.state_dict().items() if value.dim()}
    return {"losses": losses, "state": state}


def distil(teacher, temperature, alpha, smoothing):
    teacher.eval()

    def loss(scores, label, x):
        with torch.no_grad():
            guide = teacher(x)
        soft = F.kl_div(F.log_softmax(scores / temperature, 1), F.log_softmax(guide / temperature, 1),
                        reduction="batchmean", log_target=True) * temperature ** 2
        return alpha * soft + (1 - alpha) * F.cross_entropy(scores, label, label_smoothing=smoothing)

    return loss


images = wave(1, RECORDS, 1, 6, 6)
classes = torch.tensor([(i * i) % CLASSES if i % 6 else -100 for i in range(RECORDS)])
known = torch.tensor([(i * i + 1) % CLASSES for i in range(RECORDS)])
sequences = wave(2, RECORDS, 4, 6)
# Tokens from place 1 + i mod 5 on are padding; every fifth record is nothing but padding.
tokens = torch.tensor([[(i + t) % CLASSES if t < i % 5 else -100 for t in range(4)] for i in range(RECORDS)])
optim, rates = torch.optim, torch.optim.lr_scheduler

runs = {
    "adamw": run(
        Images(10), images, classes,
        lambda p: optim.AdamW(p, lr=0.02, betas=(0.9, 0.999), weight_decay=0.1),
        lambda o: rates.CosineAnnealingLR(o, T_max=STEPS),
        lambda scores, label, _: F.cross_entropy(scores, label, label_smoothing=0.1), 0.5),
    "nesterov": run(
        Images(20), images, known,
        lambda p: optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.01),
        lambda o: rates.StepLR(o, step_size=5, gamma=0.5),
        lambda scores, label, _: F.cross_entropy(scores, label), 0.3),
    "kd": run(
        Images(30), images, known,
        lambda p: optim.Adam(p, lr=0.01, betas=(0.8, 0.99), weight_decay=0.05),
        lambda o: rates.LinearLR(o, start_factor=1, end_factor=0, total_iters=STEPS),
        distil(Images(40), 3, 0.6, 0.1), 1),
    "tokens": run(
        Tokens(50), sequences, tokens,
        lambda p: optim.SGD(p, lr=0.2, momentum=0.9, weight_decay=0.001),
        lambda o: rates.LambdaLR(o, lambda _: 1),
        lambda scores, label, _: F.cross_entropy(scores.flatten(0, 1), label.flatten()), 0.4),
}


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    return [float(f"{x:.9g}") for x in value]


print(json.dumps({"torch": torch.__version__, "runs": rounded(runs)}))
