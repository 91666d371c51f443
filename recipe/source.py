"""The data that a recipe's chip learns: a file or a folder, and how it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from .kinds import Switch, Whole


class Data(BaseModel):
    """Data of one's own; ``data = "wine.csv"`` is short for ``data.file``.

    Attributes
    ----------
    file : str
        A CSV, Parquet or .npz file, or a folder of IDX files or of images per class; from a recipe's file, beside it. A name: ``digits``,
        ``mnist``, ``xor``. Empty: of these the one with as many inputs.
    label : str
        Name of the label's column; empty: the last.
    leave_out : list of str
        Columns that are not read.
    labels : str
        ``classes``, ``numbers`` (real targets, learned in as many bins as there are outputs), or ``auto``.
    scale : str
        Fitted on the training part: ``standard``, ``range`` (-1 to 1), ``unit`` (0 to 1), ``none`` or ``auto``.
    one : bool
        Add an input that is always one.
    test : float or str
        Share of each class to test on, or a file of samples.
    seed : int
        Of the split.
    missing : str
        Missing values: ``refuse``, ``drop`` or ``mean``.
    single : str
        Classes with one sample: ``refuse``, ``drop`` or ``train``.
    resize : [int, int]
        Width and height that images are brought to; empty: as they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = ""
    label: str = ""
    leave_out: tuple[str, ...] = ()
    labels: Literal["auto", "classes", "numbers"] = "auto"
    scale: Literal["auto", "standard", "range", "unit", "none"] = "auto"
    one: Switch = False
    test: Annotated[float, Field(gt=0, lt=1)] | str = 0.2
    seed: Annotated[Whole, Field(ge=0)] = 1
    missing: Literal["refuse", "drop", "mean"] = "refuse"
    single: Literal["refuse", "drop", "train"] = "refuse"
    resize: tuple[Annotated[Whole, Field(ge=1, le=4096)], ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _by_file(cls, value: Any) -> Any:
        return {"file": value} if isinstance(value, str) else value

    @field_validator("resize")
    @classmethod
    def _two(cls, resize: tuple[int, ...]) -> tuple[int, ...]:
        if len(resize) not in (0, 2):
            raise ValueError(f"{len(resize)} entries; allowed are [width, height]")
        return resize

    def beside(self, folder: Path) -> Data:
        """Return the same with files that are not here taken from a folder."""

        def found(name: Any) -> Any:
            there = folder / name if isinstance(name, str) and name else None
            return str(there) if there is not None and not Path(name).is_absolute() and there.exists() else name

        return self.model_copy(update={"file": found(self.file), "test": found(self.test)})
