"""A file's mistakes in words: one line each, with what is allowed."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

LONGEST = 60
"""Characters of a wrong value that are repeated."""

KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text in quotes",
    "tuple": "a list, as [1, 2]",
    "list": "a list, as [1, 2]",
    "model": "a table, as { key = value }",
    "dict": "a table, as { key = value }",
    "finite": "a finite number",
}
"""First word of pydantic's name of a mistake to what is allowed."""

BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
    "greater_than": ("more than", "gt"),
    "less_than": ("less than", "lt"),
}


def near(name: str, known: Iterable[str]) -> str:
    """``did you mean ...?``, or nothing."""
    found = difflib.get_close_matches(name, list(known), 1)
    return f"did you mean {found[0]!r}? " if found else ""


def mistakes(error: ValidationError, label: str, model: type[BaseModel]) -> Iterator[str]:
    """Yield lines ``label: key: what is wrong; what is allowed`` of a model's validation error.

    Parameters
    ----------
    error : ValidationError
    label : str
        What is read, usually a file.
    model : pydantic model
        For the names of the keys that are allowed.
    """
    found = error.errors(include_url=False)
    for e in found:
        # items that were refused are missing in the count of those that were not
        inside = [o for o in found if len(o["loc"]) > len(e["loc"]) and o["loc"][: len(e["loc"])] == e["loc"]]
        if e["type"] in ("too_short", "too_long") and inside:
            continue
        key = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in e["loc"]).removeprefix(".")
        for line in _words(e, model).splitlines():
            yield f"{label}: {key + ': ' if key else ''}{line}"


def _words(e: Mapping[str, Any], model: type[BaseModel]) -> str:
    """Say what is wrong and what is allowed, of one of pydantic's mistakes."""
    kind, context = e["type"], e.get("ctx", {})
    if kind == "value_error":
        return str(e["msg"]).removeprefix("Value error, ")
    if kind == "extra_forbidden":
        known = _keys_at(model, e["loc"][:-1])
        return f"unknown key; {near(str(e['loc'][-1]), known)}allowed are {', '.join(known)}"
    if kind == "missing":
        return "missing; it must be given"
    if kind in ("too_short", "too_long"):
        few = kind == "too_short"
        return (
            f"{context['actual_length']} entries; allowed are at {'least' if few else 'most'} "
            f"{context['min_length' if few else 'max_length']}"
        )
    if kind in BOUNDS:
        word, bound = BOUNDS[kind]
        allowed = f"is {word} {context[bound]}"
    elif kind == "literal_error":
        allowed = f"is {context['expected']}"
    elif kind == "string_pattern_mismatch":
        allowed = f"is what the pattern {context['pattern']} takes"
        described = _field_at(model, e["loc"])
        if described and described.description:
            allowed = f"are {described.description}"
    elif kind == "model_type" and (described := _field_at(model, e["loc"])) and described.description:
        allowed = f"is {described.description}"
    else:
        allowed = f"is {KINDS.get(kind.split('_')[0], e['msg'][0].lower() + e['msg'][1:])}"
    return f"{shown(e.get('input'))}; allowed {allowed}"


def shown(value: Any) -> str:
    """A value as it is repeated in a message: truths as TOML writes them, long ones cut short."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _field_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> Any:
    """The field at a place, or None where a model ends before it."""
    field = None
    for part in (p for p in loc if not isinstance(p, int)):  # items of a list are of one model
        fields = getattr(model, "model_fields", {})
        if part not in fields:
            return None
        field = fields[part]
        model = model_of(field.annotation)
    return field


def _keys_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    field = _field_at(model, loc)
    at = model_of(field.annotation) if field else model
    return [field.alias or name for name, field in at.model_fields.items()]


def model_of(annotation: Any) -> Any:
    """The model of a field that holds one, perhaps or nothing (``Search | None``)."""
    return next((a for a in typing.get_args(annotation) if isinstance(a, type) and issubclass(a, BaseModel)), annotation)
