"""Co-simulation: the hardware against the emulator, on every simulator, bit for bit and cycle for cycle."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agreement import cosim as cosim
    from .report import Report as Report
    from .simulators import SimulationFailed as SimulationFailed
    from .simulators import run_tests as run_tests
    from .surroundings import SimulatorMissing as SimulatorMissing

_PLACES = {
    "cosim": "agreement",
    "Report": "report",
    "SimulatorMissing": "surroundings",
    "SimulationFailed": "simulators",
    "run_tests": "simulators",
}

__all__ = [*_PLACES]


def __getattr__(name: str) -> Any:
    """Load what is asked for: a simulator that imports a bench needs none of it."""
    from importlib import import_module

    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PLACES[name]}", __name__), name)
