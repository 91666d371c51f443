"""Shapes that docstrings promise, as jaxtyping's types: ``weights : int32 array (..., R, F * L)`` is held to in every call.

A letter stands for the same number all over one call, of parameters and of what is returned.
"""

import functools
import inspect
import re
import sys
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import NamedTuple

import jax
import jaxtyping
import numpy as np

ARRAYS = (np.ndarray, jax.Array)
KINDS = {
    "": "Shaped",
    "bool": "Bool",
    "integer": "Integer",
    "float": "Float",
    "int32": "Int32",
    "int64": "Int64",
    "uint32": "UInt32",
    "float32": "Float32",
    "float64": "Float64",
}
"""Words before ``array``, and jaxtyping's for them."""
PROMISE = re.compile(
    rf"(?P<several>list|tuple|pair)?s?(?: of )?(?P<kinds>(?:{'|'.join(filter(None, KINDS))})(?: or \w+)?)? ?"
    r"arrays? (?P<shapes>\([^()]*\)(?:,? or \([^()]*\))*)"
)


class Promise(NamedTuple):
    """What a value must be: an array of one of these types; or several of them, each with numbers of its own."""

    told: str
    types: tuple
    several: bool

    def holds(self, value) -> bool:
        """Whether it is kept; a value that is no array, such as None or a number, is none of its business."""
        if self.several and isinstance(value, list | tuple):
            return all(self._fits(v, apart=True) for v in value)
        return self._fits(value)

    def _fits(self, value, apart=False) -> bool:
        if not isinstance(value, ARRAYS):
            return True
        if not apart:
            return any(isinstance(value, t) for t in self.types)
        with jaxtyping.jaxtyped("context"):
            return any(isinstance(value, t) for t in self.types)


def promise(text: str) -> Promise | None:
    """Read the type of a docstring's entry; None where it is no array, or one whose shape is not told."""
    if not (found := PROMISE.match(text)):
        return None
    kinds = (found["kinds"] or "").split(" or ")
    shapes = [" ".join(map(_axis, filter(None, re.split(", *", axes)))) for axes in re.findall(r"\(([^()]*)\)", found["shapes"])]
    shapes.sort(key=lambda s: "*" in s)  # a batch may be empty: what says nothing of one is tried first
    types = tuple(getattr(jaxtyping, KINDS[k])[array, shape] for k in kinds for shape in shapes for array in ARRAYS)
    return Promise(text, types, bool(found["several"]))


def _axis(text: str) -> str:
    """An axis as jaxtyping has it: a number, a name, ``*name`` or ``...``. A product of names is a name of its own, ``1 or R`` anything."""
    if " or " in text:
        return "_"
    return text if text == "..." or text.isdigit() else "*" * text.startswith("*") + re.sub(r"\W+", "_", text.lstrip("*"))


def entries(function, section: str) -> Iterator[tuple[str, str]]:
    """The entries of a section of a numpydoc docstring: name, empty where there is none, and type."""
    lines = inspect.cleandoc(function.__doc__ or "").split("\n")
    if section not in lines:
        return
    for i in range(lines.index(section) + 2, len(lines)):
        if re.fullmatch("-+", (lines + [""])[i + 1] if i + 1 < len(lines) else ""):
            return
        if lines[i] and not lines[i].startswith(" "):
            names, colon, kind = lines[i].partition(" : ")
            yield from ((name.strip(), kind) for name in names.split(",")) if colon else [("", names)]


class Broken(AssertionError):
    """A promise that was not kept."""


def held(function, called: set[str]):
    """The function with its docstring's promises held; itself where it makes none. `called` gets its name in each call."""
    parameters = {name: kept for name, kind in entries(function, "Parameters") if (kept := promise(kind))}
    returned = [promise(kind) for _, kind in entries(function, "Returns")]
    if not parameters and not any(returned) or inspect.isgeneratorfunction(function):
        return function
    signature, name = inspect.signature(function), f"{function.__module__}.{function.__qualname__}"

    def look(what, value, kept):
        if kept and not kept.holds(value):
            arrays = value if isinstance(value, list | tuple) else [value]
            found = " and ".join(f"{v.dtype} {v.shape}" for v in arrays if isinstance(v, ARRAYS))
            raise Broken(f"{name}: {what} is {found}; promised is {kept.told}")

    @functools.wraps(function)
    def call(*given, **named):
        called.add(name)
        bound = signature.bind(*given, **named).arguments
        result = function(*given, **named)  # which may refuse what it is given, and then has said so itself
        with jaxtyping.jaxtyped("context"):
            for parameter, kept in parameters.items():
                look(parameter, bound.get(parameter), kept)
            for i, kept in enumerate(returned):
                look("the result", result[i] if len(returned) > 1 else result, kept)
        return result

    return call


def hold(patch, *packages: str) -> set[str]:
    """Hold every function and method of packages that are loaded, also where it is imported; return where names go of those called."""
    inside, called = tuple(f"crossdyad.{package}" for package in packages), set()

    def put(where, functions):
        for name, function in functions:
            if isinstance(function, FunctionType) and (function.__module__ or "").startswith(inside):
                if (kept := held(function, called)) is not function:
                    patch.setattr(where, name, kept)

    for module in [m for m in sys.modules.values() if isinstance(m, ModuleType)]:
        put(module, list(vars(module).items()))
        for kind in [v for v in vars(module).values() if isinstance(v, type) and v.__module__ == module.__name__]:
            if kind.__module__.startswith(inside):
                put(kind, list(vars(kind).items()))
    return called
