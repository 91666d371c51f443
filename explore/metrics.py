"""Metrics: what a point of a sweep is judged by."""

from collections.abc import Iterable

from ..recipe import near

METRICS = {
    "accuracy": "share of the test samples that the trained chip gets right",
    "yield": "share of the chips, over seeds and devices, whose accuracy under the conditions reaches conditions.yield_at",
    "loss": "mean cost over the last epoch",
    "cosine": "mean cosine of the chip's gradient of a sample to the exact one, after training",
    "gradient_bias": "size of the estimates' mean error over the size of the gradient, after training",
    "deviation": "root of the estimates' variance over the size of the gradient, after training",
    "sign": "share of weights whose estimate has the right sign, after training",
    "saturations": "range events per training step",
    "cycles": "clock cycles of a training step (of an inference, if the chip does not learn)",
    "lut": "LUTs",
    "ff": "flip-flops",
    "multipliers": "multiplier blocks",
    "memory": "memory blocks",
    "fill": "share of the board that is taken, of the resource that runs out first; more than 1 does not fit",
    "fmax": "highest clock frequency that the circuit could take, MHz; the board's oscillator sets the one that it has",
    "samples_per_second": "training steps per second on the board: the slower of chip and line; 0 if fmax is below the board's clock",
    "chip_rate": "training steps per second of the chip alone, at the board's clock",
    "line_rate": "training samples per second that the board's serial line carries",
    "energy": "energy of a training step, nJ, by the model named in the report",
    "array_area": "area of the arrays with their drivers and converters, square millimetres, by the model of explore.analog",
    "array_latency": "time of a training step's reads of arrays, microseconds, by the same model",
}
"""Metrics that a point is judged by."""
SMALLER_IS_BETTER = frozenset(
    {
        "loss",
        "gradient_bias",
        "deviation",
        "saturations",
        "cycles",
        "lut",
        "ff",
        "multipliers",
        "memory",
        "fill",
        "energy",
        "array_area",
        "array_latency",
    }
)
BOUNDS = {"accuracy": (0.0, 1.0), "yield": (0.0, 1.0), "sign": (0.0, 1.0), "cosine": (-1.0, 1.0)}
"""Metrics with a least and a greatest value; the others are at least 0."""
GRADIENT = {"cosine": "cosine", "gradient_bias": "bias", "deviation": "deviation", "sign": "sign"}
"""Metrics that want the gradient measured, along training, and what `sim.quality` calls them: a bias alone is a field of a recipe."""
LEARNING = ("accuracy", "yield", "loss", "saturations", *GRADIENT)
"""Metrics that want the chip trained."""
COST = (
    "lut",
    "ff",
    "multipliers",
    "memory",
    "fill",
    "fmax",
    "samples_per_second",
    "chip_rate",
    "line_rate",
    "energy",
    "array_area",
    "array_latency",
)
"""Metrics that want the chip's cost on a board."""


def renamed(name: str) -> str:
    """Return a metric's name of today for one that a specification or store of before may have."""
    return name.replace("bias", "gradient_bias", 1) if name.startswith("bias") else name


def known_metrics(names: Iterable[str]) -> list[str]:
    """The names, if each is a metric; otherwise a ValueError that tells the nearest."""
    names = list(map(renamed, names))
    wrong = [f"{name!r} is no metric; {near(name, METRICS)}allowed are {', '.join(METRICS)}" for name in names if name not in METRICS]
    if wrong:
        raise ValueError("\n".join(wrong))
    return names
