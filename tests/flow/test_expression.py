"""The expression language: what Python's floats give, and nothing an attacker could use."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import ConfigError, Formula
from gateway.flow.expression import CONSTANTS, FUNCTIONS

Pair = tuple[str, Callable[[float, float], float]]
NUMBERS = st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0, 3.0, 100.25, -7.75, 1e-3, 1e6])


def leaf() -> st.SearchStrategy[Pair]:
    constants = NUMBERS.map(lambda n: (repr(n) if n >= 0 else f"({n!r})", lambda x, y, n=n: n))
    return constants | st.sampled_from([("x", lambda x, y: x), ("y", lambda x, y: y)])


def both(
    text: str, of: Callable[..., float], *parts: st.SearchStrategy[Pair]
) -> st.SearchStrategy[Pair]:
    """An operation on parts: its text and what Python's floats make of it."""

    def join(*found: Pair) -> Pair:
        def run(x: float, y: float) -> float:
            return float(of(*(f(x, y) for _, f in found)))

        return text.format(*(t for t, _ in found)), run

    return st.builds(join, *parts)


def deeper(inner: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    def truth(a: float) -> bool:
        return a != 0 and a == a

    return st.one_of(
        both("({0} + {1})", lambda a, b: a + b, inner, inner),
        both("({0} - {1})", lambda a, b: a - b, inner, inner),
        both("({0} * {1})", lambda a, b: a * b, inner, inner),
        both("({0} / {1})", lambda a, b: a / b, inner, inner),
        both("({0} // {1})", lambda a, b: a // b, inner, inner),
        both("({0} % {1})", lambda a, b: a % b, inner, inner),
        both("(-{0})", lambda a: -a, inner),
        both("(not {0})", lambda a: not truth(a), inner),
        both("({0} < {1})", lambda a, b: a < b, inner, inner),
        both("({0} >= {1} > {2})", lambda a, b, c: a >= b > c, inner, inner, inner),
        both("({0} == {1})", lambda a, b: a == b, inner, inner),
        both("({0} and {1})", lambda a, b: truth(a) and truth(b), inner, inner),
        both("({0} or {1})", lambda a, b: truth(a) or truth(b), inner, inner),
        both("({0} if {1} else {2})", lambda a, b, c: a if truth(b) else c, inner, inner, inner),
        both("abs({0})", abs, inner),
        both("min({0}, {1})", min, inner, inner),
        both("max({0}, {1})", max, inner, inner),
        both("clamp({0}, 0, 10)", lambda a: min(max(a, 0.0), 10.0), inner),
        both("sqrt({0})", math.sqrt, inner),
        both("floor({0})", math.floor, inner),
        both("round({0})", round, inner),
        both("sign({0})", lambda a: (a > 0) - (a < 0), inner),
    )


EXPRESSIONS = st.recursive(leaf(), deeper, max_leaves=12)


@given(EXPRESSIONS, NUMBERS, NUMBERS)
def test_it_computes_what_python_computes(pair: Pair, x: float, y: float) -> None:
    text, python = pair
    try:
        wanted = python(x, y)
    except (ZeroDivisionError, ValueError, OverflowError):
        wanted = None
    formula = Formula(text, ["x", "y"])
    columns = {"x": np.array([x, 1.0]), "y": np.array([y, 1.0])}
    found = formula(columns)
    assert found.shape == (2,)
    assert found.dtype == np.float64
    if wanted is not None:
        assert found[0] == wanted or (found[0] != found[0] and wanted != wanted), text


@given(EXPRESSIONS, st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=8))
def test_a_column_is_its_rows(pair: Pair, rows: list[tuple[float, float]]) -> None:
    formula = Formula(pair[0], ["x", "y"])
    x, y = (np.array(column) for column in zip(*rows, strict=True))
    whole = formula({"x": x, "y": y})
    single = [formula({"x": x[i : i + 1], "y": y[i : i + 1]})[0] for i in range(len(rows))]
    np.testing.assert_array_equal(whole, single)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_runs_and_counts_its_arguments(name: str) -> None:
    _, fewest, most, about = FUNCTIONS[name]
    assert about
    arguments = ", ".join(["value"] * fewest)
    assert Formula(f"{name}({arguments})", ["value"])({"value": np.ones(3)}).shape == (3,)
    for wrong in (fewest - 1, most + 1):
        with pytest.raises(ConfigError, match="takes"):
            Formula(f"{name}({', '.join(['value'] * wrong)})", ["value"])


def test_constants_and_what_is_not_known() -> None:
    for name, number in CONSTANTS.items():
        found = Formula(name, [])({})[0]
        assert found == number or number != number
    with pytest.raises(ConfigError, match="'speed', which is not known here"):
        Formula("speed * 2", ["value"])
    assert Formula("a + b", ["a", "b", "c"]).names == {"a", "b"}


def test_what_is_not_finite_is_no_error() -> None:
    value = {"value": np.array([0.0, -1.0, np.inf, np.nan])}
    for text in ("1 / value", "log(value)", "sqrt(value)", "value % 0", "exp(1e9) * value"):
        assert Formula(text, ["value"])(value).shape == (4,)


ATTACKS = [
    "9**9**9**9",
    "2 ** 1000000",
    "value ** 2",
    "'a' * 10 ** 9",
    "b'x' * 9",
    "[0] * 10**10",
    "(1,) * 10**10",
    "{1: 2}",
    "{1, 2}",
    "().__class__.__bases__[0].__subclasses__()",
    "value.tofile('/tmp/x')",
    "value.__class__",
    "(1).real",
    "True.__class__",
    "__import__('os').system('id')",
    "open('/etc/passwd')",
    "eval('1')",
    "exec('1')",
    "getattr(value, 'real')",
    "lambda: 1",
    "(lambda f: f(f))(lambda f: f(f))",
    "[x for x in (1, 2)]",
    "sum(x for x in (1, 2))",
    "f'{value}'",
    "f'{value.__class__}'",
    "value[0]",
    "value[::1]",
    "min(*[1, 2])",
    "max(value=1)",
    "min(**{})",
    "abs",
    "abs(abs)",
    "value(1)",
    "(value := 1)",
    "await value",
    "(yield)",
    "value << 100",
    "1 << 10**9",
    "value & 1",
    "~value",
    "value @ value",
    "value is 1",
    "value in (1, 2)",
    "1j",
    "...",
    "None",
    "'text'",
    "10 ** 400",
    "1" + "0" * 400,
    "9" * 1900,
    "0x" + "f" * 1900,
    "(" * 500 + "1" + ")" * 500,
    "(" * 100 + "1" + ")" * 99,
    "-" * 1900 + "1",
    "not " * 400 + "1",
    "+".join(["1"] * 900),
    "value if value else " * 90 + "1",
    "abs(" * 60 + "1" + ")" * 60,
    "min(" + ",".join(["1"] * 900) + ")",
    "1 < " * 400 + "1",
    "x" * 2001,
    "value\x00",
    "value; value",
    "value\nimport os",
    "import os",
    "value = 1",
    "# only a comment",
    "",
    "   ",
    "1if",
    "1if value else 2",
    "\ud800",
    "value\\",
    "'" * 3,
    "print(value)",
    "breakpoint()",
    "help()",
    "round(value, 400000000)",
    "pow(2, 3, 4)",
    "type(value)",
]


@pytest.mark.parametrize("text", ATTACKS, ids=lambda text: repr(text[:30]))
def test_an_attack_is_refused_at_once(text: str) -> None:
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(ConfigError):
        Formula(text, ["value"])
    spent_s = time.process_time() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert spent_s < 2.0, "a hang, not a slow machine"
    assert peak < 50_000_000


@pytest.mark.parametrize(
    "text",
    [
        "pow(pow(pow(9, 9), 9), 9)",
        "exp(exp(exp(exp(9))))",
        "1e308 * 10",
        "1e999",
        "0 and value or 1",
        "round(1e300)",
        "-" * 40 + "1",
        "value // 0 % 0",
        "+".join(["value"] * 40),
        "abs(" * 40 + "value" + ")" * 40,
        "min(" + ",".join(["value"] * 16) + ")",
    ],
)
def test_what_is_allowed_ends_and_stays_small(text: str) -> None:
    formula = Formula(text, ["value"])
    column = np.linspace(-1, 1, 100_000)
    tracemalloc.start()
    found = formula({"value": column})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.shape == column.shape
    assert peak < 60 * column.nbytes


@given(st.text(max_size=60))
def test_any_text_is_a_formula_or_a_config_error(text: str) -> None:
    try:
        Formula(text, ["value"])({"value": np.ones(2)})
    except ConfigError as error:
        assert str(error)


@given(st.text("value()+-*/%<>=!.,'\"[]{}:0123456789 \t\nabcdefnotrsmix", max_size=40))
def test_near_misses_are_formulas_or_config_errors(text: str) -> None:
    try:
        Formula(text, ["value"])({"value": np.ones(2)})
    except ConfigError as error:
        assert str(error)
