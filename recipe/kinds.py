"""Kinds of values that files hold, none taken for another: ``true`` is no number, ``"3"`` neither, and infinity is no setting."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AllowInfNan, BeforeValidator, Strict

from .mistakes import shown


def _number(value: Any) -> Any:
    """Refuse what pydantic would take for a number."""
    if isinstance(value, bool | str):
        raise ValueError(f"{shown(value)}; allowed is a number")
    return value


Number = BeforeValidator(_number)
Whole = Annotated[int, Number]
Real = Annotated[float, AllowInfNan(False), Number]
Switch = Annotated[bool, Strict()]
