"""The inference net as ONNX: the chip's integers as double-precision numbers, rounded and limited where the chip does, to the same bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..recipe import Pieces, QFormat, Recipe, rule
from ..recipe.rules import parts

OPSET = 13
ROUNDED = ("floor", "nearest", "nearest_even")


def mistakes(recipe: Recipe) -> Iterator[str]:
    """Yield why a recipe's inference is no ONNX net."""
    if rule(recipe.rule).infer is not parts.inference:
        yield f"rule: {recipe.rule} has an inference program of its own; allowed are one read per layer"
    for place in ("accumulator", "state"):
        if getattr(recipe.rounding, place) not in ROUNDED:
            yield f"rounding.{place}: {getattr(recipe.rounding, place)}; allowed are {', '.join(ROUNDED)}"
        if getattr(recipe.overflow, place) != "saturate":
            yield f"overflow.{place}: {getattr(recipe.overflow, place)}; allowed is saturate"
    if recipe.devices.read_noise:
        yield "devices.read_noise: noise is in no ONNX net; allowed is 0"
    f = recipe.formats
    widest = recipe.weight_width + f.state.width + max(recipe.sizes).bit_length()
    if widest > 53:
        yield f"formats: sums of {widest} bits; allowed are 53, which a double holds"


def write(path: Path, recipe: Recipe, weights: Sequence[np.ndarray]) -> None:
    """Write the net from samples ``x`` (n, inputs), float32, to outputs ``y`` (n, outputs), float32.

    Raises
    ------
    ValueError
        All reasons at once why the chip's inference is no such net, or that the onnx package is not installed.
    """
    try:
        import onnx
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        raise ValueError("ONNX: the onnx package is not installed; install it with `pip install 'crossdyad[onnx]'`") from None
    if wrong := list(mistakes(recipe)):
        raise ValueError("\n".join(f"{recipe.name} as ONNX: {line}" for line in wrong))
    f, nodes, constants = recipe.formats, [], {}
    at = "x"

    def add(kind: str, *more: str) -> None:
        nonlocal at
        nodes.append(helper.make_node(kind, [at, *more], [name := f"n{len(nodes)}"]))
        at = name

    def constant(value: np.ndarray | float) -> str:
        name = f"c{len(constants)}"
        constants[name] = numpy_helper.from_array(np.asarray(value, np.float64), name)
        return name

    def requantized(form: QFormat, rounding: str) -> None:
        add("Mul", constant(2.0**form.frac))
        if rounding == "nearest":
            add("Add", constant(0.5))
        add("Round" if rounding == "nearest_even" else "Floor")
        add("Mul", constant(form.step))
        add("Clip", constant(form.low), constant(form.high))

    def activated(pieces: Pieces) -> None:
        """Add the values of an activation, of a drive as of both compartments."""
        nonlocal at
        half, drive, rises = f.accumulator.step / 2, at, []
        for shift, low, high in zip(pieces.shifts, pieces.knots[:-1], pieces.knots[1:], strict=True):
            if shift is not None:
                at = drive
                add("Clip", constant(low * half), constant(high * half))
                if shift:
                    add("Mul", constant(2.0**-shift / half))
                    add("Floor")
                    add("Mul", constant(half))
                add("Add", constant(-(low >> shift) * half))
                rises.append(at)
        at = rises[0]
        for rise in rises[1:]:
            add("Add", rise)
        add("Add", constant(pieces.first * half))

    nodes.append(helper.make_node("Cast", ["x"], ["n0"], to=TensorProto.DOUBLE))
    at = "n0"
    requantized(f.state, "nearest")
    for k, w in enumerate(weights[: recipe.layers]):
        hidden = recipe.of_layer(k).hidden_bits
        seen = (w >> hidden << hidden) + (1 << hidden >> 1) if hidden else w
        held = recipe.weight_formats[k].decode(seen)
        add("MatMul", constant(held[:, : recipe.sizes[k]].T))
        if recipe.bias:
            add("Add", constant(held[:, -1] * recipe.one * f.state.step))
        requantized(f.accumulator, recipe.rounding.accumulator)
        activated(recipe.pieces(k))
        requantized(f.state, recipe.rounding.state)
    nodes.append(helper.make_node("Cast", [at], ["y"], to=TensorProto.FLOAT))
    graph = helper.make_graph(
        nodes,
        recipe.name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", recipe.sizes[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", recipe.sizes[-1]])],
        list(constants.values()),
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="crossdyad")
    made.ir_version = 8
    onnx.checker.check_model(made)
    path.write_bytes(made.SerializeToString())
