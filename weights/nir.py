"""The Neuromorphic Intermediate Representation: a chain of linear maps, which is what both it and a recipe can say.

NIR has spiking neurons and none that clip, so that a chip's activation is told in the nodes' metadata, for those who read it.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..recipe import Recipe


def _nir() -> ModuleType:
    try:
        import nir
    except ImportError:
        raise ValueError("NIR: the nir package is not installed; install it with `pip install 'crossdyad[nir]'`") from None
    return nir


def write(path: Path, recipe: Recipe, numbers: dict[str, np.ndarray]) -> None:
    """Write the layers' weights (R, C) as a graph: input, W0, W1, .., output."""
    nir = _nir()
    nodes: dict[str, Any] = {"input": nir.Input(np.array([recipe.sizes[0]]))}
    for k in range(recipe.layers):
        said = recipe.activation if k < recipe.layers - 1 else recipe.output
        held, about = numbers[f"W{k}"], {"activation": said}
        if recipe.bias:
            one = np.float32(recipe.one * recipe.formats.state.step)
            nodes[f"W{k}"] = nir.Affine(weight=held[:, :-1], bias=held[:, -1] * one, metadata=about)
        else:
            nodes[f"W{k}"] = nir.Linear(weight=held, metadata=about)
    nodes["output"] = nir.Output(np.array([recipe.sizes[-1]]))
    names = list(nodes)
    nir.write(path, nir.NIRGraph(nodes, list(zip(names, names[1:], strict=False))))


def read(path: Path) -> tuple[dict[str, np.ndarray], bool, tuple[str, ...]]:
    """Return the weights and biases along a graph's chain, that they are in order, and notes.

    Raises
    ------
    ValueError
        All nodes at once that no chip has, or edges that are no chain.
    """
    nir = _nir()
    try:
        graph = nir.read(path)
    except OSError as error:
        if error.filename or not path.exists():
            raise
        raise ValueError(f"{path}: not a file of NIR ({error})") from None
    except Exception as error:
        raise ValueError(f"{path}: not a file of NIR ({type(error).__name__}: {error})") from None
    passing = (nir.Input, nir.Output, nir.Flatten)
    strange = [
        f"{name} is {type(node).__name__}" for name, node in graph.nodes.items() if not isinstance(node, (nir.Linear, nir.Affine, *passing))
    ]
    if strange:
        raise ValueError(f"{path}: {', '.join(strange)}; a chip has Linear and Affine nodes, and neurons that clip")
    after: dict[str, list[str]] = {name: [b for a, b in graph.edges if a == name] for name in graph.nodes}
    at = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    chain: list[str] = []
    while len(at) == 1 and at[0] not in chain:
        chain.append(at[0])
        at = after[at[0]]
    if at or len(chain) != len(graph.nodes):
        raise ValueError(f"{path}: its edges are no chain from one input to one output, which is what a chip's layers are")
    tensors, said = {}, []
    for name in chain:
        node = graph.nodes[name]
        if isinstance(node, passing):
            continue
        biased = isinstance(node, nir.Affine)
        tensors[f"{name}.weight" if biased else name] = np.asarray(node.weight)
        if biased:
            tensors[f"{name}.bias"] = np.asarray(node.bias)
        said.append(str((node.metadata or {}).get("activation", "")))
    told = () if all(said) else ("NIR says nothing of what a unit does with its drive: here it is the recipe's activation and output",)
    return tensors, True, told
