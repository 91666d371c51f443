"""Precision: the reference computes in float64 whatever JAX is set to, and leaves JAX as it is set."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterator
from typing import TypeVar

import jax
import numpy as np
from jax import numpy as jnp

from .kinds import Tree

_Wrapped = TypeVar("_Wrapped")


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """Set JAX to 64 bits, and to its usual promotion of numbers and ranks, for a block.

    Functions of the reference enter it by themselves. Code that puts them under a transformation of its own (`jax.jit`, `jax.grad`,
    `jax.vmap`) enters it around the outermost one::

        with models.float64():
            gradients = jax.vmap(lambda x, y: models.exact_gradient(net, models.squared_error, weights, x, y))(xs, ys)
    """
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def in_float64(what: _Wrapped) -> _Wrapped:
    """A function that computes in `float64`, its arguments widened; of a class all that are public, of a generator every step.

    Raises
    ------
    TypeError
        Under a transformation that was begun in 32 bits: its numbers are 32 bits wide before they come here.
    """
    if inspect.isclass(what):
        for name, member in list(vars(what).items()):
            if inspect.isfunction(member) and (name == "__call__" or not name.startswith("_")):
                setattr(what, name, in_float64(member))
        return what

    @functools.wraps(what)
    def scoped(*args, **keywords):
        if not jax.config.jax_enable_x64 and _transformed(args, keywords):
            raise TypeError(
                f"crossdyad.models: {what.__qualname__} computes in float64, but is under a transformation (jax.jit, grad, "
                "vmap or scan) that was begun in 32 bits; begin it inside `with crossdyad.models.float64():`"
            )
        with float64():
            made = what(*widened(args), **widened(keywords))
        return _stepped(made) if inspect.isgeneratorfunction(what) else made

    return scoped


def _stepped(steps: Iterator) -> Iterator:
    """The same steps, each made in `float64` and handed over outside of it: who asked computes as it likes."""
    while True:
        with float64():
            try:
                step = next(steps)
            except StopIteration:
                return
        yield step


def widened(tree: Tree) -> Tree:
    """A pytree with its real and complex arrays in 64 and 128 bits; in `float64`."""
    return jax.tree.map(lambda v: v.astype(jnp.promote_types(v.dtype, jnp.float64)) if _narrow(v) else v, tree)


def _narrow(v) -> bool:
    return (
        isinstance(v, jax.Array | np.ndarray | np.generic)
        and jnp.issubdtype(v.dtype, jnp.inexact)
        and v.dtype not in (np.float64, np.complex128)
    )


def _transformed(args, keywords) -> bool:
    """Return whether a transformation of JAX is under way: in what came as an argument, or in whatever is computed now."""
    return any(isinstance(v, jax.core.Tracer) for v in jax.tree.leaves((args, keywords, jnp.zeros(()))))
