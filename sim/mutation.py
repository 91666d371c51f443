"""Seeded faults in the hardware, to see that the scenarios notice them.

A fault is a substitution in the source of one hardware module, which must apply exactly once. While a fault is in, every
hardware module is a fresh copy, so that all components are built with it.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader

HARDWARE = __package__.rpartition(".")[0] + ".hdl"


@dataclass(frozen=True)
class Fault:
    """A wrong piece of hardware.

    Parameters
    ----------
    name : str
    module : str
        Hardware module, as ``fixed``.
    right, wrong : str
        Source text and what replaces it.
    block : str
        The scenarios that are expected to notice: a module of `sim` with `scenarios`.
    """

    name: str
    module: str
    right: str
    wrong: str
    block: str


FAULTS = (
    Fault("nearest rounds down", "fixed", "return floor + half\n", "return floor\n", "fixed"),
    Fault("nearest even ties up", "fixed", "(half & (floor[0] | rest))", "half", "fixed"),
    Fault("stochastic ignores the random word", "fixed", "+ random[RANDOM_BITS - m:])", "+ 0)", "fixed"),
    Fault("saturation dropped", "fixed", 'if overflow == "wrap":', "if True:", "fixed"),
    Fault("wrong round constant", "rng", "0x9E3779B9", "0x9E3779B1", "rng"),
    Fault("rotation off by one", "rng", "y.rotate_left(3)", "y.rotate_left(4)", "rng"),
    Fault("feedback with the wrong sign", "neuron", "_times(self.a, 2) - _times(self.b, two_alpha)",
          "_times(self.a, 2) + _times(self.b, two_alpha)", "neuron"),
    Fault("target swapped", "nudge", "r.target(True), r.target(False)", "r.target(False), r.target(True)", "nudge"),
    Fault("guard missing", "update", "low + guard", "low", "update"),
    Fault("last row skipped", "crossbar", "last_row, last_fold = row == g.R - 1", "last_row, last_fold = row == max(g.R - 2, 0)",
          "crossbar"),
    Fault("sum not cleared between rows", "crossbar", "Mux(first_fold_at[4 + g.lv], 0, self.sum)", "self.sum", "crossbar"),
    Fault("wrong lane's rounding word", "crossbar", "i % VIEWS), 1)", "(i + 1) % VIEWS), 1)", "crossbar"),
    Fault("transposed row not shifted", "crossbar", "waiting[i].eq(Mux(ends, columns[i + 1], waiting[i + 1]))",
          "waiting[i].eq(Mux(ends, columns[i], waiting[i + 1]))", "crossbar"),
    Fault("nudge's feedback a cycle late", "layer", "Mux(nudged[6], nudge.b, 0)", "Mux(nudged[6], delayed(m, nudge.b, 1), 0)",
          "layer"),
    Fault("revised one cycle late", "layer", "self.revised_valid.eq(received_valid[7])",
          "self.revised_valid.eq(delayed(m, received_valid[7], 1))", "layer"),
    Fault("loss of the last row lost", "layer", "first = index[6] == 0", "first = index[6] <= 1", "layer"),
    Fault("stale bank", "chip", "bank.eq(~bank)", "bank.eq(bank)", "chip"),
    Fault("step counts inference", "chip", "self.step + training", "self.step + 1", "chip"),
    Fault("result queue takes one sample too many", "chip", "level_next <= self._depth // 2", "level_next <= self._depth // 2 + 1",
          "chip"),
    Fault("label not used up", "chip", "label_used.eq(label), label_full.eq(0)", "label_used.eq(label)", "chip"),
    Fault("cycle counter starts late", "chip", "self.cycles.eq(self.cycles + 1)", "self.cycles.eq(self.cycles + sequencer.busy"
          " - sequencer.finish)", "chip"),
)


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
        with open(self._path) as file:
            source = file.read()
        found = source.count(self._fault.right)
        if found != 1:
            raise ValueError(f"fault {self._fault.name!r}: its text is {found} times in {self._fault.module}.py; "
                             "it must be there exactly once")
        exec(compile(source.replace(self._fault.right, self._fault.wrong), self._path, "exec"), module.__dict__)


@contextlib.contextmanager
def seeded(fault: Fault):
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
        yield importlib.import_module(HARDWARE)
    finally:
        sys.meta_path.remove(finder)
        for name in ours():
            del sys.modules[name]
        sys.modules.update(before)
        if attribute is not None:
            package.hdl = attribute
