"""Verilog out of components, with a map from Amaranth's names to Verilog's, and the files of a whole chip."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from amaranth.back import verilog as backend
from amaranth.hdl import Fragment, Value
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring

from ..recipe import Recipe, RecipeError, in_memory, load, programs, require_recipe, table
from ..recipe.link import fingerprint
from . import cache
from .families import Platform

MADE = "# made by `crossdyad generate`, which replaces it: keep a recipe of your own under another name or in another folder\n"
"""First line of the recipe beside a chip."""


@dataclass(frozen=True)
class Port:
    """A port of the top module; `signed` is kept here because Verilog output may drop it."""

    name: str
    direction: str
    width: int
    signed: bool


@dataclass(frozen=True)
class Verilog:
    """Generated Verilog.

    Attributes
    ----------
    text : str
        Source of the top module and everything below it.
    ports : tuple of Port
        Ports of the top module, ``clk`` and ``rst`` included.
    signals : dict
        Attribute path of an inner component's port (``unit0.drive_write``) to its path below the top module.
    """

    text: str
    ports: tuple[Port, ...]
    signals: dict[str, str]


def _flat(component: wiring.Component) -> Iterator[tuple[str, Value, wiring.Flow]]:
    """(name, Value, flow) of every port of a component, flattened as in the Verilog."""
    for path, member, value in component.signature.flatten(component):
        yield "__".join(map(str, path)), Value.cast(value), member.flow


def inner(component: wiring.Component, prefix: str = "") -> Iterator[tuple[str, Value]]:
    """(attribute path, Value) of the ports of all components that are attributes of a component, at any depth."""
    for name, child in vars(component).items():
        several = child if isinstance(child, list | tuple) else ()
        children = {f"{name.removesuffix('s')}{i}": c for i, c in enumerate(several)} or {name: child}
        for part, found in children.items():  # the list `units` holds unit0, unit1 ...
            if isinstance(found, wiring.Component):
                yield from ((f"{prefix}{part}.{port}", value) for port, value, _ in _flat(found))
                yield from inner(found, f"{prefix}{part}.")


def _plain(text: str) -> tuple[str, dict[str, str]]:
    r"""Verilog without escaped identifiers, and the new name of each: ``\error_write$37`` is ``error_write_37``.

    Simulators disagree on how an escaped name is found from outside, and some tools refuse them.
    """
    names: dict[str, str] = {}
    used = set(re.findall(r"(?<![\\\w$])[A-Za-z_]\w*", text))

    def rename(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in names:
            plain = re.sub(r"\W+", "_", name)
            plain = f"n{plain}" if not plain[0].isalpha() else plain
            if plain == name:  # escaped though it is a plain word: a keyword
                plain += "_"
            while plain in used:
                plain += "_"
            used.add(plain)
            names[name] = plain
        return names[name] + " "

    return re.sub(r"\\(\S+)\s", rename, text), names


def _next_values(text: str) -> str:
    """Verilog in which what a register takes at the next edge is called ``REGISTER_next``, not a number."""

    def module(match: re.Match[str]) -> str:
        body = match[0]
        used, names = set(re.findall(r"\w+", body)), dict[str, str]()
        for register, value in re.findall(r"^\s*(?:else )?(\w+)\s*<=\s*(n_\d+)\s*;", body, re.M):
            name = f"{register}_next"
            while name in used:
                name += "_"
            if value not in names:
                names[value] = name
                used.add(name)
        return re.sub(r"\bn_\d+\b", lambda number: names.get(number[0], number[0]), body)

    return re.sub(r"^module .*?^endmodule", module, text, flags=re.M | re.S)


def headed(source: Verilog, recipe: Recipe, command: str) -> str:
    """The text with a header: recipe, version, command, and a hash of all that follows."""
    what = f"a chip that learns ({' '.join(map(str, recipe.sizes))}, {recipe.rule})"
    return (
        "".join(
            f"// {line}\n"
            for line in (
                f"{recipe.name}: {what}, recipe {fingerprint(recipe).hex()}",
                f"made by crossdyad {importlib.metadata.version('crossdyad')}: {command}",
                f"SHA-256 of what follows: {hashlib.sha256(source.text.encode()).hexdigest()}",
            )
        )
        + source.text
    )


def convert(component: wiring.Component, name: str, platform: Platform | None = None) -> Verilog:
    """A component and everything below it as Verilog.

    Parameters
    ----------
    component : wiring.Component
    name : str
        Of the top module.
    platform : Platform, optional
        What it is built for.
    """
    cache.ensure()
    ports = {port: (value, PortDirection.Input if flow is wiring.In else PortDirection.Output) for port, value, flow in _flat(component)}
    text, paths = backend.convert_fragment(
        Fragment.get(component, platform),  # type: ignore[no-untyped-call]  # a stub
        ports,
        name,
        emit_src=False,
        strip_internal_attrs=True,
    )
    text, plain = _plain(text)
    text = _next_values(text)
    listed = [
        Port(port, "input" if direction is PortDirection.Input else "output", len(value), value.shape().signed)
        for port, (value, direction) in ports.items()
    ]
    found = re.search(rf"^module {plain.get(name, name)} ?\(.*?^endmodule", text, re.M | re.S)  # a keyword's name is another one
    assert found is not None
    clocking = [Port(port, "input", 1, False) for port in ("clk", "rst") if port not in ports and f" input {port};" in found[0]]
    return Verilog(
        text,
        tuple(clocking + listed),
        {path: ".".join(plain.get(part, part) for part in paths[value][1:]) for path, value in inner(component) if value in paths},
    )


def generate(
    recipe: Recipe, folder: str | Path, progress: Callable[[str, int, int], None] | None = None, weights: Sequence[np.ndarray] | None = None
) -> list[Path]:
    """Write a recipe's chip for use anywhere Verilog is taken.

    Parameters
    ----------
    recipe : Recipe
    folder : path
        Made if it does not exist; files of the same names are replaced, except a ``NAME.toml`` of the user's: one that says this very
        recipe stays as it is.
    progress : callable, optional
        Called as ``progress(step, done, total)``.
    weights : list of int arrays (R, C), optional
        Of each matrix in memory: the chip wakes up with them.

    Returns
    -------
    list of Path
        ``NAME.v``; ``NAME.json``, the sidecar: ports with signedness, inner signals by name, recipe, programs, memory sizes;
        ``NAME.program.txt``, the schedules to read; ``NAME.toml``, the recipe; ``NAME.core``, for FuseSoC.

    Raises
    ------
    OSError
        If the folder cannot be written; then no file of the set is there in part.
    ValueError
        If a ``NAME.toml`` is there that was not made here and says another recipe.
    """
    from . import build

    require_recipe(recipe)
    folder, tell = Path(folder), progress or (lambda step, done, total: None)
    stays = kept(folder / f"{recipe.name}.toml", recipe)
    module = recipe.name.replace("-", "_") + "_chip"  # no keyword: a recipe may be called xor
    tell("circuit", 0, 3)
    component = build(recipe, weights)
    tell("Verilog", 1, 3)
    source = convert(component, module)
    tell("files", 2, 3)
    infer, train = programs(recipe)
    sidecar = {
        "top": module,
        "ports": [asdict(port) for port in source.ports],
        "signals": source.signals,
        "recipe": recipe.model_dump(mode="json"),
        "programs": {
            role: {
                "name": program.name,
                "length": program.length,
                "interval": program.interval,
                "in_flight": program.in_flight,
                "staleness": program.staleness,
                "instructions": [
                    {"cycle": i.cycle, "engine": i.engine, "operation": str(i.step), "lag": i.lag} for i in program.instructions
                ],
            }
            for role, program in (("infer", infer), ("train", train))
        },
        "matrices": [
            {
                "name": g.matrix.name,
                "rows": g.R,
                "columns": g.C,
                "engine": g.engine,
                "lanes": g.L,
                "words": g.N,
                "weight_bits": g.N * g.L * table.engines(recipe)[g.engine].width,
            }
            for g in in_memory(recipe)
        ],
    }
    core = (
        f"CAPI=2:\nname: crossdyad:chips:{recipe.name}:0.1.0\n"
        f"description: a chip that learns ({' '.join(map(str, recipe.sizes))}, {recipe.rule})\n"
        f"filesets:\n  rtl:\n    files:\n      - {recipe.name}.v: {{file_type: verilogSource}}\n"
        f"targets:\n  default: &default\n    filesets: [rtl]\n    toplevel: {module}\n"
        f"  lint:\n    <<: *default\n    default_tool: verilator\n    tools: {{verilator: {{mode: lint-only}}}}\n"
    )
    schedule = str(infer) + ("" if train is infer else "\n" + str(train))
    files = write_together(
        folder,
        {
            f"{recipe.name}.v": headed(source, recipe, f"crossdyad generate {recipe.name}"),
            f"{recipe.name}.json": json.dumps(sidecar, indent=1) + "\n",
            f"{recipe.name}.program.txt": schedule,
            f"{recipe.name}.core": core,
        }
        | ({} if stays else {f"{recipe.name}.toml": MADE + recipe.to_toml()}),
    )
    tell("written", 3, 3)
    return files + [folder / f"{recipe.name}.toml"] * stays


def kept(path: Path, recipe: Recipe) -> bool:
    """Return whether a file of the user's is there that says this recipe already; ValueError if it says another."""
    if not path.exists() or (path.is_file() and path.read_bytes().startswith(MADE.encode())):
        return False
    try:
        if load(path) == recipe:
            return True
        said = "says another recipe"
    except RecipeError:
        said = "says no recipe"
    raise ValueError(
        f"{path}: there already, {said} and was not made by `crossdyad generate`, so it is not replaced; "
        "choose another folder or another name in the recipe"
    )


def write_together(folder: Path, files: dict[str, str]) -> list[Path]:
    """Write a set of text files beside their places first, then rename all: a failure leaves none in part."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as draft:
        for name, text in files.items():
            (Path(draft) / name).write_text(text, encoding="utf-8")
        for name in files:
            os.replace(Path(draft) / name, folder / name)
    return [folder / name for name in files]
