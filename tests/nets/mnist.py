"""Trains 784-256-10 on MNIST with PyTorch (2.14), which nothing else needs: ``python tests/nets/mnist.py DIR FOLDER``.

DIR has MNIST's four files, gzipped. FOLDER/net.pt is the ``state_dict`` and FOLDER/net.npz the same values as NumPy has them. The net is
that of ``benchmarks/nets.py``, whose FOLDER/net.toml is its chip: weights and hidden units stay within the chip's formats.
"""

import gzip
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

EPOCHS, BATCH = 12, 100
source, folder = map(Path, sys.argv[1:])
torch.manual_seed(1)
torch.set_num_threads(1)


def part(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images and labels."""
    images, labels = (gzip.decompress((source / f"{name}-{kind}-ubyte.gz").read_bytes()) for kind in ("images-idx3", "labels-idx1"))
    x = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 784) / np.float32(255)
    return torch.from_numpy(x), torch.from_numpy(np.frombuffer(labels, np.uint8, offset=8).astype(np.int64))


(x, y), (x_test, y_test) = part("train"), part("t10k")
net = nn.Sequential(nn.Linear(784, 256, bias=False), nn.Hardtanh(0.0, 127 / 32), nn.Linear(256, 10, bias=False))
optimizer = torch.optim.Adam(net.parameters(), 1e-3)
rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * len(x) // BATCH)
for _ in range(EPOCHS):
    for rows in torch.randperm(len(x)).split(BATCH):
        optimizer.zero_grad()
        nn.functional.cross_entropy(4 * net(x[rows]), y[rows]).backward()
        optimizer.step()
        rate.step()
        with torch.no_grad():
            for weights in net.parameters():
                weights.clamp_(-2.0, 127 / 64)
torch.save(net.state_dict(), folder / "net.pt")
np.savez(folder / "net.npz", **{name: v.numpy() for name, v in net.state_dict().items()})
with torch.no_grad():
    print(f"float32 {100 * (net(x_test).argmax(1) == y_test).float().mean():.2f} %")
