"""The chip as hardware: Amaranth components written from docs/contract.md, Verilog, FPGA builds."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .chip import Chip as Chip
    from .fits import DoesNotFit as DoesNotFit
    from .initial import build as build
    from .synth import synthesize as synthesize
    from .verilog import Verilog as Verilog
    from .verilog import convert as convert
    from .verilog import generate as generate

_PLACES = {
    "Chip": "chip",
    "build": "initial",
    "DoesNotFit": "fits",
    "synthesize": "synth",
    "Verilog": "verilog",
    "convert": "verilog",
    "generate": "verilog",
}

__all__ = [*_PLACES]


def __getattr__(name: str) -> Any:
    """Load what is asked for: who runs a tool or finds a build that is kept needs no Amaranth."""
    from importlib import import_module
    from importlib.util import find_spec

    if name in _PLACES:
        return getattr(import_module(f".{_PLACES[name]}", __name__), name)
    if find_spec(f".{name}", __name__):
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
