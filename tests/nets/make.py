"""Makes the files here, with PyTorch (2.14) and safetensors (0.8), which nothing else needs: ``python tests/nets/make.py``."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

HERE = Path(__file__).parent
torch.manual_seed(1)
net = nn.Sequential(nn.Linear(4, 3, bias=False), nn.Hardtanh(0.0, 1.0), nn.Linear(3, 2, bias=False))
biased = nn.Sequential(nn.Linear(4, 3), nn.Hardtanh(0.0, 1.0), nn.Linear(3, 2))
state = net.state_dict()
numbers = torch.arange(60.0) / 100
views = {"first.weight": numbers[5:17].view(4, 3).T, "second.weight": numbers[20:40].view(4, 5)[1:3, 1:4]}
torch.save(state, HERE / "net.pt")
torch.save({"epoch": 3, "model_state_dict": state, "loss": 0.5, "optimizer": {"state": {}, "lr": 0.1}}, HERE / "checkpoint.pt")
torch.save({name: v.to(torch.bfloat16) for name, v in state.items()}, HERE / "bfloat16.pt")
torch.save(views, HERE / "views.pt")
torch.save(biased.state_dict(), HERE / "biased.pt")
torch.save(net, HERE / "whole.pt")
torch.save(state, HERE / "old.pt", _use_new_zipfile_serialization=False)
save_file(state, HERE / "net.safetensors")
x = torch.tensor([[0.5, -0.25, 0.75, 1.0], [0.0, 0.5, -1.0, 0.25], [1.0, 1.0, 0.5, -0.5]])
np.savez(
    HERE / "expected.npz",
    **{name: v.numpy() for name, v in {**state, **views}.items()},
    x=x.numpy(),
    net=net(x).detach().numpy(),
    biased=biased(x).detach().numpy(),
)
