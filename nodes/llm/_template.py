"""Templates of prompts: Jinja without a way to our code, and bounded in what they make.

A template may show values, choose and repeat: ``{{ data.text }}``, ``{% if %}``, ``{% for %}`` and
some filters. It may not call, import, define or assign, and names lead to keys and list positions
only, never to attributes of objects. So neither a template nor what stands in an event can reach
anything, and the text can grow only with what goes into it, up to a limit.

Source: Jinja 3.1, "Sandbox"; its own sandbox leaves loops and text sizes open, hence the list of
what may stand in a template.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import orjson
from jinja2 import StrictUndefined, TemplateError, nodes, pass_context
from jinja2.runtime import Context as Values
from jinja2.runtime import LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

TEXT_CHARS_MAX: Final = 20_000
"""Characters of a template."""
PARTS_MAX: Final = 400
"""Parts of a template, as its parser counts them."""
STEPS_MAX: Final = 2_000
"""Turns of all loops of one text together."""
_WORK: Final = "_work"
_ALLOWED: Final = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr),
    *(nodes.Getitem, nodes.Slice, nodes.Filter, nodes.Test, nodes.If, nodes.For, nodes.CondExpr),
    *(nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos),
    *(nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod),
    *(nodes.List, nodes.Tuple, nodes.Keyword),
)
_LOOP: Final = frozenset({"index", "index0", "first", "last", "length", "revindex"})
_FILTERS: Final = (
    *("abs", "capitalize", "count", "d", "default", "first", "float", "int", "items", "last"),
    *("length", "lower", "string", "title", "trim", "truncate", "unique", "upper", "wordcount"),
)
_TESTS: Final = (
    *("defined", "undefined", "none", "number", "string", "mapping", "sequence", "boolean", "in"),
    *("eq", "ne", "lt", "le", "gt", "ge", "true", "false", "even", "odd"),
)


def _getter(obj: Any, key: Any) -> Any:
    """What stands at a key or a position; `Undefined` where there is nothing."""
    if isinstance(obj, LoopContext) and key in _LOOP:
        return getattr(obj, key)
    if isinstance(obj, Mapping) and isinstance(key, str) and key in obj:
        return obj[key]
    if isinstance(obj, list | tuple | str) and isinstance(key, int) and -len(obj) <= key < len(obj):
        return obj[key]
    if isinstance(obj, Undefined):
        return obj
    keys = ", ".join(list(map(str, obj))[:10]) if isinstance(obj, Mapping) else ""
    there = f"; there is {keys}" if keys else ""
    return StrictUndefined(hint=f"there is no {str(key)[:100]!r}{there[:300]}", name=str(key)[:100])


class _Bare(ImmutableSandboxedEnvironment):
    """Jinja with nothing but values in it."""

    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%"))

    def getattr(self, obj: Any, attribute: str) -> Any:
        return _getter(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        return _getter(obj, argument)

    def call_binop(self, context: Values, operator: str, left: Any, right: Any) -> Any:
        for side in (left, right):
            if isinstance(side, Undefined):
                str(side)  # It says what is missing.
            if isinstance(side, bool) or not isinstance(side, int | float):
                raise TemplateError(f"{operator} is for numbers.")
            if abs(side) > 1e15:
                raise TemplateError(f"{operator} is for numbers up to 1e15.")
        return super().call_binop(context, operator, left, right)


def _shown(value: Any) -> Any:
    """A value as it stands in a prompt.

    Marks with which models are told who speaks lose their form, so that no event can end what it
    stands in.
    """
    if isinstance(value, Undefined):
        return value  # Jinja says what is missing.
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.10g}"
    if not isinstance(value, str):
        value = _json(value)
    text = value.replace("<|", "< |").replace("|>", "| >")
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in text)


def _json(value: Any) -> str:
    if isinstance(value, Undefined):
        return str(value)
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _join(items: Any, by: str = "") -> str:
    return str(by)[:100].join(str(_shown(item)) for item in list(items)[:STEPS_MAX])


def _replace(text: Any, old: str, new: str) -> str:
    if not old or str(text).count(str(old)) * len(str(new)) > 10 * TEXT_CHARS_MAX:
        raise TemplateError("replace() wants something to replace, and not too much of it")
    return str(text).replace(str(old), str(new))


def _round(value: Any, digits: int = 0) -> Any:
    return round(float(value), max(min(int(digits), 15), 0))


@pass_context
def _bounded(context: Values, items: Any) -> Any:
    """What a loop goes over; it spends the steps of the whole text."""
    if isinstance(items, Undefined):
        return iter(items)  # Jinja says what is missing.
    if isinstance(items, str) or not isinstance(items, Iterable):
        raise TemplateError("a loop goes over a list")
    found = list(items)
    work = context.resolve(_WORK)
    work[0] += len(found)
    if work[0] > STEPS_MAX:
        raise TemplateError(f"its loops take more than {STEPS_MAX} turns")
    return found


def _environment() -> _Bare:
    bare = _Bare(undefined=StrictUndefined, finalize=_shown, trim_blocks=True, lstrip_blocks=True)
    bare.globals.clear()
    known: dict[str, Callable[..., Any]] = bare.filters
    own = {"tojson": _json, "join": _join, "replace": _replace, "round": _round}
    bare.filters = {**{name: known[name] for name in _FILTERS}, **own, _WORK: _bounded}
    bare.tests = {name: bare.tests[name] for name in _TESTS}
    return bare


_BARE: Final = _environment()


class PromptError(ValueError):
    """A template cannot be read, or makes no text of this event."""


class PromptTemplate:
    """One text of a prompt.

    Args:
        text: The template.
        known: The names it may use.

    Raises:
        PromptError: It cannot be read, or uses what is not allowed; says which line.

    >>> PromptTemplate("{{ data.a }}!", {"data"}).fill({"data": {"a": 1.50}}, 100)
    '1.5!'
    """

    def __init__(self, text: str, known: Iterable[str]) -> None:
        self.text = text
        if len(text) > TEXT_CHARS_MAX:
            raise PromptError(f"The prompt is longer than {TEXT_CHARS_MAX} characters.")
        try:
            tree = _BARE.parse(text)
            _check(tree, frozenset(known))
            for loop in tree.find_all(nodes.For):
                loop.iter = nodes.Filter(loop.iter, _WORK, [], [], None, None, lineno=loop.lineno)
            code = _BARE.compile(tree)
            self._template = _BARE.template_class.from_code(_BARE, code, {})
        except TemplateError as error:
            line = getattr(error, "lineno", None)
            at = f"line {line}: " if line else ""
            raise PromptError(f"The prompt cannot be used: {at}{error.message}") from error
        except RecursionError as error:
            raise PromptError("The prompt is nested too deep.") from error

    def fill(self, values: Mapping[str, Any], chars_max: int) -> str:
        """The text for some values.

        Raises:
            PromptError: Something that it asks for is not there, or the text is too long.
        """
        parts: list[str] = []
        size = 0
        try:
            for part in self._template.generate({**values, _WORK: [0]}):
                parts.append(part)
                size += len(part)
                if size > chars_max:
                    raise PromptError(
                        f"The prompt is longer than {chars_max} characters (chars_max); shorten "
                        "texts in it with `| truncate(500)`."
                    )
        except TemplateError as error:
            said = (error.message or "").rstrip(".")
            raise PromptError(f"The prompt cannot be made: {said}.") from error
        except (TypeError, ValueError, ArithmeticError) as error:
            if isinstance(error, PromptError):
                raise
            raise PromptError(f"The prompt cannot be made: {error}.") from error
        return "".join(parts)


def _check(tree: nodes.Template, known: frozenset[str]) -> None:
    """See that only what is allowed stands in a template."""
    bound = {n.name for n in tree.find_all(nodes.Name) if n.ctx == "store"} | {"loop"}
    if any(name.startswith("_") or name in known for name in bound):
        raise PromptError(f"A loop may not call its item {', '.join(sorted(bound & known)) or '_'}")
    waiting: list[nodes.Node] = [tree]
    count = 0
    while waiting:
        node = waiting.pop()
        count += 1
        if count > PARTS_MAX:
            raise PromptError(f"The prompt has more than {PARTS_MAX} parts.")
        _check_part(node, known | bound)
        waiting += node.iter_child_nodes()


def _check_part(node: nodes.Node, names: frozenset[str]) -> None:
    where = f"The prompt, line {node.lineno}"
    if not isinstance(node, _ALLOWED):
        word = re.sub(r"(?<!^)(?=[A-Z])", " ", type(node).__name__).lower()
        raise PromptError(
            f"{where}: {word!r} is not allowed; there are values, if, for, filters and arithmetic."
        )
    if isinstance(node, nodes.Name) and node.name not in names:
        there = ", ".join(sorted(names - {"loop"}))
        raise PromptError(f"{where}: there is no {node.name!r}; there is {there}.")
    if isinstance(node, nodes.For) and node.recursive:
        raise PromptError(f"{where}: a loop cannot call itself.")
    if isinstance(node, nodes.Filter) and (node.name not in _BARE.filters or node.name == _WORK):
        there = ", ".join(sorted(name for name in _BARE.filters if name != _WORK))
        raise PromptError(f"{where}: there is no filter {node.name!r}; there is {there}.")
    if isinstance(node, nodes.Test) and node.name not in _BARE.tests:
        raise PromptError(f"{where}: there is no test {node.name!r}.")


def version_of(*texts: str) -> str:
    """A short name of some texts; other texts have another one.

    >>> version_of("a"), version_of("a", "")
    ('ca234c55', '6cccf05b')
    """
    whole = "\x1f".join(texts).encode("utf-8", "replace")
    return hashlib.blake2b(whole, digest_size=4).hexdigest()


__all__ = ["TEXT_CHARS_MAX", "PromptError", "PromptTemplate", "version_of"]
