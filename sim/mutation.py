"""Seeded faults, to see that the checks notice them: in the hardware, and in what both twins share.

A fault is a substitution in the source of one module, which must apply exactly once. While one in the hardware is in, every
hardware module is a fresh copy, so that all components are built with it. One in the recipe is put into the functions that are there,
so that both twins have it and no comparison of the two can tell.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import sys
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import CodeType, ModuleType

from .mutants import Fault

HARDWARE = __package__.rpartition(".")[0] + ".hdl"
RECIPE = __package__.rpartition(".")[0] + ".recipe"


class _Patched(MetaPathFinder):
    """Loads one module from changed source."""

    def __init__(self, fault: Fault):
        self._fault = fault

    def find_spec(self, name, path, target=None) -> ModuleSpec | None:
        if name != f"{HARDWARE}.{self._fault.module}":
            return None
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target) if finder is not self else None
            if spec:
                return spec_from_loader(name, _Loader(spec.origin, self._fault), origin=spec.origin)
        return None


class _Loader:
    def __init__(self, path, fault):
        self._path, self._fault = path, fault

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(broken(self._path, self._fault), module.__dict__)


@contextlib.contextmanager
def seeded(fault: Fault) -> Iterator[ModuleType]:
    """While this lasts, the hardware has the fault; yields the hardware package."""

    def ours():
        return {name: m for name, m in sys.modules.items() if name == HARDWARE or name.startswith(HARDWARE + ".")}

    package = sys.modules[HARDWARE.rpartition(".")[0]]
    before, finder = ours(), _Patched(fault)
    attribute = vars(package).get("hdl")
    for name in before:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        hdl = importlib.import_module(HARDWARE)
        importlib.import_module(f"{HARDWARE}.{fault.module}")  # now, so that a fault that does not apply is told
        yield hdl
    finally:
        sys.meta_path.remove(finder)
        for name in ours():
            del sys.modules[name]
        sys.modules.update(before)
        if attribute is not None:
            package.hdl = attribute


def broken(path: str, fault: Fault) -> CodeType:
    """Return the code of a module with a fault.

    Raises
    ------
    ValueError
        If the text that the fault replaces is not there exactly once.
    """
    with open(path) as file:
        source = file.read()
    found = source.count(fault.right)
    if found != 1:
        raise ValueError(f"fault {fault.name!r}: its text is {found} times in {fault.module}.py; it must be there exactly once")
    return compile(source.replace(fault.right, fault.wrong), path, "exec")


@contextlib.contextmanager
def shared(fault: Fault) -> Iterator[None]:
    """While this lasts, the recipe has the fault, whoever has imported it: its functions have other code."""
    module = importlib.import_module(f"{RECIPE}.{fault.module}")
    functions, changed = _functions(module), {}
    pending = [broken(module.__file__, fault)]
    while pending:
        for code in filter(inspect.iscode, pending.pop().co_consts):
            pending.append(code)
            function = functions.get(code.co_qualname)
            if function and not _same(function.__code__, code):
                changed[function] = function.__code__
                function.__code__ = code
    if not changed:
        raise ValueError(f"fault {fault.name!r}: it is in no function of {fault.module}.py")
    _forget()
    try:
        yield
    finally:
        for function, code in changed.items():
            function.__code__ = code
        _forget()


def _forget() -> None:
    """Clear what the recipe's functions remember."""
    for name in ("activations", "program", "rules", "table"):
        for function in vars(importlib.import_module(f"{RECIPE}.{name}")).values():
            if hasattr(function, "cache_clear"):
                function.cache_clear()


def _same(a, b) -> bool:
    """Return whether two codes do the same: those of equal text, nested ones included."""
    nested = [[c for c in code.co_consts if inspect.iscode(c)] for code in (a, b)]
    plain = [[c for c in code.co_consts if not inspect.iscode(c)] for code in (a, b)]
    return (a.co_code, a.co_names, plain[0]) == (b.co_code, b.co_names, plain[1]) and all(map(_same, *nested))


def _functions(module) -> dict:
    """Qualified name to function of everything that a module defines."""
    places = [vars(module)] + [vars(c) for c in vars(module).values() if inspect.isclass(c) and c.__module__ == module.__name__]
    found = {}
    for thing in (thing for place in places for thing in place.values()):
        function = inspect.unwrap(thing) if callable(thing) and not inspect.isclass(thing) else thing
        function = getattr(function, "fget", None) or (function.func if isinstance(function, functools.cached_property) else function)
        if inspect.isfunction(function) and function.__module__ == module.__name__:
            found[function.__qualname__] = function
    return found
