"""One-line faults, drawn by position from the syntax tree: in the reference, in what both twins share, in what a user is told to build."""

from __future__ import annotations

import ast
import copy
import functools
import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


def _sources(*patterns: str) -> tuple[Path, ...]:
    """Return the modules of these patterns, packages' own files left out."""
    return tuple(p for pattern in patterns for p in sorted(ROOT.glob(pattern)) if p.name != "__init__.py")


class Field(NamedTuple):
    """Files in which faults are drawn, and tests that should notice.

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
    "models": Field(
        _sources("models/*.py", "models/estimators/*.py"),
        (
            "test_rows_by_hand.py",
            "test_functions_by_hand.py",
            "test_solvers_by_hand.py",
            "test_models_soundness.py",
            "test_models_estimators.py",
            "test_models_feedforward.py",
            "test_models_forms.py",
            "test_models_as_used.py",
            "test_models_training.py",
            "test_models_precision.py",
            "test_schedules.py",
            "test_cookbook.py",
            "test_cookbook_cards.py",
            "test_operators.py",
        ),
        rows=True,
    ),
    "recipe": Field(
        _sources(*(f"recipe/{name}.py" for name in ("geometry", "operations", "table", "timing", "program", "rules/*"))),
        (
            "test_laws.py",
            "test_machine.py",
            "test_machine_settling.py",
            "test_program.py",
            "test_rules.py",
            "test_recipe.py",
            "test_recipe_code.py",
            "test_cards.py",
        ),
    ),
    "explore": Field(
        _sources(*(f"explore/{name}.py" for name in ("choose", "rate", "files"))),
        ("test_choose.py", "test_explore.py", "test_explore_kills.py", "test_explore_results.py", "test_cost.py"),
    ),
}
"""Fields by name. `recipe`: what both twins share, so that no comparison of the two can tell. `explore`: what a user is told to build."""


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


OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.MatMult: None,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Return what can be wrong about an expression: (kind, the node that stands there instead)."""
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
            yield "argument ignored", ast.Call(node.func, node.args, node.keywords[:i] + node.keywords[i + 1 :])
        if isinstance(node.func, ast.Name) and node.func.id == "reversed":
            yield "order", ast.Call(ast.Name("list", ast.Load()), node.args, [])
    elif isinstance(node, ast.Attribute) and node.attr == "T":
        yield "not transposed", node.value


LEFT_OUT = ("annotation", "returns", "decorator_list", "defaults", "kw_defaults", "exc", "msg")
"""Parts of the syntax tree that compute nothing, and defaults, which are choices."""


class Placed(ast.NodeTransformer):
    """Puts one node in the place of another."""

    def __init__(self, line: int, column: int, before: str, after: str):
        self.at, self.before, self.after, self.times = (line, column), before, after, 0

    def visit(self, node: ast.AST) -> ast.AST:
        if (
            (getattr(node, "lineno", None), getattr(node, "col_offset", None)) == self.at
            and ast.unparse(node) == self.before
            and isinstance(node, ast.expr)
            and not self.times
        ):
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


def functions_in(tree: ast.AST, within: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """All functions with their full names, the outer ones first."""
    for node in ast.iter_child_nodes(tree):
        name = within
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            name = f"{within}.{node.name}" if within else node.name
            if isinstance(node, ast.FunctionDef):
                yield name, node
        yield from functions_in(node, name)


def function_of(fault: Fault) -> str:
    """``module:function``, the innermost around a fault; nothing after the colon on a module's or class's own level."""
    tree = ast.parse((ROOT / fault.module).read_text())
    around = [name for name, node in functions_in(tree) if node.lineno <= fault.line <= node.end_lineno]
    return f"{fault.module}:{around[-1] if around else ''}"


def reasons(fault: Fault) -> str | None:
    """Why a fault changes nothing that is promised, if that is known."""
    known = {(right, wrong): why for module, right, wrong, why in EQUIVALENT if module == fault.module}
    return next((known[pair] for pair in _around(fault) if pair in known), None) if known else None


def _around(fault: Fault) -> Iterator[tuple[str, str]]:
    """The expressions that hold a fault, itself among them, without it and with it."""
    for node in ast.walk(ast.parse((ROOT / fault.module).read_text())):
        if isinstance(node, ast.expr) and node.lineno <= fault.line <= node.end_lineno:
            placed = Placed(fault.line, fault.column, fault.right, fault.wrong)
            wrong = ast.unparse(placed.visit(copy.deepcopy(node)))
            if placed.times:
                yield ast.unparse(node), wrong


EQUIVALENT: tuple[tuple[str, str, str, str], ...] = (
    (
        "recipe/program.py",
        "np.maximum(self.used.get(v, 0), start + read[1])",
        "np.maximum(start + read[1], self.used.get(v, 0))",
        "a maximum does not depend on the order of its arguments",
    ),
    (
        "recipe/timing.py",
        "first + (g.R - 1) * g.F + fold",
        "first + (g.R - 1) * g.F",
        "elements are written one a cycle at most, in order: where the first may be overwritten, a later fold's is by then read",
    ),
    ("recipe/rules/phases.py", "made.get(k + 2, start)", "made.get(k + 2)", "no population is above the last unit, which reads none"),
    (
        "recipe/rules/local.py",
        "parts.update(k + 1, f'A{k}', row=head, column=f'input{k + 1}')",
        "parts.update(k, f'A{k}', row=head, column=f'input{k + 1}')",
        "matrix, row and column are named",
    ),
    ("recipe/operations.py", "3", "4", "operations are told apart by their number, not counted"),
    ("recipe/operations.py", "-1", "1", "what reads nothing enters no unit, and what reads names its own"),
    (
        "models/estimators/oscillation.py",
        "2j * jnp.pi * t",
        "-(2j * jnp.pi * t)",
        "the nudge turned the other way gives the complex conjugate, of which the real part is taken",
    ),
    (
        "models/estimators/control.py",
        "jnp.geomspace(100, 0.0001, 80)",
        "jnp.geomspace(200, 0.0001, 80)",
        "the leak only has to begin where there is hardly any control",
    ),
    ("models/estimators/targets.py", "sigma * jnp.sqrt(like.size)", "-(sigma * jnp.sqrt(like.size))", "the noise goes both ways"),
    (
        "models/functions.py",
        "jax.tree.map(lambda v: v + 0j, p) if i == argument else p",
        "jax.tree.map(lambda v: v + 0j, p)",
        "what is not differentiated may be complex, too",
    ),
    (
        "models/updates.py",
        "jax.hessian(objective)(states[-1], y).reshape(states[-1].size, -1)",
        "jax.hessian(objective)(states[-1], y).reshape(-1, states[-1].size)",
        "the matrix is square",
    ),
    ("models/circuits.py", "v * norm", "-(v * norm)", "weights that are drawn are as likely of either sign"),
    (
        "models/soundness.py",
        "(0.001 * _size(add(further, moved, -1.0)) + rounding) / TOLERANCE",
        "(0.002 * _size(add(further, moved, -1.0)) + rounding) / TOLERANCE",
        "what is off is off by orders of magnitude more than its tolerance",
    ),
    ("models/soundness.py", "1 + _size(force)", "2 + _size(force)", "what is off is off by orders of magnitude more than its tolerance"),
)
"""Faults that are none: module, what stands there or around it, what would, and why the results are the same."""
