"""Expressions: arithmetic a factory engineer may type, and nothing more.

A total language: it has no attributes, strings, loops, names of our own code or powers by
``**``; every number is float64, so nothing can grow; and it runs in time linear in its length.
Text is parsed with Python's own parser, every node is checked against an allow-list, and what
remains becomes numpy calls over whole columns. A result that is not finite is quality Bad.

Truth is a number: 1 for true, 0 for false; anything but 0 and NaN is true.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.errors import ConfigError

LENGTH_MAX: Final = 2_000
NODES_MAX: Final = 500
DEPTH_MAX: Final = 50

Column = NDArray[np.float64]
_Compiled = Callable[[Mapping[str, Column]], Column]


def _truth(column: Column) -> NDArray[np.bool_]:
    truth: NDArray[np.bool_] = (column != 0) & ~np.isnan(column)
    return truth


def _number(flags: Any) -> Column:
    return np.asarray(flags, np.float64)


def _choose(test: Column, then: Column, other: Column) -> Column:
    chosen: Column = np.where(_truth(test), then, other)
    return chosen


def _fold(operation: Callable[..., Column]) -> Callable[..., Column]:
    def folded(*columns: Column) -> Column:
        result = columns[0]
        for column in columns[1:]:
            result = operation(result, column)
        return result

    return folded


FUNCTIONS: Final[dict[str, tuple[Callable[..., Column], int, int, str]]] = {
    "abs": (np.abs, 1, 1, "Distance from zero."),
    "sqrt": (np.sqrt, 1, 1, "Square root."),
    "exp": (np.exp, 1, 1, "e to the power of x."),
    "log": (np.log, 1, 1, "Natural logarithm."),
    "log10": (np.log10, 1, 1, "Logarithm to base 10."),
    "pow": (np.power, 2, 2, "x to the power of y."),
    "round": (np.round, 1, 1, "Nearest whole number; halves go to the even one."),
    "floor": (np.floor, 1, 1, "Whole number below."),
    "ceil": (np.ceil, 1, 1, "Whole number above."),
    "sign": (np.sign, 1, 1, "-1, 0 or 1."),
    "sin": (np.sin, 1, 1, "Sine of an angle in radians."),
    "cos": (np.cos, 1, 1, "Cosine of an angle in radians."),
    "tan": (np.tan, 1, 1, "Tangent of an angle in radians."),
    "atan2": (np.arctan2, 2, 2, "Angle in radians of the point (x, y): atan2(y, x)."),
    "hypot": (np.hypot, 2, 2, "Length of the diagonal."),
    "min": (_fold(np.minimum), 1, 16, "Smallest of its arguments."),
    "max": (_fold(np.maximum), 1, 16, "Largest of its arguments."),
    "clamp": (
        lambda x, low, high: np.minimum(np.maximum(x, low), high),
        3,
        3,
        "x kept in range: clamp(x, low, high).",
    ),
    "isnan": (lambda x: _number(np.isnan(x)), 1, 1, "1 where there is no number."),
}
CONSTANTS: Final = {"pi": math.pi, "e": math.e, "true": 1.0, "false": 0.0, "nan": math.nan}
_BINARY: Final[dict[type[ast.operator], Callable[[Column, Column], Column]]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
}
_COMPARE: Final[dict[type[ast.cmpop], Callable[[Column, Column], Any]]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}


class FormulaError(ConfigError):
    """An expression that is not in the language.

    Args:
        text: What is wrong.
        hint: What to do.
        begin: First character that is meant, counted from 0.
        end: First character behind it.
    """

    def __init__(self, text: str, *, hint: str = "", begin: int = 0, end: int = 0) -> None:
        super().__init__(text, hint=hint)
        self.begin = begin
        self.end = end


class Formula:
    """A checked expression, ready to run over columns.

    Args:
        text: What the engineer typed.
        names: The variables it may use.

    Raises:
        FormulaError: It is not in the language; the message says what and where.

    >>> Formula("(value - 32) * 5 / 9", ["value"])({"value": np.array([32.0, 212.0])})
    array([  0., 100.])
    """

    def __init__(self, text: str, names: Sequence[str]) -> None:
        self.text = text
        if len(text) > LENGTH_MAX:
            raise self._wrong(None, f"The expression is longer than {LENGTH_MAX} characters.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # `1if x else 2` would be said, and then allowed.
                tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            at = f" at column {error.offset}" if isinstance(error, SyntaxError) else ""
            hint = "Write arithmetic like (value - 32) * 5 / 9."
            wrong = self._wrong(None, f"The expression {text!r} cannot be read{at}.", hint)
            if isinstance(error, SyntaxError) and error.lineno == 1:
                wrong.begin = min(self._margin + max((error.offset or 1) - 1, 0), len(text))
                wrong.end = min(wrong.begin + 1, len(text))
            raise wrong from error
        if sum(1 for _ in ast.walk(tree)) > NODES_MAX:
            raise self._wrong(None, f"The expression has more than {NODES_MAX} parts.")
        self.names: frozenset[str] = frozenset()
        self._allowed = frozenset(names)
        self._run = self._compile(tree.body, 0)

    def __call__(self, columns: Mapping[str, Column]) -> Column:
        """The result (n,) for columns (n,) by name."""
        with np.errstate(all="ignore"):
            result = self._run(columns)
        length = len(next(iter(columns.values()))) if columns else 1
        return np.broadcast_to(np.asarray(result, np.float64), (length,)).copy()

    def _compile(self, node: ast.expr, depth: int) -> _Compiled:
        if depth > DEPTH_MAX:
            raise self._wrong(node, f"The expression is nested deeper than {DEPTH_MAX} levels.")
        match node:
            case ast.Constant(value=bool() | int() | float() as number):
                return self._constant(node, number)
            case ast.Name(id=name):
                return self._variable(node, name)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return _apply(_BINARY[type(op)], self._all([left, right], depth))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _apply(np.negative, self._all([operand], depth))
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self._compile(operand, depth + 1)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return _apply(lambda x: _number(~_truth(x)), self._all([operand], depth))
            case ast.BoolOp(op=op, values=values):
                join: Any = np.logical_and if isinstance(op, ast.And) else np.logical_or
                fold = _fold(lambda a, b: _number(join(_truth(a), _truth(b))))
                return _apply(fold, self._all(values, depth))
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._comparison(left, ops, others, depth)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                parts = self._all([test, body, orelse], depth)
                return _apply(_choose, parts)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self._call(node, name, args, depth)
        raise self._refused(node)

    def _all(self, nodes: Sequence[ast.expr], depth: int) -> list[_Compiled]:
        return [self._compile(node, depth + 1) for node in nodes]

    def _constant(self, node: ast.expr, number: float) -> _Compiled:
        try:
            fixed = np.float64(float(number))
        except OverflowError:
            raise self._refused(node) from None
        return lambda columns: fixed  # type: ignore[return-value]  # broadcasts like a column

    def _variable(self, node: ast.expr, name: str) -> _Compiled:
        if name in self._allowed:
            self.names |= {name}
            return lambda columns: columns[name]
        if name in CONSTANTS:
            return self._constant(node, CONSTANTS[name])
        known = ", ".join(sorted(self._allowed))
        text = f"The expression uses {name!r}, which is not known here."
        raise self._wrong(node, text, f"Known: {known}.")

    def _comparison(
        self, left: ast.expr, ops: Sequence[ast.cmpop], others: Sequence[ast.expr], depth: int
    ) -> _Compiled:
        if any(type(op) not in _COMPARE for op in ops):
            raise self._refused(left)
        parts = self._all([left, *others], depth)
        tests = [_COMPARE[type(op)] for op in ops]

        def compare(columns: Mapping[str, Column]) -> Column:
            values = [part(columns) for part in parts]
            held = tests[0](values[0], values[1])
            for i, test in enumerate(tests[1:], 1):
                held = held & test(values[i], values[i + 1])
            return _number(held)

        return compare

    def _call(self, node: ast.expr, name: str, args: Sequence[ast.expr], depth: int) -> _Compiled:
        if name not in FUNCTIONS:
            hint = f"There is {', '.join(sorted(FUNCTIONS))}."
            raise self._wrong(node, f"There is no function {name!r}.", hint)
        function, fewest, most, _ = FUNCTIONS[name]
        if not fewest <= len(args) <= most or any(isinstance(arg, ast.Starred) for arg in args):
            wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
            raise self._wrong(node, f"{name}() takes {wanted} arguments, not {len(args)}.")
        return _apply(function, self._all(args, depth))

    def _refused(self, node: ast.expr) -> FormulaError:
        part = ast.get_source_segment(self.text.strip(), node) or type(node).__name__
        return self._wrong(
            node,
            f"{part[:60]!r} is not allowed in an expression.",
            "Allowed: numbers, variables, + - * / // %, comparisons, and/or/not, "
            "a if c else b, functions. Write pow(x, 2) for a power.",
        )

    @property
    def _margin(self) -> int:
        """Characters before the expression, which the parser does not see."""
        return len(self.text) - len(self.text.lstrip())

    def _wrong(self, node: ast.expr | None, text: str, hint: str = "") -> FormulaError:
        """An error with its place; the parser counts in bytes of UTF-8, and so may be a line."""
        begin, end = 0, len(self.text)
        if node is not None and node.lineno == 1 and node.end_lineno == 1:
            line = self.text.strip().encode()
            begin = self._margin + len(line[: node.col_offset].decode(errors="replace"))
            end = self._margin + len(line[: node.end_col_offset].decode(errors="replace"))
        return FormulaError(text, hint=hint, begin=begin, end=end)


def _apply(operation: Callable[..., Column], parts: Sequence[_Compiled]) -> _Compiled:
    if len(parts) == 1:
        only = parts[0]
        return lambda columns: operation(only(columns))
    if len(parts) == 2:
        first, second = parts
        return lambda columns: operation(first(columns), second(columns))
    return lambda columns: operation(*(part(columns) for part in parts))
