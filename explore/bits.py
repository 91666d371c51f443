"""Axes of bits: the width of a number format, its range kept, of all layers of weights or of one."""

from __future__ import annotations

import re
from typing import Any

OF_LAYER = re.compile(r"bits\.weight\.(0|[1-9][0-9]?)")
"""An axis of the weights of one layer."""


def of_layer(field: str) -> bool:
    """Return whether an axis is of the weights of one layer, ``bits.weight.0``, .."""
    return bool(OF_LAYER.fullmatch(field))


def formats(table: dict[str, Any], place: str) -> list[dict[str, int]]:
    """Return the formats of a place in a recipe's table, which may be changed: one, or of weights one for each layer."""
    found = table["formats"][place]
    return list(found) if isinstance(found, list | tuple) else [found]


def lsb(table: dict[str, Any], place: str) -> float:
    """Return the LSB of a place; of several formats the largest."""
    return max(2.0 ** -q["frac"] for q in formats(table, place))


def change(table: dict[str, Any], field: str, bits: int) -> str:
    """Set the width of formats in a recipe's table and keep their range, that is, add fraction bits.

    Parameters
    ----------
    table : dict
        Of a recipe; it is changed.
    field : str
        ``bits.PLACE``, of weights all layers, or ``bits.weight.K``.
    bits : int

    Returns
    -------
    str
        Why there is no such axis of this recipe, otherwise empty.
    """
    if type(bits) is not int:
        return f"{field}: {bits!r}; allowed are whole numbers of bits"
    place, layers = field.split(".")[1], len(table["sizes"]) - 1
    chosen = formats(table, place)
    if of_layer(field):
        if (layer := int(field.rpartition(".")[2])) >= layers:
            return f"{field}: the recipe has {layers} layers of weights; allowed are bits.weight.0 to bits.weight.{layers - 1}"
        if len(chosen) == 1:
            table["formats"][place] = chosen = [dict(chosen[0]) for _ in range(layers)]
        chosen = chosen[layer : layer + 1]
    for q in chosen:
        q["frac"] += bits - q["width"]
        q["width"] = bits
    return ""


def widths(table: dict[str, Any]) -> dict[str, Any]:
    """Return where a recipe's table is on each axis of bits; not on ``bits.weight`` if its layers differ."""
    found = {place: {q["width"] for q in formats(table, place)} for place in table["formats"]}
    layers = formats(table, "weight")
    each = [q["width"] for q in (layers if len(layers) > 1 else layers * (len(table["sizes"]) - 1))]
    return {f"bits.{place}": bits.pop() for place, bits in found.items() if len(bits) == 1} | {
        f"bits.weight.{k}": width for k, width in enumerate(each)
    }
