"""One-line faults, drawn by position from the syntax tree, and who notices them: in the reference, and in what both twins share.

``python -m crossdyad.sim.faults [FILE.json] [--field models] [--seed 0] [--count 200] [--only WORD]`` puts one fault after the other into a
module of the field (`FIELDS`), shows it to what executes that function, the quick witnesses first, until one notices, and prints which.
Each result is kept in FILE.json (default ``.build/faults-FIELD.json``) as soon as it is there: a run that was stopped goes on.

Witnesses are tests, which stand beside the package, and for `models` the checks of the cookbook's rows. What each executes is recorded
first. A new version of the sources wants a new file.
"""

from __future__ import annotations

import argparse
import ast
import copy
import functools
import hashlib
import importlib
import itertools
import json
import multiprocessing
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from multiprocessing.connection import wait
from pathlib import Path
from typing import NamedTuple

from .agreement import write

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = __package__.rpartition(".")[0]

def _sources(*patterns: str) -> tuple[Path, ...]:
    """Return the modules of these patterns, packages' own files left out."""
    return tuple(p for pattern in patterns for p in sorted(ROOT.glob(pattern)) if p.name != "__init__.py")


class Field(NamedTuple):
    """Where faults are drawn, and who should notice.

    Attributes
    ----------
    modules : tuple of Path
        What computes, not what checks.
    tests : tuple of str
        Files of witnesses.
    rows : bool
        Whether the checks of the cookbook's rows are witnesses, too.
    """

    modules: tuple[Path, ...]
    tests: tuple[str, ...]
    rows: bool = False


FIELDS = {
    "models": Field(_sources("models/*.py", "models/estimators/*.py"),
                    ("test_rows_by_hand.py", "test_functions_by_hand.py", "test_solvers_by_hand.py", "test_models_soundness.py",
                     "test_models_estimators.py", "test_models_feedforward.py", "test_models_training.py", "test_models_precision.py",
                     "test_schedules.py", "test_cookbook.py"), rows=True),
    "recipe": Field(_sources(*(f"recipe/{name}.py" for name in ("geometry", "operations", "table", "timing", "program", "rules/*"))),
                    ("test_laws.py", "test_machine.py", "test_program.py", "test_rules.py", "test_recipe.py", "test_cards.py")),
    "explore": Field(_sources(*(f"explore/{name}.py" for name in ("choose", "rate", "files"))),
                     ("test_choose.py", "test_explore.py", "test_cost.py")),
}
"""By name. `recipe`: what both twins share, so that no comparison of the two can tell. `explore`: what a user is told to build."""
LIMIT = 600
"""Seconds for one witness; one that takes longer has noticed."""
ENOUGH = 150
"""Seconds of witnesses that a fault is shown to, the quick ones first: what these do not notice is missed."""


class Fault(NamedTuple):
    """A change of one node of a module's syntax tree.

    Attributes
    ----------
    module : str
        Path under the package, as ``models/nudges.py``.
    line, column : int
        Of the node.
    kind : str
        What is done, see `changes`.
    right, wrong : str
        Source before and after.
    """

    module: str
    line: int
    column: int
    kind: str
    right: str
    wrong: str

    @property
    def name(self) -> str:
        """Known by."""
        return f"{self.module}:{self.line}:{self.column} {self.kind}: {self.right} -> {self.wrong}"


# Faults ---------------------------------------------------------------------------------------------------------

OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.MatMult: None,
             ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
             ast.And: ast.Or, ast.Or: ast.And}


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What can be wrong about an expression: (kind, the node that stands there instead)."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "sign", node.operand
    elif isinstance(node, ast.BinOp):
        if other := OPERATORS.get(type(node.op)):
            yield "operator", ast.BinOp(node.left, other(), node.right)
        if isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div):
            yield "term dropped", node.left
        if isinstance(node.op, ast.MatMult | ast.Mult):
            yield "sign", ast.UnaryOp(ast.USub(), node)
    elif isinstance(node, ast.BoolOp):
        yield "operator", ast.BoolOp(OPERATORS[type(node.op)](), node.values)
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in OPERATORS:
        yield "operator", ast.Compare(node.left, [OPERATORS[type(node.ops[0])](), *node.ops[1:]], node.comparators)
    elif isinstance(node, ast.IfExp):
        yield "branch", node.body
        yield "branch", node.orelse
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "constant", ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float | complex):
        yield "constant", ast.Constant(node.value + 1)
        if node.value:
            yield "constant", ast.Constant(node.value * 2)
    elif isinstance(node, ast.Call):
        plain = [i for i, a in enumerate(node.args) if not isinstance(a, ast.Starred)]
        for i, j in zip(plain, plain[1:], strict=False):
            if ast.dump(node.args[i]) != ast.dump(node.args[j]):
                swapped = list(node.args)
                swapped[i], swapped[j] = swapped[j], swapped[i]
                yield "arguments swapped", ast.Call(node.func, swapped, node.keywords)
        if len(node.args) > 1:
            yield "argument ignored", ast.Call(node.func, node.args[:-1], node.keywords)
        for i in (i for i, k in enumerate(node.keywords) if k.arg != "strict"):
            yield "argument ignored", ast.Call(node.func, node.args, node.keywords[:i] + node.keywords[i + 1:])
        if isinstance(node.func, ast.Name) and node.func.id == "reversed":
            yield "order", ast.Call(ast.Name("list", ast.Load()), node.args, [])
    elif isinstance(node, ast.Attribute) and node.attr == "T":
        yield "not transposed", node.value


LEFT_OUT = ("annotation", "returns", "decorator_list", "defaults", "kw_defaults", "exc", "msg")
"""Of the syntax tree: what computes nothing, and defaults, which are choices."""


class _Placed(ast.NodeTransformer):
    """Puts one node in the place of another."""

    def __init__(self, line, column, before, after):
        self.at, self.before, self.after, self.times = (line, column), before, after, 0

    def visit(self, node):
        if (getattr(node, "lineno", None), getattr(node, "col_offset", None)) == self.at and ast.unparse(node) == self.before \
                and isinstance(node, ast.expr) and not self.times:
            self.times += 1
            return ast.copy_location(ast.parse(self.after, mode="eval").body, node)
        return self.generic_visit(node)


def _computing(tree: ast.Module) -> Iterator[ast.AST]:
    """The expressions that compute: all but `LEFT_OUT`."""
    def within(node):
        for name, value in ast.iter_fields(node):
            if name in LEFT_OUT or isinstance(node, ast.JoinedStr) or isinstance(node, ast.keyword) and node.arg == "strict":
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield child
                    yield from within(child)

    for node in tree.body:
        yield from within(node)


@functools.cache
def possible(field: str = "models") -> tuple[Fault, ...]:
    """Return all faults of a field, module by module."""
    found = []
    for path in FIELDS[field].modules:
        module = path.relative_to(ROOT).as_posix()
        for node in _computing(ast.parse(path.read_text())):
            if isinstance(node, ast.expr):
                right = ast.unparse(node)
                for kind, other in changes(node):
                    wrong = ast.unparse(ast.fix_missing_locations(copy.deepcopy(other)))
                    if wrong != right:
                        found.append(Fault(module, node.lineno, node.col_offset, kind, right, wrong))
    return tuple(dict.fromkeys(found))


def drawn(count: int, seed: int, field: str = "models") -> list[Fault]:
    """Return so many faults of a field, of each kind in turn, for most that are possible are swapped arguments."""
    draw, kinds = random.Random(seed), {}
    for f in possible(field):
        kinds.setdefault(f.kind, []).append(f)
    for faults in kinds.values():
        draw.shuffle(faults)
    turns = itertools.zip_longest(*kinds.values())
    return [f for turn in turns for f in turn if f is not None][:count]


def again(name: str, field: str = "models") -> Fault | None:
    """Return the fault that once had this name, on whatever line it is today; None where its text is gone.

    Of several of the same text it is one in the same column, as lines move more than columns do; then the nearest.
    """
    place, _, what = name.partition(" ")
    module, line, column = place.split(":")
    same = [f for f in possible(field) if f.module == module and f.name.partition(" ")[2] == what]
    return min(same, key=lambda f: (f.column != int(column), abs(f.line - int(line))), default=None)


def named(module: str, right: str, wrong: str) -> Fault:
    """The fault that puts `wrong` in the place of `right`, source as `ast.unparse` writes it.

    Raises
    ------
    ValueError
        If `right` is not there exactly once.
    """
    nodes = [n for n in ast.walk(ast.parse((ROOT / module).read_text())) if isinstance(n, ast.expr) and ast.unparse(n) == right]
    if len(nodes) != 1:
        raise ValueError(f"fault in {module}: {right!r} is there {len(nodes)} times; it must be there exactly once")
    return Fault(module, nodes[0].lineno, nodes[0].col_offset, "named", right, wrong)


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
    """From now on in this process the package is loaded anew, changed."""
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
        placed = _Placed(fault.line, fault.column, fault.right, fault.wrong)
        tree = placed.visit(tree)
        if not placed.times:
            raise ValueError(f"fault {fault.name}: its text is not there")
        return tree

    return change


def _recording(module: str, tree: ast.Module) -> ast.Module:
    """Every function says that it runs."""
    for name, node in _functions(tree):
        node.body.insert(0, ast.parse(f"__seen__.add({module + ':' + name!r})").body[0])
    tree.body.insert(_after_future(tree), ast.parse(f"from {__name__} import SEEN as __seen__").body[0])
    return tree


def _after_future(tree: ast.Module) -> int:
    return max((i + 1 for i, n in enumerate(tree.body) if isinstance(n, ast.ImportFrom) and n.module == "__future__"), default=0)


SEEN: set[str] = set()
"""``module:Class.function`` of every function that ran in this process, where they are recorded."""


def _functions(tree: ast.AST, within: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """All functions with their full names, the outer ones first."""
    for node in ast.iter_child_nodes(tree):
        name = within
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            name = f"{within}.{node.name}" if within else node.name
            if isinstance(node, ast.FunctionDef):
                yield name, node
        yield from _functions(node, name)


def function_of(fault: Fault) -> str:
    """``module:function``, the innermost around a fault; nothing after the colon on a module's or class's own level."""
    tree = ast.parse((ROOT / fault.module).read_text())
    around = [name for name, node in _functions(tree) if node.lineno <= fault.line <= node.end_lineno]
    return f"{fault.module}:{around[-1] if around else ''}"


# Witnesses ------------------------------------------------------------------------------------------------------


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
        at = tests[0]           # one that cannot be collected

        def pytest_runtest_logstart(self, nodeid, location):
            self.at = nodeid
            begins(nodeid)

    watch, options = Watch(), ["-q", "-x", "--rootdir", str(ROOT), "-p", "no:cacheprovider"]
    return watch.at if pytest.main([*options, *(str(ROOT / t) for t in tests)], plugins=[watch]) else None


def _record(send, given) -> None:
    """Send what each witness executes: its name, functions, seconds, and whether it passed; None in the end."""
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
            except Exception:       # a fault may break a module
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
    """What a function sends from a process of its own, whose modules are fresh; ends early, if it takes too long or dies."""
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


# Runs -----------------------------------------------------------------------------------------------------------


def sources() -> str:
    """A hash of what is tried and of what tries."""
    digest = hashlib.sha256()
    for path in [*sorted((ROOT / "models").rglob("*.py")), *sorted((ROOT / "tests").glob("*.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class Store:
    """What is known, in a file: what each witness executes, and who noticed which fault."""

    def __init__(self, path: Path):
        self.path = path
        kept = json.loads(path.read_text()) if path.exists() else {}
        self.witnesses = kept.get("witnesses", {})
        self.faults = kept.get("faults", {})

    def keep(self) -> None:
        write(self.path, {"witnesses": self.witnesses, "faults": self.faults})

    def record(self, field: Field) -> None:
        """Record what is not yet known about the witnesses of a field."""
        for found in _apart(_record, (field, set(self.witnesses))):
            if found is None:
                return
            witness, functions, seconds, passed = found
            if not passed:
                raise SystemExit(f"{witness}: fails without any fault; mend it first")
            self.witnesses[witness] = {"seconds": seconds, "functions": functions}
            self.keep()
            print(f"{witness:80s} {len(functions):4d} functions {seconds:6.1f} s", flush=True)
        raise SystemExit("a witness takes too long without any fault, or its process died; run it on its own")

    def of(self, fault: Fault) -> list[str]:
        """Those that execute a fault's function, the quick ones first."""
        at = function_of(fault)
        seen = [w for w, known in self.witnesses.items() if any(f == at or at[-1] == ":" and f.startswith(at) for f in known["functions"])]
        ordered = sorted(seen, key=lambda w: self.witnesses[w]["seconds"])
        spent = itertools.accumulate(self.witnesses[w]["seconds"] for w in ordered)
        return [w for w, seconds in zip(ordered, spent, strict=True) if seconds <= ENOUGH] or ordered[:1]

    def seek(self, fault: Fault) -> str | None:
        """Who notices: a witness, or None."""
        return noticed(fault, self.of(fault))


def reasons(fault: Fault) -> str | None:
    """Why a fault changes nothing that is promised, if that is known."""
    known = {(right, wrong): why for module, right, wrong, why in EQUIVALENT if module == fault.module}
    return next((known[pair] for pair in _around(fault) if pair in known), None) if known else None


def _around(fault: Fault) -> Iterator[tuple[str, str]]:
    """The expressions that hold a fault, itself among them, without it and with it."""
    for node in ast.walk(ast.parse((ROOT / fault.module).read_text())):
        if isinstance(node, ast.expr) and node.lineno <= fault.line <= node.end_lineno:
            placed = _Placed(fault.line, fault.column, fault.right, fault.wrong)
            wrong = ast.unparse(placed.visit(copy.deepcopy(node)))
            if placed.times:
                yield ast.unparse(node), wrong


EQUIVALENT: tuple[tuple[str, str, str, str], ...] = (
    ("recipe/program.py", "np.maximum(self.used.get(v, 0), start + read[1])", "np.maximum(start + read[1], self.used.get(v, 0))",
     "a maximum does not depend on the order of its arguments"),
    ("recipe/timing.py", "first + (g.R - 1) * g.F + fold", "first + (g.R - 1) * g.F",
     "elements are written one a cycle at most, in order: where the first may be overwritten, a later fold's is by then read"),
    ("recipe/rules/phases.py", "made.get(k + 2, start)", "made.get(k + 2)", "no population is above the last unit, which reads none"),
    ("recipe/rules/local.py", "parts.update(k + 1, f'A{k}', row=head, column=f'input{k + 1}')",
     "parts.update(k, f'A{k}', row=head, column=f'input{k + 1}')", "matrix, row and column are named"),
    ("recipe/operations.py", "3", "4", "operations are told apart by their number, not counted"),
    ("recipe/operations.py", "-1", "1", "what reads nothing enters no unit, and what reads names its own"),
    ("models/estimators/oscillation.py", "2j * jnp.pi * t", "-(2j * jnp.pi * t)",
     "the nudge turned the other way gives the complex conjugate, of which the real part is taken"),
    ("models/estimators/control.py", "jnp.geomspace(100, 0.0001, 80)", "jnp.geomspace(200, 0.0001, 80)",
     "the leak only has to begin where there is hardly any control"),
    ("models/estimators/targets.py", "sigma * jnp.sqrt(like.size)", "-(sigma * jnp.sqrt(like.size))", "the noise goes both ways"),
    ("models/soundness.py", "1 + _size(force)", "2 + _size(force)", "what is off is off by orders of magnitude more than its tolerance"),
)
"""Faults that are none: module, what stands there or around it, what would, and why the results are the same."""


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--field", choices=FIELDS, default="models")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--only", default="", help="only faults that have this word in their name")
    given = parser.parse_args()
    store = Store(given.file or Path(f".build/faults-{given.field}.json"))
    store.record(FIELDS[given.field])
    tried = [f for f in drawn(given.count, given.seed, given.field) if given.only in f.name]
    for f in tried:
        if f.name not in store.faults and not reasons(f):
            began = time.perf_counter()
            by = store.seek(f)
            store.faults[f.name] = {"noticed by": by, "seconds": round(time.perf_counter() - began, 1)}
            store.keep()
            print(f"{'noticed' if by else 'MISSED ':8s} {f.name}   {by or ''}", flush=True)
    equivalent = [f for f in tried if reasons(f)]
    missed = [f for f in tried if not reasons(f) and not store.faults[f.name]["noticed by"]]
    print(f"{len(tried)} of {len(possible(given.field))} possible faults tried, {len(equivalent)} equivalent, "
          f"{len(tried) - len(equivalent) - len(missed)} of the rest noticed, {len(missed)} missed")
    for f in equivalent:
        print(f"  equivalent: {f.name}: {reasons(f)}")
    for f in missed:
        print(f"  missed: {f.name}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
