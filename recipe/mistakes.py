"""A file's mistakes in words: one line each, with what is allowed."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import ValidationError


def near(name: str, known) -> str:
    """``did you mean ...?``, or nothing."""
    found = difflib.get_close_matches(name, list(known), 1)
    return f"did you mean {found[0]!r}? " if found else ""


def mistakes(error: ValidationError, label: str, model):
    """Lines ``label: key: what is wrong, what is allowed`` of a model's validation error.

    Parameters
    ----------
    error : ValidationError
    label : str
        What is read, usually a file.
    model : pydantic model
        For the names of the keys that are allowed.
    """
    for e in error.errors(include_url=False):
        key = ".".join(str(p) for p in e["loc"])
        message = e["msg"].removeprefix("Value error, ")
        if e["type"] == "extra_forbidden":
            known = _keys_at(model, e["loc"][:-1])
            message = f"unknown key; {near(str(e['loc'][-1]), known)}allowed are {', '.join(known)}"
        elif e["type"] == "missing":
            message = "missing; it must be given"
        elif e["type"] != "value_error" and isinstance(e.get("input"), (str, int, float, list)):
            message = f"{e['input']!r}: {message[0].lower()}{message[1:]}"
        for line in message.splitlines():
            yield f"{label}: {key + ': ' if key else ''}{line}"


def _keys_at(model: Any, loc) -> list[str]:
    for part in loc:
        model = model.model_fields[part].annotation
    return [field.alias or name for name, field in model.model_fields.items()]
