"""Co-simulation: the hardware against the emulator, on every simulator, bit for bit and cycle for cycle."""

_PLACES = {"cosim": "agreement", "Report": "agreement", "SimulatorMissing": "simulators", "SimulationFailed": "simulators",
           "run_tests": "simulators"}

__all__ = [*_PLACES]


def __getattr__(name):
    """Loaded when asked for: a simulator that imports a bench needs none of it."""
    from importlib import import_module

    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PLACES[name]}", __name__), name)
