"""Views of a chip's waves for GTKWave and Surfer: its streams, and layer by layer what each section of the contract computes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from ..hdl.verilog import Verilog
from ..recipe import Recipe
from .simulators import TOP

ENGINE = {
    "3 crossbar": ("start", "number", "pc", "word_address", "sum_valid", "sum_index"),
    "6 new weights": ("weight_write", "weight_address", "weight_word", "weight_out_of_range"),
    "7 values": ("value_state", "value_delta"),
}
UNIT = {
    "7 elements": ("valid", "index", "value0", "value1", "drive_write", "drive_index", "drive_value"),
    "4 dyad": ("mean_valid", "mean", "difference_valid", "difference", "out_index"),
    "5 nudge and loss": ("label", "loss"),
}
"""Section of the contract to the ports that show it."""


def groups(recipe: Recipe, source: Verilog) -> Iterator[tuple[str, list[str]]]:
    """Yield (title, names in `Verilog.signals` or of ports) of every group that has any."""
    ports = [p.name for p in source.ports]
    yield "clock", [name for name in ("clk", "rst", "busy", "step") if name in ports]
    yield "9 streams", [name for name in ports if name.startswith(("i_", "o_"))]
    yield "8 sequencer", [name for name in source.signals if name.startswith("sequencer.")]
    for k in range(recipe.layers):
        engine = recipe.engine_of(f"W{k}", k)
        for block, sections in ((f"engine{engine}", ENGINE), (f"unit{k}", UNIT)):
            for section, names in sections.items():
                found = [f"{block}.{name}" for name in names if f"{block}.{name}" in source.signals]
                if found:
                    yield f"layer {k}: {section} ({block})", found
    yield "9 counters", [name for name in ports if name.startswith("saturations_") or name in ("cycles", "rate", "loss")]


def views(recipe: Recipe, source: Verilog, widths: dict[str, int], waves: Path) -> dict[str, str]:
    """Return the text of each view of a file of waves, by the ending of its name.

    Parameters
    ----------
    recipe : Recipe
    source : Verilog
        Of the chip.
    widths : dict
        Bits of each signal by its name in `Verilog.signals`, and of each port.
    waves : path
        The file, which lies beside the views.

    Returns
    -------
    dict
        ``.gtkw``: for ``gtkwave FILE.gtkw``; ``.sucl``: for ``surfer FILE.fst --command-file FILE.sucl``.
    """
    from vcd.gtkw import GTKWSave

    text, commands = io.StringIO(), []
    save = GTKWSave(text)
    save.dumpfile(waves.name, abspath=False)
    save.treeopen(f"{TOP}.")
    for title, names in groups(recipe, source):
        commands.append(f"divider_add {title.replace(' ', '_')}")
        with save.group(title, closed=title.startswith("9 counters")):
            for name in names:
                path, width = f"{TOP}.{source.signals.get(name, name)}", widths[name]
                number = "signed" if _is_number(name) else "hex"
                save.trace(f"{path}[{width - 1}:0]" if width > 1 else path, alias=name, datafmt=number if width > 1 else "bin")
                commands.append(f"variable_add {path}")
    return {".gtkw": text.getvalue(), ".sucl": "\n".join([*commands, "zoom_fit"]) + "\n"}


def _is_number(name: str) -> bool:
    """Return whether a signal means a number that may be negative."""
    return name.rsplit(".", 1)[-1] in ("mean", "difference", "drive_value", "value0", "value1", "value_state", "value_delta", "loss") or (
        name.endswith("payload") and not name.startswith(("i_command", "i_label"))
    )
