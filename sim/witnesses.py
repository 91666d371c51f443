"""Who notices a fault: processes of their own whose modules are loaded with it, and the tests and rows that run in them.

Witnesses are tests, which stand beside the package, and for `models` the checks of the cookbook's rows.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from multiprocessing.connection import wait
from pathlib import Path

from .faults import FIELDS, ROOT, Fault, Field, Placed, functions_in

PACKAGE = __package__.rpartition(".")[0]
LIMIT = 600
"""Seconds for one witness; one that takes longer has noticed."""


def noticed(fault: Fault, witnesses: list[str]) -> str | None:
    """Return the first of `witnesses` that notices `fault`, or None; one that does not end, or dies, has noticed.

    Raises
    ------
    RuntimeError
        If the process ends before the first witness has begun, which says nothing about the fault.
    """
    last = None
    for found in _apart(_try, (fault, witnesses)):
        if isinstance(found, tuple):
            last = found[0]
        else:
            return found
    if witnesses and last is None:
        raise RuntimeError(f"{fault.name}: the process that shows it ended before its first witness began; run the command again")
    return last


class _Changed(MetaPathFinder):
    """Loads modules of `FIELDS` from trees that a function changes: path under the package and tree to tree."""

    def __init__(self, change: Callable[[str, ast.Module], ast.Module]):
        self.change = change
        modules = [p for field in FIELDS.values() for p in field.modules]
        self.paths = {f"{PACKAGE}." + _module(p).removesuffix(".py").replace("/", "."): p for p in modules}

    def find_spec(self, name, path, target=None) -> ModuleSpec | None:
        return spec_from_loader(name, self, origin=str(self.paths[name])) if name in self.paths else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        path = self.paths[module.__name__]
        tree = self.change(_module(path), ast.parse(path.read_text()))
        module.__file__ = str(path)
        exec(compile(ast.fix_missing_locations(tree), str(path), "exec"), module.__dict__)


def _change(change: Callable) -> None:
    """Load the package anew in this process from now on, changed."""
    package = vars(sys.modules[PACKAGE])
    for name in [n for n in sys.modules if n.startswith(PACKAGE + ".") and n != __name__]:
        package.pop(name.rpartition(".")[2], None)
        del sys.modules[name]
    sys.meta_path.insert(0, _Changed(change))


def _module(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _faulty(fault: Fault) -> Callable:
    def change(module, tree):
        if module != fault.module:
            return tree
        placed = Placed(fault.line, fault.column, fault.right, fault.wrong)
        tree = placed.visit(tree)
        if not placed.times:
            raise ValueError(f"fault {fault.name}: its text is not there")
        return tree

    return change


def _recording(module: str, tree: ast.Module) -> ast.Module:
    """Every function says that it runs."""
    for name, node in functions_in(tree):
        node.body.insert(0, ast.parse(f"__seen__.add({module + ':' + name!r})").body[0])
    tree.body.insert(_after_future(tree), ast.parse(f"from {__name__} import SEEN as __seen__").body[0])
    return tree


def _after_future(tree: ast.Module) -> int:
    return max((i + 1 for i, n in enumerate(tree.body) if isinstance(n, ast.ImportFrom) and n.module == "__future__"), default=0)


SEEN: set[str] = set()
"""``module:Class.function`` of every function that ran in this process, where they are recorded."""


def _collected(field: Field) -> list[str]:
    """Return the tests of a field, and ``row N`` for every check of the cookbook, where they are witnesses."""
    import pytest

    class Items(list):
        def pytest_collection_finish(self, session):
            self += [f"tests/{i.path.name}::" + i.nodeid.split("::", 1)[1] for i in session.items]

    items, files = Items(), [str(ROOT / "tests" / t) for t in field.tests if (ROOT / "tests" / t).exists()]
    pytest.main(["-q", "--collect-only", "--rootdir", str(ROOT), "-p", "no:cacheprovider", *files], plugins=[items])
    rows = importlib.import_module(f"{PACKAGE}.models.cookbook").ROWS if field.rows else ()
    # rows, minutes each, or with processes of their own, which a witness may not have
    again = ("a_row_fulfils_its_law", "the_first_rows", "every_standard_row_learns", "a_seeded_fault", "worker", "are_drawn_as_told")
    return [i for i in items if not any(word in i for word in again)] + [f"row {n}" for n in sorted(rows)]


def _row(witness: str) -> bool:
    return witness.startswith("row ")


def _passes(row: str) -> bool:
    """Return whether the check of a row finds nothing wrong, here and now."""
    checks = importlib.import_module(f"{PACKAGE}.models.cookbook.checks")
    return checks.measure(int(row.removeprefix("row "))).passed


def _fails(tests: list[str], begins: Callable[[str], None]) -> str | None:
    """Return the first of some tests that fails, here and now, or None; `begins` is told each as it begins."""
    import pytest

    class Watch:
        at = tests[0]  # one that cannot be collected

        def pytest_runtest_logstart(self, nodeid, location):
            self.at = nodeid
            begins(nodeid)

    watch, options = Watch(), ["-q", "-x", "--rootdir", str(ROOT), "-p", "no:cacheprovider"]
    return watch.at if pytest.main([*options, *(str(ROOT / t) for t in tests)], plugins=[watch]) else None


def recorded(field: Field, known: set[str]) -> Iterator[tuple[str, list[str], float, bool] | None]:
    """Yield what each witness of a field not in `known` executes: its name, functions, seconds, whether it passed; None in the end."""
    return _apart(_record, (field, known))


def _record(send, given) -> None:
    """Send what `recorded` gives."""
    import jax

    field, known = given
    _change(_recording)
    for witness in _collected(field):
        if witness not in known:
            SEEN.clear()
            jax.clear_caches()
            _forget()
            began = time.perf_counter()
            passed = _passes(witness) if _row(witness) else not _fails([witness], lambda _: None)
            send((witness, sorted(SEEN), round(time.perf_counter() - began, 2), passed))
    send(None)


def _forget() -> None:
    """Clear what the package's functions remember, so that all that a witness needs runs again."""
    for name in [n for n in sys.modules if n.startswith(PACKAGE)]:
        for value in list(vars(sys.modules[name]).values()):
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def _try(send, given) -> None:
    """Send each witness that a fault is shown to, and in the end who noticed, or None."""
    fault, witnesses = given
    _change(_faulty(fault))
    for rows, some in itertools.groupby(witnesses, _row):
        if not rows:
            if by := _fails(list(some), lambda test: send((test,))):
                return send(by)
            continue
        for row in some:
            send((row,))
            try:
                passed = _passes(row)
            except Exception:  # a fault may break a module
                passed = False
            if not passed:
                return send(row)
    send(None)


def _quiet(pipe, function, given):
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        function(pipe.send, given)


def _end_with_parent() -> None:
    """End this process as soon as the one that started it has ended, however that ended."""
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _apart(function, given, limit: float = LIMIT) -> Iterator:
    """Return what a function sends from a process of its own, whose modules are fresh; ends early, if it takes too long or dies."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["jax", "lineax", "diffrax", "optax", "numpy", "pytest"])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_quiet, args=(theirs, function, given), daemon=True)
    process.start()
    theirs.close()
    try:
        while ours.poll(limit):
            yield ours.recv()
    except EOFError:
        return
    finally:
        process.kill()
        process.join()
