"""Sentences: what the gateway says, as templates, read from its source code for translators.

An f-string is a template whose fields are named after what stands in the braces. Where one is a
choice between fixed words, such as ``"above" if side > 0 else "below"``, each choice is a
template of its own, because word order and endings differ by language.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Final

from gateway.flow.dashboard import Dashboard
from gateway.flow.document import Document
from gateway.flow.said import FIELD
from ui.assets import HERE

ROOT: Final = HERE.parent
_FLOW: Final = (
    "browsing dashboard document effects entries expand expand_tests expression findings gather "
    "gaps grant jsonpath jsonschema judging junctions layout lint lint_outbox lint_subflow "
    "lint_tests lint_units lint_wires lint_writes notation registry shape shape_subflow subflow "
    "tag_csv template units variables widgets window_base window_config yaml_read"
)
_IMPORTS: Final = "compare models nodered nodered_devices nodered_export nodered_types picture"
_ENGINE: Final = (
    "backoff ballast change connections context deploy egress flows foresight health ingress "
    "recovery store store_archive store_entry store_file store_room store_state store_writer "
    "succession trial turn workers writegate"
)
_REFUSING: Final = (
    "accounts backup catch dashboards destinations explain faults feeder fleet "
    "fleet_book fleet_file fleet_look fleet_push fleet_pusher flowsinks flowtest grantbook "
    "history_days inject jobs letters logins make_test models_book models_child models_http "
    "models_local models_pool models_server openid openid_people openid_provider openid_settings "
    "openid_token passwords passwords_easy prompts release restores roles rowgate sealed_file "
    "secrets sessions setpoint setpoint_watch setpoints shadow shadows store_audit store_drafts "
    "store_records trace trace_recorded uploads writeledger"
)
_API: Final = "certificate gate guard live routes_[!o]* routes_openid"
SOURCES: Final = (
    "nodes/**/*.py",
    "gateway/data/alarm.py",
    "gateway/data/table.py",
    "gateway/data/tag.py",
    *(f"gateway/flow/{name}.py" for name in f"{_FLOW} {_IMPORTS}".split()),
    *(f"gateway/engine/{name}.py" for name in f"{_ENGINE} {_REFUSING}".split()),
    *(f"gateway/api/{name}.py" for name in _API.split()),
    "gateway/cli/update.py",
    "ui/editor/*.py",
    "ui/engine.py",
    "ui/proxy.py",
)
"""Where sentences are said that the screens show."""
_PARTS: Final = re.compile(
    r"nodes/alarm/|nodes/modbus/_(pdu|client|frame|link|trouble|listener)|nodes/serial/_port"
    r"|nodes/mqtt/_(codec|session)"
    r"|nodes/mqtt/connection|nodes/opcua/(_errors|_open|_trust|_session|_history|connection)"
    r"|nodes/_line|gateway/flow/(findings|effects)|gateway/engine/health"
    r"|gateway/engine/(dashboards|destinations|fleet_push|flowtest|letters|prompts)\.py"
    r"|gateway/engine/(roles|rowgate)\.py"
    r"|gateway/engine/(models_(child|pool|server)|setpoint_watch)|ui/editor/patch"
)
"""Files that put sentences together from parts, which then are collected too."""
_NOT_SAID: Final = frozenset(
    ("Field", "Query", "Example", "Port", "compile", "getLogger", "warns", "_", "N_")
)
_ENDS: Final = (".", "?", "!", ".)")
_EXPANDED_MAX: Final = 8
_BEHIND: Final = re.compile(r"(?<=[.?!]) \{\w+\}$")
"""What stands behind a sentence is one of its own, and told as such."""
_UNSAID: Final = re.compile(
    r"^(SELECT|INSERT|CREATE|PRAGMA|REPLACE|DELETE|UPDATE|WHERE|Bearer|genba)\b|\n|comes first"
    r"|%[sd]|=\"|^<|^\"|^\{(LETTER_)?SQL\}"
)


def sentences() -> Iterator[tuple[str, str]]:
    """(place, template) of everything that is said; what reads alike is given once."""
    known: set[tuple[str, ...]] = set()
    paths = {path for pattern in SOURCES for path in ROOT.glob(pattern)}
    found = [*_shipped(), ("gateway/errors.py", "{whole} ({feature} is {number})")]
    for path in sorted(paths):
        place = path.relative_to(ROOT).as_posix()
        texts = said_in(path.read_text("utf-8"), parts=bool(_PARTS.match(place)))
        found += [(place, text) for text in texts]
    for place, text in found:
        shape = tuple(FIELD.split(text)[::2])
        if shape not in known:
            known.add(shape)
            yield place, text


def _shipped() -> Iterator[tuple[str, str]]:
    """What the flows and dashboards that come with the gateway say of themselves."""
    for path in sorted((ROOT / "flows").rglob("*.flow.yaml")):
        document = Document.parse(path.read_text("utf-8"), path.name)
        entries = (*document.connections.values(), *document.nodes.values())
        texts = [document.about, *(one.about for one in entries)]
        yield from ((path.relative_to(ROOT).as_posix(), text) for text in texts if text)
    for path in sorted((ROOT / "flows").rglob("*.dashboard.yaml")):
        board = Dashboard.parse(path.read_text("utf-8"), path.name)
        texts = [board.title, board.about, *(widget.title for widget in board.widgets)]
        yield from ((path.relative_to(ROOT).as_posix(), text) for text in texts if text)


def said_in(source: str, *, parts: bool = False) -> Iterator[str]:
    """The templates in a piece of Python.

    Args:
        source: The code.
        parts: Also what is no whole sentence.

    >>> list(said_in('def f(a):\\n    w = "up" if a else "out"\\n    return f"{a.tag} is {w}."'))
    ['{tag} is up.', '{tag} is out.']
    """
    tree = ast.parse(source)
    skipped = set(_unsaid(tree))
    scopes: list[tuple[ast.AST, Mapping[str, ast.expr]]] = [(tree, {})]
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    scopes += [(node, _assigned(node)) for node in ast.walk(tree) if isinstance(node, functions)]
    known: dict[int, Mapping[str, ast.expr]] = {}
    for scope, names in scopes:  # An inner function comes after the one around it.
        known |= {id(node): names for node in ast.walk(scope)}
    for names in known.values():
        for value in names.values():  # These words come with each sentence that they are in.
            if isinstance(value, ast.IfExp):
                skipped |= {id(one) for one in (value.body, value.orelse) if _is_part(one)}
    errors = {id(part) for node in ast.walk(tree) for part in _refusals(node)}
    for node in ast.walk(tree):
        if id(node) in skipped or not isinstance(node, ast.JoinedStr | ast.Constant):
            continue
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in ast.walk(node) if not isinstance(part, ast.IfExp)}
        for text in _templates(node, known[id(node)]):
            if found := _sentence(text, is_error=id(node) in errors, parts=parts):
                yield found


def _sentence(text: str, *, is_error: bool, parts: bool) -> str:
    """A text as it is shown; empty for what is no sentence."""
    text = _BEHIND.sub("", text.strip())
    bare = FIELD.sub("", text)
    if text.startswith("{whole}"):
        return text
    is_word = " " not in text and not re.fullmatch(r"[A-Z][a-z]+\.", text)
    if is_word or not re.search("[a-z]{2}", bare) or _UNSAID.search(text) or "}{" in text:
        return ""
    if is_error and not re.match(r"`\w+`: ", text):  # As `findings` shows what a rule says.
        return f"{text[:1].upper()}{text[1:].rstrip('.')}."
    begins = text[:1].isupper() or text[:1] in "{(`+#%'" or text[:1].isdigit()
    return text if parts or (begins and text.endswith(_ENDS)) else ""


def _unsaid(tree: ast.AST) -> Iterator[int]:
    """Docstrings, and what describes nodes and options: that is collected from their specs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield id(node.value)
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in _NOT_SAID:
                yield from (id(part) for part in ast.walk(node))
        elif isinstance(node, ast.Assert) and node.msg is not None:
            yield from (id(part) for part in ast.walk(node.msg))


def _is_part(node: ast.expr) -> bool:
    """Whether it is a fixed word, and no sentence of its own."""
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        return False
    return not node.value.rstrip().endswith(_ENDS)


def _refusals(node: ast.AST) -> Iterator[ast.AST]:
    """What a rule between options says: the text of its ValueError."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ValueError":
        yield from node.args


def _assigned(scope: ast.AST) -> Mapping[str, ast.expr]:
    """What the names of a function stand for, where it is said once."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
            pairs = [(target, value)]
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs = list(zip(target.elts, value.elts, strict=False))
            for name, one in pairs:
                if isinstance(name, ast.Name):
                    found.setdefault(name.id, []).append(one)
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def _templates(node: ast.expr, names: Mapping[str, ast.expr]) -> Iterator[str]:
    """A string as templates, one for each choice of fixed words in it."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield node.value
        return
    assert isinstance(node, ast.JoinedStr)
    options: list[list[str]] = []
    for part in node.values:
        if isinstance(part, ast.Constant):
            options.append([str(part.value)])
        elif isinstance(part, ast.FormattedValue):
            options.append(_choices(part.value, names) or [f"{{{_name(part.value, names)}}}"])
    for chosen in list(product(*options))[:_EXPANDED_MAX]:
        yield _numbered("".join(chosen))


def _choices(node: ast.expr, names: Mapping[str, ast.expr]) -> list[str]:
    """The fixed words between which an expression chooses; none when it is no such choice."""
    if isinstance(node, ast.Name) and isinstance(names.get(node.id), ast.IfExp):
        node = names[node.id]
    if not isinstance(node, ast.IfExp):
        return []
    found: list[str] = []
    for branch in (node.body, node.orelse):
        if isinstance(branch, ast.Constant | ast.JoinedStr):
            found += _templates(branch, {})
        elif isinstance(branch, ast.IfExp):
            found += _choices(branch, {})
        else:
            found.append(f"{{{_name(branch, names)}}}")
    return found


def _name(node: ast.expr, names: Mapping[str, ast.expr]) -> str:
    """What a field is called: after the expression in its braces."""
    match node:
        case ast.Name(id=name):
            value = names.get(name)
            is_amount = isinstance(value, ast.Call) and getattr(value.func, "id", "") == "amount"
            return "amount" if is_amount else name.strip("_") or "value"
        case ast.Attribute(attr=name):
            return name.strip("_")
        case ast.Subscript(value=value):
            return _name(value, names)
        case ast.Call(func=ast.Attribute(attr="join")):
            return "names"
        case ast.Call(func=ast.Name(id="len"), args=[value]):
            return f"n_{_name(value, names)}"
        case ast.Call(func=function):
            return _name(function, names)
    return "value"


def _numbered(text: str) -> str:
    """A template in which no field is named twice."""
    seen: dict[str, int] = {}

    def one(match: re.Match[str]) -> str:
        name = match[1].rstrip("0123456789") or "value"
        seen[name] = seen.get(name, 0) + 1
        return f"{{{name}{seen[name] if seen[name] > 1 else ''}}}"

    return FIELD.sub(one, text)


__all__ = ["SOURCES", "said_in", "sentences"]
