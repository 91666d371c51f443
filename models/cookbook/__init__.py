"""The cookbook: every method of the paper as a combination of parts, checked by its own law.

`ROWS` holds the rows by number; each module here holds the rows of one family. To add one: write what computes it in
the module of its axis (`estimators`, `solvers`, ...), as a function of one sample, and here an `Estimator` that
declares what it needs, what it tends to and how fast, and a check that measures what no other method would fulfil::

    MINE = Estimator(90, "mine", my_gradient, frozenset({"energy"}), order=2, small="beta", largest=0.1)

    @row(90, "My method", "2.2, Eq. 6", estimator=MINE, systems=[systems.hopfield], nudge="weak")
    def my_law(seed):
        \"\"\"One sentence: the law.\"\"\"
        yield equal("what equals what", a, b)

The slope of the declared order is then measured on every system, circuits without the capability are refused, and a surrogate has to
give the estimates' mean. What trains (`standard`) is written once more in NumPy, in `by_hand` beside the tests, and compared by value.
"""

import importlib
import pkgutil

from .findings import Finding
from .row import AXES, ROWS, Row, row

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["AXES", "ROWS", "Finding", "Row", "row"]
