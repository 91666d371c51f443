"""Calls in Python of each command, and the fields that they return and ``--json`` prints."""

from __future__ import annotations

from typing import NamedTuple


class Call(NamedTuple):
    """A command and its call.

    Attributes
    ----------
    command : str
        With the option that makes it another call.
    place : str
        ``wing.module:function``, below `crossdyad`.
    fields : tuple of str
        Of what is returned, or of each row if that is several: ``--json`` prints them. One that ends in ``?`` is not always there.
    added : tuple of str
        What the command says beside them: files that it wrote, how long it took.
    """

    command: str
    place: str
    fields: tuple[str, ...]
    added: tuple[str, ...] = ()

    def suits(self, printed: set[str]) -> bool:
        """Return whether these are the fields that the command prints."""
        always = {name for name in (*self.fields, *self.added) if not name.endswith("?")}
        return always <= printed <= {name.removesuffix("?") for name in (*self.fields, *self.added)}


def _call(command: str, place: str, fields: str, added: str = "") -> Call:
    return Call(command, place, tuple(fields.split()), tuple(added.split()))


TRAINED = "recipe epochs accuracy accuracy_spread loss cycles saturations moved r2 rmse notes history files"
COST = (
    "rule row oracle operations cycles interval in_flight staleness matrices weight_bits feedback_bits transport state_bits "
    "derivatives forward_lock backward_lock idle busy writes random_bits lut ff multipliers memory model_of routed accuracies float64 "
    "cosine mnist"
)
ROW = ("title", "source", "combination", "requires?", "target?", "order?", "card?", "no card?")

CALLS = (
    _call(
        "age",
        "weights.aging:age",
        "recipe device paper time temperature compensate wires driver sense seeds weight_errors at_the_limit "
        "accuracy_before accuracy_after read_noise left_out files",
    ),
    _call("board", "board.probe:found", "port says"),
    _call("board --on", "board.probe:tested", "port recipe clock_mhz baud step requests_per_second samples"),
    _call("budget", "explore.budget:budget", "recipe samples epochs budget largest cost plot predicted critical_noise mended"),
    Call("cookbook", "cli.cookbook:catalog", ("row", *ROW)),
    Call("cookbook --check", "models.cookbook.checks:results", ("row", "passed", "seconds", "findings"), ROW),
    _call("cookbook --figures", "models.cookbook.gallery:draw", "files"),
    _call(
        "cosim",
        "sim.agreement:cosim",
        "recipe simulator data samples cycles bits mismatches cycle_differences first coverage uncovered "
        "unreached notes saturations moved seconds files gradient passed",
    ),
    _call("demo", "explore.demo:demo", "title learned cosim gradient built left_out said page passed files"),
    _call("doctor", "sim.doctor:findings", "tool needed_by version remedy"),
    _call("fit", "explore.fit:fit", "recipe engines cycles busy needs in_flight staleness"),
    _call("generate", "hdl.verilog:generate", "files"),
    _call("generate --board", "sim.kit:write", "files"),
    _call("pick", "explore.choose:pick", "settings metrics seeds reach on_front objectives not_told_apart recipe", "file"),
    _call("report", "explore.report:write", "page bytes"),
    _call("rules", "explore.rules:rows", COST),
    _call("rules --check", "sim.rules:checked", "rule checks"),
    _call("search", "explore.search:search", "points failed store"),
    _call("sweep", "explore.sweep:run", "ok failed invalid", "store seconds missing? seconds_left?"),
    _call("sweep --dry-run", "explore.sweep:plan", "", "rows there missing invalid seconds_left"),
    _call("synth", "hdl.synth:synthesize", "name board device utilisation fmax bitstream_seed clock_mhz tools files key fmax_of_seeds?"),
    _call("train", "explore.learning:train", TRAINED),
    _call(
        "train --reference",
        "models.cookbook.reference:reference",
        "row title data sizes channels update epochs seeds accuracy accuracy_spread best history left_out unanswered files",
    ),
    _call("weights", "weights.rounding:rounded", "recipe layers notes accuracy files"),
)
"""Every command that has ``--json``."""
